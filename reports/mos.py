"""A study's MOS as tables: one MOS per condition, MOS beside the metrics, all pairs.

Nothing is shown before the study's stopping rule is met, unless the user asks to peek, which the study logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.numbers import fixed, p_text, whole
from facesr.bench.study.analysis import HR, Analysis, analyse_study
from facesr.reports.cells import Cell, Column, Row, interval, rank_columns, ranked
from facesr.reports.notes import declared_in
from facesr.reports.references import printed_condition
from facesr.reports.scores import Scores
from facesr.reports.table import Table

if TYPE_CHECKING:
    from facesr.bench.stats.mos import ConditionMos

METHODS = {"acr": "ACR", "acr-hr": "ACR with hidden reference", "pair": "paired comparison"}


MosResult = Analysis
"""A rating study analysed: see ``facesr.bench.study.analysis``."""


def open_study(path: Path | str, *, peek: bool = False, simulated: bool = False) -> MosResult:
    """Read and analyse a rating study. Refuses means before the stopping rule unless ``peek``, which is logged in the study."""
    found = analyse_study(path, peek=peek, simulated=simulated)
    if not isinstance(found, Analysis):
        raise FaceSRError(
            f"{path} is a paired comparison, which has no MOS: 'facesr table' and 'facesr report' print its Bradley-Terry scores"
        )
    return found


def mos_cell(result: MosResult, one: ConditionMos, *, ranks: bool = True) -> Cell:
    """MOS with the interval for new raters and faces; its images are the faces rated."""
    origin = f"{result.study.path} ({result.study.digest[:12]})"
    ends, scale = one.over_both, result.analysis.scale
    return Cell(
        one.condition, "mos", one.mean, ends.low, ends.high, one.n, (), result.analysis.cube.faces, origin,
        digits=2, bounds=(float(scale[0]), float(scale[1])), letters=result.letters.get(one.condition, ""),
        ranked=ranks and one.condition.lower() != HR, counts="ratings",
    )  # fmt: skip


def mos_notes(result: MosResult, *, beside_scores: bool = False) -> list[str]:
    """Footnotes of every table of a study; ``beside_scores``: of one that says of the methods already what they declare."""
    found, study = result.analysis, result.study
    screened = found.screened
    lines = [
        result.label and f"{result.label}.",
        f"Study {study.name}: {len(found.cube.raters)} raters, {len(found.cube.faces)} faces, {found.ratings:,} ratings, "
        f"{METHODS[study.method]}, scale {found.scale[0]}–{found.scale[1]}; {result.citation}.",
        f"{result.excluded} more raters were excluded by the study's own rules." if result.excluded else "",
        "Intervals: 95 %, for other raters and other faces (two-way clustered).",
        result.letters_refused or _letters_line(result),
    ]
    if screened.screening.rule != "none":
        without = ", ".join(f"{printed_condition(m.condition)} {m.mean:.2f}" for m in screened.conditions)
        who = ", ".join(screened.rejected) or "nobody"
        lines.append(f"All raters are in the table; the declared screening ({screened.screening.rule}) rejects {who}: {without}.")
    return [line for line in (*lines, *([] if beside_scores else declared_in(study))) if line]


def _letters_line(result: MosResult) -> str:
    correction = next((q.correction for q in result.analysis.pairs), "holm").capitalize().replace("-hochberg", "-Hochberg")
    how = "two-way clustered t" + (f", {correction}" if correction != "None" else "")
    return f"Conditions that share a letter are not distinguishable ({how}, {f'{result.alpha:g}'.removeprefix('0')})."


def table_one(result: MosResult, methods: Sequence[str] | None = None) -> Table:
    """One MOS per condition, HR first; beneath it the interval and the letters."""
    chosen = _chosen(result, methods)
    cells = ranked([mos_cell(result, m) for m in chosen], True)
    bare = tuple(replace(c, letters="") for c in cells)
    ends = tuple(Cell(c.method, "mos", text=interval(c, "bracket")[1:-1].replace(", ", "–")) for c in cells)
    letters = tuple(Cell(c.method, "mos", text=c.letters) for c in cells)
    rows = (Row("mos", "MOS", bare), Row("interval", "95 % interval", ends), Row("letters", "indistinguishable", letters))
    columns = tuple(Column(m.condition, printed_condition(m.condition)) for m in chosen)
    few, most = min(m.n for m in chosen), max(m.n for m in chosen)
    caption = f"Mean opinion scores of {result.name}, n = {few:,}{f' to {most:,}' if most > few else ''} ratings per condition"
    return Table("mos", _said(result, caption), columns, rows, tuple(mos_notes(result)), corner="", show_n=False, show_spread=False)


def _chosen(result: MosResult, methods: Sequence[str] | None) -> list[ConditionMos]:
    """The conditions asked for, in that order; all, HR first, where none are."""
    known = {m.condition: m for m in result.conditions}
    if problems := [f"no condition {m!r} in this study: {suggest(m, known)}" for m in methods or () if m not in known]:
        raise FaceSRError("; ".join(problems))
    return [known[m] for m in methods] if methods else list(result.conditions)


def seed_table(result: MosResult, methods: Sequence[str] | None = None) -> Table:
    """The published layout of Table 1: the methods side by side, HR first, and one row of MOS with two decimals."""
    chosen = _chosen(result, methods)
    cells = [replace(c, letters="", low=np.nan, high=np.nan) for c in ranked([mos_cell(result, m) for m in chosen], True)]
    row = Row("mos", "MOS", tuple(replace(c, rank=c.rank if c.rank == 1 else 0) for c in cells))
    found = result.analysis
    caption = (
        f"Mean opinion scores ({METHODS[result.study.method]}, {found.scale[0]} to {found.scale[1]}, higher is better) of "
        f"{len(found.cube.raters)} raters on {len(found.cube.faces)} faces"
    )
    brief = (f"{result.label}.",) if result.label else ()
    columns = tuple(Column(m.condition, printed_condition(m.condition)) for m in chosen)
    return Table(
        "mos",
        _said(result, caption),
        columns,
        (row,),
        tuple(mos_notes(result)),
        corner="",
        show_n=False,
        show_spread=False,
        brief=brief,
        said_marks=False,
    )


def _said(result: MosResult, caption: str) -> str:
    return f"{result.label}. {caption}" if result.label else caption


def with_mos(table: Table, result: MosResult, *, letters: bool = True) -> Table:
    """A table of scores with a MOS column, and a row for HR. Methods the study did not show stay empty; factors other than its own too."""
    found = {m.condition: m for m in result.conditions}
    rated_scale = whole(float(result.study.info.get("run", {}).get("scale", 0) or 0))
    columns = (*table.columns, Column("mos", "MOS", True, conventions=f"study {result.name}"))
    rows = []
    for group, members in table.groups:
        scales = {c.scale for r in members for c in r.cells if c is not None}
        here = not rated_scale or rated_scale in scales
        for row in members:
            one = found.get(row.key) if here else None
            cell = mos_cell(result, one) if one else None
            rows.append(replace(row, cells=(*row.cells, cell if letters or cell is None else replace(cell, letters=""))))
        for one in result.conditions:
            if here and one.condition.lower() == HR:
                cell = mos_cell(result, one, ranks=False)
                rows.append(
                    Row(one.condition, "HR", (*(None,) * len(table.columns), cell if letters else replace(cell, letters="")), group)
                )
    more = mos_notes(result, beside_scores=True)
    return replace(
        table,
        columns=columns,
        rows=rank_columns(rows, columns),
        notes=(*table.notes, *more),
        brief=(*(table.notes if table.brief is None else table.brief), *more),
        caption=_said(result, table.caption),
    )


def mos_table(result: MosResult) -> Table:
    """Every figure of every condition: MOS with three intervals, spread, what bias removal, P.910's recovery and screening give."""
    found = result.analysis
    unbiased = {m.condition: m.mean for m in found.bias_removed}
    screened = {m.condition: m.mean for m in found.screened.conditions}
    dmos = {m.condition: m.mean for m in found.dmos}
    heads = {
        "mos": "MOS", "naive": "naive ±", "raters": "new raters ±", "both": "raters and faces ±", "sd": "sd", "top": "top two",
        "bias": "bias removed", "p910": "P.910", "screened": "screened", "dmos": "DMOS",
    }  # fmt: skip
    if not found.screened.rejected:
        del heads["screened"]
    if not dmos:
        del heads["dmos"]
    rows = []
    for one in result.conditions:
        words = {
            "naive": _half(one.naive), "raters": _half(one.over_raters), "both": _half(one.over_both), "sd": fixed(one.sd, 2),
            "top": f"{100 * one.top_two:.0f} %", "bias": fixed(unbiased[one.condition], 2), "p910": fixed(found.recovered_mos[one.condition], 2),
            "screened": fixed(screened[one.condition], 2), "dmos": fixed(dmos.get(one.condition, np.nan), 2),
        }  # fmt: skip
        cells = [mos_cell(result, one) if key == "mos" else Cell(one.condition, key, text=words[key]) for key in heads]
        rows.append(Row(one.condition, printed_condition(one.condition), tuple(replace(c, low=np.nan, high=np.nan) for c in cells)))
    columns = tuple(Column(key, label, True if key == "mos" else None) for key, label in heads.items())
    more = (
        "± are half widths of 95 % intervals: naive, as if ratings were independent (often printed); for other raters; for other raters and "
        "faces.",
        "Bias removed: P.913 12.4. P.910: maximum likelihood, Annex E. Top two: share of ratings on the two best grades.",
    )
    return Table(
        "mos-full",
        _said(result, f"All figures of {result.name}"),
        columns,
        rank_columns(rows, columns),
        (*mos_notes(result), *more),
        corner="Condition",
        show_n=False,
    )


