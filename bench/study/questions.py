"""A study's questionnaire: asked before rating, frozen with the design, exported with the ratings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Len

from facesr.bench.config import BadValue, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.reading import read_toml

STANDARD = Path(__file__).parent / "questionnaire.toml"
"""Age band, sight, display, room: what a MOS study usually reports of its panel. ``--questionnaire standard``."""

Sentence = Annotated[str, Len(1, 1000)]
Label = Annotated[str, Len(1, 200)]
LONGEST = 2000
"""Characters of an answer in words."""


@dataclass(frozen=True)
class Question:
    """One question. ``name`` is its name in the export.

    ``kind``: ``choice`` (one of ``values``), ``choices`` (any of them), ``number`` (from ``low`` to ``high``), ``text``. ``text`` is the question
    in each language; ``labels`` are the words for ``values``, in their order, in each language. Only a ``required`` question must be answered.
    """

    name: Annotated[str, Len(1, 40)]
    text: dict[str, Sentence]
    kind: Literal["choice", "choices", "number", "text"] = "choice"
    values: Annotated[list[Label], Len(0, 50)] = field(default_factory=list)
    labels: dict[str, list[Label]] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    required: bool = False

    def __post_init__(self) -> None:
        if found := self._problems():
            raise BadValue("; ".join(found))

    def _problems(self) -> list[str]:
        found = []
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            found.append(f"the name {self.name!r} must be of small letters, digits and '_', such as age_band")
        chosen = self.kind in {"choice", "choices"}
        if chosen and (len(self.values) < 2 or len(set(self.values)) < len(self.values)):
            found.append(f"question {self.name!r} needs at least two different values to choose from")
        if not chosen and (self.values or self.labels):
            found.append(f"question {self.name!r} is of the kind {self.kind!r}, which takes no values and no labels")
        if self.kind == "choices" and (comma := [v for v in self.values if "," in v]):
            found.append(f"value {comma[0]!r} of question {self.name!r} has a comma, which separates several answers")
        if self.kind != "number" and (self.low is not None or self.high is not None):
            found.append(f"low and high are for numbers, and question {self.name!r} is of the kind {self.kind!r}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            found.append(f"question {self.name!r}: low {self.low:g} is not below high {self.high:g}")
        if chosen:
            wrong = [language for language, labels in self.labels.items() if len(labels) != len(self.values)]
            found += [
                f"question {self.name!r} has {len(self.labels[w])} labels in {w!r} for {len(self.values)} values" for w in wrong
            ]
        return found

    def lacks(self, language: str) -> bool:
        """Whether it cannot be asked in a language."""
        return language not in self.text or (self.kind in {"choice", "choices"} and language not in self.labels)


@dataclass(frozen=True)
class Questionnaire:
    """The TOML file: ``[[question]]`` tables."""

    question: Annotated[list[Question], Len(1, 100)]


def read_questionnaire(source: str | Path) -> list[Question]:
    """The questions of a TOML file, or of the built-in one (``standard``). Raises one ``FaceSRError`` that lists every problem."""
    file = STANDARD if str(source) == "standard" else Path(source)
    if file is not STANDARD and not file.is_file():
        raise FaceSRError(f"there is no questionnaire {file}: give a TOML file with [[question]] tables, or 'standard'")
    questions = from_table(Questionnaire, read_toml(file), str(file)).question
    names = [q.name for q in questions]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise FaceSRError(f"{file}: the name {twice[0]!r} is given to two questions")
    return questions


def askable(questions: Sequence[Question], languages: Iterable[str], *, demanded: bool) -> list[str]:
    """Those of ``languages`` in which every question can be asked. Raises ``FaceSRError`` if none is left, or one that was ``demanded`` is not."""
    offered = list(languages)
    lacking = {name: [q.name for q in questions if q.lacks(name)] for name in offered}
    left = [name for name in offered if not lacking[name]]
    short = [name for name in offered if lacking[name]]
    if short and (demanded or not left):
        raise FaceSRError(
            f"the questionnaire has no words in {short[0]!r} for {', '.join(lacking[short[0]][:5])}: "
            f"add text and labels in {short[0]!r}, or leave the language out with --languages"
        )
    return left


def checked_answers(questions: Sequence[Question], given: Mapping[str, Any]) -> dict[str, str]:
    """Answers as text, as they are stored; several choices are joined by commas. Raises one ``FaceSRError`` that lists every problem."""
    known = {q.name: q for q in questions}
    problems = [f"there is no question {name!r}: {suggest(name, known)}" for name in given if name not in known]
    found: dict[str, str] = {}
    for question in questions:
        value = given.get(question.name)
        if value in (None, "", []):
            if question.required:
                problems.append(f"question {question.name!r} must be answered")
            continue
        try:
            found[question.name] = _as_text(question, value)
        except ValueError as error:
            problems.append(f"question {question.name!r}: {error}")
    if problems:
        raise FaceSRError("; ".join(problems))
    return found


def _as_text(question: Question, value: Any) -> str:
    if question.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("the answer must be a number")
        low, high = question.low, question.high
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"{value:g} is not between {low} and {high}")
        return f"{value:.10g}"
    if question.kind == "text":
        if not isinstance(value, str) or len(value) > LONGEST:
            raise ValueError(f"the answer must be text of at most {LONGEST} characters")
        return value
    chosen = value if question.kind == "choices" and isinstance(value, list) else [value]
    if strange := [v for v in chosen if v not in question.values]:
        raise ValueError(f"{strange[0]!r} is none of its answers")
    return ",".join(v for v in question.values if v in chosen)
