"""MOS: three intervals, both analyses, raters and screening. Nothing before the stopping rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import streamlit as st

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed
from facesr.dashboard import shell
from facesr.dashboard.address import check_address, choose_option, switch
from facesr.dashboard.memo import memo
from facesr.dashboard.scene import Scene
from facesr.dashboard.sources import Group, distinct, named_folders
from facesr.reports import mos
from facesr.reports.figures import Drawing, MethodStyle
from facesr.reports.figures import mos as drawings
from facesr.reports.paired import is_paired, open_paired, paired_table
from facesr.reports.references import printed_condition
from facesr.reports.table import Table


def page() -> None:
    """Draw it."""
    st.title("Mean opinion scores")
    opened = opened_study()
    if opened is None:
        return
    path, rehearsal, result = opened
    scene = study_scene(path, rehearsal, result)
    _results(scene, result)
    _raters(result)
    st.page_link(st.session_state["pages"]["people"], label="Which metrics agree with these raters", icon=":material/group:")


def opened_study() -> tuple[Path, bool, mos.MosResult] | None:
    """The study that the reader chose, with what must be read first; None where a sentence says why there are no means."""
    paths = list(dict.fromkeys(named_folders("FACESR_STUDIES")))
    if not paths:
        st.info("No study is shown here: give one with `facesr dashboard RUN --study STUDY`.")
        return None
    titles = distinct(paths)
    if len(paths) > 1:
        path = titles[choose_option("Study", list(titles), "study")]
    else:
        check_address("study", titles, "study")
        path = paths[0]
    st.caption(f"Study **{path.name}**")
    rehearsal = switch("Simulated raters", "simulated", "A rehearsal: no person gave these ratings, and every table says so")
    try:
        if memo.get(("paired", path), lambda: is_paired(path)):
            shell.show_table(open_pairs(path, rehearsal), "pairs")
            return None
        result = cached_study(path, rehearsal)
    except FaceSRError as error:
        st.info(_for_readers(str(error), path), icon=":material/lock:")
        return None
    except Exception as error:
        st.error(
            f"{path.name} cannot be read ({type(error).__name__}: {error}): 'facesr study check {path.name}' says what is wrong"
        )
        return None
    if result.label:
        st.warning(result.label, icon=":material/warning:")
    shell.sentences((guard.sentence for guard in result.analysis.guards), caution=True)
    return path, rehearsal, result


def _for_readers(sentence: str, path: Path) -> str:
    """Without the folder, and without the command line's way to look early: the watching page logs who looked and why."""
    return sentence.split(" (--peek", 1)[0].replace(str(path), path.name)


def ratings_stamp(path: Path) -> tuple[object, ...]:
    """Changes with a study's files. A PostgreSQL study has no file: asked anew every time."""
    made: list[object] = []
    for name in ("study.json", "ratings.db", "ratings.db-wal", "ratings.parquet"):
        if (path / name).is_file():
            status = (path / name).stat()
            made += [name, status.st_mtime_ns, status.st_size]
    if (path / "database.url").is_file():
        study = facesr.Study.load(path).folder
        try:
            made += [study.finished(), len(study.ratings())]
        finally:
            study.close()
    return tuple(made)


def cached_study(path: Path, simulated: bool) -> mos.MosResult:
    """Analysed once for each state of its ratings; refused, every time, before the stopping rule."""
    return memo.get(("study", path, simulated, ratings_stamp(path)), lambda: mos.open_study(path, simulated=simulated))


def open_pairs(path: Path, simulated: bool) -> Table:
    """The table of a paired comparison, which has no MOS; refused, every time, before the stopping rule."""
    return memo.get(("pairs", path, simulated, ratings_stamp(path)), lambda: paired_table(open_paired(path, simulated=simulated)))


def study_scene(path: Path, simulated: bool, result: mos.MosResult) -> Scene:
    return Scene(Group(result.study.digest[:12], (), ()), (path, simulated, ratings_stamp(path)))


def _look(result: mos.MosResult) -> MethodStyle:
    return MethodStyle([m.condition for m in result.conditions])


def _results(scene: Scene, result: mos.MosResult) -> None:
    found, look = result.analysis, _look(result)
    shell.show_table(scene.kept("table one", lambda: mos.table_one(result)), "table one")
    shell.figure(scene, "intervals", lambda: drawings.intervals(result.conditions, look, found.scale, result.letters, result.label))
    shell.sentences(result.words)
    shell.show_table(scene.kept("mos table", lambda: mos.mos_table(result)), "mos")
    shell.figure(scene, "histograms", lambda: drawings.histograms(result.conditions, look, found.scale, result.label))
    st.header("All pairs")
    order = [m.condition for m in result.conditions]
    shell.figure(scene, "significance", lambda: drawings.significance(found.pairs, order, result.label, result.alpha))
    shell.show_table(scene.kept("pairs", lambda: mos.pairs_table(result)), "pairs")


def _raters(result: mos.MosResult) -> None:
    """Who rated, and what the declared rule says of whom."""
    found = result.analysis
    screened = found.screened
    st.header("Raters and screening")
    rule = screened.screening.rule
    why = dict(zip(screened.rejected, screened.screening.reasons, strict=False))
    st.caption(
        f"{len(found.cube.raters)} raters; the declared rule is {rule!r}, which rejects {', '.join(screened.rejected) or 'nobody'}. "
        f"All raters are in the tables above. {result.excluded} were excluded by the study's own rules before."
    )
    values = found.cube.values
    rows = []
    for i, rater in enumerate(found.cube.raters):
        mine = pd.Series(values[i].ravel()).dropna()
        rows.append((rater, len(mine), mine.mean(), mine.std(ddof=1), "rejected: " + why[rater] if rater in why else ""))
    frame = pd.DataFrame(rows, columns=["rater", "ratings", "mean", "sd", "screening"])
    st.dataframe(
        frame, hide_index=True, width="stretch", height=min(320, 38 + 35 * len(frame)), alt="Raters, their ratings, mean, spread and screening",
        column_config={"mean": st.column_config.NumberColumn(format="%.2f"), "sd": st.column_config.NumberColumn(format="%.2f")},
    )  # fmt: skip
    if rule != "none":
        without = ", ".join(f"{printed_condition(m.condition)} {fixed(m.mean, 2)}" for m in screened.conditions)
        st.caption(f"MOS without the rejected raters: {without}.")


def warm() -> None:
    """Analyse the studies and draw their figures; one whose rule is not met is left alone."""
    for path in named_folders("FACESR_STUDIES"):
        _warm_one(path)


def _warm_one(path: Path) -> None:
    result = cached_study(path, False)
    scene, found, look = study_scene(path, False, result), result.analysis, _look(result)
    scene.kept("table one", lambda: mos.table_one(result))
    scene.kept("mos table", lambda: mos.mos_table(result))
    scene.kept("pairs", lambda: mos.pairs_table(result))
    order = [m.condition for m in result.conditions]
    works: dict[str, Callable[[], Drawing]] = {
        "intervals": lambda: drawings.intervals(result.conditions, look, found.scale, result.letters, result.label),
        "histograms": lambda: drawings.histograms(result.conditions, look, found.scale, result.label),
        "significance": lambda: drawings.significance(found.pairs, order, result.label, result.alpha),
    }
    for name, draw in works.items():
        shell.warm_figure(scene, name, draw)