def _half(interval: Any) -> str:
    return fixed((interval.high - interval.low) / 2, 2)


def pairs_table(result: MosResult) -> Table:
    """All pairs: the difference with its interval, the valid test and its corrections, the paper's test, effect sizes, equivalence."""
    heads = {
        "difference": "Difference", "ends": "95 % interval", "p": "p clustered", "holm": "Holm", "bh": "BH", "raters": "p raters", "faces": "p faces",
        "mwu": "p MWU", "a12": "A12", "cliff": "Cliff's δ", "biserial": "r raters", "tost": "p TOST",
    }  # fmt: skip
    rows = []
    for q in result.analysis.pairs:
        words = {
            "difference": fixed(q.difference, 2), "ends": f"{fixed(q.low, 2)} to {fixed(q.high, 2)}", "p": p_text(q.p),
            "holm": p_text(q.p_holm),
            "bh": p_text(q.p_bh), "raters": p_text(q.over_raters.p) if q.over_raters else "–", "faces": p_text(q.over_faces.p),
            "mwu": p_text(q.paper.p), "a12": fixed(q.a12, 3), "cliff": fixed(q.cliffs_delta, 2), "biserial": fixed(q.rank_biserial_raters, 2),
            "tost": p_text(q.equivalence.p) if q.equivalence else "–",
        }  # fmt: skip
        name = f"{printed_condition(q.a)} − {printed_condition(q.b)}"
        rows.append(Row(f"{q.a}|{q.b}", name, tuple(Cell(name, key, text=words[key]) for key in heads)))
    margin = next((q.equivalence.margin for q in result.analysis.pairs if q.equivalence), 0.1)
    more = (
        "p clustered is valid for other raters and other faces; p MWU (Mann-Whitney U over pooled ratings, PULSE's test) is not; p raters and "
        "p faces are signed-rank tests of rater means and face means.",
        f"Holm and BH (Benjamini-Hochberg) correct p clustered over all pairs. A12 and Cliff's δ over pooled ratings; r: matched-pairs "
        f"rank-biserial of rater means. TOST: p < .05 shows equality within ±{margin:g}.",
    )
    columns = tuple(Column(key, label) for key, label in heads.items())
    return Table(
        "pairs",
        _said(result, f"All pairs of {result.name}"),
        columns,
        tuple(rows),
        (*mos_notes(result), *more),
        corner="Pair",
        show_n=False,
    )


def check_same(scores: Scores, result: MosResult) -> None:
    """Refuse a study of another run's images: its digest must be the runs'."""
    made_from = str(result.study.info.get("run", {}).get("digest", ""))
    if made_from and made_from != scores.digest:
        raise FaceSRError(
            f"{result.study.path} was made from a run of digest {made_from[:12]}, these scores have {scores.digest[:12]}: "
            "results of two digests never meet"
        )
    if not {m.condition for m in result.conditions} & set(scores.methods):
        raise FaceSRError(
            f"{result.study.path} rated {', '.join(m.condition for m in result.conditions)}; none is a method of {scores.runs[0].path}"
        )
