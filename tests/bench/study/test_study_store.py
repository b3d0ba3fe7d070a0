"""The database: answers stored once, in order, never changed; the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select, text

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, reading, store
from facesr.bench.study import tables as t
from facesr.bench.study.database import connect, migrate
from fake_study import small_study
from servers import new_database, postgres  # noqa: F401 - a fixture


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A small study, on both databases."""
    folder = tmp_path_factory.mktemp("store")
    database = new_database(request.getfixturevalue("postgres"), "store") if request.param == "postgresql" else None
    made = small_study(folder, database=database, repeats=1, attention=1, gold=2)
    yield made
    made.close()


def newcomer(study: Study) -> store.Rater:
    """A rater who has agreed."""
    _, token = store.seat_rater(study.engine, rows=3)
    rater = store.by_token(study.engine, token)
    assert rater is not None
    store.consent(study.engine, rater, "en")
    found = store.by_token(study.engine, token)
    assert found is not None
    return found


def plan(study: Study, row: int) -> list[tuple[int, bool]]:
    """(position, whether it is rated) of a row."""
    with study.engine.connect() as connection:
        rows = connection.execute(
            select(t.plan.c.position, t.plan.c.kind).where(t.plan.c.row == row).order_by(t.plan.c.position)
        ).all()
    return [(p, not k.startswith("anchor")) for p, k in rows]


def finish(study: Study, rater: store.Rater, grade: int = 3) -> None:
    """Rate everything; attention items get the key they ask for."""
    with study.engine.connect() as connection:
        rows = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    for row in rows:
        wanted = row.low if row.kind == "attention" else None if row.kind.startswith("anchor") else grade
        assert store.rate(study.engine, rater, row.position, wanted).stored


def rows_of(study: Study, rater: store.Rater, table: str = "rating") -> int:
    """Rows of a rater in a table."""
    with study.engine.connect() as connection:
        return int(connection.execute(text(f"select count(*) from {table} where rater = {rater.id}")).scalar_one())


def test_sending_again_changes_nothing(study: Study) -> None:
    """The first answer stays, whatever is sent later for the same position."""
    rater = newcomer(study)
    assert store.rate(study.engine, rater, 1, None) == store.Answer(True, 2)
    for _ in range(3):
        assert store.rate(study.engine, rater, 1, None) == store.Answer(False, 2)
    for position in (2, 3, 4):
        store.rate(study.engine, rater, position, None)
    assert store.rate(study.engine, rater, 5, 4).stored
    assert store.rate(study.engine, rater, 5, 1) == store.Answer(False, 6)
    table = study.ratings()
    mine = table[(table["rater"] == rater.name) & (table["position"] == 5)]
    assert list(mine["score"]) == [4.0]


def test_only_the_current_item_can_be_answered(study: Study) -> None:
    """A position ahead is refused, so that no plan has holes; one that does not exist too."""
    rater = newcomer(study)
    assert store.rate(study.engine, rater, 2, None) == store.Answer(False, 1, "ahead of the current item")
    assert store.rate(study.engine, rater, 999, 3).problem == "no such position"
    assert store.rate(study.engine, rater, 1, 3).problem == "anchors are seen, not rated"
    assert rows_of(study, rater) == 0


def test_corrections_are_new_rows_while_the_next_item_is_unrated(study: Study) -> None:
    """The first answer stays in its row; the last correction counts; after the next answer it is too late."""
    rater = newcomer(study)
    for position in range(1, 5):
        store.rate(study.engine, rater, position, None)
    store.rate(study.engine, rater, 5, 2)
    assert store.rate(study.engine, rater, 5, 3, revision=1) == store.Answer(True, 6)
    assert store.rate(study.engine, rater, 5, 5, revision=1) == store.Answer(False, 6)  # the same correction sent twice
    assert store.rate(study.engine, rater, 5, 4, revision=2).stored
    store.rate(study.engine, rater, 6, 1)
    assert store.rate(study.engine, rater, 5, 1, revision=3).problem == "too late to correct"
    table = study.ratings()
    row = table[(table["rater"] == rater.name) & (table["position"] == 5)].iloc[0]
    assert (row["score"], row["first_score"], row["revisions"]) == (4.0, 2.0, 2)


