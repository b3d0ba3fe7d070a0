"""The measured part of docs/performance.md: every line of a run of ``make bench``, the machine and the date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import Result
from facesr.bench.run.environment import environment

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
START, END = "<!-- written by make bench -->", "<!-- end of make bench -->"
PEERS = ("basicsr", "lpips", "openvino", "torch", "numpy")


def text(ran: Mapping[str, Sequence[Result]], failed: Sequence[str]) -> str:
    """Markdown of one run."""
    from importlib.metadata import PackageNotFoundError, version

    facts, versions = environment("cpu"), []
    for name in PEERS:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']};"
        f" {', '.join(versions)}. CPU time of one core unless a line says otherwise.",
        "",
        "| | what | ours | peer | ratio | goal | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, results in ran.items():
        lines += [
            f"| {name} | {r.what} | {r.ours} | {r.peer} | {r.ratio} | {r.goal} | {'reached' if r.reached else '**missed**'} |"
            for r in results
        ]
    notes = [f"- {why}" for why in failed if "(" in why]
    return "\n".join([*lines, *(["", "Not measured:", "", *notes] if notes else [])])


def write(ran: Mapping[str, Sequence[Result]], failed: Sequence[str], file: Path = PAGE) -> None:
    """Put the text between the page's two marks."""
    whole = file.read_text(encoding="utf-8")
    before, _, rest = whole.partition(START)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{START}\n{text(ran, failed)}\n{END}{after}", encoding="utf-8")
    print(f"written into {file}")
