"""The parent of somebody's program, as a process of its own: whatever the program leaves behind becomes its child, and ends with it (Linux).

Run as ``python keeper.py TOKEN PROGRAM ARGUMENT...``; ends as the program ended. A program that cannot be started is one line with TOKEN on
standard error. Only the standard library is imported, so that it starts in some 30 ms.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

PARENT_DEATH_SIGNAL, CHILD_SUBREAPER = 1, 36
"""Of Linux's prctl(2)."""


def end_all() -> None:
    """Kill every child; a few times, since what is being killed may still fork, and what it leaves becomes a child."""
    for _ in range(50):
        found = [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    end_all()
    os._exit(0)


def main(token: str, arguments: list[str]) -> None:
    """Run the program, end what it leaves, and end as it did."""
    prctl = ctypes.CDLL(None).prctl
    prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _stop)
    prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)  # the one who asked was killed: nobody waits for an answer
    try:
        process = subprocess.Popen(arguments, start_new_session=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        sys.stderr.write(f"{token}{getattr(error, 'strerror', None) or error}\n")
        sys.stderr.flush()
        os._exit(1)
    status = process.wait()
    end_all()
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError, ValueError):  # SIGKILL has no handler to take away
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
