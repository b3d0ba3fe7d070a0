"""What ``make mutants`` found, for docs/conformance.md: shares, and every change that no test noticed, with the reason where there is one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
REASONS = Path(__file__).with_suffix(".toml")
START, END = "<!-- written by make mutants -->", "<!-- end of make mutants -->"


def text(place: Path) -> str:
    """Markdown of the results that lie in ``place``, one JSON file per group."""
    reasons: dict[str, str] = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    rows, left = ["| group | changes | noticed | share | date |", "|---|---:|---:|---:|---|"], []
    for file in sorted(place.glob("*.json")):
        made = json.loads(file.read_text(encoding="utf-8"))
        killed = sum(r["how"] == "killed" for r in made["results"])
        rows.append(f"| {file.stem} | {len(made['results'])} | {killed} | {killed / len(made['results']):.0%} | {made['date']} |")
        for result in made["results"]:
            if result["how"] != "killed":
                m = result["mutant"]
                why = reasons.get(f"{m['before']} → {m['after']}", "no reason found: a test is missing")
                left.append(f"- `{m['file']}`: `{m['before']}` → `{m['after']}`: {why}")
    return "\n".join([*rows, "", "Not noticed:", "", *left])


def write(place: Path, page: Path = ROOT / "docs" / "conformance.md") -> None:
    """Put the text between the page's marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    page.write_text(f"{before}{START}\n\n{text(place)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(f"written into {page}")


def main(argv: Sequence[str] = ()) -> int:
    """Write the page from what lies in ``build/mutants``."""
    write(Path(argv[0]) if argv else ROOT / "build" / "mutants")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
