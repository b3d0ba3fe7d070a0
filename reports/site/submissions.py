"""What is handed in to a leaderboard: a run folder or bundle, alone or in a folder beside ``verification.json``, the record of its check."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_json
from facesr.bench.results import Run
from facesr.bench.verify.bundle import open_bundle
from facesr.bench.verify.check import Record, bundle_identity

RECORD = "verification.json"
NAMES = ("bundle", "bundle.zip")


@dataclass(frozen=True)
class Submission:
    """``name``: of its folder. ``record``: of its check, where there is one; ``checked`` says in words what came of it."""

    name: str
    run: Run
    record: Record | None = None
    why_none: str = ""

    @property
    def checked(self) -> str:
        """One sentence."""
        if self.record is None:
            return self.why_none or "not checked: its numbers are those it states"
        record = self.record
        if not record.clean:
            return f"checked, with {len(record.findings)} findings: {record.findings[0]}"
        if not record.drawn:
            return "files, digest and tables checked; no score computed again"
        return f"checked: {len(record.drawn):,} of {len(self.run.faces):,} faces computed again and alike"

    @property
    def mark(self) -> str:
        """The same as one sign and word."""
        if self.record is None:
            return "– unchecked"
        return "✓ checked" if self.record.clean and self.record.drawn else "✗ findings" if not self.record.clean else "– files only"


def read_submission(path: Path, stack: ExitStack) -> Submission:
    """A run folder, a bundle, or a folder with ``bundle`` (or ``bundle.zip``) and perhaps ``verification.json``; unpacked until ``stack`` ends."""
    inner = next((path / name for name in NAMES if (path / name).exists()), None) if path.is_dir() else None
    run = stack.enter_context(open_bundle(inner or path))
    if run.running:
        raise FaceSRError(f"{path} is not finished: a leaderboard is of finished runs")
    name = path.resolve().name.removesuffix(".zip") or "run"
    file = path / RECORD
    if inner is None or not file.is_file():
        return Submission(name, run)
    record = from_table(Record, read_json(file), str(file))
    if record.bundle != bundle_identity(run) or record.digest != run.digest:
        return Submission(name, run, None, f"not checked: {RECORD} is the record of other files")
    return Submission(name, run, record)


def by_digest(submissions: Sequence[Submission]) -> dict[str, list[Submission]]:
    """Submissions that may stand in one table; the board with the most first. Two of one name are an error."""
    names = [s.name for s in submissions]
    if twice := [n for n in names if names.count(n) > 1]:
        raise FaceSRError(f"two submissions are named {twice[0]!r}: rename a folder")
    boards: dict[str, list[Submission]] = {}
    for one in submissions:
        boards.setdefault(one.run.digest, []).append(one)
    return dict(sorted(boards.items(), key=lambda item: -len(item[1])))
