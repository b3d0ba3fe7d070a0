"""A crowd: places that time out and are refilled, rules carried out, who is sent away and where to, payments, and a simulated crowd."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, crowd, ending, payments, reading, store
from facesr.bench.study import tables as t
from facesr.bench.study.create import create
from facesr.bench.study.rehearse import Habits, own_clock, rehearse
from fake_study import fake_run, small_study
from servers import new_database, postgres  # noqa: F401 - a fixture

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def finish(study: Study, token: str, clock: list[datetime], *, wrong: bool = False) -> store.Rater:
    """Rate everything at four seconds an image, attention items right unless ``wrong``."""
    rater = store.by_token(study.engine, token)
    assert rater is not None
    store.consent(study.engine, rater, "en")
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
        following = store.next_position(connection, rater.id)
    for item in plan[following - 1 :]:
        if item.stimulus:
            store.note_sent(study.engine, rater, item.stimulus)
        clock[0] += timedelta(seconds=4)
        score = None if item.kind.startswith("anchor") else item.low % 5 + 1 if wrong and item.low else item.low or 3
        assert store.rate(study.engine, rater, item.position, score, keep_minutes=60).stored
    crowd.carry_out_rules(study, [rater.name])
    return rater


def test_ids_as_platforms_send_them() -> None:
    """Blanks go; an unfilled placeholder, an address and nothing at all get the sentence that says what to do."""
    assert crowd.clean_id("prolific", " 5f1234567890abcdef123456 \n") == "5f1234567890abcdef123456"
    for given, message in {
        "{{%PROLIFIC_PID%}}": "placeholder '{{%PROLIFIC_PID%}}' in place of a worker id: the study's address at Prolific",
        "ada@example.org": "looks like an address",
        "ada.muster": "looks like an address",
        "  ": "is missing: open the study from Prolific",
        "a b": "is no worker id",
    }.items():
        with pytest.raises(FaceSRError) as error:
            crowd.clean_id("prolific", given)
        assert message in str(error.value)


def test_places_time_out_and_are_refilled(tmp_path: Path) -> None:
    """Three places: a silent worker keeps the place until it is needed, then loses it for good; one who gave it back may return to it."""
    study = small_study(tmp_path, join="prolific", reserve_minutes=30.0, full_url="https://example.org/full")
    with own_clock(START) as clock:
        first, second, third = (crowd.join(study, f"w{k}") for k in range(3))
        assert crowd.join(study, "w3") == crowd.Joined(refused="full", url="https://example.org/full")
        clock[0] += timedelta(minutes=20)
        for place in (second, third):
            rater = store.by_token(study.engine, place.token)
            assert rater is not None
            assert store.rate(study.engine, rater, 1, None, keep_minutes=30).stored
        clock[0] += timedelta(minutes=15)  # the first has been silent for 35 minutes, the others for 15
        assert crowd.join(study, "w0").rater == first.rater  # nobody needed the place: it is still there, and kept anew
        clock[0] += timedelta(minutes=20)
        taken = crowd.join(study, "w4")  # the second and third have been silent for 35
        assert taken.rater == "r004"
        assert crowd.join(study, "w1").refused == "timed_out"
        crowd.depart(study, third.rater, "returned")
        assert crowd.join(study, "w2").rater == third.rater
        people = reading.raters(study).set_index("name")
        assert people.loc["r002", "departed"] == "timed_out"
        assert people.loc["r004", "row"] == people.loc["r002", "row"]
        assert set(study.ratings()["rater"]) == {"r003"}
    study.close()


def test_pausing_pauses_joining_and_closing_ends_it(tmp_path: Path) -> None:
    """Nobody joins a paused or closed study; a known worker goes on while it is paused."""
    study = small_study(tmp_path, join="open")
    crowd.join(study, "w0")
    store.set_joining(study.engine, paused=True)
    assert crowd.join(study, "w1").refused == "paused"
    assert crowd.join(study, "w0").rater == "r001"
    store.set_joining(study.engine, paused=False)
    assert crowd.join(study, "w1").token
    study.end("enough")
    assert crowd.join(study, "w2").refused == "closed"
    study.close()


def test_rules_free_places_as_often_as_there_are_spares(tmp_path: Path) -> None:
    """One place and one spare: the finisher who broke a rule is replaced once, and is out by rule and reason."""
    study = small_study(tmp_path, join="prolific", raters=1, spares=1, attention=2)
    with own_clock(START) as clock:
        rater = finish(study, crowd.join(study, "w0").token, clock, wrong=True)
        assert reading.exclusions(study)[rater.name] == {"attention_wrong": "2 of 2 attention items wrong, more than 50%"}
        finish(study, crowd.join(study, "w1").token, clock)
        assert crowd.join(study, "w2").refused == "full"
        assert study.finished() == 1
        assert set(study.ratings()["rater"]) == {"r002"}
        with pytest.raises(FaceSRError, match="--force"):
            store.replace(study.engine, "r002", "looks better without")
    study.close()


def test_raters_of_past_studies_are_sent_away(tmp_path: Path) -> None:
    """Recognised by the old study's keyed hash; their ids stand nowhere."""
    old = small_study(tmp_path / "old", join="prolific")
    crowd.join(old, "worker7")
    study = small_study(tmp_path / "new", join="prolific", past=[old.path], already_url="https://example.org/done")
    assert crowd.join(study, "worker7") == crowd.Joined(refused="already_done", url="https://example.org/done")
    assert crowd.join(study, "worker8").token
    private = study.path / "past.json"
    assert private.stat().st_mode & 0o777 == 0o600
    assert "worker7" not in private.read_text()
    private.unlink()
    with pytest.raises(FaceSRError, match=r"past\.json is missing"):
        crowd.join(study, "worker9")
    for each in (old, study):
        each.close()


