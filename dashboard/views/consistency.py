"""Consistency: does the answer, degraded again, give the LR it was made from? ε, pass rates, searches that did not converge."""

from __future__ import annotations

import streamlit as st

from facesr.bench.results.status import Status
from facesr.dashboard import shell
from facesr.dashboard.address import choose_option
from facesr.dashboard.scene import Scene, scale_control
from facesr.dashboard.views import faces as gallery
from facesr.reports import build, notes
from facesr.reports.figures.scores import epsilon
from facesr.reports.table import Table
from facesr.reports.tables import score_table

SHOWN = 4


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Consistency")
    scores = scene.scores
    metric = build.epsilon_metric(scores)
    if metric is None:
        st.info("This run did not measure consistency: add the metric `consistency` to its protocol, and run it again.")
        return
    scale = scale_control(scores)
    frame = scene.kept(("epsilon", scale), lambda: build.epsilon_frame(scores, scale))
    shell.show_table(epsilon_table(scene), "consistency")
    if len(frame):
        shell.figure(scene, ("epsilon", scale), lambda: epsilon(frame, scores.epsilon, scene.look))
    else:
        st.info("No image has an ε in this view yet.")
    _unconverged(scene)
    _worst(scene, metric, scale)


def epsilon_table(scene: Scene) -> Table:
    """ε and the pass rate of every method."""
    scores = scene.scores
    metrics = [m for m in scores.metrics if m.startswith("consistency")]
    return scene.kept("consistency table", lambda: score_table(scores.only(metrics=metrics), full=True))


def _unconverged(scene: Scene) -> None:
    scores = scene.scores
    st.header("Not converged")
    found = scene.kept("failures", lambda: build.failures(scores))
    part = found[found["status"] == Status.NOT_CONVERGED][["method", "scale", "image", "reason"]].drop_duplicates()
    if part.empty:
        st.caption("Every search converged, or no method here searches.")
        return
    counts = part.groupby("method")["image"].nunique()
    kept = scene.kept("kept line", lambda: notes.kept_line(scores))
    st.caption("Images whose search did not converge: " + ", ".join(f"{m} {n:,}" for m, n in counts.items()) + ". " + kept)
    st.dataframe(part, hide_index=True, width="stretch", height=240, alt="Images whose search did not converge, with reasons")


def _worst(scene: Scene, metric: str, scale: float) -> None:
    scores = scene.scores
    st.header("Furthest from their LR")
    method = choose_option("Method", scores.methods, "method")
    values = scores.values(metric, scale, kept=True)
    worst = values[method].sort_values(ascending=False, na_position="last", kind="stable").index[:SHOWN]
    for face in map(str, worst):
        gallery.face_row(scene, scores, face, scale, metric)


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    if build.epsilon_metric(scores) is None:
        return
    scale = scores.scales[0]
    frame = scene.kept(("epsilon", scale), lambda: build.epsilon_frame(scores, scale))
    epsilon_table(scene)
    scene.kept("failures", lambda: build.failures(scores))
    scene.kept("kept line", lambda: notes.kept_line(scores))
    if len(frame):
        shell.warm_figure(scene, ("epsilon", scale), lambda: epsilon(frame, scores.epsilon, scene.look))
