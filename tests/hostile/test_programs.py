"""External programs that misbehave: each costs its own faces at most, in time and memory, and nothing of it is left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from facesr.methods.command import Command
from hostile.campaign import Outcome, check, peak, reset_peak

BEGIN = """
import os, sys, time, signal, pathlib, struct
inside, outside, mark = map(pathlib.Path, sys.argv[1:4])
from shutil import copyfile
files = sorted(inside.iterdir())
def good(names=None):
    for file in files:
        if names is None or file.stem in names:
            copyfile(file, outside / file.name)
def daemon(environment):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", f"import time, signal; signal.signal(15, 1); time.sleep(60)", str(mark)], environment)
        os._exit(0)
"""
GOOD, BAD = ("ok", "ok"), ("failed", "failed")
PROGRAMS: dict[str, tuple[str, tuple[str, str]]] = {
    "good": ("good()", GOOD),
    "daemon": ("good(); daemon(os.environ)", GOOD),
    "daemon without environment": ("good(); daemon({})", GOOD),
    "daemon, then hangs": ("daemon({}); time.sleep(60)", BAD),
    "many children": ("good(); [os.fork() or time.sleep(60) for _ in range(20)][:0]", GOOD),
    "ignores signals": ("[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(60)", BAD),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", BAD),
    "kills itself": ("good('a'); os.kill(os.getpid(), 9)", ("ok", "failed")),
    "noise": ("good()\nfor _ in range(60): os.write(2, b'x' * 1_000_000)\nfor _ in range(60): os.write(1, b'y' * 1_000_000)", GOOD),
    "escapes on standard error": ("os.write(2, b'\\x1b[2J\\xff\\0\\n' * 50); sys.exit(3)", BAD),
    "closes everything": ("good(); os.closerange(0, 1000)", GOOD),
    "takes its input away": ("good(); import shutil; shutil.rmtree(inside)", GOOD),
    "takes its output away": ("outside.rmdir()", BAD),
    "pipe": ("good('a'); os.mkfifo(outside / 'b.png')", ("ok", "failed")),
    "device": ("good('a'); (outside / 'b.png').symlink_to('/dev/zero')", ("ok", "failed")),
    "hard link": (
        "good('a'); os.link('/etc/passwd', outside / 'b.png') if os.stat('/etc').st_dev == os.stat(outside).st_dev else 0",
        ("ok", ""),
    ),
    "sparse giant": ("good('a'); open(outside / 'b.png', 'wb').truncate(1 << 40)", ("ok", "failed")),
    "folder": ("good('a'); (outside / 'b.png').mkdir()", ("ok", "missing")),
    "two answers": ("good(); copyfile(files[0], outside / 'a.jpg')", ("failed", "ok")),
    "many answers": ("good(); [(outside / f'{i:0200d}.png').write_bytes(b'') for i in range(3000)]", GOOD),
    "odd names": ("good(); open(os.fsencode(outside) + b'/\\xff\\x1b.png', 'w'); (outside / '*.png').write_text('')", GOOD),
    "locked": ("good(); (outside / 'd').mkdir(); (outside / 'd/f').write_text(''); os.chmod(outside / 'd', 0)", GOOD),
    "text": ("good('a'); (outside / 'b.png').write_text('<html>')", ("ok", "failed")),
    "bomb": (
        "good('a'); import zlib; c = lambda k, b: struct.pack('>I', len(b)) + k + b + struct.pack('>I', zlib.crc32(k + b))\n"
        "(outside / 'b.png').write_bytes(bytes([137]) + b'PNG\\r\\n\\x1a\\n' + c(b'IHDR', struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0))"
        " + c(b'IDAT', zlib.compress(bytes(1 << 24))) + c(b'IEND', b''))",
        ("ok", "failed"),
    ),
}


def _left(mark: str) -> Iterator[int]:
    """Processes that have ``mark`` among their arguments and are not dead."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark.encode() in (folder / "cmdline").read_bytes()
                and (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
            ):
                yield int(folder.name)
        except OSError:
            continue


def _all(folder: Path) -> Outcome:
    reset_peak()
    outcome = Outcome("external programs")
    lr = torch.full((2, 3, 8, 8), 0.5)
    for i, (name, (code, wanted)) in enumerate(PROGRAMS.items()):
        mark = str(folder / f"mark{i}")
        (folder / "p.py").write_text(BEGIN + code + "\n")
        slow = "sleep" in code or "STOP" in code
        command = [sys.executable, str(folder / "p.py"), "{input}", "{output}", mark]
        (folder / "p.toml").write_text(f"command = {command}\ntimeout = {6 if slow else 60}\n")

        def act(mark: str = mark) -> Any:
            statuses = tuple(
                str(o.status) for o in Command(path=str(folder / "p.toml"), size=8, scale=1).restore(lr, ["a", "b"]).outcomes or ()
            )
            time.sleep(0.1)
            if left := list(_left(mark)):
                for pid in left:
                    os.kill(pid, 9)
                raise AssertionError(f"{len(left)} processes left")
            return statuses

        outcome.one(name, act, lambda got, wanted=wanted: all(w in ("", g) for g, w in zip(got, wanted, strict=True)))  # type: ignore[misc]
    outcome.peak = peak()
    return outcome


def test_programs_that_misbehave(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_all, tmp_path).result())
