"""Figures of scores: means with intervals, the scale sweep, attributes, the distribution of ε."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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
    power_of_ten,
    quiet,
    slug,
)
from facesr.reports.references import printed_condition

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


ROOM = 105
"""Characters that stand side by side under a figure of the text's width."""


def _arms(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Lengths of error bars (2, n) from mean, low and high; zero where there is no interval."""
    arms: np.ndarray[Any, Any] = np.nan_to_num(np.array([rows["mean"] - rows["low"], rows["high"] - rows["mean"]])).clip(min=0)
    return arms


def _heading(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit} {column.arrow}".strip()


def means(leaderboard: pd.DataFrame, columns: Sequence[Column], look: MethodStyle) -> Drawing:
    """Means and 95 % intervals of every metric. ``leaderboard``: ``facesr.reports.build.leaderboard_frame`` at one scale."""
    methods = list(dict.fromkeys(leaderboard["method"]))
    rows, across = panels(len(columns))
    with quiet():
        figure, axes = new_figure(WIDTH, rows * (0.55 + 0.19 * len(methods)), rows, across, sharey=True)
        for ax, column in zip(axes.flat, columns, strict=False):
            part = leaderboard[leaderboard["metric"] == column.key].set_index("method").reindex(methods)
            for y, method in enumerate(methods):
                one = part.loc[[method]]
                if np.isfinite(one["mean"].iloc[0]):
                    ax.errorbar(one["mean"], [y], xerr=_arms(one), fmt=look.marker(method), color=look.color(method), capsize=2)
            ax.set_title(_heading(column))
            ax.grid(axis="x")
            ax.set_yticks(range(len(methods)), [printed_condition(m) for m in methods])
            ax.set_ylim(len(methods) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
            ax.locator_params(axis="x", nbins=3 if column.key.startswith("consistency") else 4)
            if not np.isfinite(part["mean"]).any():
                ax.set_xticks([])
                ax.annotate("no value", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=FAINT)
        blank(axes.flat[len(columns) :])
    best = [f"{c.label}: {_best(leaderboard, c)}" for c in columns]
    return Drawing("means", "Means with 95 % intervals over faces", "Best mean by metric. " + "; ".join(best), figure)


def _best(frame: pd.DataFrame, column: Column) -> str:
    part = frame[(frame["metric"] == column.key) & np.isfinite(frame["mean"])]
    if part.empty:
        return "no value"
    at = part["mean"].idxmax() if column.higher_is_better else part["mean"].idxmin()
    return f"{part.loc[at, 'method']} {part.loc[at, 'mean']:.4g}"


def sweep(frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Column], look: MethodStyle) -> Drawing:
    """Every metric over the downscaling factors, with intervals. ``frames``: ``facesr.reports.build.sweep_frame`` by metric."""
    methods = list(dict.fromkeys(m for frame in frames.values() for m in frame["method"]))
    rows, across = panels(len(frames))
    with quiet():
        figure, axes = new_figure(WIDTH, 0.35 + 1.75 * rows, rows, across, sharex=True)
        for ax, (metric, frame) in zip(axes.flat, frames.items(), strict=False):
            scales = sorted(set(frame["scale"]))
            for method in methods:
                part = frame[(frame["method"] == method) & np.isfinite(frame["mean"])].sort_values("scale")
                style = {"color": look.color(method), "marker": look.marker(method), "linestyle": look.line(method)}
                ax.errorbar(part["scale"], part["mean"], yerr=_arms(part), capsize=2, elinewidth=0.8, **style)
            ax.set_xscale("log", base=2)
            ax.set_xticks(scales, [f"×{s}" for s in scales])
            ax.minorticks_off()
            ax.set_title(_heading(columns[metric]))
            ax.grid(axis="y")
        blank(axes.flat[len(frames) :])
        for ax in bottom(axes, len(frames)):
            ax.set_xlabel("downscaling factor")
        legend(figure, look, methods)
    lowest, highest = min(min(f["scale"]) for f in frames.values()), max(max(f["scale"]) for f in frames.values())
    alt = f"{len(frames)} metrics of {len(methods)} methods from ×{lowest} to ×{highest}"
    return Drawing("sweep", "Scores over the downscaling factor, with 95 % intervals", alt, figure)


def attributes(frames: Mapping[str, pd.DataFrame], column: Column, look: MethodStyle) -> Drawing:
    """Bars of a metric by the values of each attribute. ``frames``: ``facesr.reports.build.attribute_frame`` by attribute."""
    methods = list(dict.fromkeys(m for frame in frames.values() for m in frame["method"]))
    with quiet():
        figure, axes = new_figure(WIDTH, 0.35 + 1.9 * len(frames), len(frames), 1)
        for ax, (attribute, frame) in zip(axes.flat, frames.items(), strict=True):
            _bars(ax, frame, methods, look)
            ax.set_title(f"by {attribute}")
            ax.set_ylabel(_heading(column))
            ax.grid(axis="y")
        legend(figure, look, methods, linewidth=0)
    alt = f"{column.label} of {len(methods)} methods by {', '.join(frames)}"
    return Drawing(f"attributes-{slug(column.key)}", f"{column.label} by attribute, with 95 % intervals", alt, figure)


def _bars(ax: Axes, frame: pd.DataFrame, methods: Sequence[str], look: MethodStyle) -> None:
    """Bars from zero; points where bars from zero would hide the differences (a bar that starts elsewhere misleads)."""
    values = list(dict.fromkeys(frame["value"]))
    width = 0.84 / len(methods)
    low, high = frame["low"].fillna(frame["mean"]).min(), frame["high"].fillna(frame["mean"]).max()
    points = bool(low > 0.4 * high > 0 or low < 0)  # a bar cannot show an interval that reaches below zero
    for i, method in enumerate(methods):
        part = frame[frame["method"] == method].set_index("value").reindex(values)
        x = np.arange(len(values)) + (i - (len(methods) - 1) / 2) * width
        if points:
            ax.errorbar(x, part["mean"], yerr=_arms(part), fmt=look.marker(method), color=look.color(method), capsize=2)
        else:
            ax.bar(x, part["mean"], width * 0.9, color=look.color(method))
            ax.errorbar(x, part["mean"], yerr=_arms(part), fmt="none", ecolor=INK, elinewidth=0.8)
    counts = (frame["n"] + frame["failed"]).groupby(frame["value"]).max()
    labels = [f"{v}\nn = {counts[v]:,}" for v in values]
    crowded = len(values) * max(max(map(len, label.split("\n"))) for label in labels) > ROOM
    ax.set_xticks(range(len(values)), labels, rotation=35 if crowded else 0, ha="right" if crowded else "center")
    ax.set_xlim(-0.5, len(values) - 0.5)
    ax.tick_params(axis="x", length=0)
    for edge in range(1, len(values)):
        ax.axvline(edge - 0.5, color=FAINT, linewidth=0.4, alpha=0.5)


def epsilon(frame: pd.DataFrame, limit: float, look: MethodStyle) -> Drawing:
    """Share of faces whose ε is at most x, on a log axis, with the protocol's limit. ``frame``: ``facesr.reports.build.epsilon_frame``."""
    methods = list(dict.fromkeys(frame["method"]))
    floor = 1e-8
    with quiet():
        figure, axes = new_figure(WIDTH * 0.72, 2.5)
        ax = axes[0, 0]
        for method in methods:
            x = np.sort(frame.loc[frame["method"] == method, "epsilon"].clip(lower=floor))
            share = np.arange(1, len(x) + 1) / len(x)
            passed = float((x <= limit).mean())
            ax.step(
                np.r_[x[:1], x],
                np.r_[0, share],
                where="post",
                color=look.color(method),
                linestyle=look.line(method),
                label=f"{printed_condition(method)}  {passed:.1%}",
            )
        ax.axvline(limit, color=ALARM, linewidth=0.8, linestyle=":")
        ax.annotate(
            f"limit {limit:g}", (limit, 1.0), xytext=(3, 2), textcoords="offset points", fontsize=7, color=ALARM, va="bottom"
        )
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(power_of_ten)
        ax.xaxis.set_minor_formatter("")
        ends = [max(float(frame["epsilon"].min()), floor), max(float(frame["epsilon"].max()), limit * 1.5)]
        ax.set_xlim(10 ** np.floor(np.log10(ends[0])), 10 ** np.ceil(np.log10(ends[1])))
        ax.set_ylim(0, 1.02)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        ax.set_xlabel("ε = MSE of D(SR) against LR")
        ax.set_ylabel("faces with at most this ε")
        ax.grid()
        figure.legend(loc="outside right center", title="within the limit", alignment="left")
    rates = [f"{m} {(frame.loc[frame['method'] == m, 'epsilon'] <= limit).mean():.1%}" for m in methods]
    return Drawing("epsilon", "Distribution of ε over faces", f"Share of faces within ε = {limit:g}: " + ", ".join(rates), figure)
