"""Finding double, missing and impossible ratings, in a study of ours or in anything that can be imported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from facesr.bench.errors import FaceSRError
from facesr.bench.study import reading
from facesr.bench.study import tables as t
from facesr.bench.study.closing import changed_since
from facesr.bench.study.design import plan_digest
from facesr.bench.study.imports import read
from facesr.bench.study.order import Trial
from facesr.bench.study.study import Study, load

if TYPE_CHECKING:
    import pandas as pd

FASTEST_MS = 150.0
"""No one judges an image faster: simple visual reaction alone takes about 200 ms."""

KINDS = ("double", "missing", "impossible", "note")
ITEM = ["rater", "face", "condition", "other"]


@dataclass(frozen=True)
class Finding:
    """Something a reader of the ratings must know. A ``note`` is no error."""

    kind: str
    what: str
    count: int
    examples: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = f": {'; '.join(self.examples)}{' ...' if self.count > len(self.examples) else ''}" if self.examples else ""
        return f"{self.kind}: {self.count} {self.what}{shown}"


def check(source: Study | Path | str, **options: str | None) -> list[Finding]:
    """Everything that is wrong with a study folder, an export's folder or a file of ratings; an empty list where nothing is.

    ``options`` go to ``imports.read`` (``rating_type``, ``pattern``).
    """
    if isinstance(source, Study):
        return _check_study(source)
    path = Path(source)
    if (path / "manifest.json").is_file():
        return _check_export(path)
    if path.is_dir():
        return _check_study(load(path))
    return check_table(read(path, **options).table)


def _check_study(study: Study) -> list[Finding]:
    if study.imported:
        return check_table(study.ratings(), study.scale)
    table = study.ratings(excluded=True)
    findings = check_table(table, study.scale if study.method != "pair" else (min(study.scores), max(study.scores)), designed=True)
    return findings + _files(study) + _order(study) + _plan(study, table) + _closing(study)


def _check_export(folder: Path) -> list[Finding]:
    import pandas as pd

    from facesr.bench.study.export import verify

    problems = verify(folder)
    found = [Finding("impossible", "files that are not the exported ones", len(problems), problems[:5])] if problems else []
    file = folder / "ratings.parquet"
    if not file.is_file():
        raise FaceSRError(f"{folder} has a manifest but no ratings.parquet: export again")
    info = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    low, high = (1, 3) if info.get("method") == "pair" else tuple(info["scale"])
    return found + check_table(pd.read_parquet(file), (low, high), designed=info.get("kind") == "study")


def _names(rows: pd.DataFrame, *columns: str) -> list[str]:
    return [" ".join(str(v) for v in row if v != "") for row in rows[list(columns)].head(5).itertuples(index=False)]


def check_table(table: pd.DataFrame, scale: tuple[int, int] | None = None, *, designed: bool = False) -> list[Finding]:
    """Findings in a long table with the columns of ``study.COLUMNS``. ``designed``: the plan is checked elsewhere."""
    rated = table[table["kind"].isin(["main", "repeat", "gold", "attention", "duplicate"])]
    found = _double(rated) + _impossible(rated, scale or _scale(rated))
    return found + ([] if designed else _holes(rated)) + _notes(rated)


def _scale(table: pd.DataFrame) -> tuple[int, int] | None:
    """1 to 5 where four of five scores lie there (the rest are what the check is for); of another scale nothing is known."""
    scores = table["score"].dropna()
    return (1, 5) if len(scores) and scores.between(1, 5).mean() > 0.8 else None


def _double(table: pd.DataFrame) -> list[Finding]:
    found = []
    twice = table[table["kind"] == "duplicate"]
    if len(twice):
        found.append(Finding("double", "answers stored twice for one showing", len(twice), _names(twice, *ITEM)))
    main = table[table["kind"] == "main"]
    again = main[main.duplicated(ITEM)]
    if len(again):
        found.append(Finding("double", "items rated twice though shown once", len(again), _names(again, *ITEM)))
    placed = table[(table["position"] > 0) & (table["kind"] != "duplicate")]
    same = placed[placed.duplicated(["rater", "position"])]
    if len(same):
        found.append(Finding("double", "positions answered twice", len(same), _names(same, "rater", "position")))
    return found


def _impossible(table: pd.DataFrame, scale: tuple[int, int] | None) -> list[Finding]:
    found = []

    def add(what: str, rows: pd.DataFrame, *columns: str) -> None:
        if len(rows):
            found.append(Finding("impossible", what, len(rows), _names(rows, "rater", "face", "condition", *columns)))

    add("answers without a number", table[table["score"].isna()])
    if scale:
        low, high = scale
        add(f"scores outside {low} to {high}", table[(table["score"] < low) | (table["score"] > high)], "score")
        broken = table["score"].notna() & (table["score"] % 1 != 0)
        # Half grades throughout are a finer scale; a few among whole ones are mistakes.
        if 0 < broken.mean() < 0.05:
            add("scores between two grades", table[broken], "score")
    add(f"response times below {FASTEST_MS:g} ms", table[table["rt_ms"] < FASTEST_MS], "rt_ms")
    add("answers of simulated raters among people's", table[table["simulated"]] if table["simulated"].nunique() > 1 else table[:0])
    back = _time_goes_back(table)
    add("answers stored before the one at the position before", back, "position", "at")
    return found


def _time_goes_back(table: pd.DataFrame) -> pd.DataFrame:
    timed = table[(table["at"] != "") & table["at"].notna() & (table["position"] > 0)].sort_values(["rater", "position"])
    earlier = timed.groupby("rater")["at"].shift()
    return timed[earlier.notna() & (timed["at"] < earlier)]


def _holes(table: pd.DataFrame) -> list[Finding]:
    """Items that a rater should have rated, where there is no plan to ask: raters who did as much as the others, but not all of it."""
    first = table[table["kind"] == "main"].drop_duplicates(ITEM)
    items = first[["face", "condition", "other"]].drop_duplicates()
    each = first.groupby("rater").size()
    showings = table.groupby("rater").size().reindex(each.index)
    nearly = each[(each < len(items)) & (each >= 0.9 * len(items)) & (showings >= 0.9 * len(items))]
    examples = []
    count = 0
    everything = set(items.itertuples(index=False, name=None))
    for rater in nearly.index:
        mine = set(first.loc[first["rater"] == rater, ["face", "condition", "other"]].itertuples(index=False, name=None))
        missing = sorted(everything - mine)
        count += len(missing)
        examples += [" ".join([str(rater), *(p for p in item if p)]) for item in missing[:2]]
    found = [Finding("missing", "items never rated by raters who rated nearly all", count, examples[:5])] if count else []
    partial = each[each < 0.9 * len(items)]
    if len(partial):
        found.append(Finding("note", f"raters who rated less than nine tenths of the {len(items)} items", len(partial)))
    return found


def _notes(table: pd.DataFrame) -> list[Finding]:
    main = table[table["kind"] == "main"]
    spread = main.groupby("rater")["score"].agg(["nunique", "size"])
    straight = spread[(spread["nunique"] == 1) & (spread["size"] >= 10)]
    found = (
        [Finding("note", "raters who gave one grade to everything", len(straight), [str(r) for r in straight.index[:5]])]
        if len(straight)
        else []
    )
    checks = table[table["correct"].notna()]
    wrong = checks[checks["correct"] == False]  # noqa: E712 - nullable booleans
    if len(wrong):
        examples = _names(wrong, "rater", "kind", "position")
        found.append(Finding("note", f"of {len(checks)} gold and attention items answered wrong", len(wrong), examples))
    return found


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
        found.append(Finding("missing", "raters marked as finished who are not", len(false), _names(false, "name", "done")))
    if people.empty:
        return [*found, Finding("note", "raters: nobody has been invited yet", 0)]
    unfinished = people[people["status"] != "done"]
    if len(unfinished):
        found.append(
            Finding("note", "raters are not finished", len(unfinished), _names(unfinished, "name", "status", "done", "of"))
        )
    cells = reading.cells(study)
    short = cells[cells["missing"] > 0]
    if len(short) and len(people) >= study.design.raters and unfinished.empty:
        examples = _names(short, "face", "condition", "other", "missing")
        found.append(Finding("missing", "cells with fewer ratings than the plan has", len(short), examples))
    early = table.merge(people[["name", "consent"]], left_on="rater", right_on="name")
    early = early[early["consent"].isna() | (early["at"] < early["consent"])]
    if len(early):
        found.append(Finding("impossible", "ratings before consent", len(early), _names(early, "rater", "position")))
    return found


def _order(study: Study) -> list[Finding]:
    """Whether the plan in the database is the frozen one, by its digest."""
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


def changed_files(study: Study) -> list[str]:
    """Stimuli that are missing, or whose bytes are not those of the frozen design."""
    wrong = []
    for stimulus in study.design.stimuli:
        file = study.stimulus_path(stimulus.name)
        if not file.is_file():
            wrong.append(f"{file.name} is missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != stimulus.sha256:
            wrong.append(f"{file.name} was changed")
    return wrong


def _files(study: Study) -> list[Finding]:
    wrong = changed_files(study)
    return [Finding("impossible", "stimuli that are not the frozen ones", len(wrong), wrong[:5])] if wrong else []
