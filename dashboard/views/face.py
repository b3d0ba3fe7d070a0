"""One face in full: images, maps, slider and lens, scores, and whom each answer resembles."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.dashboard import shell
from facesr.dashboard.address import CONTROL, choose_option, segments, switch
from facesr.dashboard.images import face_url
from facesr.dashboard.scene import Scene, scale_control
from facesr.dashboard.viewer import ShownPicture, viewer
from facesr.reports import maps
from facesr.reports.neighbours import embed_hr, neighbours, possible
from facesr.reports.one_face import face_scores

if TYPE_CHECKING:
    from facesr.reports.scores import Scores

ZOOMS = ("off", "4", "6", "8", "12", "16")


def run_of(scores: Scores, face: str = "") -> Run:
    """The run that holds a face's LR and HR."""
    runs = scores.runs
    return next((r for r in runs if not face or any(f.name == face for f in r.faces)), runs[0])


def show(scene: Scene, face: str, order: Sequence[str]) -> None:
    """Draw it. ``order``: all faces, for the buttons to the next one."""
    scores = scene.scores
    _turn(face, order)
    scale = scale_control(scores)
    st.header(face)
    known = scores.attributes.get(face, {})
    if known:
        st.caption(" · ".join(f"{k}: {v}" for k, v in known.items()))
    pictures = images(scores, face, scale)
    _viewer(scores, pictures, face)
    st.html(_strip(pictures, f"{face}: LR, every method and HR"))
    _maps(scores, face, scale)
    shell.show_table(scene.kept(("face", face, scale), lambda: face_scores(scores, face, scale)), f"face {face}")
    _neighbours(scene, face, scale)


def _turn(face: str, order: Sequence[str]) -> None:
    at = order.index(face)
    with st.container(horizontal=True):
        st.button("All faces", icon=":material/grid_view:", on_click=go, args=("",), key="all faces")
        st.button("Previous", icon=":material/chevron_left:", on_click=go, args=(order[at - 1],), key="previous", shortcut="p")
        st.button(
            "Next", icon=":material/chevron_right:", on_click=go, args=(order[(at + 1) % len(order)],), key="next", shortcut="n"
        )


def go(name: str) -> None:
    """To another face, or, without a name, back to the gallery."""
    st.session_state["face"] = name


def images(scores: Scores, face: str, scale: float) -> list[ShownPicture]:
    """LR, every method whose image is there, and HR."""
    run = run_of(scores, face)
    found = [ShownPicture("LR", face_url(run, "lr", face, scale), f"{face}, LR")]
    for method in scores.methods:
        owner, label = scores.owner[method]
        if owner.sr_path(label, face, scale).is_file():
            found.append(ShownPicture(method, face_url(owner, "sr", face, scale, label), f"{face}, {method}"))
    return found if not run.has_hr else [*found, ShownPicture("HR", face_url(run, "hr", face, scale), f"{face}, HR")]


def _viewer(scores: Scores, pictures: list[ShownPicture], face: str) -> None:
    named = {p.label: p for p in pictures}
    names = list(named)
    second = next((i for i, n in enumerate(names) if n in scores.methods), 0)
    with st.container(horizontal=True):
        left = choose_option("Left", names, "left", first=names[second], what="image", width=CONTROL - 60)
        right = choose_option("Right", names, "right", first=names[-1], what="image", width=CONTROL - 60)
        zoom = segments("Lens enlarges", ZOOMS, "zoom", first="8")
    size = int(scores.runs[0].protocol.get("data", {}).get("size", 128))
    viewer(named[str(left)], named[str(right)], pictures, size, 0 if zoom == "off" else int(zoom), f"viewer {face}")


def _strip(pictures: Sequence[ShownPicture], label: str) -> str:
    tiles = [
        f'<figure><b>{escape(p.label)}</b><img src="{escape(p.url, quote=True)}" alt="{escape(p.alt, quote=True)}" width="128" height="128"></figure>'
        for p in pictures
    ]
    return shell.strip(tiles, label)


