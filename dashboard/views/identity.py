"""Identity: is the restored face still the same person? Similarity, retrieval, verification, and who is lost."""

from __future__ import annotations

import streamlit as st

from facesr.bench.results.status import Status
from facesr.dashboard import shell
from facesr.dashboard.address import choose_option
from facesr.dashboard.scene import Scene, filters, metric_control, scale_control
from facesr.dashboard.views import faces as gallery
from facesr.dashboard.views import leaderboard
from facesr.reports import build
from facesr.reports.figures import Drawing
from facesr.reports.figures.scores import attributes
from facesr.reports.scores import Scores
from facesr.reports.table import Table
from facesr.reports.tables import score_table

FAMILIES = ("identity", "retrieval", "verification", "tar-", "landmark")
SHOWN = 4


def identity_metrics(scores: Scores) -> list[str]:
    """Metrics of this run that speak of identity."""
    return [m for m in scores.metrics if m.startswith(FAMILIES)]


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Identity")
    scores = scene.scores
    metrics = identity_metrics(scores)
    if not metrics:
        st.info(
            "This run measured no identity: add `identity-sface` and `retrieval-sface` to the protocol's metrics, and run it again."
        )
        return
    shell.show_table(identity_table(scene), "identity")
    single = [m for m in metrics if m in scene.single_metrics(scores)]
    if not single:
        st.info("No identity metric of single faces has a value in this view.")
        return
    scale = scale_control(scores)
    shell.figure(scene, ("identity", scale), lambda: identity_drawing(scene, single, scale))
    if known := drawn(scene):
        shell.figure(scene, ("identity by", scale), lambda: identity_by_attribute(scene, single[0], known, scale))
    _lost(scene, single, scale)


def identity_table(scene: Scene) -> Table:
    """The leaderboard of identity metrics."""
    scores = scene.scores
    return scene.kept("identity table", lambda: score_table(scores.only(metrics=identity_metrics(scores)), full=True))


def identity_drawing(scene: Scene, metrics: list[str], scale: float) -> Drawing:
    """Means with intervals."""
    return leaderboard.leaderboard_drawing(scene, identity_table(scene), scale, [scene.scores.column(m) for m in metrics])


def drawn(scene: Scene) -> tuple[str, ...]:
    """Attributes that group these faces, each group large enough to say something."""
    scores = scene.scores
    return tuple(a for a in filters(scene) if len(build.bands(scores, a)) > 1 and not build.too_thin(scores, a))


def identity_by_attribute(scene: Scene, metric: str, names: tuple[str, ...], scale: float) -> Drawing:
    """Whose identity is kept worse."""
    scores = scene.scores
    frames = {a: build.attribute_frame(scores, a, metric, scale) for a in names}
    return attributes(frames, scores.column(metric), scene.look)


def _lost(scene: Scene, metrics: list[str], scale: float) -> None:
    scores = scene.scores
    st.header("Least like themselves")
    with st.container(horizontal=True):
        metric = metric_control(scores, metrics, "by", "By")
        method = choose_option("Method", scores.methods, "method")
    table = gallery.order(scene, metric, scale, f"worst:{method}").head(SHOWN)
    for face, best in zip(table.index, table["best"], strict=True):
        gallery.face_row(scene, scores, str(face), scale, metric, str(best))
    lost = scene.kept(("no face", metric, scale), lambda: (scores.statuses(metric, scale) == Status.NO_FACE).sum().to_dict())
    if any(lost.values()):
        st.caption("Faces not found: " + ", ".join(f"{m} {n:,}" for m, n in lost.items() if n) + ".")


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    single = [m for m in identity_metrics(scores) if m in scene.single_metrics(scores)]
    if not single:
        return
    identity_table(scene)
    scale = scores.scales[0]
    shell.warm_figure(scene, ("identity", scale), lambda: identity_drawing(scene, single, scale))
    if known := drawn(scene):
        shell.warm_figure(scene, ("identity by", scale), lambda: identity_by_attribute(scene, single[0], known, scale))
