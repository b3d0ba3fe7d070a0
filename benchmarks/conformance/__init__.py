"""Our numbers beside other people's programs on the same data: ``make conformance`` runs all and writes docs/conformance.md.

A check names what of ours is compared, with whose, on what data, and how far the two may be apart. Peers that are not installed, and weights
that cannot be had here, make a line that says so; a difference above its tolerance, or a peer that fails, makes the command end with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

OPENCV4 = Path(sys.prefix) / "opencv4"
"""Where ``make conformance`` puts OpenCV 4: 5.0 cannot run the SFace file that OpenCV publishes."""
UNREACHABLE = "not run: weights are not reachable"


class NotRun(Exception):
    """A check that cannot be made here, and why."""


@dataclass(frozen=True)
class Check:
    """One line of the page. ``apart`` computes both sides and returns the largest absolute difference."""

    ours: str
    peer: str
    """The peer's name on the package index, or ``R PACKAGE``."""
    what: str
    """The peer's function, with the options that make it comparable."""
    data: str
    tolerance: float
    apart: Callable[[], float]
    slow: bool = False
    """Takes more than a few seconds: not in the test suite."""


@dataclass(frozen=True)
class Outcome:
    """What came of a check: the difference, or why there is none."""

    check: Check
    apart: float = float("nan")
    said: str = ""
    failed: bool = False

    @property
    def good(self) -> bool:
        """Run and within tolerance, or not run for want of the peer."""
        return not self.failed


@dataclass(frozen=True)
class Section:
    """A heading of the page and its checks, with what a reader should know of them."""

    title: str
    checks: list[Check] = field(default_factory=list)
    about: str = ""


def installed(peer: str) -> str:
    """The peer's version; '' where it is not installed."""
    if peer.startswith("R "):
        from benchmarks.conformance import r

        return r.version(peer.removeprefix("R "))
    if peer.endswith("<5"):
        return next((d.version for d in distributions(path=[str(OPENCV4)])), "")
    try:
        return version(peer)
    except PackageNotFoundError:
        return ""


def run(check: Check) -> Outcome:
    """Make one check. What the peer raises is a failure with its words, never a traceback."""
    from facesr.bench.errors import WeightsMissing

    if not installed(check.peer):
        return Outcome(check, said="not run: not installed")
    try:
        apart = float(check.apart())
    except NotRun as why:
        return Outcome(check, said=str(why))
    except WeightsMissing:
        return Outcome(check, said=UNREACHABLE)
    except Exception as error:
        return Outcome(
            check, said=f"fails: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", failed=True
        )
    return Outcome(check, apart, failed=not apart <= check.tolerance)
