"""Leaderboard: methods x metrics with intervals, best and second best, letters, failures in sight, conventions on hover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.scene import CONTROL, Scene
from facesr.reports.cells import Column, Row
from facesr.reports.figures import Drawing
from facesr.reports.figures.scores import means
from facesr.reports.gather import warnings
from facesr.reports.html import failures_html
from facesr.reports.scores import Scores
from facesr.reports.table import Table
from facesr.reports.tables import score_table


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Leaderboard")
    scores = scene.scores
    chosen = st.multiselect("Metrics", list(scores.metrics), key="metrics", bind="query-params", placeholder="all", format_func=str)
    narrowed = scores.only(metrics=[m for m in scores.metrics if m in chosen]) if chosen else scores
    shell.sentences(scene.kept("warnings", lambda: warnings(scores, None)), caution=True)
    made = table_of(scene, narrowed, tuple(chosen))
    shell.table(arranged(made), "leaderboard")
    for scale in scores.scales:
        shell.figure(scene, ("means", tuple(chosen), scale), partial(drawing, scene, made, scale))
    failed = scene.kept(("failed", tuple(chosen)), lambda: failures_html(made))
    if failed:
        with st.expander("What failed, and why"):
            st.html(f'<div class="facesr-scroll" tabindex="0" role="region" aria-label="What failed">{failed}</div>')


RUN_ORDER = "run order"


def arranged(made: Table) -> Table:
    """The table as the reader wants it: sorted by a column, best first, with ranks; only rows whose name holds what is searched for."""
    with st.container(horizontal=True):
        keys = [c.key for c in made.alive().columns]  # as they are, without labels: the address holds what is chosen
        by = st.selectbox("Sort by", [RUN_ORDER, *keys], key="sort", bind="query-params", width=CONTROL)
        words = st.text_input("Find a method", key="find", bind="query-params", width=CONTROL)
    return ordered(made, str(by or ""), words or "")


def ordered(made: Table, by: str, words: str = "") -> Table:
    """Rows that hold ``words``, best first by the metric ``by`` within each factor and numbered; equal means share a number."""
    rows = [row for row in made.rows if words.casefold() in f"{row.key} {row.label}".casefold()]
    at = next((i for i, column in enumerate(made.columns) if column.key == by), None)
    if at is None:
        return replace(made, rows=tuple(rows))
    sign = -1.0 if made.columns[at].higher_is_better else 1.0

    def score(row: Row) -> float:
        cell = row.cells[at]
        return sign * cell.mean if cell is not None and cell.ranked and math.isfinite(cell.mean) else math.inf

    listed = []
    for group in dict.fromkeys(row.group for row in made.rows):
        members = sorted((row for row in made.rows if row.group == group), key=score)
        for row in members:
            place = 1 + sum(score(other) < score(row) for other in members)
            listed.append(replace(row, label=f"{place}. {row.label}" if math.isfinite(score(row)) else row.label))
    kept = {(row.key, row.group) for row in rows}
    return replace(made, rows=tuple(row for row in listed if (row.key, row.group) in kept))


def table_of(scene: Scene, scores: Scores, chosen: tuple[str, ...] = ()) -> Table:
    """The leaderboard of these metrics, computed once."""
    return scene.kept(("leaderboard", chosen), lambda: score_table(scores, full=True))


def drawing(scene: Scene, made: Table, scale: int, columns: Sequence[Column] | None = None) -> Drawing:
    """The table's means with intervals at a factor, of all its columns or of some."""
    cells = made.frame()
    return means(cells[cells["scale"] == scale], columns or made.columns, scene.look)


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    made = table_of(scene, scores)
    scene.kept("warnings", lambda: warnings(scores, None))
    scene.kept(("failed", ()), lambda: failures_html(made))
    for scale in scores.scales:
        shell.warm_figure(scene, ("means", (), scale), partial(drawing, scene, made, scale))