def test_a_finished_rater_is_done_and_counts(study: Study) -> None:
    """The last answer sets the status; an anchor is seen (no score), gold and attention are judged."""
    before = study.finished()
    rater = newcomer(study)
    finish(study, rater)
    assert study.finished() == before + 1
    table = study.ratings()
    mine = table[table["rater"] == rater.name]
    assert list(mine["position"]) == list(range(1, len(mine) + 1))
    kinds = Counter(mine["kind"])
    assert kinds == {"anchor_low": 2, "anchor_high": 2, "main": 12, "repeat": 1, "gold": 2, "attention": 1}
    assert mine.loc[mine["kind"].str.startswith("anchor"), "score"].isna().all()
    judged = mine[mine["kind"] == "gold"]
    assert not judged["correct"].any()  # a 3 is neither right for HR (4-5) nor for nearest (1-2)
    assert store.rate(study.engine, rater, 20, 1, revision=1).problem == "finished answers are not changed"
    with pytest.raises(FaceSRError, match="is done"):
        store.set_status(study.engine, rater.name, "paused")


def test_pause_resume_replace_exclude_delete(study: Study) -> None:
    """Paused raters wait; a replacement gets the same row; excluded ratings stay but are left out; deleted ones are gone."""
    rater = newcomer(study)
    store.rate(study.engine, rater, 1, None)
    store.set_status(study.engine, rater.name, "paused", "fire alarm")
    assert store.rate(study.engine, rater, 2, None).problem == "paused"
    store.set_status(study.engine, rater.name, "active")
    assert store.rate(study.engine, rater, 2, None).stored
    successor, token = store.replace(study.engine, rater.name, "ill")
    assert successor.row == rater.row
    assert store.by_token(study.engine, token) == successor
    assert store.rate(study.engine, rater, 3, None).problem == "replaced"
    assert rater.name not in set(study.ratings()["rater"])
    assert rater.name in set(study.ratings(excluded=True)["rater"])

    other = newcomer(study)
    finish(study, other)
    finished = study.finished()
    store.exclude(study.engine, other.name, "attention", "three of four wrong")
    assert study.finished() == finished - 1
    assert reading.exclusions(study)[other.name] == {"attention": "three of four wrong"}
    assert store.delete_rater(study.engine, other.name) == 20
    for table in ("rating", "presentation", "correction", "event", "token", "exclusion"):
        left = rows_of(study, other, table)
        assert left == 0, table
    assert other.name not in set(study.ratings(excluded=True)["rater"])
    with study.engine.connect() as connection:
        kept = connection.execute(select(t.rater).where(t.rater.c.name == other.name)).one()
        assert (kept.status, kept.pseudonym, kept.locale, kept.consent) == ("deleted", None, None, None)
    with pytest.raises(FaceSRError, match="did you mean"):
        store.set_status(study.engine, other.name + "x", "paused")


def test_tokens_are_long_and_stored_hashed(study: Study) -> None:
    """192 random bits; only the sha256 is in the database; a new link ends the old one."""
    rater, token = store.seat_rater(study.engine, rows=3)
    assert len(token) >= 32
    with study.engine.connect() as connection:
        everything = [str(v) for table in t.metadata.sorted_tables for row in connection.execute(select(table)) for v in row]
        hashes = connection.execute(select(t.token.c.hash)).scalars().all()
    assert not any(token in value for value in everything)
    assert store.hashed(token) in hashes
    fresh = store.fresh_link(study.engine, rater.name)
    assert store.by_token(study.engine, token) is None
    found = store.by_token(study.engine, fresh)
    assert found is not None
    assert found.name == rater.name


def test_pseudonyms_are_keyed() -> None:
    """Another study's key gives another hash of the same id."""
    alias = store.pseudonym(b"key", "prolific", "5f1234567890abcdef123456")
    assert alias != store.pseudonym(b"other key", "prolific", "5f1234567890abcdef123456")


def test_new_raters_take_the_emptiest_row(tmp_path: Path) -> None:
    """Six invitations over three rows: two each; simulated raters do not count."""
    study = small_study(tmp_path)
    store.seat_rater(study.engine, rows=3, simulated=True)
    rows = [store.seat_rater(study.engine, rows=3)[0].row for _ in range(6)]
    assert rows == [0, 1, 2, 0, 1, 2]
    study.close()


