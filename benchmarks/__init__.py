"""Speed, measured against the named peer in the same run, as a ratio. ``make bench`` runs all; ``python -m benchmarks NAME`` runs one.

CPU time of one thread (``getrusage``), the minimum of interleaved repeats: what else the machine does then matters least.
Values must agree within the stated tolerance, or the benchmark fails.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A line of the page: what, ours and the peer's (or the goal's) figure, and whether the goal was reached."""

    what: str
    ours: str
    peer: str
    ratio: str
    goal: str
    reached: bool


RESULTS: list[Result] = []
"""Of this process, in the order they were measured."""


def cpu_seconds() -> float:
    """CPU time of this process and its finished children."""
    mine, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def interleaved(works: Sequence[Callable[[], object]], repeats: int = 3) -> list[float]:
    """The least CPU seconds of each, run in turn ``repeats`` times."""
    least = [float("inf")] * len(works)
    for _ in range(repeats):
        for i, work in enumerate(works):
            start = cpu_seconds()
            work()
            least[i] = min(least[i], cpu_seconds() - start)
    return least


def line(what: str, ours: float, peer: float, goal: float, unit: str = "ms", factor: float = 1e3) -> bool:
    """Print and keep one result; True when the peer takes at least ``goal`` times as long."""
    ratio = peer / ours
    reached = ratio >= goal
    print(
        f"{what:<58} {ours * factor:9.2f} {unit} against {peer * factor:9.2f} {unit}: {ratio:6.2f}x, goal {goal:g}x {_verdict(reached)}"
    )
    RESULTS.append(
        Result(what, f"{ours * factor:.4g} {unit}", f"{peer * factor:.4g} {unit}", f"{ratio:.2f}×", f"{goal:g}×", reached)
    )
    return reached


def within(what: str, value: float, most: float, unit: str = "s") -> bool:
    """Print and keep one figure that has a limit instead of a peer; True when it is within it."""
    reached = value <= most
    print(f"{what:<58} {value:9.3g} {unit}, at most {most:g} {unit} {_verdict(reached)}")
    RESULTS.append(Result(what, f"{value:.3g} {unit}", "", "", f"at most {most:g} {unit}", reached))
    return reached


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"
