"""Every table of a run, of a study or of both: from what a user names (runs, methods, metrics, faces) to a ``Table``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.stats.pairwise import compare_methods, significance_letters
from facesr.reports import notes
from facesr.reports.build import faces_where
from facesr.reports.cells import Cell, Row, rank_columns
from facesr.reports.costs import check_costs, with_costs
from facesr.reports.groups import bias_table
from facesr.reports.references import printed
from facesr.reports.samples import samples_table
from facesr.reports.scores import Scores, open_runs
from facesr.reports.table import Table

if TYPE_CHECKING:
    from facesr.reports.mos import MosResult

PRESETS = ("seed-table1", "published")
"""Layouts by name: ``seed-table1`` is one row of MOS under the methods, HR first, as published comparisons print it; ``published``
puts the numbers that papers print beside a run's own, with a verdict."""


def is_study(path: Path) -> bool:
    """Whether a folder is a study's."""
    return (path / "study.json").is_file()


def narrowed(
    scores: Scores,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scales: Sequence[float] | None = None,
    attributes: Sequence[str] = (),
) -> Scores:
    """The scores that a user asked for; ``attributes`` as ``gender=female``."""
    pairs = [text.partition("=") for text in attributes]
    if bad := [name for name, equal, value in pairs if not (name and equal and value)]:
        raise FaceSRError(f"--where {bad[0]!r}: write it as gender=female")
    chosen = scores.only(methods=methods, metrics=metrics, scales=scales)
    for name, _, value in pairs:
        chosen = faces_where(chosen, **{name: value})
    return chosen


def with_letters(scores: Scores, cells: Sequence[Cell], alpha: float = 0.05) -> list[Cell]:
    """The cells with the letters of methods that cannot be told apart (paired Wilcoxon over faces, Holm within the metric)."""
    letters: dict[tuple[str, float, str], str] = {}
    for scale in scores.scales:
        for metric in scores.metrics:
            if scores.is_set_metric(metric) or len(scores.methods) < 2:
                continue
            table = scores.values(metric, scale)
            rated = [m for m in scores.methods if table[m].notna().sum() > 1]
            pairs = compare_methods(table[rated], rated, alpha=alpha) if len(rated) > 1 else []
            better = bool(scores.column(metric).higher_is_better)
            means = {m: float(table[m].mean()) for m in rated}
            found = significance_letters(pairs, means, higher_is_better=better) if pairs else {}
            letters |= {(m, scale, metric): letter for m, letter in found.items()}
    return [replace(c, letters=letters.get((c.method, c.scale, c.metric), "")) for c in cells]


def leaderboard(scores: Scores, *, letters: bool = False, caption: str = "") -> Table:
    """Methods x metrics: mean, 95 % interval over faces, n and failures; best and second best marked within a scale."""
    columns = tuple(scores.column(metric) for metric in scores.metrics)
    cells = scores.cells()
    cells = with_letters(scores, cells) if letters else cells
    by_key = {(c.method, c.scale, c.metric): c for c in cells}
    group = {s: f"×{s}" if len(scores.scales) > 1 else "" for s in scores.scales}
    keys = {m: scores.cite(m) for m in scores.methods}
    rows = [
        Row(m, printed(m, keys[m]), tuple(by_key[m, s, k] for k in scores.metrics), group[s], keys[m])
        for s in scores.scales
        for m in scores.methods
    ]
    return Table("scores", caption, columns, rank_columns(rows, columns))


def score_table(scores: Scores, *, full: bool = False, mos: MosResult | None = None) -> Table:
    """The table of a run with caption and footnotes; with MOS where a study is given, with letters where ``full``."""
    table = leaderboard(scores, letters=full, caption=notes.caption(scores))
    shown = table.alive().cells
    table = replace(
        table,
        spread=notes.SPREAD,
        notes=tuple(notes.notes(scores, shown, letters=full)),
        brief=tuple(notes.brief(scores, shown, letters=full)),
    )
    if mos is None:
        return table
    from facesr.reports.mos import check_same, with_mos

    check_same(scores, mos)
    return with_mos(table, mos, letters=full)


def _check_layout(preset: str | None, cost: Sequence[str], *, runs: bool, study: bool) -> None:
    """Raise ``FaceSRError`` for a layout or costs that what is named cannot have."""
    problems = []
    if cost and (preset is not None or not runs):
        problems.append("--cost is for the plain table of a run")
    if preset is not None and preset not in PRESETS:
        problems.append(f"no preset {preset!r}: {suggest(preset, PRESETS)}")
    elif preset == "published" and not runs:
        problems.append("--preset published needs a run: 'facesr table RUN --study STUDY --preset published'")
    elif preset == "seed-table1" and (study or runs):
        problems.append(f"--preset {preset} lays out a study alone: 'facesr table STUDY --preset {preset}'")
    if problems:
        raise FaceSRError("; ".join(problems))


def table_of(
    paths: Sequence[Path],
    *,
    study: Path | None = None,
    full: bool = False,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scales: Sequence[float] | None = None,
    attributes: Sequence[str] = (),
    peek: bool = False,
    simulated: bool = False,
    preset: str | None = None,
    cost: Sequence[str] = (),
) -> Table:
    """The table that ``facesr table`` prints: of runs, of runs with a study, or of a study alone (``preset``: in a layout by name).

    ``cost``: ``time`` and ``memory`` as columns.
    """
    _check_layout(preset, cost, runs=not all(is_study(p) for p in paths), study=study is not None)
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
            if preset is not None:
                raise FaceSRError(f"{rated} is a paired comparison, which has no MOS for --preset {preset}")
            return paired_table(open_paired(rated, peek=peek, simulated=simulated), methods)

        mos = open_study(rated, peek=peek, simulated=simulated)
    if not runs and mos is not None:
        from facesr.reports.mos import seed_table, table_one

        if unused := [name for name, given in (("--metrics", metrics), ("--scale", scales), ("--where", attributes)) if given]:
            raise FaceSRError(f"{', '.join(unused)} chooses scores of a run; {rated} is a study alone")
        return table_one(mos, methods) if preset is None else seed_table(mos, methods)
    if preset == "published":
        from facesr.reports.published import published_table

        return published_table(narrowed(open_runs(runs), methods, metrics, scales, attributes), mos)
    check_costs(cost)
    chosen = narrowed(open_runs(runs), methods, metrics, scales, attributes)
    return with_costs(score_table(chosen, full=full, mos=mos), chosen, cost)


def special_table(
    paths: Sequence[Path],
    *,
    by: str = "",
    samples: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    scales: Sequence[float] | None = None,
    attributes: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> Table:
    """A table of its own, of runs: the group that is served worst beside every mean (``by`` an attribute), or several answers to one LR.

    ``samples``: labels of one method run with several seeds, or none for the samples that methods stored. ``beside``: options that were given
    and do nothing here, which is refused.
    """
    given = [*(["--by"] if by else []), *(["--samples"] if samples is not None else [])]
    unused = [*given[1:], *beside, *(["--metrics"] if metrics and not by else []), *(["--methods"] if methods and samples else [])]
    unused += [f"the study {p}" for p in paths if is_study(p)]
    if unused:
        raise FaceSRError(f"{given[0]} prints a table of its own, of runs: leave out {', '.join(unused)}")
    shown = narrowed(open_runs(paths), methods, metrics, scales, attributes)
    return bias_table(shown, by) if by else samples_table(shown, samples or ())
