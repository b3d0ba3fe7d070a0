"""What a table is made of: cells that know their run, their n, their failures and their images. Nothing here computes a statistic.

``facesr.reports.table.Table`` is this with its printed forms; ``latex``, ``text`` and ``html`` print it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.numbers import exponent_of, fixed, scientific

Intervals = Literal["pm", "bracket", "none"]
"""How an interval is printed: ``22.91 ± 0.12``, ``22.91 [22.80, 23.03]`` or not at all."""
Notes = Literal["full", "short", "none"]
"""Which footnotes are printed: all, the few that a reader of a paper needs, or none."""
MARKS = "Bold: best (all that tie); underlined: second best; arrows point to better."
SPREAD: dict[Intervals, str] = {
    "pm": "Means ± half the width of the 95 % interval",
    "bracket": "Means [ends of the 95 % interval]",
    "none": "Means",
}


@dataclass(frozen=True)
class Failure:
    """One image without an ordinary value: its name, the status and the reason in one sentence."""

    image: str
    status: str
    reason: str


@dataclass(frozen=True)
class Cell:
    """A mean, its interval, and where it came from. ``text`` replaces the number where a cell holds words."""

    method: str
    metric: str
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    failures: tuple[Failure, ...] = ()
    images: tuple[str, ...] = ()
    run: str = ""
    scale: float = 0
    digits: int = 3
    """Decimals; of the mantissa where ``power``."""
    power: bool = False
    """Printed as a power of ten, 2.3e-5."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """Ends of the scale; a printed interval stays within them."""
    rank: int = 0
    """1 best, 2 second best and not the worst, 0 neither."""
    letters: str = ""
    """Methods that share a letter are not distinguishable."""
    ranked: bool = True
    """False for a reference such as HR, which competes with nobody."""
    text: str | None = None
    counts: str = "faces"
    """What ``n`` counts; only faces are shown in a row's n, the footnotes tell the rest."""

    @property
    def failed(self) -> int:
        """How many images have no ordinary value."""
        return len(self.failures)


@dataclass(frozen=True)
class Column:
    """A column: a metric with its conventions, or, where methods stand side by side, a method."""

    key: str
    label: str
    higher_is_better: bool | None = None
    unit: str = ""
    conventions: str = ""
    cite: str = ""
    prose: bool = False
    """Sentences: set from the left, and in LaTeX on lines of their own, since no column of a page holds them."""

    @property
    def arrow(self) -> str:
        """The direction in which the column gets better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Row:
    """A row of cells, one per column (None where there is nothing). ``group`` heads the rows of one scale or panel."""

    key: str
    label: str
    cells: tuple[Cell | None, ...]
    group: str = ""
    cite: str = ""
    """BibTeX key of the paper behind the row."""

    @property
    def n(self) -> int | None:
        """The number of images that most cells of the row stand on; None in a row of words."""
        counts = Counter(c.n for c in self.of_faces)
        return counts.most_common(1)[0][0] if counts else None

    @property
    def of_faces(self) -> list[Cell]:
        """The cells whose n counts faces."""
        return [c for c in self.cells if c is not None and c.text is None and c.counts == "faces"]


@dataclass(frozen=True)
class Grid:
    """Rows of cells under columns, with the footnotes that make the numbers readable on their own.

    ``notes``: every footnote; ``brief``: the few that a paper needs (None: all). ``spread``: how the intervals were made, printed after what
    the chosen form of the interval means. ``show_n``: a last column counts faces. ``said_marks``: the footnotes explain best and second best.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    corner: str = "Method"
    show_n: bool = True
    show_spread: bool = True
    brief: tuple[str, ...] | None = None
    spread: str = ""
    said_marks: bool = True

    def lines(self, style: Intervals = "pm", which: Notes = "full", marks: str = MARKS) -> tuple[str, ...]:
        """The footnotes to print, in order; ``marks`` says how best and second best are marked, where anything is."""
        if which == "none":
            return ()
        style = style if self.show_spread else "none"
        first = [f"{SPREAD[style]} ({self.spread})." if style != "none" else f"{SPREAD[style]}."] if self.spread else []
        first += [marks] if marks and self.said_marks and any(cell.rank for cell in self.cells) else []
        return (*first, *(self.notes if which == "full" or self.brief is None else self.brief))

    def alive(self) -> Self:
        """The table without columns in which no method has a value; a note says which were left out and why."""
        dead = {i: why for i in range(len(self.columns)) if (why := self._why_dead(i))}
        if not dead or len(dead) == len(self.columns):
            return self
        keep = [i for i in range(len(self.columns)) if i not in dead]
        causes: dict[str, list[str]] = {}
        for i, why in dead.items():
            causes.setdefault(why, []).append(self.columns[i].label)
        said = tuple(f"Not shown, no method has a value: {', '.join(names)} ({why.rstrip('.')})." for why, names in causes.items())
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in keep)) for row in self.rows)
        columns = tuple(self.columns[i] for i in keep)
        return replace(
            self, columns=columns, rows=rows, notes=(*self.notes, *said), brief=None if self.brief is None else (*self.brief, *said)
        )

    def _why_dead(self, column: int) -> str:
        """Why nothing in a column has a number; '' where something has, or holds words."""
        cells = [cell for row in self.rows if (cell := row.cells[column]) is not None]
        if not cells or any(cell.text is not None or not math.isnan(cell.mean) for cell in cells):
            return ""
        first = next((f for cell in cells for f in cell.failures), None)
        return (first.reason or first.status.replace("_", " ")) if first else "no image was measured"

    def with_digits(self, digits: int | Mapping[str, int] | None) -> Self:
        """The table with other decimals, everywhere or by metric; best and second best follow what is printed then."""
        if digits is None:
            return self
        known = {cell.metric for cell in self.cells}
        wanted = dict.fromkeys(known, digits) if isinstance(digits, int) else dict(digits)
        problems = [f"digits of {name!r}: {suggest(name, known)}" for name in wanted if name not in known]
        problems += [f"digits {n} of {name!r}: give 0 to 9" for name, n in wanted.items() if not 0 <= n <= 9]
        if problems:
            raise FaceSRError("; ".join(problems))
        rows = [
            replace(row, cells=tuple(c and replace(c, digits=wanted.get(c.metric, c.digits)) for c in row.cells))
            for row in self.rows
        ]
        return replace(self, rows=rank_columns(rows, self.columns))

    @property
    def cells(self) -> list[Cell]:
        """Every cell that holds a number, row by row."""
        return [c for row in self.rows for c in row.cells if c is not None and c.text is None]

    @property
    def scales(self) -> set[float]:
        """The downscaling factors of its cells; a MOS has none of its own."""
        return {cell.scale for cell in self.cells if cell.scale}

    @property
    def groups(self) -> list[tuple[str, tuple[Row, ...]]]:
        """Rows under their headings, in order."""
        names = list(dict.fromkeys(row.group for row in self.rows))
        return [(name, tuple(r for r in self.rows if r.group == name)) for name in names]

    def cell(self, row: str, column: str, group: str = "") -> Cell | None:
        """The cell at a row's key and a column's key; raises ``KeyError`` where the table has no such row or column."""
        for found in self.rows:
            if found.key == row and (not group or found.group == group):
                return found.cells[[c.key for c in self.columns].index(column)]
        raise KeyError(row)


