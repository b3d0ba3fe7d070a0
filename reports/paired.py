"""A paired comparison as a table: Bradley-Terry scores, and the chance that one condition is chosen over another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.correction import letter_display
from facesr.bench.study import load_study
from facesr.bench.study.analysis import PairedAnalysis, analyse_study
from facesr.reports.cells import Cell, Column, Row, rank_columns
from facesr.reports.notes import declared_in
from facesr.reports.references import printed_condition
from facesr.reports.table import Table


def open_paired(path: Path, *, peek: bool = False, simulated: bool = False) -> PairedAnalysis:
    """Bradley-Terry scores of a study, standard errors for other raters and other faces; refused before the stopping rule unless ``peek``."""
    found = analyse_study(path, peek=peek, simulated=simulated)
    if not isinstance(found, PairedAnalysis):
        raise FaceSRError(f"{path} is no paired comparison")
    return found


def is_paired(path: Path) -> bool:
    """Whether a study folder is a paired comparison."""
    return load_study(path).method == "pair"


def paired_table(result: PairedAnalysis, methods: Sequence[str] | None = None) -> Table:
    """Conditions by score, the best first; beside it the chance of being chosen over each of the others."""
    found = result.scores
    chosen = [n for n in found.names if methods is None or n in methods]
    order = sorted(chosen, key=lambda n: -found.scores[found.names.index(n)])
    place = {n: found.names.index(n) for n in order}
    different = [(a, b) for a in order for b in order if a < b and found.p[place[a], place[b]] < result.alpha]
    scores = {n: float(found.scores[place[n]]) for n in order}
    letters = dict.fromkeys(order, "") if found.undefined else letter_display(scores, different)
    origin = f"{result.study.path} ({result.study.digest[:12]})"
    rows = []
    for name in order:
        i = place[name]
        score = Cell(
            name, "bradley-terry", float(found.scores[i]), float(found.low[i]), float(found.high[i]), found.comparisons, run=origin,
            digits=2, letters=letters[name], counts="comparisons", ranked=name.lower() != "hr",
        )  # fmt: skip
        chances = [Cell(name, f"over {o}", text="" if o == name else f"{100 * found.probability(name, o):.0f} %") for o in order]
        rows.append(Row(name, printed_condition(name), (score, *chances)))
    columns = (Column("bradley-terry", "Score", True), *(Column(f"over {n}", f"over {printed_condition(n)}") for n in order))
    caption = f"Paired comparison {result.study.name}: Bradley-Terry scores and the chance of being chosen"
    notes = (
        f"{result.raters} raters, {found.comparisons:,} comparisons; a tie counts half to each; digest {result.study.digest[:12]}.",
        "Scores are log-odds that average zero; ± half the width of the 95 % interval, for other raters and other faces (two-way clustered).",
        f"No letters and no intervals: {found.undefined}."
        if found.undefined
        else f"Conditions that share a letter are not distinguishable (t tests of scores, Holm, {f'{result.alpha:g}'.removeprefix('0')}).",
        *declared_in(result.study),
    )
    said = f"{result.label}. {caption}" if result.label else caption
    return Table("paired", said, columns, rank_columns(rows, columns), notes, corner="Condition", show_n=False)
