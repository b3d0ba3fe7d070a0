"""Running somebody's program: bounded in time and output, ended whole, whatever it does."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

TAIL = 2000
"""Bytes of the program's standard error that are kept; the rest is read and dropped, so that it fills neither memory nor disk."""
MARK = "FACESR_CALL"
"""Environment variable that every process of one call inherits: by it those are found that left the program's session (daemons)."""


def run(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], limit: float) -> str:
    """Run a program for at most ``limit`` seconds, without a shell, in a session of its own; '' or what went wrong, in one sentence.

    When it returns, nothing the program started is left: its session is killed, and so is a daemon that left the session.
    """
    token = uuid.uuid4().hex
    _adopt_orphans()
    before = set(_children())
    try:
        process = subprocess.Popen(
            arguments, cwd=cwd, env={**os.environ, **env, MARK: token}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        return f"{arguments[0]!r} cannot be started ({getattr(error, 'strerror', None) or error})"
    tail = bytearray()
    assert process.stderr is not None
    reader = threading.Thread(target=_drain, args=(process.stderr, tail), daemon=True)
    reader.start()
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"{arguments[0]!r} was stopped after {limit:g} s"
    finally:
        _end(process, token, before)
        # Whoever holds the other end of standard error is dead by now; a second is for what the pipe still has.
        reader.join(1)
    if status == 0:
        return ""
    said = " | ".join(bytes(tail).decode(errors="replace").strip().splitlines()[-3:])
    ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{arguments[0]!r} {ended}: {said or 'nothing on its standard error'}"


def _drain(pipe: IO[bytes], tail: bytearray) -> None:
    with pipe:
        while chunk := os.read(pipe.fileno(), 1 << 16):
            tail += chunk
            del tail[:-TAIL]


def _end(process: subprocess.Popen[bytes], token: str, before: set[int]) -> None:
    """Kill the program's process group, then what carries its mark or was left to us; a few times, since what is being killed may still fork."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    for _ in range(20):
        orphans = [pid for pid in _children() if pid not in before and _session(pid) not in (None, os.getsid(0))]
        if not (left := {*_marked(token), *orphans}):
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


SUBREAPER = 36
"""``PR_SET_CHILD_SUBREAPER`` of Linux's prctl(2)."""


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended, so that a daemon that shed its environment is found too (Linux)."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """This process's children, in all its threads (Linux)."""
    found: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += [int(pid) for pid in file.read_text().split()]
    return found


def _session(pid: int) -> int | None:
    """The session of a process that is not this one's; None where it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _marked(token: str) -> list[int]:
    """Processes of this call, where the system shows environments (Linux); elsewhere the process group is all that is known."""
    wanted = f"{MARK}={token}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state != b"Z" and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found
