"""How raters went about it, by the server's clock and by the pattern of their answers: notes for the organisers, no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.stats.intervals import F64
from facesr.bench.study.findings import Finding
from facesr.bench.study.rules import pace, repeats_apart

if TYPE_CHECKING:
    import pandas as pd

HASTY_SECONDS = 0.5
"""Below this an image is not looked at: seeing and pressing a key alone take that long."""

ENOUGH = 20
"""Answers from which on a pattern is no coincidence."""


def conduct(table: pd.DataFrame, raters: pd.DataFrame) -> list[Finding]:
    """Notes about people's pace, images never sent, patterned and copied grades, disagreement with oneself, one person in several places.

    ``table``: ``Study.ratings(excluded=True)``; ``raters``: ``reading.raters``. What the server could not see (a study from before it noted
    which images it sent) is not judged.
    """
    rated = table[(table["kind"] != "attention") & table["score"].notna()].sort_values(["rater", "position"])
    sent = rated if table["served_ms"].notna().any() else rated[:0]
    grades = {str(name): scores.to_numpy(dtype=float) for name, scores in rated.groupby("rater")["score"]}
    found = [
        _note("raters took less than half a second an image, by the server's clock", _hasty(sent)),
        _note("raters rated images that were never sent to them", _unseen(sent)),
        _note("raters gave answers without saying how the image was shown, as the page does", _unreported(rated, table)),
        _note("raters gave their grades in a repeating pattern", _patterned(grades)),
        _note("raters gave exactly the grades of another one, position by position", _copied(grades)),
        _note("raters disagree with themselves by more than a grade and a half on repeated images", _contrary(rated)),
        _note("raters came from a browser that another rater had used", _one_person(raters)),
    ]
    return [finding for finding in found if finding.count]


def _note(what: str, examples: list[str]) -> Finding:
    return Finding("note", what, len(examples), examples[:5])


def _hasty(sent: pd.DataFrame) -> list[str]:
    enough = sent.groupby("rater").size() >= 5
    return [f"{name} ({value:.2f} s)" for name, value in pace(sent).items() if value < HASTY_SECONDS and enough[str(name)]]


def _unseen(sent: pd.DataFrame) -> list[str]:
    return _counted(sent["served_ms"].isna(), sent["rater"])


def _unreported(rated: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Answers without a presentation: the page sends one with every answer. Where nobody has any, nothing is judged."""
    without = table["device_pixels"].isna() & table["hidden_ms"].isna()
    return [] if without.all() else _counted(without[rated.index], rated["rater"])


def _counted(wrong: pd.Series[bool], who: pd.Series[str]) -> list[str]:
    counts = wrong.groupby(who).agg(["sum", "size"])
    return [f"{name} ({count} of {size})" for name, count, size in counts.itertuples(name=None) if count]


def _patterned(graded: dict[str, F64]) -> list[str]:
    """Grades such as 1 2 3 1 2 3: nearly every answer equals the one ``period`` places before, with at least two different grades."""
    found = []
    for name, grades in graded.items():
        if len(grades) < ENOUGH or len(np.unique(grades)) < 2:
            continue
        for period in range(2, 7):
            if (grades[period:] == grades[:-period]).mean() >= 0.95:
                found.append(f"{name} (every {period})")
                break
    return found


def _copied(graded: dict[str, F64]) -> list[str]:
    first: dict[tuple[float, ...], str] = {}
    found = []
    for name, values in graded.items():
        grades = tuple(values)
        if len(grades) < ENOUGH or len(set(grades)) < 2:
            continue
        if grades in first:
            found.append(f"{name} and {first[grades]}")
        first.setdefault(grades, name)
    return found


def _contrary(rated: pd.DataFrame) -> list[str]:
    enough = (rated["kind"] == "repeat").groupby(rated["rater"]).sum() >= 3
    return [f"{name} ({value:.1f})" for name, value in repeats_apart(rated).items() if value > 1.5 and enough[str(name)]]


def _one_person(raters: pd.DataFrame) -> list[str]:
    known = raters[raters["device"].notna()]
    groups = [list(rows["name"]) for _, rows in known.groupby("device", sort=False) if len(rows) > 1]
    return [" and ".join(map(str, names)) for names in groups]
