"""Figures of a rating study: MOS with its three intervals, histograms, all pairs by both analyses, metrics against MOS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facesr.bench.numbers import fixed, p_text
from facesr.reports.cells import Column
from facesr.reports.figures.style import (
    ALARM,
    FAINT,
    INK,
    WIDTH,
    Drawing,
    MethodStyle,
    blank,
    bottom,
    legend,
    new_figure,
    panels,
    quiet,
)
from facesr.reports.references import printed_condition

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from facesr.bench.stats.correlation import MetricAgreement
    from facesr.bench.stats.mos import ConditionMos
    from facesr.bench.stats.pairwise import PairComparison

STEPS = (
    (0.001, "p < .001", "#08519c"),
    (0.01, "p < .01", "#4292c6"),
    (0.05, "p < .05", "#9ecae1"),
    (2.0, "not significant", "#f0f1f3"),
)
"""Shades of one blue, dark to light: read in grey and by colour-blind readers too."""


def intervals(
    mos: Sequence[ConditionMos],
    look: MethodStyle,
    scale: tuple[int, int],
    letters: Mapping[str, str] | None = None,
    label: str = "",
) -> Drawing:
    """MOS of every condition with the intervals for new raters and faces (thin), new raters (thicker), and the naive one (thickest)."""
    names = [printed_condition(m.condition) for m in mos]
    with quiet():
        figure, axes = new_figure(WIDTH * 0.72, 0.75 + 0.27 * len(mos))
        ax = axes[0, 0]
        for y, one in enumerate(mos):
            color = look.color(one.condition)
            for interval, width, alpha in ((one.over_both, 1.1, 1.0), (one.over_raters, 3.2, 0.45), (one.naive, 6.5, 0.45)):
                if np.isfinite(interval.low):
                    ax.plot(
                        [interval.low, interval.high],
                        [y, y],
                        color=color,
                        linewidth=width,
                        alpha=alpha,
                        solid_capstyle="butt",
                        zorder=2,
                    )
            ax.plot(
                [one.mean],
                [y],
                marker=look.marker(one.condition),
                color=color,
                markeredgecolor="white",
                markeredgewidth=0.5,
                markersize=6,
            )
            extra = f"  {letters[one.condition]}" if letters and one.condition in letters else ""
            ax.annotate(f"{one.mean:.2f}{extra}", (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=7.5)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(scale[0] - 0.05, scale[1] + 0.05)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_xlabel(
            f"{'DMOS' if 'DMOS' in label else 'MOS'}; 95 % intervals: thin, new raters and faces; thicker, new raters; thickest, naive"
        )
        if label:
            ax.annotate(label, (1, 1), xycoords="axes fraction", ha="right", va="bottom", fontsize=7, color=ALARM)
    alt = "; ".join(f"{printed_condition(m.condition)} {m.mean:.2f} ({m.over_both.low:.2f} to {m.over_both.high:.2f})" for m in mos)
    return Drawing("mos", "Mean opinion scores with three 95 % intervals", f"MOS: {alt}", figure)


def histograms(mos: Sequence[ConditionMos], look: MethodStyle, scale: tuple[int, int], label: str = "") -> Drawing:
    """How often each grade was given, a panel a condition."""
    points = list(range(scale[0], scale[1] + 1))
    rows, across = panels(len(mos), 4)
    most = max((max(m.histogram) / max(m.n, 1) for m in mos), default=1.0)
    with quiet():
        figure, axes = new_figure(WIDTH, 0.2 + 1.25 * rows, rows, across, sharex=True, sharey=True)
        for ax, one in zip(axes.flat, mos, strict=False):
            shares = np.array(one.histogram) / max(one.n, 1)
            ax.bar(points, shares, width=0.82, color=look.color(one.condition))
            for x, share in zip(points, shares, strict=True):
                if share >= 0.005:
                    ax.annotate(f"{share:.0%}", (x, share), ha="center", va="bottom", fontsize=6)
            ax.set_title(printed_condition(one.condition))
            ax.annotate(
                f"{one.mean:.2f} ± {one.sd:.2f} sd, n = {one.n:,}",
                (0, 1),
                xycoords="axes fraction",
                fontsize=6,
                color=INK,
                va="top",
            )
            ax.set_xticks(points)
            ax.set_yticks([])
            ax.set_ylim(0, most * 1.3)
            ax.spines["left"].set_visible(False)
            ax.tick_params(axis="x", length=0)
        blank(axes.flat[len(mos) :])
        bottom(axes, len(mos))
        if label:
            figure.suptitle(label, fontsize=7, color=ALARM, x=0.99, ha="right")
    alt = "; ".join(f"{printed_condition(m.condition)}: {', '.join(map(str, m.histogram))}" for m in mos)
    return Drawing("mos-histograms", "Ratings by grade", f"Ratings at grades {points[0]} to {points[-1]}. {alt}", figure)


def significance(
    pairs: Sequence[PairComparison],
    names: Sequence[str],
    label: str = "",
    alpha: float = 0.05,
    name: str = "significance",
    what: str = "",
    digits: int = 2,
) -> Drawing:
    """All pairs twice: as published papers test them, and as is valid: for new raters and faces, or for scores of the same faces.

    A cell holds the difference (row minus column) and the Holm-adjusted p; a frame marks pairs on which the analyses disagree.
    """
    side = max(0.42, min(0.62, 2.9 / max(len(names), 1)))
    of_raters = bool(pairs) and pairs[0].over_raters is not None
    titles = ("paper's protocol: pooled Mann-Whitney U", "two-way clustered: new raters and faces")
    titles = titles if of_raters else ("unpaired Mann-Whitney U: faces not shared", "paired over faces: Wilcoxon signed-rank")
    with quiet():
        figure, axes = new_figure(WIDTH, side * len(names) + 1.15, 1, 2)
        left = {(q.a, q.b): (q.difference, q.p_paper_holm) for q in pairs}
        right = {(q.a, q.b): (q.difference, q.p_holm) for q in pairs}
        disagree = {(q.a, q.b) for q in pairs if (q.p_paper_holm < alpha) != (q.p_holm < alpha)}
        _matrix(axes[0, 0], left, names, titles[0], disagree, digits)
        _matrix(axes[0, 1], right, names, titles[1], disagree, digits)
        _shades(figure, bool(disagree), label)
    kept, papers = sum(q.p_holm < alpha for q in pairs), sum(q.p_paper_holm < alpha for q in pairs)
    alt = f"{papers} of {len(pairs)} pairs differ by the first analysis, {kept} by the second, which is the valid one"
    return Drawing(name, f"All pairs{what} by both analyses (Holm-adjusted p; difference row minus column)", alt, figure)


def _matrix(
    ax: Axes,
    values: Mapping[tuple[str, str], tuple[float, float]],
    names: Sequence[str],
    title: str,
    disagree: set[tuple[str, str]],
    digits: int,
) -> None:
    from matplotlib.patches import Rectangle

    place, shown = {n: i for i, n in enumerate(names)}, [printed_condition(n) for n in names]
    for (a, b), (difference, p) in values.items():
        for row, column, sign in ((place[a], place[b], 1), (place[b], place[a], -1)):
            shade = next((color for top, _, color in STEPS if p < top), STEPS[-1][2])
            ax.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=shade, linewidth=0))
            ink = "white" if shade in (STEPS[0][2], STEPS[1][2]) else "#1b1f24"  # on a shade of its own, whatever the page's ink is
            ax.text(
                column,
                row - 0.14,
                f"{sign * difference:+.{digits}f}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize=6.8,
                color=ink,
            )
            ax.text(column, row + 0.22, p_text(p, 1), ha="center", va="center", fontsize=5.6, color=ink)
            if (a, b) in disagree:
                ax.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=ALARM, linewidth=1.6))
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    ax.set_xticks(range(len(names)), shown, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), shown)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title, fontsize=7.5)


def _shades(figure: Any, disagreement: bool, label: str) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=color, label=words) for _, words, color in STEPS]
    if disagreement:
        handles.append(Patch(facecolor="none", edgecolor=ALARM, linewidth=1.6, label="the two disagree"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    if label:
        figure.suptitle(label, fontsize=7, color=ALARM, x=0.99, ha="right")


def metric_scatter(
    stimuli: pd.DataFrame,
    agreements: Sequence[MetricAgreement],
    columns: Mapping[str, Column],
    look: MethodStyle,
) -> Drawing:
    """Every metric against MOS: a faint point per image, a marker at each method's mean, the fitted monotone cubic, SROCC with interval.

    ``stimuli``: columns method, face, mos and one per metric (``facesr.reports.people.stimuli``).
    """
    methods = list(dict.fromkeys(stimuli["method"]))
    rows, across = panels(len(agreements))
    with quiet():
        figure, axes = new_figure(WIDTH, 0.35 + 1.95 * rows, rows, across, sharey=True)
        for ax, found in zip(axes.flat, agreements, strict=False):
            part = stimuli[np.isfinite(stimuli[found.metric]) & np.isfinite(stimuli["mos"])]
            x = np.linspace(part[found.metric].min(), part[found.metric].max(), 100)
            ax.plot(x, np.polynomial.Polynomial(found.mapping)(x), color=FAINT, linewidth=1, zorder=1)
            for method in methods:
                one = part[part["method"] == method]
                ax.plot(
                    one[found.metric],
                    one["mos"],
                    linestyle="",
                    marker=".",
                    markersize=2.5,
                    color=look.color(method),
                    alpha=0.35,
                    zorder=2,
                )
                if len(one):
                    at = (one[found.metric].mean(), one["mos"].mean())
                    ax.plot(
                        *at, marker=look.marker(method), color=look.color(method), markeredgecolor="white", markersize=7, zorder=3
                    )
            column, rho = columns[found.metric], found.srocc
            ax.set_title(f"{column.label} {column.arrow}".strip())
            text = f"SROCC {fixed(rho.mean, 2)} [{fixed(rho.low, 2)}, {fixed(rho.high, 2)}]"
            ax.set_xlabel(text, fontsize=7)
            ax.grid()
            ax.locator_params(axis="x", nbins=4)
        for row in axes:
            row[0].set_ylabel("MOS of the image")
        blank(axes.flat[len(agreements) :])
        legend(figure, look, methods, linewidth=0)
    alt = "; ".join(f"{columns[a.metric].label} SROCC {a.srocc.mean:.2f}" for a in agreements)
    return Drawing("metrics-mos", "Metrics against MOS, image by image", f"Rank correlation with MOS: {alt}", figure)
