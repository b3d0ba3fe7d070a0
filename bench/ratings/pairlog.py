"""Logs of choices between two methods: winner and loser, or two sides and which was chosen."""

from __future__ import annotations

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.long import SYNONYMS
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.people import PEOPLE, pick
from facesr.bench.ratings.table import Answers

SIDES = (
    *(("modela", "modelb"), ("methoda", "methodb"), ("systema", "systemb"), ("conditiona", "conditionb"), ("imagea", "imageb")),
    *(("left", "right"), ("leftmethod", "rightmethod"), ("methodleft", "methodright"), ("leftimage", "rightimage"), ("a", "b")),
)
"""Names of the two columns that were compared, as ``plain`` writes them."""
CHOSEN = ("winner", "choice", "chosen", "preferred", "preference", "answer", "response", "vote", "selected", "better")
FIRST = frozenset({"left", "a", "modela", "methoda", "systema", "conditiona", "imagea", "first", "1", "l"})
SECOND = frozenset({"right", "b", "modelb", "methodb", "systemb", "conditionb", "imageb", "second", "2", "r"})
TIE = frozenset(
    {"tie", "same", "equal", "nodifference", "draw", "none", "neither", "both", "tiebothbad", "bothbad", "undecided", "3", "0"}
)
"""Words for the choice, as ``plain`` writes them."""
ITEM = (*SYNONYMS["face"], *SYNONYMS["stimulus"], "question_id", "pair_id", "trial_id")


def _sides(grid: TextGrid) -> tuple[str, str, str] | None:
    """The columns of the two sides and of the choice."""
    known = {plain_name(c): c for c in grid.columns}
    chosen = next((known[c] for c in CHOSEN if c in known), None)
    pair = next(((known[a], known[b]) for a, b in SIDES if a in known and b in known), None)
    return (*pair, chosen) if pair and chosen else None


def is_pairlog(grid: TextGrid) -> bool:
    """``winner`` beside ``loser``, or two sides and a choice."""
    known = {plain_name(c) for c in grid.columns}
    return {"winner", "loser"} <= known or _sides(grid) is not None


def pairlog(grid: TextGrid, options: Options) -> Answers:
    """One choice per row; a choice that names neither side, nor a tie, is listed as unused."""
    known = {plain_name(c): c for c in grid.columns}
    rater = pick(grid, (*SYNONYMS["rater"], *PEOPLE), "rater", options)
    if rater is None:
        raise FaceSRError("this log of choices does not say who chose: name the column with --map rater=COLUMN")
    face = (
        grid.column(options.columns["face"])
        if options.columns.get("face")
        else next((known[plain_name(n)] for n in ITEM if plain_name(n) in known), None)
    )
    if face is None:
        raise FaceSRError("this log of choices does not say which image was judged: name the column with --map face=COLUMN")
    if found := _sides(grid):
        left, right, chosen = found
        if "0" in (words := {plain_name(str(v)) for v in grid.cells[chosen]}) and not words & {"2", "3"}:
            raise FaceSRError(f"{chosen!r} holds 0 and 1, which does not say which is {left!r}: write left and right there")
        values = zip(grid.cells[left], grid.cells[right], grid.cells[chosen], strict=True)
        answers = [_answer(*(str(v) for v in row)) for row in values]
        said = f"{left!r} against {right!r}, chosen in {chosen!r}"
    else:
        left, right, chosen = known["winner"], known["loser"], known["winner"]
        answers = ["1"] * len(grid.cells)
        said = "winners against losers: which side each stood on is not known, nor are ties"
    columns = {"rater": rater, "face": face, "condition": left, "other": right}
    frame = grid.cells[list(columns.values())].set_axis(list(columns), axis=1).copy()
    frame["score"], frame["row"], frame["column"] = answers, grid.rows, chosen
    frame["left_out"] = [
        "the two sides are the same" if a == b else "" for a, b in zip(frame["condition"], frame["other"], strict=True)
    ]
    return Answers(frame, "log of choices", notes=(f"raters from {rater!r}, images from {face!r}; {said}",))


def _answer(left: str, right: str, chosen: str) -> str:
    """1 left, 2 right, 3 tie; the name of a side counts before the words for sides."""
    word = plain_name(chosen)
    if not word:
        return ""
    by_name = {plain_name(left): "1", plain_name(right): "2"}
    if word in by_name and plain_name(left) != plain_name(right):
        return by_name[word]
    return "1" if word in FIRST else "2" if word in SECOND else "3" if word in TIE else chosen
