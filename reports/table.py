"""One table object for every output: its cells know their run, their n, their failures and their images.

``reports.build`` makes it, ``reports.latex``, ``reports.text`` and ``reports.html`` print it. Nothing here computes a statistic.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Intervals = Literal["pm", "ends", "none"]
"""How an interval is printed: ``22.91 ± 0.12``, ``22.91 [22.80, 23.03]`` or not at all."""


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
    scale: int = 0
    digits: int = 3
    rank: int = 0
    """1 best, 2 second best, 0 neither."""
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
    """A column: a metric with its conventions, or, in a transposed table, a method."""

    key: str
    label: str
    higher_is_better: bool | None = None
    unit: str = ""
    conventions: str = ""

    @property
    def arrow(self) -> str:
        """The direction in which the column gets better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Row:
    """A row of cells, one a column (None where there is nothing). ``group`` heads the rows of one scale or panel."""

    key: str
    label: str
    cells: tuple[Cell | None, ...]
    group: str = ""

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
class Table:
    """Rows of cells under columns, with the footnotes that make the numbers readable on their own."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    corner: str = "Method"
    show_n: bool = True
    show_spread: bool = True

    @property
    def cells(self) -> list[Cell]:
        """Every cell that holds a number, row by row."""
        return [c for row in self.rows for c in row.cells if c is not None and c.text is None]

    @property
    def scales(self) -> set[int]:
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


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals and a true minus, never '−0.00'; '–' where there is none. Too small to show: two digits."""
    if not math.isfinite(value):
        return "∞" if value == math.inf else "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-") if value == 0 else f"{value:.1e}".replace("e-0", "e-")
    return text.replace("-", "−", 1) if text.startswith("-") else text


def number(cell: Cell) -> str:
    """The printed mean, or the cell's words."""
    return cell.text if cell.text is not None else fixed(cell.mean, cell.digits)


def interval(cell: Cell, style: Intervals) -> str:
    """The printed interval, '' where there is none: ``± 0.12`` is half its width, ``[22.80, 23.03]`` its ends.

    A lopsided interval (a share near 1: one arm more than twice the other) is always printed by its ends: ``1.000 ± 0.162`` would lie.
    """
    if style == "none" or cell.text is not None or not (math.isfinite(cell.low) and math.isfinite(cell.high)):
        return ""
    arms = sorted((cell.mean - cell.low, cell.high - cell.mean))
    if style == "ends" or arms[1] > 2 * arms[0]:
        return f"[{fixed(cell.low, cell.digits)}, {fixed(cell.high, cell.digits)}]"
    return f"± {fixed((cell.high - cell.low) / 2, cell.digits)}"


def own_n(cell: Cell, row: Row) -> str:
    """``n = 231`` where a cell stands on another number of images than its row, else ''."""
    return f"n = {cell.n:,}" if cell in row.of_faces and cell.n != row.n else ""


def ranked(cells: Sequence[Cell], higher_is_better: bool | None) -> list[Cell]:
    """The cells with best and second best marked. Numbers that print the same are equal; a lone method is not 'best'."""
    if higher_is_better is None:
        return list(cells)
    keys = [_shown(c) if c.ranked and math.isfinite(c.mean) else None for c in cells]
    order = sorted({k for k in keys if k is not None}, reverse=higher_is_better)
    places = {value: place for place, value in enumerate(order[:2], start=1)} if len(order) > 1 else {}
    return [replace(c, rank=places.get(k, 0) if k is not None else 0) for c, k in zip(cells, keys, strict=True)]


def _shown(cell: Cell) -> float:
    return float(fixed(cell.mean, cell.digits).replace("−", "-"))


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


def failures_by_status(cells: Iterable[Cell]) -> Counter[str]:
    """How many cells of the grid ended in each status, each image and metric counted once."""
    return Counter(failure.status for cell in cells for failure in cell.failures)


def transposed(table: Table, label: Callable[[Row], str] = lambda row: row.label) -> Table:
    """Methods across, metrics down, as the paper's Table 1 prints them. Ranks and cells stay as they are."""
    columns = tuple(Column(row.key, label(row)) for row in table.rows)
    rows = tuple(
        Row(c.key, f"{c.label} {c.arrow}".strip(), tuple(row.cells[i] for row in table.rows)) for i, c in enumerate(table.columns)
    )
    return replace(table, columns=columns, rows=rows, show_n=False, corner="")
