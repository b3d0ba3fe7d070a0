"""How much memory a method took at most, as far as that can be known: of this process on a processor, of what torch allocated on a GPU."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

_HELD = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_before = {"children": 0}
"""What programs had held when measuring began."""


def restart_peak(device: str) -> None:
    """Begin to measure anew; where a system cannot (not Linux), what was measured before stays in."""
    _before["children"] = _of_children()
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int | None:
    """Most bytes held since ``restart_peak``; on a processor of the whole process (Python and torch included), or of a program that was
    run and took more. None where the device does not say."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if not device.startswith("cpu"):
        return None
    now = _of_children()
    return max(_of_this(), now if now > _before["children"] else 0) or None


def _of_this() -> int:
    with suppress(OSError):
        if found := _HELD.search(Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024
    return _resident("RUSAGE_SELF")


def _of_children() -> int:
    return _resident("RUSAGE_CHILDREN")


def _resident(who: str) -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    held = resource.getrusage(getattr(resource, who)).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
