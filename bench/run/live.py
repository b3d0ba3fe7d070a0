"""What a run says of itself while it works: ``progress.json`` in its folder, for ``facesr watch`` and the dashboard."""

from __future__ import annotations

import json
import threading
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
"""Seconds between two notes, at least."""
BEAT = 5.0
"""Seconds between two notes, at most."""
STALE = 30.0
"""Seconds without a note after which nothing works there any more."""
WINDOW = 60.0
"""Seconds over which the rate is taken, so that a slow start does not spoil the estimate for ever."""


@dataclass(frozen=True)
class Doing:
    """A worker, as a person would look for it (``process 4711``), and what it is at ('' for nothing)."""

    worker: str
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
        parts = [f"{self.stage}: {self.done:,} of {self.total:,} faces" if self.total else self.stage]
        parts += [f"{self.rate:.3g} faces/s"] if self.rate else []
        parts += [f"about {span(self.left)} left"] if self.left is not None and self.done < self.total else []
        busy = sum(bool(w.task) for w in self.workers)
        parts += [f"{busy} of {len(self.workers)} workers busy"] if len(self.workers) > 1 else []
        parts += [f"{self.deaths} workers ended and were replaced"] if self.deaths else []
        return ", ".join(parts)

    @property
    def silent(self) -> float:
        """Seconds since the last note."""
        return max(0.0, time.time() - self.at)

    @property
    def stopped(self) -> bool:
        """Whether whoever wrote the notes is gone: they come every few seconds, however long a face takes."""
        return self.silent > STALE


@dataclass
class Notes:
    """Keeps ``progress.json`` while a run works, and removes it at the end. Notes come also while no face is finished."""

    folder: Path
    workers: Callable[[], Mapping[str, str]] = dict
    deaths: Callable[[], int] = lambda: 0
    _past: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    _now: tuple[str, int, int] = ("starting", 0, 0)
    _noted: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._write()
        threading.Thread(target=self._beat, daemon=True).start()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note how far the run is, at most once every ``EVERY`` seconds."""
        now, other = time.time(), stage != self._now[0]
        past = self._past.setdefault(stage, deque())
        past.append((now, done))
        while len(past) > 2 and now - past[0][0] > WINDOW:
            past.popleft()
        self._now = (stage, done, total)
        if other or done >= total or now - self._noted >= EVERY:
            self._write()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            self._write()

    def _write(self) -> None:
        stage, done, total = self._now
        past = tuple(self._past.get(stage, ()))
        rate = (past[-1][1] - past[0][1]) / (past[-1][0] - past[0][0]) if past and past[-1][0] > past[0][0] else 0.0
        left = max(0.0, (total - done) / rate - (time.time() - past[-1][0])) if rate else None
        doing = tuple(Doing(worker, task) for worker, task in self.workers().items())
        live = Live(stage, done, total, time.time(), rate, left, doing, self.deaths())
        with self._writing, suppress(FaceSRError, OSError):  # a full disk is reported by what matters
            if not self._ended.is_set() and self.folder.is_dir():
                write_whole(self.folder / FILE, json.dumps(asdict(live)), sync=False)
        self._noted = time.time()

    def remove(self) -> None:
        """The run works no longer."""
        self._ended.set()
        with self._writing:
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
