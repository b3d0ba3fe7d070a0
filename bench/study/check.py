"""Finding double, missing and impossible ratings, in a study of ours or in anything that can be imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Options, read
from facesr.bench.reading import file_sha256, open_parquet, read_json
from facesr.bench.study import reading
from facesr.bench.study import tables as t
from facesr.bench.study.adaptive import trials_digest
from facesr.bench.study.closing import changed_since
from facesr.bench.study.conduct import conduct
from facesr.bench.study.design import plan_digest
from facesr.bench.study.export import verify_export
from facesr.bench.study.findings import Finding, check_imported, check_table, check_unused, names_of
from facesr.bench.study.imports import unused
from facesr.bench.study.order import Trial
from facesr.bench.study.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd


def check_ratings(source: Study | Path | str, options: Options | None = None) -> list[Finding]:
    """Everything that is wrong with a study folder, an export's folder or a file of ratings; an empty list where nothing is.

    ``options``: how to read a file that is none of ours; a study or an export is read as it was frozen, and given options are refused.
    """
    if isinstance(source, Study):
        return _check_study(source)
    path = Path(source)
    if is_ours(path) and options not in (None, Options()):
        raise FaceSRError(
            f"{path} is a study or an export of facesr and is read as it was frozen: leave out the options on how to read a file"
        )
    if (path / "manifest.json").is_file():
        return _check_export(path)
    if path.is_dir() and (is_ours(path) or options is None):
        return _check_study(load_study(path))
    return check_imported(read(path, options))


def is_ours(path: Path) -> bool:
    """Whether a folder is a study or an export, not a file or a folder of somebody's ratings."""
    return (path / "manifest.json").is_file() or (path.is_dir() and (path / "study.json").exists())


def _check_study(study: Study) -> list[Finding]:
    if study.imported:
        scale = (min(study.scores), max(study.scores)) if study.method == "pair" else study.scale
        wide = str(study.info.get("source", {}).get("format", "")).startswith("wide")
        return check_unused(unused(study), wide=wide) + check_table(study.ratings(excluded=True), scale)
    table = study.ratings(excluded=True)
    findings = check_table(table, study.scale if study.method != "pair" else (min(study.scores), max(study.scores)), designed=True)
    return findings + _files(study) + _order(study) + _plan(study, table) + _closing(study) + conduct(table, reading.raters(study))


def _check_export(folder: Path) -> list[Finding]:
    problems = verify_export(folder)
    found = [Finding("impossible", "files that are not the exported ones", len(problems), problems[:5])] if problems else []
    file = folder / "ratings.parquet"
    if not file.is_file():
        raise FaceSRError(f"{folder} has a manifest but no ratings.parquet: export again")
    info = read_json(folder / "study.json")
    scale = info.get("scale")
    if not isinstance(scale, list) or len(scale) != 2 or not all(isinstance(v, int | float) for v in scale):
        raise FaceSRError(f"{folder / 'study.json'} is damaged: it has no scale; export again")
    low, high = (1, 3) if info.get("method") == "pair" else (int(scale[0]), int(scale[1]))
    with open_parquet(file) as opened:
        table: pd.DataFrame = opened.read().to_pandas()
    if lacking := [c for c in ("rater", "face", "condition", "other", "kind", "score", "position", "at") if c not in table]:
        raise FaceSRError(f"{file} lacks the column {lacking[0]}: export again")
    return found + check_table(table, (low, high), designed=info.get("kind") == "study")


def _plan(study: Study, table: pd.DataFrame) -> list[Finding]:
    """What the plan demands and the database lacks: holes in a session, finished raters who are not, cells without enough ratings."""
    found = []
    people = reading.raters(study)
    out = study.excluded()
    people = people[~people["simulated"].astype(bool) & ~people["name"].isin(list(out)) & (people["status"] != "deleted")]
    last = table.groupby("rater")["position"].agg(["max", "nunique"])
    holes = last[last["max"] != last["nunique"]]
    if len(holes):
        found.append(Finding("missing", "raters with holes in their session", len(holes), [str(r) for r in holes.index[:5]]))
    false = people[(people["status"] == "done") & (people["done"] < people["of"])]
    if len(false):
        found.append(Finding("missing", "raters marked as finished who are not", len(false), names_of(false, "name", "done")))
    if people.empty:
        return [*found, Finding("note", "raters: nobody has been invited yet", 0)]
    unfinished = people[people["status"] != "done"]
    if len(unfinished):
        found.append(
            Finding("note", "raters are not finished", len(unfinished), names_of(unfinished, "name", "status", "done", "of"))
        )
    cells = reading.cells(study)
    short = cells[cells["missing"] > 0]
    if len(short) and len(people) >= study.design.raters and unfinished.empty:
        examples = names_of(short, "face", "condition", "other", "missing")
        found.append(Finding("missing", "cells with fewer ratings than the plan has", len(short), examples))
    early = table.merge(people[["name", "consent"]], left_on="rater", right_on="name")
    early = early[early["consent"].isna() | (early["at"] < early["consent"])]
    if len(early):
        found.append(Finding("impossible", "ratings before consent", len(early), names_of(early, "rater", "position")))
    return found


def _order(study: Study) -> list[Finding]:
    """Whether the plan in the database is the frozen one, by its digest; an adaptive plan's rows have theirs in the log."""
    if study.design.pairs == "adaptive":
        return _chosen(study)
    rows: list[list[Trial]] = [[] for _ in range(study.design.raters)]
    with study.engine.connect() as connection:
        for r in connection.execute(select(t.plan).order_by(t.plan.c.row, t.plan.c.position)):
            if r.row < len(rows):
                rows[r.row].append(Trial(r.kind, r.face, r.condition, r.other, r.low, r.high))
    same = plan_digest(rows) == study.info["plan_sha256"]
    return [] if same else [Finding("impossible", "order of trials that is not the frozen one", 1)]


def _closing(study: Study) -> list[Finding]:
    changed = changed_since(study)
    return [Finding("impossible", "change after the study was closed", 1, [changed])] if changed else []


def _chosen(study: Study) -> list[Finding]:
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).order_by(t.plan.c.row, t.plan.c.position)).all()
        log = connection.execute(select(t.event.c.detail).where(t.event.c.kind == "plan chosen")).scalars().all()
    frozen = {int(d["row"]): str(d["sha256"]) for d in map(json.loads, log)}
    rows: dict[int, list[Trial]] = {}
    for r in plan:
        rows.setdefault(r.row, []).append(Trial(r.kind, r.face, r.condition, r.other, r.low, r.high))
    wrong = [f"row {number}" for number, trials in rows.items() if trials_digest(trials) != frozen.get(number)]
    return [Finding("impossible", "orders of trials that are not those chosen", len(wrong), wrong[:5])] if wrong else []


def changed_files(study: Study) -> list[str]:
    """Stimuli that are missing, or whose bytes are not those of the frozen design."""
    wrong = []
    for stimulus in study.design.stimuli:
        file = study.stimulus_path(stimulus.name)
        if not file.is_file():
            wrong.append(f"{file.name} is missing")
        elif file_sha256(file) != stimulus.sha256:
            wrong.append(f"{file.name} was changed")
    return wrong


def _files(study: Study) -> list[Finding]:
    wrong = changed_files(study)
    return [Finding("impossible", "stimuli that are not the frozen ones", len(wrong), wrong[:5])] if wrong else []
