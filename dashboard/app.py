"""The Streamlit script: chooses runs, draws the navigation and the chosen page. Started by ``facesr dashboard`` and ``facesr study serve``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.dashboard import address, live, shell
from facesr.dashboard.rating.watch import watch_page as watch
from facesr.dashboard.scene import Scene, in_view
from facesr.dashboard.sources import Catalogue, open_sources
from facesr.dashboard.views import (
    attributes,
    compare,
    consistency,
    faces,
    identity,
    leaderboard,
    mos,
    people,
    plane,
    provenance,
    sweep,
)
from facesr.reports import notes

PAGES: dict[str, tuple[str, str, Callable[[Scene], None]]] = {
    "leaderboard": ("Leaderboard", "leaderboard", leaderboard.page),
    "faces": ("Faces", "face", faces.page),
    "plane": ("Trade-off", "scatter_plot", plane.page),
    "compare": ("Compare", "compare_arrows", compare.page),
    "identity": ("Identity", "fingerprint", identity.page),
    "consistency": ("Consistency", "sync_alt", consistency.page),
    "sweep": ("Scale sweep", "show_chart", sweep.page),
    "attributes": ("Attributes", "groups", attributes.page),
    "provenance": ("Provenance", "history_edu", provenance.page),
}


def _guarded(draw: Callable[[], None]) -> None:
    """What goes wrong in a page is one sentence. Streamlit's own control flow is no exception of ours and passes."""
    try:
        draw()
    except FaceSRError as error:
        st.error(str(error))


def _with_footnotes(draw: Callable[[Scene], None], scene: Scene) -> None:
    """A view, and under it what the methods in view declare: whose weights, which metrics they were trained on."""
    draw(scene)
    for line in notes.declared(scene.scores):
        st.caption(line)


def _page(name: str, draw: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        _guarded(draw)

    run.__name__ = name  # Streamlit tells pages apart by it
    return run


def _problems(shown: Catalogue) -> None:
    for sentence in shown.problems:
        st.error(sentence, icon=":material/error:")


def _no_runs(shown: Catalogue) -> None:
    st.title("FaceSR-Bench")
    if not shown.problems:
        st.info("No run is shown: `facesr run demo-x8-128 --out runs/demo` makes one, `facesr dashboard runs/demo` opens it.")


def _navigation(shown: Catalogue, scene: Scene | None) -> Any:
    pages: dict[str, Any] = {}
    if scene is not None:
        for key, (title, icon, draw) in PAGES.items():
            pages[key] = st.Page(
                _page(key, partial(_with_footnotes, draw, scene)),
                title=title,
                icon=f":material/{icon}:",
                url_path=key,
                default=key == "leaderboard",
            )
    else:
        pages["start"] = st.Page(
            _page("start", lambda: _no_runs(shown)), title="Start", icon=":material/home:", default=not _served()
        )
    opinion = st.Page(_page("mos", mos.page), title="MOS", icon=":material/star:", url_path="mos")
    agreement = st.Page(
        _page("people", lambda: people.page(shown)), title="Metrics and people", icon=":material/group:", url_path="people"
    )
    listed = list(pages.items())
    at = len(listed) - 1 if scene is not None else len(listed)
    pages = dict([*listed[:at], ("mos", opinion), ("people", agreement), *listed[at:]])
    if _served():
        pages["watch"] = st.Page(
            _page("watch", watch), title="Watch the study", icon=":material/visibility:", url_path="watch", default=scene is None
        )
    st.session_state["pages"] = pages
    return st.navigation(list(pages.values()), expanded=True)


def _served() -> bool:
    """Whether a study is served beside these pages, so that its raters can be watched and invited."""
    return bool(os.environ.get("FACESR_STUDIES")) and "FACESR_DASHBOARD" not in os.environ


def main() -> None:
    """Draw everything once."""
    shown = open_sources()
    st.set_page_config(page_title="FaceSR-Bench", page_icon=shell.icon(), layout="wide")
    shell.style()
    address.begin()
    scene = None
    try:
        scene = in_view(shown)
        page = _navigation(shown, scene)
    except FaceSRError as error:
        st.error(str(error))
        return
    shell.whose(scene.group.name if scene else "", scene.group.title if scene else "")
    wrong = st.container()
    _problems(shown)
    if scene is not None and scene.group.running:
        live.in_progress(scene, scene.group.stamp)
    page.run()
    for sentence in address.wrong():
        wrong.warning(sentence, icon=":material/link_off:")


main()
