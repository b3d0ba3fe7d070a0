"""Progress with an ETA: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from facesr.bench.errors import shown
from facesr.bench.numbers import span
from facesr.cli import tone

EVERY = 15.0
"""Seconds between lines in a log."""


class Bar:
    """Call it with a stage, how much is done, and how much there is."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and not tone.quiet
        self.stage, self.began, self.first, self.last = "", 0.0, 0, 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live and self.stage:
            print(file=sys.stderr)

    def say(self, line: str) -> None:
        """A line above the bar, such as what is known before the first face."""
        if not tone.quiet:
            print(f"note: {shown(line)}", file=sys.stderr, flush=True)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if tone.quiet:
            return
        now = time.monotonic()
        if stage != self.stage:
            if self.live and self.stage:
                print(file=sys.stderr)
            self.stage, self.began, self.first, self.last = stage, now, done, 0.0
        finished = done >= total
        if not self.live and not finished and now - self.last < EVERY:
            return
        self.last = now
        moved = done - self.first
        each = (now - self.began) / moved if moved > 0 else 0.0
        left = f", {1 / each:.3g}/s, about {span(each * (total - done))} left" if each and not finished else ""
        text = f"{stage}: {done}/{total}{left}"
        print(f"\r\x1b[K{text}" if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)