def number(cell: Cell) -> str:
    """The printed mean, or the cell's words."""
    if cell.text is not None:
        return cell.text
    return scientific(cell.mean, cell.digits) if cell.power else fixed(cell.mean, cell.digits)


def interval(cell: Cell, style: Intervals) -> str:
    """The printed interval, '' where there is none: ``± 0.12`` is half its width, ``[22.80, 23.03]`` its ends.

    A lopsided interval (one arm more than twice the other), and one whose ± would leave the scale, is always printed by its ends:
    ``1.000 ± 0.162`` would promise more than everything.
    """
    if style == "none" or cell.text is not None or not (math.isfinite(cell.low) and math.isfinite(cell.high)):
        return ""
    lowest, highest = cell.bounds if cell.bounds[0] <= cell.mean <= cell.bounds[1] else (-math.inf, math.inf)
    arms, half = sorted((cell.mean - cell.low, cell.high - cell.mean)), (cell.high - cell.low) / 2
    power = exponent_of(cell.mean, cell.digits) if cell.power else None
    off = cell.mean - half < lowest or cell.mean + half > highest
    if style == "bracket" or off or arms[1] > 2 * arms[0]:
        return f"[{_part(max(cell.low, lowest), cell, None)}, {_part(min(cell.high, highest), cell, None)}]"
    return f"± {_part(half, cell, power)}"


def _part(value: float, cell: Cell, power: int | None) -> str:
    return scientific(value, cell.digits, power) if cell.power else fixed(value, cell.digits)


def own_n(cell: Cell, row: Row) -> str:
    """``n = 231`` where a cell stands on another number of images than its row, else ''."""
    return f"n = {cell.n:,}" if cell in row.of_faces and cell.n != row.n else ""


def ranked(cells: Sequence[Cell], higher_is_better: bool | None) -> list[Cell]:
    """The cells with best and second best marked.

    Numbers that print the same are equal, so all that tie for best are best. The second best is marked where somebody is worse still; a lone
    method is neither.
    """
    if higher_is_better is None:
        return list(cells)
    keys = [_shown(c) if c.ranked and c.text is None and not math.isnan(c.mean) else None for c in cells]
    rivals = [k for k in keys if k is not None]
    order = sorted(set(rivals), reverse=higher_is_better)
    places = {order[0]: 1} if len(rivals) > 1 else {}
    places |= {order[1]: 2} if len(order) > 2 else {}
    return [replace(c, rank=places.get(k, 0) if k is not None else 0) for c, k in zip(cells, keys, strict=True)]


def _shown(cell: Cell) -> float:
    return float(number(cell).replace("−", "-").replace("∞", "inf"))


def rank_columns(rows: Iterable[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Mark best and second best in every column, each group of rows for itself."""
    listed = list(rows)
    marked = [list(row.cells) for row in listed]
    for group in dict.fromkeys(row.group for row in listed):
        for position, column in enumerate(columns):
            filled = [i for i, row in enumerate(listed) if row.group == group and row.cells[position] is not None]
            cells = [c for i in filled if (c := listed[i].cells[position]) is not None]
            for i, cell in zip(filled, ranked(cells, column.higher_is_better), strict=True):
                marked[i][position] = cell
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(listed, marked, strict=True))
