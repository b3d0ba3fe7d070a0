"""Leaderboard: methods x metrics with intervals, best and second best, letters, failures in sight, conventions on hover."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.scene import DRAWS, Scene
from facesr.reports.cells import Column
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
    shell.table(made, "leaderboard")
    for scale in scores.scales:
        shell.figure(scene, ("means", tuple(chosen), scale), partial(drawing, scene, made, scale))
    failed = scene.kept(("failed", tuple(chosen)), lambda: failures_html(made))
    if failed:
        with st.expander("What failed, and why"):
            st.html(f'<div class="facesr-scroll" tabindex="0" role="region" aria-label="What failed">{failed}</div>')


def table_of(scene: Scene, scores: Scores, chosen: tuple[str, ...] = ()) -> Table:
    """The leaderboard of these metrics, computed once."""
    return scene.kept(("leaderboard", chosen), lambda: score_table(scores, full=True, draws=DRAWS))


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
