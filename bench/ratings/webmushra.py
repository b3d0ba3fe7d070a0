"""webMUSHRA's files: mushra.csv, lss.csv, lms.csv, bs1116.csv and paired_comparison.csv."""

from __future__ import annotations

from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.people import PEOPLE, frame_of, pick
from facesr.bench.ratings.table import Answers

FORMS = {"ratingstimulus": ("ratingscore", (0, 100)), "stimuli": ("stimulirating", None)}
"""Column of the condition, that of the score, and the scale: mushra.csv, and the two Likert files."""
CHOICES = {"correct": "1", "incorrect": "2", "undecided": "3", "unknown": ""}
"""Which of the two was taken for the reference: itself, the other, neither; nothing was chosen."""


def is_webmushra(grid: TextGrid) -> bool:
    """``session_test_id`` first."""
    return plain_name(grid.columns[0]) == "sessiontestid"


def webmushra(grid: TextGrid, options: Options) -> Answers:
    """Trials are faces, stimuli conditions; who rated is ``session_uuid`` unless named."""
    known = {plain_name(c): c for c in grid.columns}
    rater = pick(grid, ("session_uuid", *PEOPLE, "email", "name"), "rater", options)
    if rater is None:
        raise FaceSRError("this webMUSHRA file does not say who rated (no session_uuid): name the column with --map rater=COLUMN")
    said = f"raters from {rater!r}; trials are faces, stimuli conditions"
    if {"choicereference", "choicenonreference", "choiceanswer"} <= set(known):
        return _choices(grid, known, rater, said)
    if {"ratingreferencescore", "ratingnonreferencescore"} <= set(known):
        return _double_blind(grid, known, rater, said)
    form = next((f for f in FORMS if f in known and FORMS[f][0] in known), None)
    if form is None:
        raise FaceSRError(
            "of webMUSHRA's files, mushra.csv, lss.csv, lms.csv, bs1116.csv and paired_comparison.csv are read; this one is none of them: "
            f"its columns are {', '.join(map(repr, grid.columns[:12]))}"
        )
    score, scale = FORMS[form]
    columns = {"rater": rater, "face": known["trialid"], "condition": known[form], "score": known[score]}
    columns |= {"rt_ms": known["ratingtime"]} if "ratingtime" in known else {}
    frame = grid.cells[list(columns.values())].set_axis(list(columns), axis=1).copy()
    frame["row"], frame["column"] = grid.rows, known[score]
    return Answers(frame, "webMUSHRA", scale, notes=(said,))


def _choices(grid: TextGrid, known: dict[str, str], rater: str, said: str) -> Answers:
    """paired_comparison.csv asks which of two is the same as the reference: a choice of the reference is a 1, of the other a 2."""
    columns = {
        "rater": rater,
        "face": known["trialid"],
        "condition": known["choicereference"],
        "other": known["choicenonreference"],
    }
    columns |= {"rt_ms": known["choicetime"]} if "choicetime" in known else {}
    frame = grid.cells[list(columns.values())].set_axis(list(columns), axis=1).copy()
    answers = grid.cells[known["choiceanswer"]]
    frame["score"] = [CHOICES.get(str(a).casefold(), str(a)) for a in answers]
    frame["row"], frame["column"] = grid.rows, known["choiceanswer"]
    notes = (
        said,
        "a correct answer counts as a choice of the reference: raters were asked which of two equals it, not which is better",
    )
    return Answers(frame, "webMUSHRA paired comparison", notes=notes)


def _double_blind(grid: TextGrid, known: dict[str, str], rater: str, said: str) -> Answers:
    """bs1116.csv has two grades in each row, of the hidden reference and of the other; the reference's later ones are repeats."""
    sides = (("ratingreference", "ratingreferencescore"), ("ratingnonreference", "ratingnonreferencescore"))
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, str, str]] = set()
    for i, number in enumerate(grid.rows):
        cell = grid.cells.iloc[i]
        for name, score in sides:
            key = (str(cell[rater]), str(cell[known["trialid"]]), str(cell[known[name]]))
            again = name == "ratingreference" and key in seen
            seen.add(key)
            time = cell[known["ratingtime"]] if "ratingtime" in known else ""
            rows.append({"row": number, "column": known[score], "rater": key[0], "face": key[1], "condition": key[2],
                         "score": cell[known[score]], "rt_ms": time, "kind": "repeat" if again else "main"})  # fmt: skip
    notes = (
        said,
        "the hidden reference is a condition; where a trial has it more than once, its first grade counts and the others are repeats",
    )
    return Answers(frame_of(rows), "webMUSHRA BS.1116", (1, 5), notes=notes)
