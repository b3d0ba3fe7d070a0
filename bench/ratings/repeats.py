"""Second answers to one item: a repeat on purpose, one showing stored twice, or something that the file does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from facesr.bench.ratings.times import moments, sittings

if TYPE_CHECKING:
    import pandas as pd

ITEM = ["rater", "face", "condition", "other"]


def mark_repeats(table: pd.DataFrame, planned: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    """Set ``kind`` of second answers among ``main`` rows, with the reason in ``why``; and ``position`` by the times where the file has none.

    The first answer to an item stays ``main``. Another one is a ``repeat`` where a plan (``planned``) or another position, or another
    moment of the same sitting, shows that the item came twice; a ``duplicate`` where position or moment are the same, or where nothing
    came between the two; ``again`` where it was given in a later sitting, or where nothing can be told. Without place and time, items
    that most raters answered as often are the study's repeats.
    """
    table = table.assign(why="")
    placed = bool((table["position"] > 0).all())
    clock = moments(list(table["at"]))
    table["moment"] = clock.seconds
    table["sitting"] = 0
    if clock.dated:
        for _, rows in table.groupby("rater", sort=False):
            table.loc[rows.index, "sitting"] = sittings(list(rows["moment"]), clock.resolution)
    main = table["kind"] == "main"
    timed = bool(table.loc[main, "moment"].notna().all()) and clock.resolution < 60
    if not placed and timed:
        table["position"] = table.groupby("rater", sort=False)["moment"].rank(method="first").astype(int)
    kinds: dict[object, tuple[str, str]] = {}
    doubled = table[main]
    designed = _designed(doubled) if not (placed or timed or planned) else set()
    for key, rows in doubled[doubled.duplicated(ITEM, keep=False)].groupby(ITEM, sort=False):
        ordered = rows.sort_values("moment", kind="stable") if timed else rows
        shown = planned.get((str(key[0]), str(rows["stimulus"].iloc[0])), 0)
        if key[1:] in designed:
            kinds |= dict.fromkeys(ordered.index[1:], ("repeat", ""))
        else:
            kinds |= _second(ordered, placed, timed, bool(planned), shown)
    for column, k in (("kind", 0), ("why", 1)):
        table[column] = [kinds[i][k] if i in kinds else old for i, old in table[column].items()]
    return table.drop(columns=["moment", "sitting"])


def _designed(main: pd.DataFrame) -> set[tuple[str, ...]]:
    """Items that at least half of their raters answered equally often, more than once: the study repeated them; slips are a few people's."""
    if not main.duplicated(ITEM).any():
        return set()
    often = main.groupby(ITEM, sort=False).size().rename("n").reset_index()
    found = set()
    for item, rows in often.groupby(ITEM[1:], sort=False):
        usual = rows["n"].mode().iloc[0]
        if len(rows) > 2 and usual > 1 and (rows["n"] == usual).mean() >= 0.5:
            found.add(tuple(str(part) for part in item))
    return found


def _second(rows: pd.DataFrame, placed: bool, timed: bool, listed: bool, shown: int) -> dict[object, tuple[str, str]]:
    """Kind and reason of each answer to one item after the first."""
    found: dict[object, tuple[str, str]] = {}
    before = rows.iloc[0]
    for count, (i, row) in enumerate(rows.iloc[1:].iterrows(), 2):
        if listed:
            found[i] = ("repeat", "") if count <= shown else ("duplicate", "")
        elif row["sitting"] != rows.iloc[0]["sitting"]:
            found[i] = ("again", "answered again in a later sitting: a second participation, not a repeat")
        elif placed:
            found[i] = ("duplicate", "") if row["position"] == before["position"] else ("repeat", "")
        elif timed and row["moment"] == before["moment"]:
            found[i] = ("duplicate", "")
        elif timed:
            # Nobody is shown an item twice in a row: what directly follows is the same showing sent twice.
            found[i] = ("duplicate", "") if row["position"] == before["position"] + 1 else ("repeat", "")
        else:
            found[i] = ("again", "answered twice, and neither place nor time tells a repeat from a double")
        before = row
    return found
