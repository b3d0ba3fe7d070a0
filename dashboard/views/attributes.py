"""Attributes: who is served worse."""

from __future__ import annotations

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.address import choose_option
from facesr.dashboard.scene import Scene, filters, metric_control, scale_control
from facesr.reports import build
from facesr.reports.figures import Drawing
from facesr.reports.figures.scores import attributes
from facesr.reports.gather import headline
from facesr.reports.served import attribute_table
from facesr.reports.table import Table


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Attributes")
    scores = scene.scores
    known = grouping(scene)
    if not known:
        st.info("The data set knows no attribute of these faces that could group them (age, gender, look …).")
        return
    with st.container(horizontal=True):
        metric = metric_control(scores, scene.single_metrics(scores))
        attribute = choose_option("Attribute", known, "attribute")
        scale = scale_control(scores)
    if why := build.too_thin(scores, attribute):
        st.info(why)
    else:
        shell.figure(scene, ("attributes", attribute, metric, scale), lambda: group_drawing(scene, attribute, metric, scale))
    shell.show_table(group_table(scene, attribute, metric, scale), "attributes")


def grouping(scene: Scene) -> list[str]:
    """Attributes with at least two values in this view."""
    return scene.kept("grouping", lambda: [a for a in filters(scene) if len(build.bands(scene.scores, a)) > 1])


def group_drawing(scene: Scene, attribute: str, metric: str, scale: float) -> Drawing:
    """Bars or points by the attribute's values."""
    frame = build.attribute_frame(scene.scores, attribute, metric, scale)
    return attributes({attribute: frame}, scene.scores.column(metric), scene.look)


def group_table(scene: Scene, attribute: str, metric: str, scale: float) -> Table:
    """Values of the attribute x methods."""
    return scene.kept(("served", attribute, metric, scale), lambda: attribute_table(scene.scores, attribute, metric, scale))


def warm(scene: Scene) -> None:
    """Compute the first view."""
    known = grouping(scene)
    if known and scene.single_metrics(scene.scores):
        metric, scale = headline(scene.scores), scene.scores.scales[0]
        if not build.too_thin(scene.scores, known[0]):
            shell.warm_figure(scene, ("attributes", known[0], metric, scale), lambda: group_drawing(scene, known[0], metric, scale))
        group_table(scene, known[0], metric, scale)
