"""A run in progress, above every page: how much is there, what is done now, by whom, and when it will be over."""

from __future__ import annotations

import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import span
from facesr.bench.results import Run, progress
from facesr.bench.run.live import read_live
from facesr.dashboard.scene import Scene
from facesr.dashboard.sources import open_sources

MOST = 16
"""Workers named one by one."""


@st.fragment(run_every=3)
def in_progress(scene: Scene, stamp: object) -> None:
    """How far the runs have come; when their files have changed, the whole page is drawn anew."""
    for run in scene.group.runs:
        if run.running:
            try:
                _draw(run)
            except FaceSRError as error:
                st.warning(str(error))
    now = open_sources().group(scene.group.key)
    if now is not None and now.stamp != stamp:
        st.rerun()


def _draw(run: Run) -> None:
    done, live = progress(run), read_live(run.path)
    working = live is not None and not live.stopped
    there = f"{done.restored:,} of {done.images:,} images, {done.scored:,} of {done.scores:,} scores"
    st.progress(min(done.share, 1.0), f"{run.path.name} {'is in progress' if working else 'was stopped half-way'}: {there}")
    if live is None or not working:
        silent = f"No news for {span(live.silent)}. " if live is not None else ""
        st.caption(f"{silent}The same `facesr run` goes on where it was.")
        return
    st.caption(live.line)
    told = [f"{w.worker}: {w.task or 'idle'}" for w in live.workers[:MOST]]
    more = len(live.workers) - len(told)
    if told:
        st.caption(" · ".join([*told, *([f"and {more} more workers"] if more else [])]))
