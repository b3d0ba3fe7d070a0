"""Faces: a gallery of all of them in any order, and one face in full."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed
from facesr.bench.results.status import Status
from facesr.dashboard import shell
from facesr.dashboard.address import CONTROL, check_page, choose_option, words
from facesr.dashboard.images import face_url
from facesr.dashboard.scene import Scene, metric_control, scale_control
from facesr.dashboard.views import face as one_face
from facesr.reports.build import face_table
from facesr.reports.gather import headline
from facesr.reports.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

PAGES = (6, 12, 24, 48)
ORDERS = {
    "worst": "worst first (mean over methods)",
    "best": "best first (mean over methods)",
    "disagreement": "methods disagree most",
    "failed": "most failures first",
    "name": "by name",
}


def page(scene: Scene) -> None:
    """The gallery, or one face where the address names it."""
    scores = scene.scores
    st.title("Faces")
    # A text, not a list of thousands of names to choose from: that list would be sent and built anew with every click on this page.
    asked = words("Find a face", "face", "a name, or a part of names")
    if asked in scores.faces:
        one_face.show(scene, asked, list(order(scene, _metric_now(scene), scores.scales[0], "name").index))
    else:
        _gallery(scene, asked)


def _metric_now(scene: Scene) -> str:
    singles = scene.single_metrics(scene.scores)
    return singles[0] if singles else next(iter(scene.scores.metrics))


def sort_orders(scores: Scores) -> dict[str, str]:
    """The ways to sort, those by one method among them."""
    alone = {f"{how}:{m}": f"{how} first, {m}" for m in scores.methods for how in ("worst", "best")}
    return {**ORDERS, **alone}


def order(scene: Scene, metric: str, scale: float, how: str) -> pd.DataFrame:
    """``facesr.reports.build.face_table`` in the order asked for; faces without a value come last."""

    def sort() -> pd.DataFrame:
        scores = scene.scores
        table: pd.DataFrame = scene.kept(("faces", metric, scale), lambda: face_table(scores, metric, scale))
        if how == "name":
            return table.sort_index(kind="stable")
        if how in ("disagreement", "failed"):
            return table.sort_values(how, ascending=False, na_position="last", kind="stable")
        direction, _, method = how.partition(":")
        values = table[method] if method else table[list(scores.methods)].mean(axis=1)
        rising = bool(scores.column(metric).higher_is_better) == (direction == "worst")
        return table.loc[values.sort_values(ascending=rising, na_position="last", kind="stable").index]

    return scene.kept(("order", metric, scale, how), sort)


def _gallery(scene: Scene, part: str) -> None:
    """A page of faces; ``part``: only those whose names contain it."""
    scores = scene.scores
    orders = sort_orders(scores)
    with st.container(horizontal=True):
        metric = metric_control(scores, scene.single_metrics(scores))
        how = choose_option("Order", list(orders), "order", width=CONTROL + 60)
        scale = scale_control(scores)
        count = choose_option("Faces on a page", PAGES, "count", what="number of faces", width=130)
        table = _named(order(scene, metric, scale, how), part)
        number = _page_number(max(1, -(-len(table) // count)))
    if table.empty:
        st.info(f"No face in this view has {part!r} in its name: empty the field above to see all of them.")
        return
    shown = table.iloc[(number - 1) * count : number * count]
    column = scores.column(metric)
    st.caption(
        f"{len(table):,} faces, {orders[how]}, by {column.label} {column.arrow}. Images are the files that were scored, byte for byte; "
        "the best value of a face is bold."
    )
    for face, best in zip(shown.index, shown["best"], strict=True):
        face_row(scene, scores, str(face), scale, metric, str(best), here=True)


def _named(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The faces whose names contain a text, in whatever case."""
    return table[table.index.str.contains(part, case=False, regex=False)] if part else table


def face_row(
    scene: Scene, scores: Scores, face: str, scale: float, metric: str, best: str = "", *, here: bool = False, prefix: str = ""
) -> None:
    """A face as a line: its name, which opens it in full, and its images with their values. ``here``: on the page of faces itself."""
    methods = scores.methods
    statuses = scene.kept(("statuses", metric, scale, methods), lambda: scores.statuses(metric, scale).to_dict("index"))
    kept = scene.kept(("kept", metric, scale, methods), lambda: scores.values(metric, scale, kept=True).to_dict("index"))
    with st.container(horizontal=True, vertical_alignment="center"):
        key = f"open {prefix} {face}"
        if here:
            st.button(face, key=key, type="tertiary", on_click=open_face, args=(face,), width=110, help="Show in full")
        elif st.button(face, key=key, type="tertiary", width=110, help="Show in full"):
            st.switch_page(st.session_state["pages"]["faces"], query_params={"face": face})
        st.html(face_strip(scores, face, scale, metric, kept[face], statuses[face], best))


def open_face(name: str) -> None:
    """Show a face in full; the selectbox's own state carries it into the address."""
    st.session_state["face"] = name


def _page_number(pages: int) -> int:
    """A number field with its own buttons, kept within what there is."""
    check_page(pages)
    if pages < 2:
        return 1
    if int(st.session_state.get("page", 1) or 1) > pages:
        st.session_state["page"] = pages
    return int(st.number_input(f"Page (of {pages:,})", 1, pages, 1, key="page", bind="query-params", width=150))


def face_strip(
    scores: Scores,
    face: str,
    scale: float,
    metric: str,
    values: Mapping[Hashable, Any],
    statuses: Mapping[Hashable, Any],
    best: str,
) -> str:
    """LR, every method and HR of one face, with values, as HTML."""
    parts = [_tile(f"LR ×{scale}", face_url(one_face.run_of(scores), "lr", face, scale), f"{face}, LR", "")]
    for method in scores.methods:
        value, status = float(values[method]), str(statuses[method])
        number = fixed(value, scores.digits(metric)) if np.isfinite(value) else ""
        words = number if status == Status.OK else f"{number} {status.replace('_', ' ')}".strip()
        mark = "bad" if status != Status.OK else "first" if method == best and len(scores.methods) > 1 else ""
        run, label = scores.owner[method]
        shown = run.sr_path(label, face, scale).is_file()
        alt = f"{face}, {method}" + (f", {scores.column(metric).label} {words}" if words else "")
        parts.append(_tile(method, face_url(run, "sr", face, scale, label) if shown else "", alt, words, mark))
    if (run := one_face.run_of(scores, face)).has_hr:
        parts.append(_tile("HR", face_url(run, "hr", face, scale), f"{face}, HR", ""))
    return shell.strip(parts, f"{face}: LR, every method{' and HR' if run.has_hr else ''}")


def _tile(label: str, url: str, alt: str, words: str, mark: str = "") -> str:
    caption = f'<figcaption class="{mark}">{escape(words)}</figcaption>' if words and url else ""
    picture = (
        f'<img src="{escape(url, quote=True)}" alt="{escape(alt, quote=True)}" width="128" height="128" loading="lazy" decoding="async">'
        if url
        else f'<span class="facesr-none">{escape(words or "no image")}</span>'
    )
    return f'<figure><b title="{escape(label, quote=True)}">{escape(label)}</b>{picture}{caption}</figure>'


def warm(scene: Scene) -> None:
    """Compute the first view."""
    scores = scene.scores
    if not (singles := scene.single_metrics(scores)):
        raise FaceSRError("nothing to sort by yet")
    first = headline(scores)
    for metric in [first, *singles]:
        order(scene, metric, scores.scales[0], "worst")
