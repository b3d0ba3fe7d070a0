"""Scale sweep: every metric over the downscaling factors."""

from __future__ import annotations

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.address import several
from facesr.dashboard.scene import Scene
from facesr.dashboard.views.leaderboard import leaderboard_table
from facesr.reports import build
from facesr.reports.figures import Drawing
from facesr.reports.figures.scores import sweep


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Scale sweep")
    scores = scene.scores
    if len(scores.scales) < 2:
        st.info(
            f"This run has one factor, ×{scores.scales[0]}: a protocol with several, such as `celebahq-sweep-128`, gives a sweep."
        )
        return
    singles = scene.single_metrics(scores)
    shown = several("Metrics", singles, "metrics") or singles
    shell.figure(scene, ("sweep", tuple(shown)), lambda: sweep_drawing(scene, shown))
    shell.show_table(leaderboard_table(scene, scores.only(metrics=shown), tuple(shown)), "sweep")


def sweep_drawing(scene: Scene, metrics: list[str]) -> Drawing:
    """One panel per metric."""
    scores = scene.scores
    return sweep({m: build.sweep_frame(scores, m) for m in metrics}, {m: scores.column(m) for m in metrics}, scene.look)


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    singles = scene.single_metrics(scores)
    if len(scores.scales) > 1 and singles:
        shell.warm_figure(scene, ("sweep", tuple(singles)), lambda: sweep_drawing(scene, singles))
        leaderboard_table(scene, scores.only(metrics=singles), tuple(singles))
