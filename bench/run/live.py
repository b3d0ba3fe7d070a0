"""What a run says of itself while it works: ``progress.json`` in its folder, for ``facesr watch`` and the dashboard."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.numbers import span
from facesr.bench.reading import read_json

FILE = "progress.json"
EVERY = 1.0
"""Seconds between two notes."""
WINDOW = 60.0
"""Seconds over which the rate is taken, so that a slow start does not spoil the estimate for ever."""


@dataclass(frozen=True)
class Doing:
    """A worker: its process id and what it is at ('' for nothing)."""

    pid: int
    task: str = ""


@dataclass(frozen=True)
class Live:
    """A stage of a run: faces done of all due, faces per second lately, seconds left (None where unknown), the workers.

    ``at``: seconds since the epoch when this was noted; ``deaths``: workers that ended and were replaced.
    """

    stage: str
    done: int
    total: int
    at: float
    rate: float = 0.0
    left: float | None = None
    workers: tuple[Doing, ...] = ()
    deaths: int = 0

    @property
    def line(self) -> str:
        """For a terminal."""
        parts = [f"{self.stage}: {self.done:,} of {self.total:,} faces"]
        parts += [f"{self.rate:.3g} faces/s"] if self.rate else []
        parts += [f"about {span(self.left)} left"] if self.left is not None and self.done < self.total else []
        busy = sum(bool(w.task) for w in self.workers)
        parts += [f"{busy} of {len(self.workers)} workers busy"] if len(self.workers) > 1 else []
        parts += [f"{self.deaths} workers ended and were replaced"] if self.deaths else []
        return ", ".join(parts)


@dataclass
class Notes:
    """Keeps ``progress.json`` while a run works, and removes it at the end."""

    folder: Path
    workers: Callable[[], Mapping[int, str]] = dict
    deaths: Callable[[], int] = lambda: 0
    _past: deque[tuple[float, int]] = field(default_factory=deque)
    _stage: str = ""
    _noted: float = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note how far the run is, at most once every ``EVERY`` seconds."""
        now = time.time()
        if stage != self._stage:
            self._stage, self._noted = stage, 0.0
            self._past.clear()
        self._past.append((now, done))
        while len(self._past) > 2 and now - self._past[0][0] > WINDOW:
            self._past.popleft()
        if now - self._noted < EVERY and done < total:
            return
        self._noted = now
        since, before = self._past[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        left = (total - done) / rate if rate else None
        doing = tuple(Doing(pid, task) for pid, task in self.workers().items())
        live = Live(stage, done, total, now, rate, left, doing, self.deaths())
        with suppress(FaceSRError):  # a full disk is reported by what matters
            write_whole(self.folder / FILE, json.dumps(asdict(live)), sync=False)

    def remove(self) -> None:
        """The run works no longer."""
        (self.folder / FILE).unlink(missing_ok=True)


def read_live(folder: Path) -> Live | None:
    """What the run in ``folder`` last said; None where nothing works there, or the note cannot be read."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return from_table(Live, read_json(file), str(file))
    except FaceSRError:
        return None
