"""Leaderboard: methods x metrics with intervals, best and second best, letters, failures in sight, conventions on hover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from facesr.dashboard import address, shell
from facesr.dashboard.address import choose_option, several, words
from facesr.dashboard.scene import Scene
from facesr.reports.cells import Column, Row
from facesr.reports.figures import Drawing
from facesr.reports.figures.scores import means
from facesr.reports.gather import warnings
from facesr.reports.html import failures_html
from facesr.reports.published import any_published
from facesr.reports.scores import Scores
from facesr.reports.table import Table
from facesr.reports.tables import score_table


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Leaderboard")
    scores = scene.scores
    chosen = several("Metrics", list(scores.metrics), "metrics")
    narrowed = scores.only(metrics=chosen) if chosen else scores
    shell.sentences(scene.kept("warnings", lambda: warnings(scores, None)), caution=True)
    made = leaderboard_table(scene, narrowed, tuple(chosen))
    shown, by = arranged(made)
    if shown.rows:
        links = {key: address.with_parameter("sort", key) for key in (BY_NAME, *(c.key for c in made.columns), "n")}
        shell.show_table(shown, "leaderboard", links=links, sorted_by=by)
    for scale in scores.scales:
        shell.figure(scene, ("means", tuple(chosen), scale), partial(leaderboard_drawing, scene, made, scale))
    failed = scene.kept(("failed", tuple(chosen)), lambda: failures_html(made))
    if failed:
        with st.expander("What failed, and why"):
            st.html(f'<div class="facesr-scroll" tabindex="0" role="region" aria-label="What failed">{failed}</div>')
    papers = scene.kept(("published", tuple(chosen)), lambda: any_published(narrowed))
    if papers is not None:
        with st.expander("Published numbers beside these"):
            shell.show_table(papers, "published")


RUN_ORDER, BY_NAME = "run order", "method"


def arranged(made: Table) -> tuple[Table, str]:
    """The table sorted by a column, best first, with ranks, and only the rows whose name holds what is searched for; and that column."""
    keys = [column.key for column in made.alive().columns]
    with st.container(horizontal=True):
        by = choose_option("Sort by", [RUN_ORDER, BY_NAME, *keys, *(["n"] if made.show_n else [])], "sort", what="column")
        part = words("Find a method", "find")
    shown = ordered(made, by, part)
    if not shown.rows:
        st.info(f"No method here has {part!r} in its name: empty the field above to see all {len(made.rows)}.")
    return shown, by


def ordered(made: Table, by: str, part: str = "") -> Table:
    """Rows whose names hold ``part``, within each factor best first by the metric ``by`` and numbered, where equal means share a number;
    or by name, or by ``n``, most faces first.
    """
    rows = [row for row in made.rows if part.casefold() in f"{row.key} {row.label}".casefold()]
    if by in (BY_NAME, "n"):
        groups = list(dict.fromkeys(row.group for row in rows))
        rows.sort(key=lambda row: (groups.index(row.group), row.label.casefold() if by == BY_NAME else -(row.n or 0)))
        return replace(made, rows=tuple(rows))
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


def leaderboard_table(scene: Scene, scores: Scores, chosen: tuple[str, ...] = ()) -> Table:
    """The leaderboard of these metrics, computed once."""
    return scene.kept(("leaderboard", chosen), lambda: score_table(scores, full=True))


def leaderboard_drawing(scene: Scene, made: Table, scale: float, columns: Sequence[Column] | None = None) -> Drawing:
    """The table's means with intervals at a factor, of all its columns or of some."""
    cells = made.frame()
    return means(cells[cells["scale"] == scale], columns or made.alive().columns, scene.look)


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    made = leaderboard_table(scene, scores)
    scene.kept("warnings", lambda: warnings(scores, None))
    scene.kept(("failed", ()), lambda: failures_html(made))
    for scale in scores.scales:
        shell.warm_figure(scene, ("means", (), scale), partial(leaderboard_drawing, scene, made, scale))
