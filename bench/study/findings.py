"""What a reader of a table of ratings must know: double, missing and impossible ones, wherever the table came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.ratings import Imported
from facesr.bench.ratings.times import clock_set_back, moments

if TYPE_CHECKING:
    import pandas as pd

FASTEST_MS = 150.0
"""No one judges an image faster: simple visual reaction alone takes about 200 ms."""

KINDS = ("double", "missing", "impossible", "note")
ITEM = ["rater", "face", "condition", "other"]


@dataclass(frozen=True)
class Finding:
    """Something a reader of the ratings must know. A ``note`` is no error."""

    kind: str
    what: str
    count: int
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = f": {'; '.join(self.examples)}{' ...' if self.count > len(self.examples) else ''}" if self.examples else ""
        return f"{self.kind}: {self.count} {self.what}{shown}"


def names_of(rows: pd.DataFrame, *columns: str) -> list[str]:
    """The first five rows' values of some columns, as one text each."""
    first = rows[list(columns)].head(5).astype(object)
    return [" ".join(str(v) for v in row if v != "") for row in first.where(first.notna(), "?").itertuples(index=False)]


UNUSED = {
    "empty": ("missing", "rows without an answer"),
    "text": ("impossible", "scores that cannot be read"),
    "outside": ("impossible", "scores outside the scale"),
    "id": ("impossible", "answers of nobody in particular"),
    "second": ("double", "second answers"),
    "left out": ("note", "answers left out"),
    "other": ("note", "cells set apart"),
}
"""What each kind of unused cell means to a reader."""


def check_imported(found: Imported) -> list[Finding]:
    """Findings in a file of ratings: what could not be used, and what the rest holds."""
    scale = (found.scale.low, found.scale.high)
    return check_unused(found.unused, wide=found.format.startswith("wide")) + check_table(found.table, scale)


def check_unused(unused: pd.DataFrame, *, wide: bool = False) -> list[Finding]:
    """One finding per reason for which cells are not used. An empty cell of a wide table is an item that the rater was not shown."""
    found = []
    doubles = unused["reason"] == "one showing stored twice"  # the table's own check finds these
    for (kind, reason), rows in unused[~doubles].groupby(["kind", "reason"], sort=False):
        what, words = UNUSED.get(str(kind), ("note", "cells"))
        examples = [f"row {r.row} {r.column} {r.value!r}" for r in rows.head(5).itertuples()]
        if kind == "empty" and wide:
            what, words = "note", "cells without an answer"
        found.append(Finding(what, f"{words} ({reason})", len(rows), examples))
    return found


def check_table(table: pd.DataFrame, scale: tuple[int, int] | None = None, *, designed: bool = False) -> list[Finding]:
    """Findings in a long table with the columns of ``ratings.COLUMNS``. ``designed``: the plan is checked elsewhere."""
    rated = table[table["kind"].isin(["main", "repeat", "gold", "attention", "duplicate"])]
    return _double(rated) + _impossible(rated, scale) + ([] if designed else _holes(rated)) + _notes(rated)


def _double(table: pd.DataFrame) -> list[Finding]:
    found = []
    twice = table[table["kind"] == "duplicate"]
    if len(twice):
        found.append(Finding("double", "answers stored twice for one showing", len(twice), names_of(twice, *ITEM)))
    main = table[table["kind"] == "main"]
    again = main[main.duplicated(ITEM)]
    if len(again):
        found.append(Finding("double", "items rated twice though shown once", len(again), names_of(again, *ITEM)))
    placed = table[(table["position"] > 0) & (table["kind"] != "duplicate")]
    same = placed[placed.duplicated(["rater", "position"])]
    if len(same):
        found.append(Finding("double", "positions answered twice", len(same), names_of(same, "rater", "position")))
    return found


