"""The stopping rule acts: the collection ends at the look where the rule is met, for new raters, and its level holds in simulation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asgi_client import TestClient, generous
from facesr.bench.errors import FaceSRError
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.pairwise import compare_conditions, decided
from facesr.bench.study import Study, crowd, ending, reading, store
from facesr.bench.study.carried import carried_out
from facesr.bench.study.plan import AnalysisPlan, Stopping, read_plan
from facesr.dashboard.rating.api import rating_api
from fake_study import small_study


def sequential(folder: Path, end: str = "all", **more: Any) -> Study:
    """Three conditions, nine raters, looks at 3, 6 and 9."""
    rule = {"kind": "group-sequential", "looks": [3, 6, 9], "end": end}
    return small_study(folder, raters=9, anchors=0, analysis={"alpha": 0.05, "equivalence_margin": 0.0, "stopping": rule, **more})


def rate_all(study: Study, grades: dict[str, float], rng: np.random.Generator, count: int = 1) -> list[str]:
    """People who rate everything, each condition about its grade, and whose end is carried out as the server does."""
    from sqlalchemy import select

    from facesr.bench.study import tables as t

    names = []
    for _ in range(count):
        rater, _ = store.seat_rater(study.engine, rows=study.design.raters)
        store.consent(study.engine, rater, "en")
        with study.engine.connect() as connection:
            plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
        for item in plan:
            score = int(np.clip(round(grades[item.condition] + rng.normal(0, 0.4)), 1, 5))
            store.rate(study.engine, rater, item.position, score)
        ending.carry_out(study)
        names.append(rater.name)
    return names


CLEAR = {"hr": 5.0, "psp": 3.0, "bicubic": 1.0}
ONE = {"hr": 5.0, "psp": 1.5, "bicubic": 1.5}


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(4)


@pytest.mark.parametrize(("end", "grades", "ends_at"), [("all", CLEAR, 6), ("all", ONE, None), ("any", ONE, 6)])
def test_collection_ends_where_the_plan_says(
    tmp_path: Path, rng: np.random.Generator, end: str, grades: dict[str, float], ends_at: int | None
) -> None:
    """With two pairs of three decided, 'any' ends and 'all' goes on. O'Brien-Fleming's first look at 3 of 9 decides nothing yet."""
    study = sequential(tmp_path, end)
    rate_all(study, grades, rng, 7 if ends_at is None else ends_at)
    assert [look.raters for look in ending.looks(study)] == [3, 6]
    ended = study.ended
    assert (ended.raters if ended else None) == ends_at
    if ended:
        with pytest.raises(FaceSRError, match="has ended by its rule"):
            store.seat_rater(study.engine, rows=9)
        assert study.end().reason == ""  # by the plan: no reason is asked for
        found = carried_out(study)[0]
        assert f"the rule was met at {ends_at}" in found.done
        assert found.deviation == ""
    else:
        with pytest.raises(FaceSRError, match="7 of 9 raters have finished and the rule is not met"):
            study.end()
        study.end("no money")
        assert carried_out(study)[0].deviation == "ended before the rule was met; no money"
    study.close()


def test_who_has_begun_may_finish_and_does_not_change_the_result(tmp_path: Path, rng: np.random.Generator) -> None:
    """Two begin before the end: one had agreed and finishes, kept but not analysed; one had not, and is told that the study has ended."""
    study = sequential(tmp_path)
    begun, token = store.seat_rater(study.engine, rows=9)
    _, waiting = store.seat_rater(study.engine, rows=9)
    store.consent(study.engine, begun, "en")
    names = rate_all(study, CLEAR, rng, 6)
    assert study.ended is not None
    decided = study.ratings()
    assert set(decided["rater"]) == set(names)
    client = TestClient(rating_api(study, generous()))
    mine, other = ({"Authorization": f"Bearer {t}"} for t in (token, waiting))
    assert client.get("/session", headers=other).json()["closed"] is True
    assert client.post("/consent", json={"agreed": True}, headers=other).status_code == 410
    assert client.get("/session", headers=mine).json()["closed"] is False
    for position in range(1, 13):
        assert client.put(f"/ratings/{position}", json={"score": 1}, headers=mine).json()["stored"] is True
    assert client.get("/done", headers=mine).json()["code"]
    assert study.finished() == 7
    assert study.raters_looked_at() == 6
    assert study.ratings().equals(decided)
    assert study.alpha == pytest.approx(study.level_at(6))
    assert len(study.ratings(excluded=True)) == len(decided) + 12  # kept, and exported
    study.close()


def test_a_crowd_is_told_that_the_study_has_ended(tmp_path: Path, rng: np.random.Generator) -> None:
    """No new place; a worker who has one goes on."""
    rules = {"unseen": None, "pace_seconds": None}
    stopping = {"kind": "group-sequential", "looks": [3, 6, 9]}
    plan = {"alpha": 0.05, "equivalence_margin": 0.0, "stopping": stopping, "exclude_raters": rules}
    study = small_study(tmp_path, raters=9, anchors=0, join="open", full_url="https://example.org/full", analysis=plan)
    place = crowd.join(study, "w0")
    rate_all(study, CLEAR, rng, 6)
    assert crowd.join(study, "w1") == crowd.Joined(refused="closed", url="https://example.org/full")
    assert crowd.join(study, "w0").rater == place.rater
    study.close()


def test_a_look_is_carried_out_once(tmp_path: Path, rng: np.random.Generator) -> None:
    """However often it is asked, and by two processes: the log has one of each."""
    study = sequential(tmp_path)
    rate_all(study, CLEAR, rng, 3)
    for _ in range(3):
        ending.carry_out(study)
    assert list(reading.events(study)["kind"]).count(ending.LOOK) == 1
    study.close()


def test_what_cannot_be_tested_decides_nothing() -> None:
    """A pair study in which one condition won everything has no finite scores."""
    import pandas as pd

    plan = read_plan({}, "plan", method="pair")
    rows = [(f"r{r}", f"f{f}", "a", "b", "main", 1.0) for r in range(4) for f in range(4)]
    table = pd.DataFrame(rows, columns=["rater", "face", "condition", "other", "kind", "score"])
    for level in (0.05, 0.0):
        assert ending.decisions(table, plan, level, ["a", "b"], "pair") == {("a", "b"): False}


RATERS, FACES = 24, 12


def worlds(count: int, means: tuple[float, ...], rng: np.random.Generator) -> Iterator[Cube]:
    """Studies of 24 raters and 12 faces with every kind of variance but a true difference beyond ``means``."""
    n = len(means)
    names = [tuple(f"{letter}{k:02d}" for k in range(size)) for letter, size in (("r", RATERS), ("f", FACES), ("c", n))]
    for _ in range(count):
        value = np.array(means) + rng.normal(0, 0.55, (RATERS, 1, 1)) + rng.normal(0, 0.34, (1, FACES, 1))
        value = value + rng.normal(0, 0.27, (RATERS, 1, n)) + rng.normal(0, 0.36, (1, FACES, n))
        value = value + rng.normal(0, 0.91, (RATERS, FACES, n))
        yield Cube(np.clip(np.round(value), 1, 5), *names)


def first_raters(cube: Cube, count: int) -> Cube:
    """The ratings of the first to finish."""
    return Cube(cube.values[:count], cube.raters[:count], cube.faces, cube.conditions)


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "bh", "none"])
def test_a_look_decides_what_the_report_prints(correction: str) -> None:
    """The few figures a look computes give the verdicts of the whole comparison, equivalence included, and with gaps."""
    import pandas as pd

    rng, seen = np.random.default_rng(8), set()
    plan = read_plan({"correction": correction, "equivalence_margin": 0.45}, "plan")
    for gaps, cube in enumerate(worlds(4, (2.4, 3.0, 3.0), rng)):
        some = cube.values.copy()
        some[rng.random(some.shape) < 0.1 * (gaps % 2)] = np.nan
        cube = Cube(some, cube.raters, cube.faces, cube.conditions)
        index = pd.MultiIndex.from_product([cube.raters, cube.faces, cube.conditions], names=["rater", "face", "condition"])
        table = pd.DataFrame({"score": some.ravel()}, index=index).reset_index().assign(kind="main")
        found = ending.decisions(table, plan, 0.05, list(cube.conditions), "acr")
        whole = compare_conditions(cube, margin=0.45, alpha=0.05, correction=plan.corrected_by, leave_out=False)
        assert found == {(q.a, q.b): q.verdict in {"different", "equivalent"} for q in whole}
        seen |= {q.verdict for q in whole}
    assert {"different", "undecided"} <= seen


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("kind", ["group-sequential", "always-valid"])
def test_the_level_of_the_rule_as_it_is_carried_out(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 studies of each kind, ended as the plan says, by the same code: wrong decisions in at most alpha of them.

    All three conditions alike, and two of three alike: then the collection goes on for the last pair (``all``), or ends at the first
    decision (``any``). An always-valid rule looks after every rater from the eighth on.
    """
    from facesr.bench.study.stopping import level_now

    rng, alpha, count = np.random.default_rng(11), 0.05, 1000
    rule = Stopping(kind, (8, 16, 24) if kind == "group-sequential" else ())  # type: ignore[arg-type]
    levels = {n: level_now(rule, alpha, n, RATERS, 3) for n in rule.looks or range(8, RATERS + 1)}
    for means in ((3.0, 3.0, 3.0), (2.5, 3.0, 3.0)):
        alike = {pair for pair in combinations(range(3), 2) if means[pair[0]] == means[pair[1]]}
        wrong, ended_at = {"all": 0, "any": 0}, dict[str, list[int]](all=[], any=[])
        for world in worlds(count, means, rng):
            open_rules = {"all", "any"}
            for n, level in levels.items():
                found = decided(first_raters(world, n), alpha=level)
                here = {(int(a[1:]), int(b[1:])) for (a, b), yes in found.items() if yes}
                for end in sorted(open_rules):
                    over = ending.Look(n, level, len(here), 3).ends(AnalysisPlan(stopping=Stopping(end=end)))  # type: ignore[arg-type]
                    if here & alike or over:
                        wrong[end] += bool(here & alike)
                        ended_at[end].append(n)
                        open_rules.remove(end)
                if not open_rules:
                    break
        for end, errors in wrong.items():
            with capsys.disabled():
                early = len([n for n in ended_at[end] if n < RATERS])
                print(f"\n{kind}, end {end}, means {means}: {errors} of {count} with a wrong decision, {early} ended early")
            assert errors <= count * alpha + 2.5 * np.sqrt(count * alpha * (1 - alpha))
