"""Errors a user may see: one sentence that says what was wrong, with the value, and what to do."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


class FaceSRError(Exception):
    """Anything the user can put right. The command line prints it as one sentence and exits with 2."""


class Busy(FaceSRError):
    """Another process holds what is asked for: waiting helps. The command line exits with 3."""


class WeightsMissing(FaceSRError):
    """A weight file is not on this machine; cells that need it become ``weights_missing``. ``name``: what could be fetched, or ''."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Problems:
    """Collects what is wrong with a request, so that all of it is reported together."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    def step(self, act: Callable[[], T]) -> T | None:
        """What ``act`` gives; None where it raised a ``FaceSRError``, which is kept."""
        try:
            return act()
        except FaceSRError as error:
            self.found[str(error)] = None
            return None

    def besides(self, sentences: Iterable[str]) -> None:
        """What refuses nothing by itself, and is worth knowing where something else does."""
        if self.found:
            self.found |= dict.fromkeys(sentences)

    def report(self) -> None:
        """Raise one ``FaceSRError`` with all of them, if there are any."""
        if self.found:
            raise FaceSRError("; ".join(self.found))


def same_name(name: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that ``name`` is in other capitals (PULSE for pulse); None where there is none, or more than one."""
    found = [choice for choice in choices if choice.casefold() == name.casefold()]
    return found[0] if len(found) == 1 else None


def shown(text: str) -> str:
    """``text`` for a terminal: control characters and bytes that are not UTF-8 as escapes, so that a name cannot act on the screen."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def some(names: Sequence[str], count: int = 5) -> str:
    """The first few of many names, as in ``a, b, c, ...``."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def suggest(name: str, choices: Iterable[str]) -> str:
    """A hint for a mistyped ``name``: ``did you mean 'psnr'?``, or the list of choices."""
    known = sorted(choices)
    if same := same_name(name, known):
        return f"did you mean {same!r}?"
    folded = {choice.casefold(): choice for choice in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean {folded[close[0]]!r}?" if close else f"choose from: {', '.join(known)}"


def sentence(error: BaseException) -> str:
    """An error as the reason of a cell."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, FaceSRError) else f"{type(error).__name__}: {text}"


def trace(error: BaseException, what: str) -> list[str]:
    """The traceback for the log; none for errors that say all in their sentence."""
    return [] if isinstance(error, FaceSRError) else [f"{what}\n{''.join(traceback.format_exception(error))}"]