@pytest.mark.parametrize("platform", ["prolific", "mturk"])
def test_payments(tmp_path: Path, platform: str) -> None:
    """Ids are encrypted until paid; who to approve, to reject by which rule, and bonuses, as the platform imports them; then they are gone."""
    study = small_study(tmp_path, join=platform, attention=2)
    with own_clock(START) as clock:
        finish(study, crowd.join(study, "WORKER1", submission="SUB1").token, clock)
        finish(study, crowd.join(study, "WORKER2", submission="SUB2").token, clock, wrong=True)
        crowd.join(study, "WORKER3", submission="SUB3")
    assert b"WORKER1" not in (study.path / "ratings.db").read_bytes() + (study.path / "ratings.db-wal").read_bytes()
    files = {f.name: f for f in payments.write_payments(study, tmp_path / "pay", {}, bonus_all=0.5)}
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in files.values())
    reason = "attention_wrong: 2 of 2 attention items wrong, more than 50%"
    if platform == "prolific":
        assert files["approve.txt"].read_text() == "WORKER1\n"
        assert list(csv.reader(files["reject.csv"].read_text().splitlines()))[1:] == [["WORKER2", "SUB2", reason]]
        assert files["bonus.csv"].read_text() == "WORKER1,0.50\n"
    else:
        assert list(csv.reader(files["review.csv"].read_text().splitlines()))[1:] == [
            ["SUB1", "WORKER1", "x", ""],
            ["SUB2", "WORKER2", "", reason],
        ]
        assert list(csv.reader(files["bonus.csv"].read_text().splitlines()))[1:] == [["WORKER1", "SUB1", "0.50", "Thank you"]]
    code = next(p.code for p in payments.payments(study) if p.rater == "r001")
    assert payments.find_code(study, f" {code}\n") == ["r001"]
    assert payments.find_code(study, "NOTACODE") == []
    with pytest.raises(FaceSRError, match="no bonus can be paid to r002"):
        payments.write_payments(study, tmp_path / "pay", {"r002": 1.0})
    assert payments.settle(study) == 2
    assert [p.rater for p in payments.payments(study)] == ["r003"]
    assert set(reading.events(study)["kind"]) >= {"ids erased"}
    study.close()


def crowd_study(folder: Path, workers: int, database: str | None = None) -> Study:
    """A study whose places 1.5 times as many workers can fill, with rules against everything the crowd does."""
    run_folder = fake_run(folder / "run", faces=12, size=32)
    places = workers * 6 // 10
    options = {
        "raters": places, "spares": places // 5, "images": 6, "faces_per_rater": 3, "anchors": 0, "gap": 1, "break_every": 0,
        "session_minutes": 0.0, "seed": 1, "join": "prolific", "reserve_minutes": 30.0,
    }  # fmt: skip
    return create(run_folder, folder / "study", options=options, database=database)