def test_many_devices_at_once_store_each_answer_once(study: Study) -> None:
    """Eight threads send every position of one rater with different grades: one row a position, no holes, no error."""
    rater = newcomer(study)
    problems: list[BaseException] = []

    def send(grade: int) -> None:
        try:
            for position, rated in plan(study, rater.row):
                while not (answer := store.rate(study.engine, rater, position, grade if rated else None)).stored:
                    if answer.next > position:
                        break
        except BaseException as error:  # noqa: BLE001 - a thread loses nothing
            problems.append(error)

    threads = [threading.Thread(target=send, args=(1 + k % 5,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert rows_of(study, rater) == 20
    assert study.ratings(excluded=True).query("rater == @rater.name")["position"].tolist() == list(range(1, 21))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sends=st.lists(st.tuples(st.integers(0, 22), st.sampled_from([None, 1, 3, 5]), st.integers(0, 2)), max_size=30))
def test_any_sequence_of_sends_keeps_the_plan_whole(study: Study, sends: list[tuple[int, int | None, int]]) -> None:
    """Whatever arrives, positions stay 1..n without holes, each once, and the first stored answer never changes."""
    rater = newcomer(study)
    first: dict[int, int | None] = {}
    for position, score, revision in sends:
        answer = store.rate(study.engine, rater, position, score, revision=revision)
        if answer.stored and not revision:
            assert position not in first
            first[position] = score
    with study.engine.connect() as connection:
        query = select(t.rating.c.position, t.rating.c.score).where(t.rating.c.rater == rater.id).order_by(t.rating.c.position)
        stored = {row.position: row.score for row in connection.execute(query)}
    assert stored == first
    assert list(stored) == list(range(1, len(stored) + 1))


def test_stopping_rule_and_logged_peeks(tmp_path: Path) -> None:
    """Means are closed until the design's number of people has finished; simulated raters do not open them; a peek is in the log."""
    from facesr.bench.study.simulate import simulate

    study = small_study(tmp_path, stop_raters=2)
    simulate(study, 5)
    assert not study.may_show_means()
    finish(study, newcomer(study))
    assert (study.finished(), study.may_show_means()) == (1, False)
    study.peek("Ada", "impatience")
    assert [(p["who"], p["reason"], p["finished"]) for p in study.peeks()] == [("Ada", "impatience", 1)]
    finish(study, newcomer(study))
    assert study.may_show_means()
    study.close()


def test_simulated_raters_never_meet_people(tmp_path: Path) -> None:
    """Their rows carry the label, come only when asked for, and never together with people's."""
    from facesr.bench.study.simulate import simulate

    study = small_study(tmp_path, repeats=1)
    names = simulate(study, 4, {"psp": 4.5, "bicubic": 1.5}, seed=1)
    assert names == ["s001", "s002", "s003", "s004"]
    assert study.ratings().empty
    finish(study, newcomer(study))
    people, machines = study.ratings(), study.ratings(simulated=True)
    assert set(people["rater"]) == {"r001"}
    assert set(machines["rater"]) == set(names)
    assert machines["simulated"].all()
    assert not people["simulated"].any()
    assert study.means(simulated=True)["psp"] - study.means(simulated=True)["bicubic"] > 1.5
    assert len(machines) == 4 * (4 + 12 + 1)
    study.close()


def test_rest_after_a_long_session(tmp_path: Path) -> None:
    """Half an hour without a pause of five minutes calls for a rest; after one, none."""
    from datetime import UTC, datetime, timedelta

    study = small_study(tmp_path)
    rater = newcomer(study)

    def at(minutes: float) -> str:
        return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    for position, minutes in ((1, 31), (2, 27.5), (3, 24), (4, 20), (5, 16), (6, 12), (7, 8), (8, 4), (9, 0.5)):
        store.rate(study.engine, rater, position, None if position < 5 else 3, at=at(minutes))
    with study.engine.connect() as connection:
        assert store.rest_until(connection, rater.id, 30, 5) == pytest.approx(4.5 * 60, abs=3)
        assert store.rest_until(connection, rater.id, 31, 5) == 0
        assert store.rest_until(connection, rater.id, 0, 5) == 0
        assert store.rest_until(connection, rater.id, 30, 0.4) == 0  # already rested
        assert store.rest_until(connection, rater.id, 10, 3.4) == 0  # the pauses between were rests
    study.close()


def test_migrations_make_the_tables_of_the_code(study: Study) -> None:
    """Alembic's own comparison finds no difference between the migrated database and the tables in the code; migrating again is harmless."""
    migrate(study.engine)
    with study.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), t.metadata) == []


def test_sqlite_is_durable(tmp_path: Path) -> None:
    """WAL, full synchronous (2) and foreign keys on every connection."""
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    migrate(engine)
    with engine.connect() as connection:
        pragma = {
            p: connection.exec_driver_sql(f"pragma {p}").scalar_one() for p in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert {"rating", "plan", "alembic_version"} <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_database_mistakes_get_one_sentence(tmp_path: Path) -> None:
    """Another kind of database, no URL at all, a server that is not there."""
    with pytest.raises(FaceSRError, match="SQLite or PostgreSQL, not 'mysql'"):
        connect("mysql://localhost/x")
    with pytest.raises(FaceSRError, match="is no database URL"):
        connect("ratings.db")
    with pytest.raises(FaceSRError, match="cannot be opened"):
        migrate(connect("postgresql://nobody@127.0.0.1:9/none"))
