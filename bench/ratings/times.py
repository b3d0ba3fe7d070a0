"""Moments of answers, in whatever writing a platform uses: to tell a repeat from a second sitting, and to see time run backwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

SITTING = 6 * 3600.0
"""Seconds without an answer after which a rater's next one belongs to another sitting."""

_AVRATE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\d{6})")
_SHORT = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[T,]?\s+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*([AaPp]\.?[Mm]\.?)?)?"
)


@dataclass(frozen=True)
class Moments:
    """Seconds of each answer (None where there is none, or where it cannot be known), and whether the clock knows its zone.

    ``dated``: the seconds count from 1970, so that days can be told apart. ``resolution``: seconds of the smallest step written.
    """

    seconds: list[float | None]
    zoned: bool
    dated: bool
    resolution: float


def moments(texts: Sequence[str]) -> Moments:
    """Read a column of times: ISO 8601 with or without a zone, epoch seconds or milliseconds, milliseconds of a session, day/month or
    month/day (whichever all of them can be), AVrate's. What can be read in two ways is not read at all."""
    filled = [t for t in texts if t]
    nothing = Moments([None] * len(texts), False, False, 1.0)
    if not filled:
        return nothing
    if all(re.fullmatch(r"\d+(\.\d+)?", t) for t in filled):
        return _numbers(texts)
    for read in (_iso, _months_first, _days_first):
        found = [read(t) if t else None for t in texts]
        if all(f is not None for t, f in zip(texts, found, strict=True) if t):
            if read is _months_first and all(_days_first(t) is not None for t in filled) and found != [
                _days_first(t) if t else None for t in texts
            ]:  # fmt: skip
                return nothing  # 3/4/2024 is a day of March or of April
            known = [f for f in found if f is not None]
            zoned = all(f.tzinfo is not None for f in known)
            if not zoned and any(f.tzinfo is not None for f in known):
                return nothing  # clocks with and without a zone cannot be compared
            return Moments([_seconds(f) for f in found], zoned, True, _resolution(filled))
    return nothing


def _numbers(texts: Sequence[str]) -> Moments:
    values = [float(t) if t else None for t in texts]
    known = [v for v in values if v is not None]
    if min(known) > 1e11:
        return Moments([None if v is None else v / 1e3 for v in values], True, True, 0.001)
    if min(known) > 1e8:
        return Moments(values, True, True, 1.0)
    return Moments([None if v is None else v / 1e3 for v in values], True, False, 0.001)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(text: str) -> datetime | None:
    if found := _AVRATE.fullmatch(text):
        text = f"{found[1]}.{found[2]}"
    try:
        return datetime.fromisoformat(text.replace(" UTC", "Z").replace(" Z", "Z"))
    except ValueError:
        return None


def _short(day: int, month: int) -> Callable[[str], datetime | None]:
    def read(text: str) -> datetime | None:
        found = _SHORT.fullmatch(text)
        if not found or len(found[1]) > 2:
            return None
        year, hour = int(found[4]), int(found[5] or 0)
        if found[9]:
            hour = hour % 12 + 12 * (found[9][0] in "pP")
        parts = (int(found[1]), int(found[3]))
        micro = int((found[8] or "0").ljust(6, "0")[:6])
        try:
            return datetime(
                year + 2000 * (year < 100), parts[month], parts[day], hour, int(found[6] or 0), int(found[7] or 0), micro
            )
        except ValueError:
            return None

    return read


_months_first, _days_first = _short(1, 0), _short(0, 1)


def _resolution(texts: Sequence[str]) -> float:
    colons = max(t.split("+")[0].count(":") for t in texts)
    return 86400.0 if not colons else 60.0 if colons == 1 else 1.0


def sittings(seconds: Sequence[float | None], resolution: float = 1.0) -> list[int]:
    """The sitting of each of a rater's answers, from 0, by pauses longer than ``SITTING``; an unknown moment belongs to the first."""
    gap = SITTING if resolution < 86400 else 1.0
    order = sorted((s, i) for i, s in enumerate(seconds) if s is not None)
    number = [0] * len(seconds)
    current = 0
    for k, (moment, i) in enumerate(order):
        current += bool(k and moment - order[k - 1][0] > gap)
        number[i] = current
    return number


def clock_set_back(seconds: float, step: float) -> bool:
    """Whether a step back of a clock without a zone may be the end of summer time: an hour at most, in a Sunday's small hours."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return step <= 3660 and moment.weekday() == 6 and moment.hour <= 4
