"""Perception against distortion: any two metrics, intervals on both axes, and the methods that no other beats in both."""

from __future__ import annotations

from functools import partial

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.address import choose_option
from facesr.dashboard.scene import Scene, scale_control
from facesr.reports.figures import Drawing
from facesr.reports.figures.plane import plane
from facesr.reports.gather import plane_axes
from facesr.reports.scores import Scores
from facesr.reports.tables import leaderboard


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Trade-off")
    st.caption(
        "A method can be faithful, or look natural, or both a little: who is beaten by nobody in both? Up and right are better."
    )
    metrics = list(scene.scores.metrics)
    if len(metrics) < 2:
        st.info("A plane needs two metrics: this run measured one.")
        return
    x, y = axes(scene.scores)
    with st.container(horizontal=True):
        across = choose_option("Across", metrics, "x", first=x, what="metric")
        up = choose_option("Up", metrics, "y", first=y, what="metric")
        scale = scale_control(scene.scores)
    if across == up:
        st.info("Choose two different metrics.")
        return
    shell.figure(scene, ("plane", across, up, scale), partial(plane_drawing, scene, across, up, scale))


def axes(scores: Scores) -> tuple[str, str]:
    """A distortion metric and a perceptual one, or the first two."""
    first, second = list(scores.metrics)[:2]
    return plane_axes(scores) or (first, second)


def plane_drawing(scene: Scene, x: str, y: str, scale: float) -> Drawing:
    """The plane of two metrics at a factor."""
    chosen = scene.scores.only(metrics=[x, y], scales=[scale])
    table = scene.kept(("plane cells", x, y, scale), lambda: leaderboard(chosen))
    return plane(table.cells, chosen.column(x), chosen.column(y), scene.look)


def warm(scene: Scene) -> None:
    """Draw the first view."""
    if len(scene.scores.metrics) > 1:
        x, y = axes(scene.scores)
        scale = scene.scores.scales[0]
        shell.warm_figure(scene, ("plane", x, y, scale), partial(plane_drawing, scene, x, y, scale))
