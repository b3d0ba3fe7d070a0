"""A sheet of QR codes, one per rater, to cut apart: personal links for people who come in person, or one address for a door."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.study.database import private_bytes
from facesr.bench.study.invitations import Invitation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, ROWS = 3, 4
CELL = (2.5, 2.6)
"""Inches of one code with its words; twelve fit a page of A4, and a page of Letter."""
PAGE = (8.27, 11.0)
QUIET = 4
"""Modules of white around a code: what the standard (ISO/IEC 18004) demands."""


def write_sheet(file: Path, invitations: Sequence[Invitation], title: str) -> None:
    """Write the codes as vectors, ``.pdf`` in pages or ``.svg`` in one long sheet, readable by the file's owner alone."""
    kind = file.suffix.casefold()
    if kind not in {".pdf", ".svg"}:
        raise FaceSRError(f"--qr {file.name!r}: name a file that ends in .pdf or .svg")
    private_bytes(file, (_pdf if kind == ".pdf" else _svg)(invitations, title))


def modules(link: str) -> np.ndarray:
    """The code's modules with its quiet zone, 1 for dark; error correction M, which survives a fold or a stain."""
    import segno

    code = segno.make(link, error="m", micro=False)
    return np.pad(np.array([list(row) for row in code.matrix], dtype=np.uint8), QUIET)


def _pdf(invitations: Sequence[Invitation], title: str) -> bytes:
    from matplotlib.backends.backend_pdf import PdfPages

    made, each = io.BytesIO(), COLUMNS * ROWS
    with PdfPages(made, metadata={"Title": title}) as pages:
        for start in range(0, len(invitations), each):
            pages.savefig(_page(invitations[start : start + each], title, PAGE, ROWS))
    return made.getvalue()


def _svg(invitations: Sequence[Invitation], title: str) -> bytes:
    rows = -(-len(invitations) // COLUMNS)
    made = io.BytesIO()
    _page(invitations, title, (PAGE[0], rows * CELL[1] + 0.6), rows).savefig(
        made, format="svg", metadata={"Title": title, "Date": None}
    )
    return made.getvalue()


def _page(invitations: Sequence[Invitation], title: str, size: tuple[float, float], rows: int) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    figure.text(0.5, 1 - 0.3 / size[1], title, ha="center", va="center", fontsize=11)
    left = (size[0] - COLUMNS * CELL[0]) / 2
    for k, each in enumerate(invitations):
        row, column = divmod(k, COLUMNS)
        x, y = left + column * CELL[0], size[1] - 0.5 - (row + 1) * CELL[1]
        side = CELL[0] - 0.4
        axes = figure.add_axes(((x + 0.2) / size[0], (y + 0.4) / size[1], side / size[0], side / size[1]))
        _code(axes, modules(each.link))
        words = next(iter(each.person.values()), "") or each.rater
        figure.text(
            (x + CELL[0] / 2) / size[0],
            (y + 0.28) / size[1],
            _short(words),
            ha="center",
            va="center",
            fontsize=10,
            parse_math=False,
        )
    return figure


def _code(axes: Axes, dark: np.ndarray) -> None:
    """One black rectangle per run of dark modules: vectors, sharp at any size."""
    from matplotlib.collections import PolyCollection

    boxes = []
    for y, row in enumerate(dark):
        ends = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
        boxes += [[(a, y), (b, y), (b, y + 1), (a, y + 1)] for a, b in ends.reshape(-1, 2)]
    axes.add_collection(PolyCollection(boxes, facecolors="black", edgecolors="none", antialiaseds=False))
    axes.set(xlim=(0, len(dark)), ylim=(len(dark), 0))
    axes.set_axis_off()


def _short(words: str) -> str:
    return words if len(words) <= 32 else f"{words[:31]}…"
