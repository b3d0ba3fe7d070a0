"""Running somebody's program: bounded in time and output, ended whole, whatever it does."""

from __future__ import annotations

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

GRACE = 5.0
"""Seconds in which the keeper ends what the program left."""
TAIL = 2000
"""Bytes of the program's standard error that are kept; the rest is read and dropped, so that it fills neither memory nor disk."""
MARK = "FACESR_CALL"
"""Environment variable that every process of one call inherits: by it those are found that left the program's session (daemons)."""


def run_program(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], limit: float) -> str:
    """Run a program for at most ``limit`` seconds, without a shell, in a session of its own; '' or what went wrong, in one sentence.

    When it returns, nothing the program started is left. On Linux a process of its own (``keeper.py``) is the program's parent and inherits
    what it leaves, so that a daemon that shed its session and its environment ends too; no other child of this process is touched.
    """
    token = uuid.uuid4().hex
    kept = sys.platform == "linux" and bool(sys.executable)
    keeper = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), token] if kept else []
    try:
        process = subprocess.Popen(
            [*keeper, *arguments], cwd=cwd, env={**os.environ, **env, MARK: token}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        return _not_started(arguments[0], getattr(error, "strerror", None) or str(error))
    tail = bytearray()
    assert process.stderr is not None
    reader = threading.Thread(target=_drain, args=(process.stderr, tail), daemon=True)
    reader.start()
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"{arguments[0]!r} was stopped after {limit:g} s"
    finally:
        _end(process, token)
        # Whoever holds the other end of standard error is dead by now; a second is for what the pipe still has.
        reader.join(1)
    if status == 0:
        return ""
    lines = bytes(tail).decode(errors="replace").strip().splitlines()
    if lines and lines[-1].startswith(token):
        return _not_started(arguments[0], lines[-1].removeprefix(token))
    said = " | ".join(lines[-3:])
    ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{arguments[0]!r} {ended}: {said or 'nothing on its standard error'}"


def _drain(pipe: IO[bytes], tail: bytearray) -> None:
    with pipe:
        while chunk := os.read(pipe.fileno(), 1 << 16):
            tail += chunk
            del tail[:-TAIL]


def _not_started(program: str, why: str) -> str:
    return f"{program!r} cannot be started ({why})"


def _end(process: subprocess.Popen[bytes], token: str) -> None:
    """End the keeper, which ends everything it has; then its process group, and what still carries the mark of this call."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    for _ in range(20):
        if not (left := _marked(token)):
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


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
