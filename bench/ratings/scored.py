"""A table of metric scores that somebody else computed: one row per image, or one per image and metric."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.ratings.grid import TextGrid, plain_name, read_grid
from facesr.bench.ratings.long import ABOUT_PEOPLE, SYNONYMS
from facesr.bench.ratings.names import split_stimuli

if TYPE_CHECKING:
    import pandas as pd

NO_METRIC = frozenset(
    plain_name(n) for n in (*ABOUT_PEOPLE, "scale", "seconds", "low", "high", "n", "unnamed0", "mos", "std", "ci")
)
"""Columns of numbers that are no metric, as ``plain`` writes them."""
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Scored:
    """``table``: columns face, method and one per metric of ``metrics``. ``notes``: what was understood, and cells that are no numbers."""

    table: pd.DataFrame
    metrics: tuple[str, ...]
    notes: tuple[str, ...]


def read_scored(path: Path, pattern: re.Pattern[str] | None = None, sheet: str | None = None) -> Scored:
    """Read a .csv, .tsv, .xlsx or .parquet file with columns for face and method (or one for the file), and metrics.

    Metrics are the columns of numbers, or named in a column ``metric`` beside ``value``. Raises ``FaceSRError`` with one sentence on what
    is missing.
    """
    if not path.is_file():
        raise FaceSRError(f"there is no file {path}")
    grid = read_grid(path, sheet)
    named = {plain_name(c): c for c in reversed(grid.columns)}
    found = {
        role: next((named[plain_name(n)] for n in SYNONYMS[role] if plain_name(n) in named), None)
        for role in ("face", "condition", "stimulus")
    }
    cells = grid.cells
    if pattern is not None or not (found["face"] and found["condition"]):
        source = found["stimulus"] or found["face"]
        if source is None:
            raise FaceSRError(
                f"{path}: no column names the image; the columns are {', '.join(map(repr, grid.columns[:12]))}: call them face and method, or file"
            )
        faces, methods = split_stimuli(list(cells[source]), pattern)
        if not any(methods):
            raise FaceSRError(
                f"{path}: no column names the method, and names such as {cells[source].iloc[0]!r} do not: add a column method, or --pattern"
            )
    else:
        faces, methods = list(cells[found["face"]]), list(cells[found["condition"]])
    about = {c for c in found.values() if c}
    if {"metric", "value"} <= set(named):
        return _long(grid, faces, methods, named)
    return _wide(grid, faces, methods, about, path)


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None


def _wide(grid: TextGrid, faces: list[str], methods: list[str], about: set[str], path: Path) -> Scored:
    import pandas as pd

    made: dict[str, list[float | None]] = {}
    notes = []
    for column in grid.columns:
        cells = list(grid.cells[column])
        numbers = [_number(c) for c in cells]
        good = sum(n is not None for n in numbers)
        if column in about or plain_name(column) in NO_METRIC or not good or good < 0.5 * sum(bool(c) for c in cells):
            continue
        made[column] = numbers
        if lost := [(r, c) for r, c, n in zip(grid.rows, cells, numbers, strict=True) if n is None]:
            row, cell = lost[0]
            notes.append(f"{column}: {len(lost)} cells are no number, such as {cell!r} in row {row}: those images are left out")
    if not made:
        raise FaceSRError(f"{path}: no column holds a metric's numbers; the columns are {', '.join(map(repr, grid.columns[:12]))}")
    return Scored(
        pd.DataFrame({"face": faces, "method": methods, **made}).astype(dict.fromkeys(made, float)), tuple(made), tuple(notes)
    )


def _long(grid: TextGrid, faces: list[str], methods: list[str], named: Mapping[str, str]) -> Scored:
    import pandas as pd

    frame = pd.DataFrame({"face": faces, "method": methods, "metric": grid.cells[named["metric"]]})
    frame["value"] = pd.Series([_number(c) for c in grid.cells[named["value"]]], dtype=float)
    frame = frame[(frame["metric"] != "") & (frame["face"] != "*")]
    twice = frame.duplicated(["face", "method", "metric"])
    if twice.any():
        face, method, metric = frame.loc[twice, ["face", "method", "metric"]].iloc[0]
        raise FaceSRError(f"the scores have {metric} of face {face!r} by {method!r} twice: one scale of one run at a time")
    lost = frame["value"].isna()
    notes = (f"{int(lost.sum())} scores are no numbers: those images are left out",) if lost.any() else ()
    wide = frame.pivot(index=["face", "method"], columns="metric", values="value").reset_index()
    return Scored(wide, tuple(dict.fromkeys(frame["metric"])), notes)


def directions(
    metrics: Iterable[str], known: Mapping[str, bool], higher: Iterable[str] = (), lower: Iterable[str] = ()
) -> dict[str, bool]:
    """Whether higher is better, of each metric: by the user's word, else by its name among ``known`` metrics or their families.

    Raises ``FaceSRError`` naming all of which it cannot be known, and names given that are no metric of the table.
    """
    names = list(metrics)
    said = {plain_name(n): True for n in higher} | {plain_name(n): False for n in lower}
    if both := {plain_name(n) for n in higher} & {plain_name(n) for n in lower}:
        raise FaceSRError(f"{', '.join(sorted(both))} is named both by --higher and by --lower")
    if odd := [n for n in (*higher, *lower) if plain_name(n) not in {plain_name(m) for m in names}]:
        raise FaceSRError(f"no metric {odd[0]!r} in the table of scores: {suggest(odd[0], names)}")
    families: dict[str, set[bool]] = {}
    for name, better in known.items():
        for key in {plain_name(name), plain_name(re.split(r"[-_ ]", name)[0])}:
            families.setdefault(key, set()).add(better)
    sure = {key: better.pop() for key, better in families.items() if len(better) == 1} | said
    found = {n: sure.get(plain_name(n), sure.get(plain_name(re.split(r"[-_ ]", n)[0]))) for n in names}
    if unknown := [n for n, better in found.items() if better is None]:
        raise FaceSRError(
            f"whether higher or lower is better is not known of {', '.join(unknown)}: say --higher {unknown[0]} or --lower {unknown[0]}"
        )
    return {n: bool(better) for n, better in found.items()}
