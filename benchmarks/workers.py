"""What two workers bring on PULSE, and what a run costs beside its computing: CPU seconds, so that other load does not matter.

The speed-up is one process's CPU time over the longest way through two workers: the driver's and that of the worker which had more to do, as if
the driver never worked beside them. ``--steps`` shortens the search: the start weighs more then, so the figure is below that of a whole run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import line, within
from facesr.bench.run.workers import Here, Result, Task, perform

SPEED_UP, OVERHEAD = 1.7, 0.03
TICK = os.sysconf("SC_CLK_TCK")


class Timed(Here):
    """One process, and the CPU seconds it spent on tasks."""

    spent = 0.0

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``Workers``."""
        for task in tasks:
            before = time.process_time()
            result = perform(task, self.loaded)
            self.spent += time.process_time() - before
            yield task, result


def one(out: Path, steps: int) -> dict[str, float]:
    """CPU seconds of this process up to the run's end (as the command's), of the run, and of the run's tasks."""
    import torch  # noqa: F401 - not what the run costs

    from facesr.bench import protocol, registry
    from facesr.bench.run import make_plan, start

    known = protocol.load_protocol("demo-x8-128", registry.installed("facesr.metrics"))
    specs = registry.method_specs(["pulse"], [f"pulse.steps={steps}"])
    workers, before = Timed(), time.process_time()
    start(make_plan(known, specs, out / "one", metrics=["psnr"]), workers=workers)
    now = time.process_time()
    return {"run": now - before, "tasks": workers.spent, "process": now}


def two(out: Path, steps: int) -> float:
    """CPU seconds of the longest way through a run with two workers."""
    command = [sys.executable, "-m", "facesr", "run", "demo-x8-128", "--methods", "pulse", "--set", f"pulse.steps={steps}"]
    command += ["--metrics", "psnr", "--workers", "2", "--out", str(out / "two")]
    used: dict[int, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while driver.poll() is None:
            for pid in [driver.pid, *_children(driver.pid)]:
                used[pid] = max(used.get(pid, 0.0), _cpu(pid))
            time.sleep(0.1)
    return used.pop(driver.pid) + max(used.values())


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def main(argv: Sequence[str] = ()) -> int:
    """0 when both goals are reached."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40, help="of PULSE's search; default: %(default)s (a whole one has 100)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        call = f"one(Path({place!r}), {args.steps})"
        code = f"import json; from pathlib import Path; from benchmarks.workers import one; print(json.dumps({call}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        single: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        good = within(
            "run of PULSE in one process, share beside its tasks", 1 - single["tasks"] / single["run"], OVERHEAD, "of all"
        )
        longest = two(Path(place), args.steps)
    good &= line(f"PULSE, 8 faces, {args.steps} steps: 2 workers against 1", longest, single["process"], SPEED_UP, "s", 1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
