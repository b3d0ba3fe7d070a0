"""One run on 1, 2 and 7 workers, in shards, on Ray and as SLURM jobs, with workers and drivers killed: are images and scores the same bytes?

python -m benchmarks.equality                                      the demo faces, two quick methods
python -m benchmarks.equality --protocol london-x8-128 --data FOLDER --methods bicubic,fsrnet,pix2pixhd,psp --kills 50 --stops 10

Every way is the command itself, in processes of its own. ``--place`` keeps the runs, and a later call compares with what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import cpu_seconds
from facesr.bench.results import load_run
from facesr.bench.run.live import read_live

METRICS = "psnr,psnr-y,ssim,consistency,consistency-pass,st-lpips-alex,identity-sface,retrieval-sface,kd-sface"


@dataclass(frozen=True)
class Request:
    """What every way is asked to compute, and where the runs lie."""

    place: Path
    arguments: tuple[str, ...]
    seed: int

    def command(self, out: str, *more: str) -> list[str]:
        """A ``facesr run``."""
        return [sys.executable, "-m", "facesr", "run", *self.arguments, "--out", str(self.place / out), *more]


def digest(run: Path) -> str:
    """sha256 over the names and bytes of all SR images and the table."""
    whole = hashlib.sha256()
    for file in [*sorted((run / "sr").rglob("*.png")), run / "scores.parquet"]:
        whole.update(f"{file.relative_to(run)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def call(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """Run to the end and return what it said of its progress; a cell without a value (status 1) is no error here."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (environment or {}))
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stderr


def workers(count: int) -> Callable[[Request, str], str]:
    """``--workers count``."""

    def way(request: Request, out: str) -> str:
        call(request.command(out, "--workers", str(count)))
        return ""

    return way


def shards(request: Request, out: str) -> str:
    """Three shards, merged."""
    parts = [f"{out}-{i}" for i in (1, 2, 3)]
    for i, part in enumerate(parts, start=1):
        call(request.command(part, "--workers", "1", "--shard", f"{i}/3"))
    folders = [str(request.place / part) for part in parts]
    call([sys.executable, "-m", "facesr", "merge", str(request.place / out), *folders, "--workers", "1"])
    return "merged from 3"


def cluster(name: str) -> Callable[[Request, str], str]:
    """``--on ray`` or ``--on slurm`` with two workers."""

    def way(request: Request, out: str) -> str:
        call(request.command(out, "--on", name, "--workers", "2"))
        return ""

    return way


