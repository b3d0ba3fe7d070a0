"""What a user may say about a file of ratings, checked before the file is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.reading import read_toml

ROLES = (
    *("rater", "face", "condition", "stimulus", "score", "other", "kind", "training", "position", "rt_ms", "at", "simulated"),
    *("correct", "first_score", "revisions", "device_pixels", "served_ms", "hidden_ms"),
)
"""What a column can be."""

LAYOUTS = ("long", "wide", "qualtrics", "mturk", "p910", "jspsych", "webmushra", "avrate", "sureal", "survey", "pairs")
"""Layouts that ``--layout`` can name; without it the layout is inferred from the content."""


@dataclass(frozen=True)
class Options:
    """How to read a file; everything empty means: tell it by the content.

    ``scale``: lowest and highest grade. ``columns``: column of each role, '' to ignore a role; the score may hold ``*`` and then
    names the columns of a wide table. ``labels``: grade of each word. ``missing``: cells that stand for no answer.
    ``reverse``: the file's lowest number is the best. ``pattern``: regular expression with the groups ``face`` and ``condition``,
    searched in names of stimuli. ``rating_type``: which scale of an AVrate file. ``sheet``: of an .xlsx file.
    """

    scale: tuple[int, int] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    reverse: bool = False
    pattern: str | None = None
    rating_type: str | None = None
    sheet: str | None = None
    layout: str | None = None

    @property
    def splitter(self) -> re.Pattern[str] | None:
        """The pattern, compiled."""
        return re.compile(self.pattern) if self.pattern is not None else None


def rating_options(
    scale: Iterable[int] | None = None,
    columns: Iterable[str] = (),
    labels: Iterable[str] = (),
    missing: Iterable[str] = (),
    reverse: bool = False,
    pattern: str | None = None,
    rating_type: str | None = None,
    sheet: str | None = None,
    layout: str | None = None,
) -> Options:
    """``Options`` from what the command line was given: ``rater=WorkerId,score=Q3_1``, ``bad=1,good=4`` or a TOML file, ``-1,99``.

    Raises ``FaceSRError`` with every problem at once.
    """
    problems: list[str] = []
    ends = tuple(scale) if scale is not None else None
    if ends is not None and (len(ends) != 2 or ends[0] >= ends[1]):
        problems.append(f"--scale {' '.join(map(str, ends))}: give the lowest grade, then the highest, such as 1 5")
    if layout is not None and layout not in LAYOUTS:
        problems.append(f"--layout {layout!r} is unknown: {suggest(layout, LAYOUTS)}")
    _check_pattern(pattern, problems)
    found = Options(
        (ends[0], ends[1]) if ends is not None and len(ends) == 2 else None,
        _columns(columns, problems), _labels(labels, problems),
        frozenset(part.strip() for text in missing for part in text.split(",")),
        reverse, pattern, rating_type, sheet, layout,
    )  # fmt: skip
    if problems:
        raise FaceSRError("; ".join(problems))
    return found


def _check_pattern(pattern: str | None, problems: list[str]) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        problems.append(f"--pattern {pattern!r} is not a regular expression ({error})")
        return
    if not {"face", "condition"} <= set(groups):
        problems.append(f"--pattern {pattern!r} needs the groups (?P<face>...) and (?P<condition>...)")


def _columns(texts: Iterable[str], problems: list[str]) -> dict[str, str]:
    """A column's name may hold commas: only a comma before ``role=`` starts the next one."""
    found: dict[str, str] = {}
    for part in (part for text in texts for part in re.split(r",(?=\s*\w+\s*=)", text)):
        role, equals, column = (p.strip() for p in part.partition("="))
        if not equals:
            problems.append(f"--map {part!r}: write ROLE=COLUMN, such as rater=WorkerId")
        elif role not in ROLES:
            problems.append(f"--map {part!r}: there is no role {role!r}: {suggest(role, ROLES)}")
        elif role in found:
            problems.append(f"--map names {role} twice: {found[role]!r} and {column!r}")
        else:
            found[role] = column
    return found


def _labels(texts: Iterable[str], problems: list[str]) -> dict[str, float]:
    """``WORD=GRADE`` after another, words alone from the worst (1) up, or a TOML file of words and grades."""
    found: dict[str, float] = {}
    for text in texts:
        if text.endswith(".toml"):
            found |= _label_file(Path(text), problems)
            continue
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not any("=" in part for part in parts):
            found |= {word: float(i) for i, word in enumerate(parts, 1)}
            continue
        for part in parts:
            word, _, grade = part.rpartition("=")
            try:
                found[word.strip()] = float(grade)
            except ValueError:
                problems.append(f"--labels {part!r}: write WORD=GRADE, such as excellent=5")
    return found


def _label_file(file: Path, problems: list[str]) -> dict[str, float]:
    try:
        return {str(word): float(grade) for word, grade in read_toml(file).items()}
    except (FaceSRError, ValueError, TypeError) as error:
        problems.append(f"--labels {file}: a TOML file of lines such as excellent = 5 is needed ({error})")
        return {}
