"""Two metrics against each other: the perception-distortion plane, with intervals on both axes and the methods that no other beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from facesr.reports.cells import Cell, Column
from facesr.reports.figures.style import FAINT, WIDTH, Drawing, MethodStyle, legend, new_figure, quiet, slug


def pareto_front(points: Mapping[str, tuple[float, float]], x_higher: bool, y_higher: bool) -> list[str]:
    """The Pareto front: methods that no other equals or beats in both metrics while beating it in one (Blau and Michaeli 2018, sec. 4)."""

    def better(a: tuple[float, float], b: tuple[float, float]) -> bool:
        pairs = [(p if up else -p, q if up else -q) for p, q, up in zip(a, b, (x_higher, y_higher), strict=True)]
        return all(p >= q for p, q in pairs) and any(p > q for p, q in pairs)

    return [m for m, here in points.items() if not any(better(other, here) for other in points.values())]


def plane(cells: Sequence[Cell], x: Column, y: Column, look: MethodStyle) -> Drawing:
    """Means of two metrics with 95 % intervals; the front is joined by a line. Axes point so that up and right are better."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        if cell.metric in (x.key, y.key) and math.isfinite(cell.mean):
            found.setdefault(cell.method, {})[cell.metric] = cell
    both = {m: (pair[x.key], pair[y.key]) for m, pair in found.items() if len(pair) == 2}
    points = {m: (a.mean, b.mean) for m, (a, b) in both.items()}
    best = sorted(pareto_front(points, bool(x.higher_is_better), bool(y.higher_is_better)), key=lambda m: points[m])
    with quiet():
        figure, axes = new_figure(WIDTH * 0.72, 3.6)
        ax = axes[0, 0]
        ax.plot([points[m][0] for m in best], [points[m][1] for m in best], color=FAINT, linewidth=1, linestyle=":", zorder=1)
        for method, (a, b) in both.items():
            ax.errorbar(
                a.mean, b.mean, xerr=_arms(a), yerr=_arms(b), fmt=look.marker(method), color=look.color(method), capsize=2,
                elinewidth=0.8, markersize=6 if method in best else 4.5,
            )  # fmt: skip
        if x.higher_is_better is False:
            ax.invert_xaxis()
        if y.higher_is_better is False:
            ax.invert_yaxis()
        ax.set_xlabel(f"{x.label}{f' ({x.unit})' if x.unit else ''} {x.arrow}")
        ax.set_ylabel(f"{y.label}{f' ({y.unit})' if y.unit else ''} {y.arrow}")
        ax.grid()
        legend(figure, look, list(both))
    names = ", ".join(best) or "none"
    alt = f"{len(both)} methods by {x.label} and {y.label}; up and right are better. No other method is at least as good in both: {names}"
    return Drawing(
        f"plane-{slug(x.key)}-{slug(y.key)}", f"{y.label} against {x.label}, with 95 % intervals and Pareto front", alt, figure
    )


def _arms(cell: Cell) -> list[list[float]]:
    """Lengths of an error bar to both sides; zero where there is no interval."""
    arms = (cell.mean - cell.low, cell.high - cell.mean)
    return [[arm if math.isfinite(arm) else 0.0] for arm in arms]
