"""What restoring a face took: seconds and memory as columns of a table of scores, on request (``facesr table RUN --cost time,memory``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, some, suggest
from facesr.reports.cells import Cell, Column
from facesr.reports.scores import Scores
from facesr.reports.table import Table

if TYPE_CHECKING:
    import pandas as pd

COSTS = {"time": Column("seconds", "s/face"), "memory": Column("memory", "peak memory", unit="GiB")}
"""Columns by the name that asks for them."""


def check_costs(asked: Sequence[str]) -> None:
    """Raise ``FaceSRError`` for a name that is none of ``COSTS``."""
    if wrong := [name for name in asked if name not in COSTS]:
        raise FaceSRError("; ".join(f"--cost {name}: {suggest(name, COSTS)}" for name in wrong))


def with_costs(table: Table, scores: Scores, asked: Sequence[str]) -> Table:
    """The table with a column for each cost in ``asked``, and notes that say what was measured on which machine."""
    check_costs(asked)
    names = list(dict.fromkeys(asked))
    if not names:
        return table
    known = {run.path: run.costs() for run in scores.runs}
    first_only: list[str] = []
    rows = []
    by_group = {f"×{s}" if len(scores.scales) > 1 else "": s for s in scores.scales}
    for row in table.rows:
        if row.key not in scores.owner:  # HR, where a study is in the table
            rows.append(replace(row, cells=(*row.cells, *[None] * len(names))))
            continue
        scale = by_group.get(row.group, scores.scales[0])
        costs, warmed = _of(row.key, scale, scores, known)
        if len(costs) and not warmed:
            first_only.append(row.label)
        rows.append(replace(row, cells=(*row.cells, *(_cell(name, row.key, scale, costs) for name in names))))
    said = _said(scores, names, first_only)
    brief = None if table.brief is None else (*table.brief, *said)
    columns = (*table.columns, *(COSTS[name] for name in names))
    return replace(table, columns=columns, rows=tuple(rows), notes=(*table.notes, *said), brief=brief)


def _of(method: str, scale: float, scores: Scores, known: Mapping[Path, pd.DataFrame]) -> tuple[pd.DataFrame, bool]:
    """The rows of a method's faces in view, without those of a first batch, unless there are no others; and whether there were others."""
    run, label = scores.owner[method]
    frame = known[run.path]
    mine = frame[(frame["method"] == label) & (frame["scale"] == scale) & frame["image"].isin(scores.faces)]
    warm = mine[~mine["first"]]
    return (warm, True) if len(warm) else (mine, False)


def _cell(name: str, method: str, scale: float, costs: pd.DataFrame) -> Cell:
    values = costs[COSTS[name].key].dropna()
    if not len(values):
        return Cell(method, COSTS[name].key, scale=scale, text="–", ranked=False)
    value = float(values.mean()) if name == "time" else float(values.max()) / 2**30
    return Cell(
        method, COSTS[name].key, value, n=len(values), scale=scale, digits=3 if name == "time" else 2, ranked=False,
        counts="faces timed",
    )  # fmt: skip


def _said(scores: Scores, names: Sequence[str], first_only: Sequence[str]) -> list[str]:
    machines = list(dict.fromkeys(_machine(run.info.environment) for run in scores.runs))
    lines = []
    if "time" in names:
        lines.append(
            f"s/face: wall time of restoring, reading and scoring left out, each worker's first batch left out, on {' and '.join(machines)}."
        )
        if first_only:
            lines.append(
                f"s/face of {some(list(dict.fromkeys(first_only)))}: there was only one batch, so that warming up is counted in."
            )
    if "memory" in names:
        on_gpu = any(str(run.info.environment.get("device", "")).startswith("cuda") for run in scores.runs)
        what = "allocated on the GPU" if on_gpu else "held by the worker's process, Python and torch included"
        lines.append(f"Peak memory: most that was {what}. –: not measured here (finished images, answers of a shared store).")
    return lines


def _machine(environment: object) -> str:
    facts = dict(environment) if isinstance(environment, dict) else {}
    device = str(facts.get("device", "cpu"))
    return f"{facts.get('processor', 'an unknown processor')}" + ("" if device == "cpu" else f", {device}")
