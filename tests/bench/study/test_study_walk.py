"""Every entry of the analysis plan, changed once: the report changes, beyond the table that prints the plan, or the entry is refused.

The walk fails when an entry is added that it does not know.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, ending, load_study, store
from facesr.bench.study import tables as t
from facesr.bench.study.analysis import analyse_study
from facesr.bench.study.plan import AnalysisPlan, ExcludeRaters, Stopping, read_plan
from facesr.bench.study.rehearse import own_clock
from fake_study import small_study

RULES_OFF = {"attention_wrong": None}
BASE: dict[str, Any] = {"alpha": 0.05, "exclude_raters": RULES_OFF}
LOOKS: dict[str, Any] = {"kind": "group-sequential", "looks": [4, 8]}

CHANGED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "primary": ({}, {"primary": "bradley-terry"}),
    "alpha": ({}, {"alpha": 0.2}),
    "correction": ({}, {"correction": "none"}),
    "screening": ({}, {"screening": "vqeg-multimedia"}),
    "equivalence_margin": ({}, {"equivalence_margin": 1.5}),
    "exclude_raters.attention_wrong": ({}, {"exclude_raters": {"attention_wrong": 0.5}}),
    "exclude_raters.gold_wrong": ({}, {"exclude_raters": {**RULES_OFF, "gold_wrong": 0.5}}),
    "exclude_raters.same_grade": ({}, {"exclude_raters": {**RULES_OFF, "same_grade": 0.9}}),
    "exclude_raters.pace_seconds": ({}, {"exclude_raters": {**RULES_OFF, "pace_seconds": 1.0}}),
    "exclude_raters.repeats_apart": ({}, {"exclude_raters": {**RULES_OFF, "repeats_apart": 1.5}}),
    "exclude_raters.unseen": ({}, {"exclude_raters": {**RULES_OFF, "unseen": 0.5}}),
    "exclude_raters.same_device": ({}, {"exclude_raters": {**RULES_OFF, "same_device": True}}),
    "stopping.kind": ({}, {"stopping": {"kind": "always-valid"}}),
    "stopping.looks": ({"stopping": LOOKS}, {"stopping": {**LOOKS, "looks": [5, 8]}}),
    "stopping.spending": ({"stopping": LOOKS}, {"stopping": {**LOOKS, "spending": "pocock"}}),
    "stopping.end": ({"stopping": LOOKS}, {"stopping": {**LOOKS, "end": "any"}}),
}
"""Entry -> plan before and after, both on top of ``BASE``."""

HABITS = ("honest", "honest", "honest", "attention", "gold", "one grade", "hasty", "contrary", "unseen", "puppet")
"""One rater breaks each rule; the puppet's browser is the first one's."""


def leaves(kind: Any, before: str = "") -> Iterator[str]:
    """Names of all entries, tables within by their parts."""
    for field in dataclasses.fields(kind):
        inner = {"exclude_raters": ExcludeRaters, "stopping": Stopping}.get(field.name)
        yield from leaves(inner, f"{field.name}.") if inner else (before + field.name,)


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that ten people finished, each with a habit; HR is clearly best, the other two are alike."""
    study = small_study(
        tmp_path_factory.mktemp("walk"),
        faces=16,
        raters=10,
        images=5,
        anchors=0,
        gap=1,
        gold=2,
        repeats=4,
        attention=2,
        stop_raters=6,
    )
    rng = np.random.default_rng(5)
    with own_clock(datetime(2026, 3, 2, 9, tzinfo=UTC)) as clock:
        for k, habit in enumerate(HABITS):
            rater, _ = store.seat_rater(study.engine, rows=10)
            with study.engine.begin() as connection:
                connection.execute(
                    t.rater.update().where(t.rater.c.id == rater.id).values(device="d0" if habit == "puppet" else f"d{k}")
                )
            store.consent(study.engine, rater, "en")
            one_session(study, rater, habit, clock, rng)
    study.close()
    return study.path


def one_session(study: Study, rater: store.Rater, habit: str, clock: list[datetime], rng: np.random.Generator) -> None:
    """Answers by habit."""
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    for item in plan:
        if item.stimulus and habit != "unseen":
            store.note_sent(study.engine, rater, item.stimulus)
        clock[0] += timedelta(seconds=0.2 if habit == "hasty" else 4)
        level = {"hr": 4.4, "psp": 2.6, "bicubic": 2.4}.get(item.condition, 3.0)
        score = int(np.clip(np.floor(level + rng.normal(0, 0.7) + 0.5), 1, 5))
        if item.kind in {"gold", "attention"}:
            score = (
                int(item.low) if habit != item.kind else 1 + int(item.low) % 5 if item.kind == "attention" else 6 - int(item.low)
            )
        elif habit == "one grade":
            score = 3
        elif habit == "contrary" and item.kind == "repeat":
            score = 1 if score > 3 else 5
        assert store.rate(study.engine, rater, item.position, score, rt_ms=3000).stored


@pytest.fixture(scope="module")
def reported(rated: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The analysis by a plan as plain data, without the table that prints the plan; of the same ratings every time, each plan once."""

    @functools.cache
    def by(text: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("plan") / "study"
        shutil.copytree(rated, folder)
        study = load_study(folder)
        plan = read_plan({**BASE, **json.loads(text)}, "plan")
        if problems := plan.problems("acr", (1, 5), 8, {"gold": 2, "repeats": 4, "attention": 2}):
            raise FaceSRError("; ".join(problems))
        study.__dict__["plan"] = plan  # the frozen one is cached here: the ratings need not be given again for each plan
        found = analyse_study(study).as_dict()
        found["ended"] = study.ended
        study.close()
        return {k: v for k, v in found.items() if k != "plan"}

    return lambda entries: by(json.dumps(entries))


def test_the_walk_knows_every_entry() -> None:
    """A new entry of the plan needs a line in ``CHANGED``."""
    assert set(leaves(AnalysisPlan)) == set(CHANGED)


@pytest.mark.slow
@pytest.mark.parametrize("entry", CHANGED)
def test_an_entry_that_is_changed_changes_the_report(entry: str, reported: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Or is refused with the reason; what the plan's own table says does not count."""
    before, after = CHANGED[entry]
    base = reported(before)
    try:
        changed = reported(after)
    except FaceSRError as error:
        assert entry == "primary"  # the one entry whose other value belongs to another method
        assert "does not fit the method 'acr'" in str(error)
        return
    assert changed != base
    if entry.startswith("exclude_raters."):
        rule = entry.partition(".")[2]
        new = set(changed["data"]["left_out"]) - set(base["data"]["left_out"])
        who = {
            "attention_wrong": 4,
            "gold_wrong": 5,
            "same_grade": 6,
            "pace_seconds": 7,
            "repeats_apart": 8,
            "unseen": 9,
            "same_device": 10,
        }
        assert f"r{who[rule]:03d}" in new
        assert all(rule in changed["data"]["left_out"][name] for name in new)
        assert changed["pairs"] != base["pairs"]
    if entry == "stopping.end":
        assert isinstance(changed["ended"], ending.Look)
        assert base["ended"] is None or base["ended"].raters > changed["ended"].raters or base["ended"].decided == 3
