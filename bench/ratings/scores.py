"""From cells to grades: numbers in any writing, words, and the scale they are on. Nothing is guessed, and no number stretches the scale."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import clean

KNOWN = ((1, 5), (0, 4), (-3, 3), (1, 7), (0, 10), (0, 100))
"""Scales that are recognised; any other is declared with ``--scale``."""

CODES = frozenset({-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0})
"""Numbers that people write for 'no answer'."""

MARKS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "–", ".", "missing", "undefined", "<na>"})
"""Words that stand for no answer, lower case."""

STRAY = 0.005
"""Share of numbers beyond a scale that are mistakes and not a wider scale."""
WIDER = 0.05
"""Share of numbers beyond a scale from which a wider one is in use."""
FAR = 0.15
"""Largest share of numbers such as 55 or 44 beside 1 to 5: slips of the hand, since a scale to 100 would have far more of them."""

_ACR = (
    ("bad", "poor", "fair", "good", "excellent"),
    ("schlecht", "dürftig", "ordentlich", "gut", "ausgezeichnet"),
    ("schlecht", "mäßig", "ordentlich", "gut", "ausgezeichnet"),
    ("mauvaise", "médiocre", "passable", "bonne", "excellente"),
    ("mala", "mediocre", "regular", "buena", "excelente"),
    ("very annoying", "annoying", "slightly annoying", "perceptible but not annoying", "imperceptible"),
)
_CCR = ("much worse", "worse", "slightly worse", "about the same", "slightly better", "better", "much better")
WORDS: dict[str, tuple[float, tuple[int, int]]] = {
    **{word: (float(grade), (1, 5)) for words in _ACR for grade, word in enumerate(words, 1)},
    "perceptible, but not annoying": (4.0, (1, 5)),
    **{word: (float(grade), (-3, 3)) for grade, word in enumerate(_CCR, -3)},
}
"""Grades of the words of P.910's scales (ACR in the rating page's languages and two more, DCR, CCR), and the scale they belong to."""

_DIGITS = {0xFF10 + i: str(i) for i in range(10)} | {ord(c): "-" for c in "−–—‒﹣－"}
_NUM = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_PLAIN = re.compile(_NUM)
_FIRST = re.compile(rf"({_NUM})(?:\s*[-:=.)]\s*|\s*[(\[]\s*|\s+)([^\W\d_][^\d()\[\]]*)[)\]]?")
_LAST = re.compile(rf"([^\W\d_][^\d()\[\]]*?)(?:\s*[:=]\s*|\s+-\s+|\s*[(\[]\s*|\s+)({_NUM})[)\]]?")


@dataclass(frozen=True)
class Parsed:
    """One distinct cell. ``number``: as written; ``word``: its text; ``grade``: what the word stands for; ``mark``: no answer."""

    number: float | None = None
    word: str = ""
    grade: float | None = None
    mark: bool = False


def parse_score(cell: str, labels: Mapping[str, float]) -> Parsed:
    """Take a cell apart: ``4``, ``3,5``, ``5 (Excellent)``, ``Excellent``, ``NA``. ``labels``: grades of words, lower case."""
    text = clean(cell)
    lowered = text.casefold()
    if not text or (lowered in MARKS and lowered not in labels):
        return Parsed(mark=True)
    if lowered in labels:
        return Parsed(word=lowered, grade=labels[lowered])
    written = text.translate(_DIGITS)
    if _PLAIN.fullmatch(written):
        return Parsed(number=_number(written))
    if written.endswith("%") and _PLAIN.fullmatch(bare := written[:-1].rstrip()):
        return Parsed(number=_number(bare), word="%")  # of 0 to 100; beside plain grades it lies outside their scale
    if found := _FIRST.fullmatch(written):
        number, word = found[1], found[2]
    elif found := _LAST.fullmatch(written):
        word, number = found[1], found[2]
    else:
        return Parsed(word=lowered)
    word = word.strip().casefold()
    return Parsed(number=_number(number), word=word, grade=labels.get(word))


def _number(text: str) -> float:
    return float(text.replace(",", "."))


@dataclass(frozen=True)
class Scale:
    """Lowest and highest grade, and how they are known."""

    low: int
    high: int
    how: str

    def holds(self, value: float) -> bool:
        """Whether a grade lies on the scale."""
        return self.low <= value <= self.high


def recognise(numbers: Mapping[float, int]) -> Scale:
    """The known scale that counted numbers (value: how often) are on; those beyond it are slips or codes for no answer.

    Raises ``FaceSRError``, saying what was seen and what to give, where two scales are possible or none is known.
    """
    plain = {v: n for v, n in numbers.items() if v not in CODES}
    if not plain:
        raise _unknown(numbers, "they are codes for missing answers")
    if min(plain) >= 0 and (max(plain) < 1 or (0.0 in plain and set(plain) <= {0.0, 1.0})):
        raise _unknown(numbers, "they look like shares or answers of yes and no")
    if -1.0 in numbers and min(plain) >= -1 and max(plain) <= 3:
        raise _unknown(numbers, "-1 may be a grade of -3 to 3 or stand for no answer")
    for low, high in KNOWN:
        if _fits(plain, low, high):
            n = sum(n for v, n in numbers.items() if low <= v <= high)
            return Scale(low, high, f"recognised: {n:,} of {sum(numbers.values()):,} numbers lie on it")
    raise _unknown(numbers, "no scale that is recognised holds them")


def _fits(counts: Mapping[float, int], low: int, high: int) -> bool:
    """Whether low..high is the scale, no wider one. Far slips (55 for 5) differ from grades of a wider scale by being few."""
    total = sum(counts.values())
    beyond = {v: n for v, n in counts.items() if not low <= v <= high}
    far = sum(n for v, n in beyond.items() if v > max(10, 2 * high))
    near = sum(beyond.values()) - far
    if len(beyond) == len(counts) or far > FAR * total or near >= WIDER * total:
        return False
    if near >= STRAY * total and near:
        raise _unknown(counts, f"{near:,} lie beyond {low} to {high}: many for slips, few for a wider scale")
    if (low, high) == (0, 10) and max(counts) < 7 and min(counts) == 0:
        raise _unknown(counts, "0 may be a grade or stand for no answer")
    if (low, high) == (0, 100) and sum(n for v, n in counts.items() if v <= 10) > total / 2:
        raise _unknown(counts, "most lie within 0 to 10 (were decimal points lost?)")
    return True


def _unknown(counts: Mapping[float, int], why: str) -> FaceSRError:
    values = sorted(counts)
    shown = ", ".join(f"{v:g} ({counts[v]:,} times)" for v in (values if len(values) <= 8 else [*values[:4], *values[-4:]]))
    return FaceSRError(
        f"the scale is not certain: the scores run from {values[0]:g} to {values[-1]:g} ({shown}), and {why}; "
        "declare it with --scale LOW HIGH, and codes for no answer with --missing"
    )
