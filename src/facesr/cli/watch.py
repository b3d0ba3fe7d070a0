"""Follow a run in progress: what is done, faces per second, the time left, the workers.

facesr watch runs/paper            until the run ends
facesr watch runs/paper --once     one look, with what every worker is at
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import span

if TYPE_CHECKING:
    from facesr.bench.results import Run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--once", action="store_true", help="one look, then end")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Print a line now and then; 0 when the run has finished."""
    if not 0 < args.every < 3600:
        raise FaceSRError(f"--every {args.every:g}: give seconds between 0 and 3600")
    last = ""
    while True:
        run = facesr.load(args.run).folder
        line = (
            _line(run, args.once)
            if run.running
            else f"{run.info.title} is finished: {len(run.faces)} faces, {len(run.methods)} methods"
        )
        if line != last:
            print(line, flush=True)
            last = line
        if not run.running or args.once:
            return 0
        time.sleep(args.every)


def _line(run: Run, workers: bool) -> str:
    from facesr.bench.results import progress
    from facesr.bench.run.live import read_live

    live = read_live(run.path)
    if live is None:
        return "starting, or stopped half-way: the same 'facesr run' goes on"
    if live.stopped:
        return f"{live.line} (no news for {span(live.silent)}: it was stopped; the same 'facesr run' goes on)"
    whole = progress(run)
    lines = [
        f"{live.line}; {whole.restored:,} of {whole.images:,} images and {whole.scored:,} of {whole.scores:,} scores are there"
    ]
    return "\n".join([*lines, *(f"  {w.worker}: {w.task or 'idle'}" for w in live.workers if workers)])
