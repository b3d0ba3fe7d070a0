"""docs/conformance.md: the part between its marks is written by ``make conformance``."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conformance import Outcome, Section, installed

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
START, END = "<!-- written by make conformance -->", "<!-- end of make conformance -->"
HEAD = "| ours | peer | data | largest difference | tolerance | date |\n|---|---|---|---:|---:|---|"


def result(outcome: Outcome) -> str:
    """The difference, or why there is none; what is wrong in bold."""
    if outcome.said:
        return f"**{outcome.said}**" if outcome.failed else outcome.said
    found = f"{outcome.apart:.1e}" if outcome.apart else "0"
    return f"**{found}, above tolerance**" if outcome.failed else found


def line(outcome: Outcome) -> str:
    """A row of the table."""
    check = outcome.check
    peer = f"{check.peer} {installed(check.peer)}".strip()
    cells = [check.ours, f"{peer}: {check.what}", check.data, result(outcome), f"{check.tolerance:g}", time.strftime("%Y-%m-%d")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def text(made: Sequence[tuple[Section, Sequence[Outcome]]], faults: Sequence[str]) -> str:
    """Markdown of one run."""
    every = [o for _, outcomes in made for o in outcomes]
    ran = [o for o in every if not o.said]
    bad = [o for o in every if o.failed]
    verdict = "all within tolerance" if not bad else f"**{len(bad)} above tolerance or failing**"
    parts = [
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}: {len(ran)} of {len(every)} "
        f"comparisons were run, {verdict}."
    ]
    for section, outcomes in made:
        about = [section.about, ""] if section.about else []
        parts.append("\n".join([f"## {section.title}", "", *about, HEAD, *map(line, outcomes)]))
    parts.append("## Where a peer is wrong\n\nEach example is run by `make conformance`; below it is what it printed.")
    return "\n\n".join([*parts, *faults])


def write(made: Sequence[tuple[Section, Sequence[Outcome]]], faults: Sequence[str], file: Path = PAGE) -> None:
    """Put the text between the page's marks."""
    before, _, rest = file.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{START}\n\n{text(made, faults)}\n\n{END}{after}", encoding="utf-8")
    print(f"written into {file}")