def killed(count: int) -> Callable[[Request, str], str]:
    """Two workers; ``count`` times one of them, chosen at random, is killed at a random moment while it is at a task."""

    def way(request: Request, out: str) -> str:
        drawn, dead = random.Random(request.seed), set[int]()
        calls = 0
        while calls == 0 or (len(dead) < count and calls < 10) or _lost(request.place / out):
            calls += 1
            with subprocess.Popen(
                request.command(out, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as driver:
                while driver.poll() is None:
                    time.sleep(drawn.uniform(0.1, 3.0))
                    busy = _busy(request.place / out, driver.pid) - dead
                    if busy and len(dead) < count:
                        victim = drawn.choice(sorted(busy))
                        with suppress(ProcessLookupError):
                            os.kill(victim, signal.SIGKILL)
                            dead.add(victim)
        return f"{len(dead)} workers killed, {calls} calls"

    return way


def stopped(count: int) -> Callable[[Request, str], str]:
    """Two workers; the driver is killed ``count`` times at random moments, and called again."""

    def way(request: Request, out: str) -> str:
        drawn, kills, wait = random.Random(request.seed), 0, 4.0
        while kills < count:
            with subprocess.Popen(
                request.command(out, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as driver:
                try:
                    driver.wait(drawn.uniform(0.5, wait))
                    break
                except subprocess.TimeoutExpired:
                    driver.kill()
                    kills += 1
                    wait *= 1.3  # later ones get further
        call(request.command(out, "--workers", "2"))
        return f"driver killed {kills} times"

    return way


def _busy(run: Path, driver: int) -> set[int]:
    """Processes of this driver (not what an older note names) that are at a task."""
    live = read_live(run)
    named = {int(w.worker.split()[-1]) for w in live.workers if w.task} if live else set()
    return {pid for pid in named if _parent(pid) == driver}


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _lost(run: Path) -> bool:
    """Whether a task was given up because three workers were killed while at it: its cells are due again in the next call."""
    return any("worker process ended" in line for line in load_run(run).failures())


def again(request: Request, out: str) -> str:
    """A copy of the first run at another path, and a second clone of the repository: what is computed again?"""
    said = []
    copy = request.place / "elsewhere" / out
    shutil.copytree(request.place / "1 worker", copy)
    told = call(request.command(f"elsewhere/{out}", "--workers", "1"))
    said.append(f"copy: {_computed(told)} faces computed again")
    if shutil.which("git") and (Path(__file__).parents[1] / ".git").exists():
        clone = request.place / "clone"
        subprocess.run(["git", "clone", "--quiet", str(Path(__file__).parents[1]), str(clone)], check=True)
        told = call(request.command(f"elsewhere/{out}", "--workers", "1"), {"PYTHONPATH": str(clone / "src")})
        said.append(f"second clone: {_computed(told)}")
    copy.rename(request.place / out)
    if any(not s.endswith((" 0", ": 0 faces computed again")) for s in said):
        raise SystemExit(f"computed again: {'; '.join(said)}")
    return "; ".join(said)


def _computed(told: str) -> int:
    """Faces of all stages that a run told of; one that finds everything tells of none."""
    return sum(int(line.split("/")[-1].split(",")[0]) for line in told.splitlines() if ": " in line and "/" in line.split(": ")[-1])


def ways(kills: int, stops: int) -> dict[str, Callable[[Request, str], str]]:
    """What there is to compare, the reference first."""
    made: dict[str, Callable[[Request, str], str]] = {f"{n} worker{'s' * (n > 1)}": workers(n) for n in (1, 2, 7)}
    made["3 shards"] = shards
    made["copied, and another clone"] = again
    if find_spec("submitit"):
        made["SLURM jobs (submitit, local)"] = cluster("slurm")
    if find_spec("ray"):
        made["Ray, 2 workers"] = cluster("ray")
    if kills:
        made[f"2 workers, {kills} kills"] = killed(kills)
    if stops:
        made[f"2 workers, {stops} kills of the driver"] = stopped(stops)
    return made


def compare(request: Request, chosen: dict[str, Callable[[Request, str], str]]) -> bool:
    """Run every way that is not there yet and print a row each; False where one differs from the first."""
    print("| how | same bytes | CPU s | |\n|---|---|---|---|", flush=True)
    reference, good = "", True
    for name, way in chosen.items():
        out, before, said = request.place / name, cpu_seconds(), "there already"
        if not (out / "run.json").is_file() or load_run(out).running:
            said = way(request, name)
        found = digest(out)
        reference = reference or found
        good &= found == reference
        print(f"| {name} | {'yes' if found == reference else 'NO'} | {cpu_seconds() - before:.0f} | {said} |", flush=True)
    return good


def main(argv: Sequence[str] = ()) -> int:
    """0 when all ways give the same bytes."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.equality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", default="demo-x8-128")
    parser.add_argument("--data")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--methods", default="bicubic,fsrnet")
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--kills", type=int, default=0, help="of workers")
    parser.add_argument("--stops", type=int, default=0, help="kills of the driver")
    parser.add_argument("--only", default="", help="comma-separated beginnings of the rows' names")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--place", type=Path, help="a folder for the runs, kept; default: a temporary one")
    args = parser.parse_args(argv)
    arguments = [args.protocol, "--methods", args.methods, "--metrics", args.metrics]
    arguments += ["--data", args.data] if args.data else []
    arguments += ["--limit", str(args.limit)] if args.limit else []
    chosen = ways(args.kills, args.stops)
    if only := [name for name in args.only.split(",") if name]:
        chosen = {
            k: w for k, w in chosen.items() if k == "1 worker" or any(k == o or (o not in chosen and k.startswith(o)) for o in only)
        }
    with tempfile.TemporaryDirectory() as folder:
        place = args.place or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        return 0 if compare(Request(place, tuple(arguments), args.seed), chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
