"""Answers of any layout made one long table: ids, names, grades, repeats; what is not used goes into a list with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import scores as grades
from facesr.bench.ratings.columns import COLUMNS, UNUSED
from facesr.bench.ratings.names import look_alike, not_a_person, one_spelling, split_stimuli, whole_numbers
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.repeats import mark_repeats

if TYPE_CHECKING:
    import pandas as pd

SOURCE = ("row", "column", "stimulus", "left_out")
"""Columns of answers beside those of the ratings table: where the score stands, what was shown, why the answer does not count."""

KINDS = {
    "": "main", "main": "main", "test": "main", "rating": "main", "repeat": "repeat", "retest": "repeat", "training": "training",
    "practice": "training", "dummy": "training", "tutorial": "training", "gold": "gold", "attention": "attention", "catch": "attention",
    "trapping": "attention", "trap": "attention", "anchor_low": "anchor_low", "anchor_high": "anchor_high", "duplicate": "duplicate",
    "again": "again",
}  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What a layout found: text columns of ``COLUMNS`` and ``SOURCE``, as far as there are any; every other is ''.

    ``scale``: where the layout fixes it. ``planned``: how often each (rater, stimulus) was to be shown, where the file says so.
    """

    frame: pd.DataFrame
    layout: str
    scale: tuple[int, int] | None = None
    planned: dict[tuple[str, str], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """A long table (columns of ``COLUMNS``), the cells not used (columns of ``UNUSED``), the scale, and how all came about.

    ``method``: acr or pair. ``notes``: sentences on what was understood and how. ``counts``: what the report prints.
    """

    table: pd.DataFrame
    unused: pd.DataFrame
    scale: grades.Scale
    method: str
    format: str
    notes: tuple[str, ...]
    counts: dict[str, int]


class _List:
    """The list of unused cells while it grows."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.where = {c: list(frame[c]) for c in ("row", "column", "rater", "face", "condition")}
        self.rows: list[list[Any]] = []

    def add(self, i: Any, value: str, reason: str, kind: str, column: str = "") -> None:
        row, its_column, *who = (values[i] for values in self.where.values())
        self.rows.append([row, column or its_column, value, *who, reason, kind])

    def table(self) -> pd.DataFrame:
        import pandas as pd

        found = pd.DataFrame(self.rows, columns=list(UNUSED))
        return found.astype({"row": int}).sort_values("row", kind="stable").reset_index(drop=True)


def finish_table(answers: Answers, options: Options) -> Imported:
    """Make the table. Raises ``FaceSRError`` where nothing can be used, or where the scale is not certain."""
    frame = answers.frame.reindex(columns=[*COLUMNS, *SOURCE], fill_value="").fillna("").reset_index(drop=True)
    notes = list(answers.notes)
    _names(frame, options, notes)
    unused = _List(frame)
    frame["kind"] = [_kind(k) for k in frame["kind"]]
    reasons = []
    for i, (left, rater, face, kind) in enumerate(frame[["left_out", "rater", "face", "kind"]].itertuples(index=False, name=None)):
        nameless = "no image is named" if not face and kind in {"main", "repeat", "training"} else ""
        reasons.append(left or not_a_person(rater) or nameless)
        if reasons[-1]:
            unused.add(i, str(frame.at[i, "score"]), reasons[-1], "left out" if left else "id" if not_a_person(rater) else "text")
    used = frame[[not r for r in reasons]]
    method = "pair" if (used["other"] != "").any() else "acr"
    scale, value = _grades(used, options, answers, method, unused, notes)
    table = _typed(used.assign(score=value)[value.notna() | _shown(used)], unused)
    if table.empty or not table["score"].notna().any():
        raise FaceSRError(_nothing(unused))
    table = mark_repeats(table, answers.planned)
    for i, kind, why, score in table[["kind", "why", "score"]].itertuples(name=None):
        if kind in {"duplicate", "again", "training"}:
            unused.add(i, f"{score:g}", why or SECOND.get(kind, kind), "other" if kind == "training" else "second")
    notes += [f"raters {pair} differ in case alone: one person, or two?" for pair in look_alike(list(table["rater"].unique()))[:5]]
    rest = table[list(COLUMNS)].reset_index(drop=True)
    listed = unused.table()
    return Imported(rest, listed, scale, method, answers.layout, tuple(notes), _counts(rest, listed))


SECOND = {"duplicate": "one showing stored twice", "training": "practice, not a rating"}


def _shown(frame: pd.DataFrame) -> pd.Series[bool]:
    """Anchors of our own exports are shown and not rated: they stay without a score."""
    return frame["kind"].isin(["anchor_low", "anchor_high"])


def _kind(text: str) -> str:
    known = KINDS.get(text.casefold())
    if known is None:
        raise FaceSRError(
            f"the column of kinds holds {text!r}: known are main, repeat, training, gold, attention; --map kind= leaves the column out"
        )
    return known


def _names(frame: pd.DataFrame, options: Options, notes: list[str]) -> None:
    """Ids without '.0', faces and conditions out of the stimuli's names, one spelling of each condition."""
    for column in ("rater", "face", "stimulus", "condition"):
        frame[column] = whole_numbers(list(frame[column]))
    used = frame[frame["left_out"] == ""]
    shown = used[used["stimulus"] != ""].copy()
    if options.pattern is not None and shown.empty:
        raise FaceSRError(
            "--pattern takes names of stimuli apart, and the file has no column of them: name it with --map stimulus=COLUMN"
        )
    if not shown.empty:
        _from_stimuli(shown, options)
        _several_in_one(shown, notes)
        frame.loc[shown.index, ["face", "condition"]] = shown[["face", "condition"]]
    for column in ("condition", "other"):
        frame[column], joined = one_spelling(list(frame[column]))
        notes += [f"{column} {name!r} is written {', '.join(map(repr, all_))}: taken as one" for name, all_ in joined.items()]
    if len(used) and (frame.loc[used.index, "condition"] == "").all():
        notes.append(
            "no column distinguishes conditions: all ratings are of one, 'all'; --map condition=COLUMN or --pattern names them"
        )
        frame["condition"] = "all"


def _from_stimuli(shown: pd.DataFrame, options: Options) -> None:
    """Set face and condition where the table has none, or where a pattern names them."""
    lacking = [c for c in ("face", "condition") if options.pattern is not None or (shown[c] == "").all()]
    if not lacking:
        return
    faces, conditions = split_stimuli(list(shown["stimulus"]), options.splitter)
    for column, values in (("face", faces), ("condition", conditions)):
        if column in lacking:
            shown[column] = values
    stimuli = shown["stimulus"].nunique()
    if options.pattern is not None or len(shown[["face", "condition"]].drop_duplicates()) == stimuli:
        return
    if "face" not in lacking:
        # Several stimuli of one content and no name of a condition: each is a condition of its own, as in sureal's tables.
        shown["condition"] = shown["stimulus"]
        return
    raise FaceSRError(
        f"{stimuli} stimuli, such as {shown['stimulus'].iloc[0]!r}, give fewer pairs of face (file name) and condition (folder): "
        "say which is which with --pattern '(?P<face>...)...(?P<condition>...)'"
    )


def _several_in_one(frame: pd.DataFrame, notes: list[str]) -> None:
    """Different stimuli of one face and condition, each rated by several people, are items of their own: their faces get their names."""
    cell = ["face", "condition"]
    by = frame.groupby([*cell, "stimulus"], sort=False)["rater"].nunique().rename("raters").reset_index()
    several = by[(by.groupby(cell)["stimulus"].transform("size") > 1) & (by.groupby(cell)["raters"].transform("min") > 1)]
    if several.empty:
        return
    apart = set(several[cell].itertuples(index=False, name=None))
    keys = zip(frame["face"], frame["condition"], frame["stimulus"], strict=True)
    frame["face"] = [f"{f} {s}" if (f, c) in apart else f for f, c, s in keys]
    notes.append(
        f"{len(apart)} pairs of face and condition have several stimuli, such as {several['stimulus'].iloc[0]!r}: each is an item of its own"
    )


def _grades(
    used: pd.DataFrame, options: Options, answers: Answers, method: str, unused: _List, notes: list[str]
) -> tuple[grades.Scale, pd.Series[float]]:
    """The scale, and the grade of every answer: NaN where the cell is not used, which is listed."""
    import pandas as pd

    labels = {k.casefold(): g for k, (g, _) in grades.WORDS.items()} | {k.casefold(): v for k, v in options.labels.items()}
    missing = {m.casefold() for m in options.missing}
    cells = Counter(used["score"])
    parsed = {c: grades.parse_score(c, labels) for c in cells}
    for cell, p in parsed.items():
        if cell.casefold() in missing or (p.number is not None and any(_same(m, p.number) for m in missing)):
            parsed[cell] = grades.Parsed(mark=True)
    scale = _scale(cells, parsed, options, answers, method)
    _refuse_words(cells, parsed, used, scale, options)
    value: dict[str, float] = {}
    why: dict[str, tuple[str, str]] = {}
    for cell, p in parsed.items():
        grade = _grade(p, scale, options)
        if isinstance(grade, tuple):
            why[cell] = grade
        else:
            value[cell] = grade
    shown = _shown(used)
    for i, cell in used["score"].items():
        if cell in why and not shown.at[i]:
            unused.add(i, cell, *why[cell])
    notes.append(f"scale {scale.low} to {scale.high}, {scale.how}" + (", reversed" if options.reverse else ""))
    return scale, pd.Series([value.get(c, float("nan")) for c in used["score"]], index=used.index, dtype=float)


def _same(text: str, number: float) -> bool:
    try:
        return float(text.replace(",", ".")) == number
    except ValueError:
        return False


def _scale(cells: Counter[str], parsed: dict[str, grades.Parsed], options: Options, answers: Answers, method: str) -> grades.Scale:
    if method == "pair":
        return grades.Scale(1, 3, "1 left, 2 right, 3 no difference")
    if options.scale:
        return grades.Scale(*options.scale, "declared")
    if answers.scale:
        return grades.Scale(*answers.scale, f"fixed by the layout ({answers.layout})")
    if options.labels:
        low, high = min(options.labels.values()), max(options.labels.values())
        if high > low:
            return grades.Scale(int(low), int(high), "from --labels")
    spoken = {grades.WORDS[p.word][1] for p in parsed.values() if p.word in grades.WORDS}
    if len(spoken) == 1:
        return grades.Scale(*spoken.pop(), "known by its words")
    if len(spoken) > 1:
        raise FaceSRError("the words in the scores belong to different scales: declare one with --scale, and --labels")
    numbers: Counter[float] = Counter()
    for cell, p in parsed.items():
        if p.number is not None:
            numbers[p.number] += cells[cell]
    if not numbers:
        words = ", ".join(repr(c) for c in list(cells)[:5] if c)
        raise FaceSRError(
            f"there is no score that is a number or a known word{f', only {words}' if words else ''}: --labels WORD=GRADE,... gives grades of words"
        )
    return grades.recognise(numbers)


def _grade(p: grades.Parsed, scale: grades.Scale, options: Options) -> float | tuple[str, str]:
    """The grade, or why there is none and the kind of the reason."""
    if p.mark:
        return ("no answer", "empty")
    given = p.word in {w.casefold() for w in options.labels}
    number = p.number if p.number is not None else p.grade if given else None
    if number is None:
        return p.grade if p.grade is not None else ("not a number, nor a word of the scale", "text")
    if not scale.holds(number):
        code = " (a code for no answer?)" if number in grades.CODES else ""
        return (f"outside the scale {scale.low} to {scale.high}{code}", "outside")
    value = scale.low + scale.high - number if options.reverse else number
    if p.grade is not None and not given and p.number is not None and p.grade != value:
        return (f"the number says {value:g} and the word {p.grade:g}", "text")
    return value


def _refuse_words(
    cells: Counter[str], parsed: dict[str, grades.Parsed], used: pd.DataFrame, scale: grades.Scale, options: Options
) -> None:
    """A word that comes again and again is an answer, not a slip: to leave it out would move the means."""
    filled = sum(n for c, n in cells.items() if not parsed[c].mark)
    texts = {c: n for c, n in cells.items() if isinstance(g := _grade(parsed[c], scale, options), tuple) and g[1] == "text"}
    often = sorted((c for c, n in texts.items() if n >= 3), key=lambda c: -texts[c])
    against = [c for c in texts if parsed[c].number is not None]
    if against and sum(texts[c] for c in against) >= 3:
        raise FaceSRError(
            f"numbers and words of the scores contradict each other, as in {against[0]!r}: is the lowest number the best? then give --reverse"
        )
    if often or sum(texts.values()) > max(2, 0.05 * filled):
        first = often[0] if often else next(iter(texts))
        row = used.loc[used["score"] == first, "row"].iloc[0]
        raise FaceSRError(
            f"{sum(texts.values()):,} of {filled:,} scores are neither numbers nor words of the scale, such as {first!r} (row {row}): "
            f"give --labels '{first}=GRADE,...', or --missing '{first}' where it stands for no answer"
        )
    outside = sum(n for c, n in cells.items() if isinstance(g := _grade(parsed[c], scale, options), tuple) and g[1] == "outside")
    if scale.how == "declared" and outside > filled / 2:
        raise FaceSRError(
            f"{outside:,} of {filled:,} scores lie outside --scale {scale.low} {scale.high}: declare the scale they are on"
        )


def _typed(used: pd.DataFrame, unused: _List) -> pd.DataFrame:
    """Numbers, truth values and counts as such; a cell that is none is listed, and the value unknown."""
    table = used.copy()
    for name in ("position", "rt_ms", "first_score", "revisions", "device_pixels", "served_ms", "hidden_ms"):
        table[name] = _numbers(table[name], name, unused)
    if table["rt_ms"].median() < 100:  # nobody answers in a tenth of a second: these are seconds
        table["rt_ms"] *= 1000
    table["position"] = table["position"].fillna(0).astype(int)
    table["first_score"] = table["first_score"].fillna(table["score"])
    table["revisions"] = table["revisions"].fillna(0).astype(int)
    table["simulated"] = [v.casefold() in {"true", "1"} for v in table["simulated"]]
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    table["correct"] = table["correct"].map(lambda v: known.get(v.casefold())).astype("boolean")
    return table


def _numbers(column: pd.Series[str], name: str, unused: _List) -> pd.Series[float]:
    import pandas as pd

    found = {cell: grades.parse_score(cell, {}) for cell in column.unique()}
    for i, cell in column.items():
        if not found[cell].mark and (found[cell].number is None or found[cell].word):
            unused.add(i, cell, f"{name} is not a number: taken as unknown", "other", name)
    values = [n if (n := found[c].number) is not None and not found[c].word else float("nan") for c in column]
    return pd.Series(values, index=column.index, dtype=float)


def _nothing(unused: _List) -> str:
    reasons = Counter(str(r[6]) for r in unused.rows)
    told = "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common(3))
    return f"no rating of a known rater is left, no score that is a number: {told or 'the table has no rows'}"


def _counts(table: pd.DataFrame, unused: pd.DataFrame) -> dict[str, int]:
    rated = table[table["kind"].isin(["main", "repeat", "duplicate", "again"])]
    again = table[table["kind"] == "repeat"]
    return {
        "ratings": int(table["score"].notna().sum()),
        "raters": int(table["rater"].nunique()),
        "faces": int(rated["face"].nunique()),
        "conditions": int(rated["condition"].nunique()),
        "items": int(rated[["face", "condition", "other"]].drop_duplicates().shape[0]),
        "repeats": int(again[["rater", "face", "condition"]].drop_duplicates().shape[0]),
        "repeated ratings": len(again),
        "duplicates": int((table["kind"] == "duplicate").sum()),
        "unused cells": len(unused),
    }