def _impossible(table: pd.DataFrame, scale: tuple[int, int] | None) -> list[Finding]:
    found = []

    def add(what: str, rows: pd.DataFrame, *columns: str) -> None:
        if len(rows):
            found.append(Finding("impossible", what, len(rows), names_of(rows, "rater", "face", "condition", *columns)))

    add("answers without a number", table[table["score"].isna()])
    if scale:
        low, high = scale
        add(f"scores outside {low} to {high}", table[(table["score"] < low) | (table["score"] > high)], "score")
        broken = table["score"].notna() & (table["score"] % 1 != 0)
        # Half grades throughout are a finer scale, as sliders are; a few among whole ones are mistakes.
        if 0 < broken.mean() < 0.05 and high - low <= 10:
            add("scores between two grades", table[broken], "score")
    # by the server's clock where it sent the image; a rater's own clock may be coarse or wrong
    served = table["served_ms"] if "served_ms" in table else table["rt_ms"]
    add(f"response times below {FASTEST_MS:g} ms", table[served.fillna(table["rt_ms"]) < FASTEST_MS], "rt_ms")
    add("answers of simulated raters among people's", table[table["simulated"]] if table["simulated"].nunique() > 1 else table[:0])
    back = _time_goes_back(table)
    add("answers stored before the one at the position before", back, "position", "at")
    return found


def _time_goes_back(table: pd.DataFrame) -> pd.DataFrame:
    """Answers that are older than the one before them. Moments are compared, not texts; an hour at the end of summer time is none."""
    timed = table[(table["at"] != "") & table["at"].notna() & (table["position"] > 0)].sort_values(["rater", "position"])
    clock = moments([str(a) for a in timed["at"]])
    moment = np.array([np.nan if m is None else m for m in clock.seconds], dtype=float)
    same = (timed["rater"] == timed["rater"].shift()).to_numpy(dtype=bool)
    step = np.diff(moment, prepend=np.nan)
    back = same & (step < 0)
    if clock.dated and not clock.zoned:
        back &= [not (b and clock_set_back(m, -s)) for b, m, s in zip(back, moment, step, strict=True)]
    return timed[back]


def _holes(table: pd.DataFrame) -> list[Finding]:
    """Items that a rater should have rated, where there is no plan to ask: raters who did as much as the others, but not all of it."""
    first = table[table["kind"] == "main"].drop_duplicates(ITEM)
    items = first[["face", "condition", "other"]].drop_duplicates()
    each = first.groupby("rater").size()
    showings = table.groupby("rater").size().reindex(each.index)
    nearly = each[(each < len(items)) & (each >= 0.9 * len(items)) & (showings >= 0.9 * len(items))]
    examples = []
    count = 0
    everything = set(items.itertuples(index=False, name=None))
    for rater in nearly.index:
        mine = set(first.loc[first["rater"] == rater, ["face", "condition", "other"]].itertuples(index=False, name=None))
        missing = sorted(everything - mine)
        count += len(missing)
        examples += [" ".join([str(rater), *(p for p in item if p)]) for item in missing[:2]]
    found = [Finding("missing", "items never rated by raters who rated nearly all", count, examples[:5])] if count else []
    partial = each[each < 0.9 * len(items)]
    if len(partial):
        found.append(Finding("note", f"raters who rated less than nine tenths of the {len(items)} items", len(partial)))
    return found


def _notes(table: pd.DataFrame) -> list[Finding]:
    main = table[table["kind"] == "main"]
    spread = main.groupby("rater")["score"].agg(["nunique", "size"])
    straight = spread[(spread["nunique"] == 1) & (spread["size"] >= 10)]
    found = (
        [Finding("note", "raters who gave one grade to everything", len(straight), [str(r) for r in straight.index[:5]])]
        if len(straight)
        else []
    )
    checks = table[table["correct"].notna()]
    wrong = checks[checks["correct"] == False]  # noqa: E712 - nullable booleans
    if len(wrong):
        examples = names_of(wrong, "rater", "kind", "position")
        found.append(Finding("note", f"of {len(checks)} gold and attention items answered wrong", len(wrong), examples))
    return found