def check_crowd(study: Study, workers: int) -> None:
    """Every cell filled to one, nobody in twice, every exclusion by a declared rule, no place lost."""
    found = rehearse(study, workers)
    assert sum(found.kinds.values()) == workers
    assert set(found.refused) <= {"full"}
    cells = reading.cells(study)
    counts = study.ratings().query("kind == 'main'").groupby(["face", "condition"]).size()
    assert counts.max() - counts.min() <= 1
    assert cells["missing"].sum() == 0
    assert study.finished() == study.design.raters  # no place lost
    people = reading.raters(study)
    counted = people[(people["status"] == "done") & (people["excluded"] == "")]
    assert sorted(counted["row"]) == list(range(study.design.raters))  # each row once
    assert counted["device"].is_unique
    rules = {rule for broken in reading.exclusions(study).values() for rule in broken}
    assert rules <= {"unseen", "pace_seconds", "same_device", "returned", "timed_out"}
    assert {"unseen", "same_device", "returned", "timed_out"} <= rules
    log = set(reading.events(study)["kind"])
    assert not log & {"excluded", "replaced", "paused"}  # no hand touched it
    bots = people[people["excluded"].str.contains("unseen")]
    assert 0 < len(bots) <= found.kinds["bots"]


def test_a_small_simulated_crowd(tmp_path: Path) -> None:
    """120 workers: 15 % return, 5 % fall silent, 5 % are one person, 3 % are bots."""
    study = crowd_study(tmp_path, 120)
    check_crowd(study, 120)
    study.close()


def test_an_answer_costs_no_more_in_a_large_crowd(tmp_path: Path) -> None:
    """Steps of SQLite's machine for a session, after 2 and after 800 others: a dozen more per person in all, 60 for joining, none for a look."""
    study = small_study(tmp_path, join="prolific", raters=900, images=2, anchors=0, gap=1, attention=2)

    def session(worker: str) -> dict[str, int]:
        spent: dict[str, int] = {}
        with own_clock(START) as clock, machine_steps(study) as steps:
            token = crowd.join(study, worker, device=f"browser of {worker}").token
            spent["join"] = steps()
            finish(study, token, clock)
            spent["rate"] = steps()
            ending.carry_out(study)
            spent["look"] = steps()
        return spent

    before = [session(f"w{k}") for k in range(3)][-1]
    people = 800
    with store.writing(study.engine) as connection:
        positions = connection.execute(select(t.plan.c.position).where(t.plan.c.row == 0)).scalars().all()
        kept = {"status": "done", "simulated": False, "source": "prolific", "invited": store.now(), "consent": store.now()}
        everyone = [{**kept, "id": 100 + k, "name": f"x{k}", "row": 9 + k, "device": f"d{k}"} for k in range(people)]
        connection.execute(t.rater.insert(), everyone)
        given = [{"position": p, "score": 3, "input": "key", "at": store.now()} for p in positions]
        connection.execute(t.rating.insert(), [{**row, "rater": r["id"]} for r in everyone for row in given])
    after = session("late")
    assert after["rate"] < before["rate"] + 15 * people
    assert after["look"] == before["look"]
    assert after["join"] < before["join"] + 60 * people
    study.close()


@contextmanager
def machine_steps(study: Study) -> Iterator[Callable[[], int]]:
    """Counts what SQLite's virtual machine does, rows that are handed over included; calling it tells the number and begins again."""
    count = 0

    def one() -> int:
        nonlocal count
        count += 1
        return 0

    def watch(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.set_progress_handler(one, 10)

    def told() -> int:
        nonlocal count
        now, count = count, 0
        return 10 * now

    event.listen(study.engine, "checkout", watch)
    try:
        yield told
    finally:
        event.remove(study.engine, "checkout", watch)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_thousand_workers(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """The same with 2,000, on both databases."""
    database = new_database(request.getfixturevalue("postgres"), "crowd") if kind == "postgresql" else None
    study = crowd_study(tmp_path, 2000, database)
    check_crowd(study, 2000)
    study.close()


def test_an_honest_crowd_loses_nobody(tmp_path: Path) -> None:
    """Without cheats no rule leaves anybody out: the defaults have no false alarms here."""
    study = crowd_study(tmp_path, 40)
    found = rehearse(study, 40, Habits(0, 0, 0, 0))
    assert found.left_out == 0
    assert found.refused == {"full": 40 - study.design.raters}
    study.close()