def _maps(scores: Scores, face: str, scale: float) -> None:
    rows: dict[str, list[ShownPicture]] = {"difference": [], "residual": [], "nullspace": []}
    kinds = (("difference", "difference from HR"), ("residual", "D(SR) minus LR"), ("nullspace", "what LR cannot say"))
    for method in scores.methods:
        run, label = scores.owner[method]
        if not run.sr_path(label, face, scale).is_file():
            continue
        for kind, words in kinds:
            url = face_url(run, kind, face, scale, label)
            rows[kind].append(ShownPicture(method, url, f"{face}, {method}: {words}"))
    if not rows["difference"]:
        st.info("No method has an image of this face yet.")
        return
    if scores.runs[0].has_hr:
        st.subheader("Difference from HR")
        st.html(_strip(rows["difference"], "Difference from HR"))
        key = '<span class="facesr-key" role="img" aria-label="dark blue to yellow"></span>'
        st.html(f'<p class="facesr-words">Root mean square over RGB: 0 {key} {maps.FULL:g} of 255 levels and more</p>')
    st.subheader("D(SR) − LR")
    st.html(_strip(rows["residual"], "D(SR) minus LR"))
    kernel = escape(str(scores.runs[0].protocol.get("degradation", {}).get("kernel", "?")))
    said = f"D = {kernel}. Grey: equal; differences enlarged {maps.GAIN:g} times. Its mean square is ε."
    st.html(f'<p class="facesr-words">{said}</p>')
    _null_space(scores, face, scale, rows["nullspace"])


def _null_space(scores: Scores, face: str, scale: float, found: list[ShownPicture]) -> None:
    """What in each answer does not come from LR: invented, or known from elsewhere; HR's own beside it."""
    st.subheader("Not in LR")
    run = run_of(scores, face)
    if run.has_hr:
        found = [*found, ShownPicture("HR", face_url(run, "nullspace", face, scale), f"{face}, HR: what LR cannot say")]
    st.html(_strip(found, "Null-space part: what LR cannot say"))
    said = (
        f"The null-space part SR − D⁺D(SR), enlarged {maps.NULL_GAIN:g} times around grey: D maps it to nothing, so LR neither asks for it nor "
        "forbids it. Grey follows from LR; HR's own shows what there was to find."
    )
    st.html(f'<p class="facesr-words">{said}</p>')


def _neighbours(scene: Scene, face: str, scale: float) -> None:
    scores = scene.scores
    st.subheader("Identity neighbours")
    if why := possible(scores):
        st.caption(why)
        return
    st.caption(
        "The HR faces whose SFace embeddings are most like each answer's (cosine similarity). The right one should come first."
    )
    if not switch("Find them", "neighbours", "Embeds every HR face once: about a minute for 2,824 faces"):
        return
    try:
        with st.spinner("Embedding the HR faces (once) …"):
            found = scene.kept(("neighbours", face, scale), lambda: neighbours(scene.whole, face, scale, embeddings(scene)))
    except FaceSRError as error:
        st.info(str(error))
        return
    for one in found:
        tiles = []
        for rank, (name, alike) in enumerate(zip(one.faces, one.similarity, strict=True), start=1):
            url = escape(face_url(run_of(scene.whole, name), "hr", name, scale), quote=True)
            mark = "first" if name == face else ""
            tiles.append(
                f'<figure><b>{escape(name)}</b><img src="{url}" alt="{escape(f"{name}, HR, neighbour {rank}", quote=True)}" loading="lazy">'
                f'<figcaption class="{mark}">{alike:.3f}{" · this face" if name == face else ""}</figcaption></figure>'
            )
        place = f"this face comes {one.rank:,} of {one.gallery:,}" if one.rank else "no embedding"
        st.html(f"<p><b>{escape(one.method)}</b>: {place}</p>{shell.strip(tiles, f'{one.method}: nearest faces')}")


def embeddings(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """HR's embeddings, computed once for these files."""
    return Scene(scene.group).kept("embeddings", lambda: embed_hr(scene.whole))
