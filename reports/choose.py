"""From what a user names (runs, a study, methods, faces) to a table, and from a table to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.reports import notes
from facesr.reports.build import leaderboard, where
from facesr.reports.scores import Scores, open_runs
from facesr.reports.table import Intervals, Table

if TYPE_CHECKING:
    from facesr.bench.study import Study
    from facesr.reports.mos import MosResult

FORMATS = ("md", "latex", "csv", "html")


def is_study(path: Path) -> bool:
    """Whether a folder is a study's."""
    return (path / "study.json").is_file()


def load_study(path: Path) -> Study:
    """Open a study folder."""
    from facesr.bench.study import load

    return load(path)


def narrowed(
    scores: Scores,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scales: Sequence[int] | None = None,
    attributes: Sequence[str] = (),
) -> Scores:
    """The scores that a user asked for; ``attributes`` as ``gender=female``."""
    pairs = [text.partition("=") for text in attributes]
    if bad := [name for name, equal, value in pairs if not (name and equal and value)]:
        raise FaceSRError(f"--where {bad[0]!r}: write it as gender=female")
    chosen = scores.only(methods=methods, metrics=metrics, scales=scales)
    for name, _, value in pairs:
        chosen = where(chosen, **{name: value})
    return chosen


def score_table(
    scores: Scores, *, full: bool = False, draws: int = 10_000, style: Intervals = "pm", mos: MosResult | None = None
) -> Table:
    """The table of a run with caption and footnotes; with MOS where a study is given, with letters where ``full``."""
    table = leaderboard(scores, letters=full, draws=draws, caption=notes.caption(scores))
    table = replace(table, notes=tuple(notes.notes(scores, table.cells, letters=full, draws=draws, style=style)))
    if mos is None:
        return table
    from facesr.reports.mos import check_same, with_mos

    check_same(scores, mos)
    return with_mos(table, mos, letters=full)


def table_of(
    paths: Sequence[Path],
    *,
    study: Path | None = None,
    full: bool = False,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scales: Sequence[int] | None = None,
    attributes: Sequence[str] = (),
    draws: int = 10_000,
    style: Intervals = "pm",
    peek: bool = False,
    simulated: bool = False,
) -> Table:
    """The table that ``facesr table`` prints: of runs, of runs with a study, or the paper's Table 1 of a study alone."""
    if draws < 100:
        raise FaceSRError(f"--draws {draws}: an interval needs at least 100 draws")
    studies = [p for p in paths if is_study(p)]
    runs = [p for p in paths if p not in studies]
    if len(studies) + (study is not None) > 1:
        raise FaceSRError(f"one study at a time: {', '.join(str(p) for p in [*studies, *([study] if study else [])])}")
    rated = study or (studies[0] if studies else None)
    mos = None
    if rated is not None:
        from facesr.reports.mos import open_study
        from facesr.reports.paired import is_paired, open_paired, paired_table

        if is_paired(rated):
            if runs:
                raise FaceSRError(
                    f"{rated} is a paired comparison, which has no MOS to put beside scores: 'facesr table {rated}' prints it alone"
                )
            return paired_table(open_paired(load_study(rated), peek=peek, simulated=simulated), methods)

        mos = open_study(rated, peek=peek, simulated=simulated)
    if not runs and mos is not None:
        from facesr.reports.mos import table_one

        return table_one(mos, methods)
    return score_table(
        narrowed(open_runs(runs), methods, metrics, scales, attributes), full=full, draws=draws, style=style, mos=mos
    )


def print_table(table: Table, kind: str, style: Intervals = "pm", *, macros: bool = True) -> str:
    """A table as Markdown, LaTeX, CSV or HTML."""
    if kind == "latex":
        from facesr.reports.latex import to_latex

        return to_latex(table, style, macros)
    if kind == "html":
        from facesr.reports.html import to_html

        return to_html(table, style)
    from facesr.reports.text import to_csv, to_markdown

    return to_csv(table) if kind == "csv" else to_markdown(table, style)
