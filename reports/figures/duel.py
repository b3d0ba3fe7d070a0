"""Two methods face by face: the distribution of their paired differences, and one against the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.numbers import fixed
from facesr.reports.cells import Column
from facesr.reports.figures.style import FAINT, INK, WIDTH, Drawing, MethodStyle, new_figure, quiet

if TYPE_CHECKING:
    from facesr.reports.build import Duel

MANY = 500
"""Above so many faces their points are one image in the vector formats: as marks they would be most of the file."""


def differences(found: Duel, column: Column, look: MethodStyle, digits: int = 3) -> Drawing:
    """Histogram of ``a - b`` with its mean and 95 % interval, coloured by whom a face favours; beside it every face, a against b."""
    faces = found.faces
    with quiet():
        figure, axes = new_figure(WIDTH, 2.5, 1, 2)
        left, right = axes[0]
        values = faces["difference"].to_numpy(dtype=float)
        width = max(float(np.ptp(values)) / min(40, max(8, round(2 * len(values) ** (1 / 3)))), 1e-12)
        # Zero is an edge: a bar favours one method only.
        edges = np.arange(np.floor(values.min() / width), np.ceil(values.max() / width) + 1.5) * width
        for side, method in (("a", found.a), ("b", found.b), ("tie", "")):
            part = values[(faces["favours"] == side).to_numpy()]
            if len(part):
                left.hist(
                    part,
                    bins=edges,
                    color=look.color(method) if method else FAINT,
                    label=f"{method or 'tie'}: {len(part):,}",
                    alpha=0.85,
                )
                right.plot(
                    faces.loc[faces["favours"] == side, "b"], faces.loc[faces["favours"] == side, "a"],
                    linestyle="", marker=".", markersize=3, alpha=0.5, color=look.color(method) if method else FAINT,
                    rasterized=len(values) > MANY,
                )  # fmt: skip
        left.axvline(0, color=FAINT, linewidth=0.8, linestyle=":")
        left.axvspan(found.test.low, found.test.high, color=INK, alpha=0.18, linewidth=0)
        left.axvline(found.test.difference, color=INK, linewidth=1)
        left.set_xlabel(f"{found.a} − {found.b}, {column.label}")
        left.set_ylabel("faces")
        left.locator_params(axis="y", integer=True)
        left.legend(title="favours", alignment="left")
        ends = [float(np.nanmin(faces[["a", "b"]].to_numpy())), float(np.nanmax(faces[["a", "b"]].to_numpy()))]
        right.plot(ends, ends, color=FAINT, linewidth=0.8, linestyle=":")
        right.set_xlabel(f"{found.b}, {column.label} {column.arrow}")
        right.set_ylabel(f"{found.a}, {column.label} {column.arrow}")
        right.grid()
    mean = f"{fixed(found.test.difference, digits)} [{fixed(found.test.low, digits)}, {fixed(found.test.high, digits)}]"
    alt = f"{found.a} minus {found.b} by {column.label} over {len(faces):,} faces: mean {mean}"
    alt += f"; {found.a} wins {found.wins:,}, {found.b} {found.losses:,}"
    title = f"Paired differences, mean {mean} (line and band: mean and its 95 % interval)"
    return Drawing("differences", title, alt, figure)
