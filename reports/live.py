"""A run in progress, or one that was stopped half-way: what its cells say so far, and how far it has come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.results import COLUMNS, Run

if TYPE_CHECKING:
    import pandas as pd

QUERY = """SELECT s.image, s.method, s.scale, s.metric, s.value, s.status, s.reason, s.low, s.high, s.n, r.seconds FROM score s
    LEFT JOIN restored r ON r.method = s.method AND r.scale = s.scale AND r.image = s.image"""


@dataclass(frozen=True)
class Progress:
    """Cells done and due: images restored, and scores of them."""

    restored: int
    images: int
    scored: int
    scores: int

    @property
    def share(self) -> float:
        """Of the whole work, between 0 and 1; both halves count alike."""
        return (self.restored / max(self.images, 1) + self.scored / max(self.scores, 1)) / 2


class LiveRun(Run):
    """A run whose scores are read from its growing store while it is not finished; ``running`` says which it is."""

    @property
    def running(self) -> bool:
        """Whether the last call into this folder has not ended well (yet)."""
        return self.info.get("state") == "running"

    def scores(self) -> pd.DataFrame:
        """The table of a finished run; else the rows there are so far, with the same columns."""
        if not self.running and (self.path / "scores.parquet").is_file():
            return super().scores()
        import pandas as pd

        known, faces = set(self.methods), {str(f["name"]) for f in self.faces} | {"*"}
        rows = [r for r in _read(self, QUERY) if r[1] in known and r[0] in faces and r[3] in self.metrics]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"value": float, "low": float, "high": float, "seconds": float, "reason": str})


def live(run: Run) -> LiveRun:
    """The same run, readable at any moment."""
    return LiveRun(run.path, run.info)


def progress(run: Run) -> Progress:
    """How far a run has come, from its store."""
    images = len(run.faces) * len(run.methods) * len(run.scales)
    singles = sum(not fact.get("of_set") for fact in run.metrics.values())
    sets = (len(run.metrics) - singles) * len(run.methods) * len(run.scales)
    restored = _read(run, "SELECT count(*) FROM restored")
    scored = _read(run, "SELECT count(*) FROM score")
    done = (min(int(restored[0][0]), images), min(int(scored[0][0]), images * singles + sets))
    return Progress(done[0], images, done[1], images * singles + sets)


def _read(run: Run, query: str) -> list[tuple[Any, ...]]:
    """Rows of the store, opened read-only. A folder without one (half copied) is told in a sentence."""
    file = run.path / "cells.sqlite"
    if not file.is_file():
        raise FaceSRError(f"{run.path} has neither scores.parquet nor cells.sqlite: copy the whole folder, or call the run again")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as db:
            return list(db.execute(query))
    except sqlite3.Error as error:
        raise FaceSRError(f"{file} cannot be read ({error}): call the run again to go on") from None
