"""Compare two methods: paired differences, win rate, where and for whom one beats the other."""

from __future__ import annotations

import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed, p_text
from facesr.dashboard import shell
from facesr.dashboard.address import choose_option
from facesr.dashboard.scene import Scene, filters, metric_control, scale_control
from facesr.dashboard.views import faces as gallery
from facesr.reports.build import Duel, duel
from facesr.reports.figures.duel import differences
from facesr.reports.gather import headline
from facesr.reports.scores import Scores
from facesr.reports.served import duel_by

SHOWN = 4


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Compare two methods")
    scores = scene.scores
    if len(scores.methods) < 2:
        st.info(
            "This view holds one method: a comparison needs two. Add one with `facesr run … --methods`, or choose more in the sidebar."
        )
        return
    with st.container(horizontal=True):
        a, b = _pair(scores)
        metric = metric_control(scores, scene.single_metrics(scores))
        scale = scale_control(scores)
    pair = scene.kept(("pair", a, b), lambda: scores.only(methods=[a, b]))
    both = len(pair.values(metric, scale).dropna())
    if both < 2:
        st.info(f"{a} and {b} have {both} faces in common that both have a value for: a comparison needs at least two.")
        return
    found = scene.kept(("duel", a, b, metric, scale), lambda: duel(pair, a, b, metric, scale))
    _figures(scores, found, metric)
    shell.figure(
        scene,
        ("differences", a, b, metric, scale),
        lambda: differences(found, scores.column(metric), scene.look, scores.digits(metric)),
    )
    known = tuple(filters(scene))
    made = scene.kept(("duel by", a, b, metric, scale), lambda: duel_by(pair, a, b, metric, known, scale))
    shell.show_table(made, "duel")
    st.download_button(
        "Differences of all faces (CSV)",
        found.faces.to_csv,
        f"{a}-against-{b}-{metric}.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    _faces(scene, found, metric, scale)


def _pair(scores: Scores) -> tuple[str, str]:
    first, second = first_pair(scores)
    a = choose_option("Method A", scores.methods, "a", first=first, what="method")
    others = [m for m in scores.methods if m != a]
    return a, choose_option("Method B", others, "b", first=second, what="method")


def first_pair(scores: Scores) -> tuple[str, str]:
    """The last method that has values against the first: the newcomer against the floor."""
    values = scores.values(headline(scores))
    known = [m for m in scores.methods if values[m].notna().any()]
    if len(known) < 2:
        known = list(scores.methods)
    return known[-1], known[0]


def _figures(scores: Scores, found: Duel, metric: str) -> None:
    digits, column, test = scores.digits(metric), scores.column(metric), found.test
    n = len(found.faces)
    ties = n - found.wins - found.losses
    interval = f"95 % interval {fixed(test.low, digits)} to {fixed(test.high, digits)}, over {n:,} faces"
    shown = [
        (f"{found.a} wins", f"{found.win_rate:.1%}", "share of faces, ties counted half"),
        ("Faces", f"{found.wins:,} : {found.losses:,}", f"for {found.a} and for {found.b}; {ties:,} ties"),
        (f"Mean difference {column.arrow}", fixed(test.difference, digits), interval),
        ("p", p_text(test.p), test.test),
        ("Effect (rank-biserial)", fixed(test.rank_biserial_faces, 2), "matched pairs, over faces; 0 none, 1 always"),
    ]
    with st.container(horizontal=True, gap="large"):
        for label, value, meaning in shown:
            st.metric(label, value, help=meaning, width="content")
    st.caption(
        f"{column.label}: {found.a} {fixed(float(found.faces['a'].mean()), digits)}, {found.b} {fixed(float(found.faces['b'].mean()), digits)} "
        f"over the {n:,} faces that both have; mean difference {fixed(test.difference, digits)}, "
        f"95 % interval {fixed(test.low, digits)} to {fixed(test.high, digits)}; {test.test}."
    )


def _faces(scene: Scene, found: Duel, metric: str, scale: float) -> None:
    scores = scene.kept(("pair", found.a, found.b), lambda: scene.scores.only(methods=[found.a, found.b]))
    sign = 1 if scores.column(metric).higher_is_better else -1
    ordered = (sign * found.faces["difference"]).sort_values(ascending=False, kind="stable")
    for side, method, names in (("a", found.a, ordered.index[:SHOWN]), ("b", found.b, ordered.index[::-1][:SHOWN])):
        mine = [str(f) for f in names if found.faces.loc[f, "favours"] == side]
        st.header(f"Where {method} wins most")
        if not mine:
            st.caption("Nowhere.")
        for face in mine:
            gallery.face_row(scene, scores, face, scale, metric, found.a if side == "a" else found.b, prefix=side)


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    if len(scores.methods) < 2:
        raise FaceSRError("one method")
    (a, b), metric, scale = first_pair(scores), headline(scores), scores.scales[0]
    found = scene.kept(("duel", a, b, metric, scale), lambda: duel(scores, a, b, metric, scale))
    shell.warm_figure(
        scene,
        ("differences", a, b, metric, scale),
        lambda: differences(found, scores.column(metric), scene.look, scores.digits(metric)),
    )
    known = tuple(filters(scene))
    scene.kept(("duel by", a, b, metric, scale), lambda: duel_by(scores.only(methods=[a, b]), a, b, metric, known, scale))
