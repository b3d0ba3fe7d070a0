"""Metrics against people: which metric ranks images as the raters of a study did. Nothing before the stopping rule."""

from __future__ import annotations

from functools import partial

import streamlit as st

from facesr.dashboard import shell
from facesr.dashboard.scene import Scene
from facesr.dashboard.sources import Catalogue, named_folders
from facesr.dashboard.views import mos as opinion
from facesr.reports import people
from facesr.reports.figures import Drawing, MethodStyle
from facesr.reports.figures import mos as drawings
from facesr.reports.mos import MosResult
from facesr.reports.scores import Scores


def page(catalogue: Catalogue) -> None:
    """Draw it."""
    st.title("Metrics against people")
    st.caption(
        "A metric that does not rank images as people do says nothing of what people see. A point is an image: its score, and its MOS."
    )
    opened = opinion.opened_study()
    if opened is None:
        return
    path, rehearsal, result = opened
    scene, scores = opinion.study_scene(path, rehearsal, result), own_scores(result, catalogue)
    if scores is None:
        st.info("The run that this study's images came from is not shown here: `facesr dashboard RUN --study STUDY` adds it.")
        return
    judged = _judged(scene, scores, result)
    if judged is None:
        st.info("Fewer than six images have both ratings and scores: too few to compare metrics with people.")
        return
    shell.sentences(judged.sentences)
    shell.show_table(scene.kept("agreement", lambda: people.agreement_table(judged)), "agreement")
    shell.figure(scene, "scatter", partial(_drawing, judged, result))


def own_scores(result: MosResult, catalogue: Catalogue) -> Scores | None:
    """The scores of the run this study was made from, where it is shown."""
    digest = str(result.study.info.get("run", {}).get("digest", ""))
    group = next((g for g in catalogue.groups if g.runs[0].digest == digest), None)
    return group.scores() if group and digest else None


def _judged(scene: Scene, scores: Scores, result: MosResult) -> people.People | None:
    return scene.kept("people", lambda: people.against_people(scores, result))


def _drawing(judged: people.People, result: MosResult) -> Drawing:
    look = MethodStyle([m.condition for m in result.conditions])
    return drawings.metric_scatter(judged.stimuli, judged.agreements, judged.columns, look)


def warm(catalogue: Catalogue) -> None:
    """Compute the first view of every study; one whose rule is not met is left alone."""
    for path in named_folders("FACESR_STUDIES"):
        result = opinion.cached_study(path, False)
        scene, scores = opinion.study_scene(path, False, result), own_scores(result, catalogue)
        if scores is not None and (judged := _judged(scene, scores, result)) is not None:
            scene.kept("agreement", partial(people.agreement_table, judged))
            shell.warm_figure(scene, "scatter", partial(_drawing, judged, result))
