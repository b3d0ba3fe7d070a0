"""Out and in: exports with manifest and dictionary, imports from AVrate and sureal, and what ``study check`` finds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, load, store
from facesr.bench.study import tables as t
from facesr.bench.study.check import Finding, check, check_table
from facesr.bench.study.database import writing
from facesr.bench.study.export import export, verify
from facesr.bench.study.imports import into_study, read
from facesr.bench.study.pairs import wins
from facesr.bench.study.simulate import simulate
from facesr.bench.study.study import COLUMNS
from facesr.bench.study.watching import overview
from fake_study import small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three simulated raters who finished."""
    made = small_study(tmp_path_factory.mktemp("data"), repeats=1, gold=2, attention=1)
    simulate(made, 3)
    return made


# --- out ------------------------------------------------------------------------------------------------------------------------------


def test_export_is_complete_and_hashed(study: Study, tmp_path: Path) -> None:
    """CSV and Parquet say the same; every file is in the manifest with its sha256; every column is in the dictionary."""
    files = export(study, tmp_path / "out", simulated=True)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["rows"]["ratings"] == 3 * 20
    assert manifest["simulated"] is True
    assert manifest["digest"] == study.digest
    names = {f.name for f in files} - {"manifest.json"}
    assert set(manifest["sha256"]) == names
    for name in names:
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == manifest["sha256"][name]
    dictionary = (tmp_path / "out/dictionary.md").read_text()
    for name in ("ratings", "raters", "presentations", "stimuli", "events"):
        parquet = pd.read_parquet(tmp_path / f"out/{name}.parquet")
        csv = pd.read_csv(tmp_path / f"out/{name}.csv")
        assert list(csv.columns) == list(parquet.columns)
        assert len(csv) == len(parquet)
        assert all(f"| {column} |" in dictionary for column in csv.columns)
    ratings = pd.read_csv(tmp_path / "out/ratings.csv", dtype={"face": str})
    np.testing.assert_allclose(ratings["score"], study.ratings(simulated=True)["score"])
    assert verify(tmp_path / "out") == []


def test_a_changed_export_is_found(study: Study, tmp_path: Path) -> None:
    """One altered grade in the CSV, or a lost file."""
    export(study, tmp_path / "out", simulated=True)
    file = tmp_path / "out/ratings.csv"
    file.write_text(file.read_text().replace(",1.0,", ",5.0,", 1))
    (tmp_path / "out/raters.csv").unlink()
    assert verify(tmp_path / "out") == ["ratings.csv was changed after the export", "raters.csv is missing"]
    assert any(f.kind == "impossible" for f in check(tmp_path / "out"))


def test_export_leaves_other_folders_alone(study: Study, tmp_path: Path) -> None:
    """A folder with other files is refused."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FaceSRError, match="holds other files"):
        export(study, tmp_path, simulated=True)


def test_an_export_can_be_imported_again(study: Study, tmp_path: Path) -> None:
    """The exported CSV is a long table that import reads, kinds and all."""
    export(study, tmp_path / "out", simulated=True)
    back = read(tmp_path / "out/ratings.csv").table
    ours = study.ratings(simulated=True)
    for column in ("rater", "face", "condition", "kind", "position"):
        assert list(back[column]) == list(ours[column]), column
    np.testing.assert_allclose(back["score"], ours["score"])


# --- in -------------------------------------------------------------------------------------------------------------------------------


def avrate(path: Path) -> None:
    """A small AVrate database by hand: rater 1 sees a twice by plan, b once but stored twice; rater 2 has no repeats."""
    with sqlite3.connect(path) as db:
        db.execute("create table user_playlist (user_ID integer, playlist text, timestamp text)")
        db.execute(
            "create table ratings (user_ID integer, stimuli_ID text, stimuli_file text, rating_type text, rating text, timestamp text)"
        )
        db.executemany("insert into user_playlist values (?, ?, '')", [(1, "[1, 2, 1]"), (2, "[1, 2]")])
        rows = [
            (1, "-1", "", "user_registered", "-1", "2020-01-01 10:00:00 000001"),
            (1, "1", "./images/psp/a.png", "acr", "4", "2020-01-01 10:00:01 000001"),
            (1, "2", "./images/psp/b.png", "acr", "2", "2020-01-01 10:00:02 000001"),
            (1, "2", "./images/psp/b.png", "acr", "2", "2020-01-01 10:00:02 090001"),
            (1, "1", "./images/psp/a.png", "acr", "3", "2020-01-01 10:00:03 000001"),
            (2, "1", "./images/psp/a.png", "acr", "5", "2020-01-01 10:00:01 000001"),
            (2, "2", "./images/psp/b.png", "acr", "1", "2020-01-01 10:00:02 000001"),
        ]
        db.executemany("insert into ratings values (?, ?, ?, ?, ?, ?)", rows)


def test_avrate_database(tmp_path: Path) -> None:
    """Repeats are what the playlist asked for; what it did not ask for is a duplicate."""
    avrate(tmp_path / "ratings.db")
    found = read(tmp_path / "ratings.db")
    assert found.counts == {
        "ratings": 6, "raters": 2, "items": 2, "repeats": 1, "repeated ratings": 1, "duplicates": 1, "unreadable scores": 0,
    }  # fmt: skip
    assert list(found.table["kind"]) == ["main", "main", "duplicate", "repeat", "main", "main"]
    assert list(found.table["face"]) == ["a", "b", "b", "a", "a", "b"]
    assert set(found.table["condition"]) == {"psp"}
    assert found.table["at"][0] == "2020-01-01T10:00:01.000001"


def test_avrate_crowd_study_of_tu_ilmenau(fixtures: Path) -> None:
    """24,782 ratings, 1,046 repeats, 1 duplicate; agreement with oneself exact .676, within one .979, r .853 (mos.md, section 5)."""
    found = read(fixtures / "mos/tta_image_quality_test_crowd_ratings.db")
    counts = found.counts
    assert (counts["ratings"], counts["repeats"], counts["duplicates"]) == (24_782, 1_046, 1)
    assert (counts["raters"], counts["items"]) == (238, 1_484)
    table = found.table
    key = ["rater", "face", "condition"]
    first = table[table["kind"] == "main"].set_index(key)["score"]
    again = table[table["kind"] == "repeat"].drop_duplicates(key).set_index(key)["score"]
    both = pd.concat([first, again], axis=1, keys=["a", "b"], join="inner")
    gap = (both["a"] - both["b"]).abs()
    assert len(both) == 1_046
    assert float((gap == 0).mean()) == pytest.approx(0.676, abs=5e-4)
    assert float((gap <= 1).mean()) == pytest.approx(0.979, abs=5e-4)
    assert float(np.corrcoef(both["a"], both["b"])[0, 1]) == pytest.approx(0.853, abs=5e-4)


def test_avrate_voyager_csv_shows_its_integrity_bugs(fixtures: Path) -> None:
    """3 of 22 finishers have an answer stored twice and one item never rated, 145 of 146 (mos.md, section 0)."""
    file = fixtures / "mos/tta_avt_ai_images_ratings.csv"
    with pytest.raises(FaceSRError, match=r"several scales \(range_image_appeal.*--rating-type"):
        read(file)
    findings = {f.kind: f for f in check(file, rating_type="range_realism")}
    assert (findings["double"].count, findings["missing"].count) == (3, 3)
    doubled = {e.split()[0] for e in findings["double"].examples}
    assert doubled == {e.split()[0] for e in findings["missing"].examples} == {"7", "17", "84"}


@pytest.mark.parametrize(
    ("name", "ratings", "mos"),
    [
        ("NFLX_dataset_public_raw.csv", 2_054, 3.544790652385589),
        ("quality_variation_2017_agh_tv_dataset.csv", 17_820, 2.511045194593),
        ("qub3k_its4s2_results.csv", 22_864, 3.254767320),
    ],
)
def test_long_tables(fixtures: Path, name: str, ratings: int, mos: float) -> None:
    """Means of MOS as sureal 0.9.0 computes them (its test/subjective_model_test.py, and mos.md section 2)."""
    found = read(fixtures / "mos" / name)
    assert found.counts["ratings"] == ratings
    means = found.table.groupby(["face", "condition"])["score"].mean()
    assert float(means.mean()) == pytest.approx(mos, abs=1e-9)


def test_training_rows_are_set_apart(fixtures: Path) -> None:
    """276 practice ratings of the AGH study are not ratings (mos.md, section 5)."""
    table = read(fixtures / "mos/qub3k_its4s_agh_results.csv").table
    assert int((table["kind"] == "training").sum()) == 276


SUREAL = """
import numpy as np
dataset_name = "by hand"
ref_videos = [{"content_id": 0, "content_name": "ada", "path": "ada.yuv"}, {"content_id": 1, "content_name": "bob", "path": "bob.yuv"}]
dis_videos = [
    {"content_id": 0, "asset_id": 0, "os": [5, 4, float("nan")], "path": "ada_psp.png"},
    {"content_id": 0, "asset_id": 1, "os": {"Rita": np.float64(2.0), "Otto": [3, 2]}, "path": "ada_bicubic.png"},
    {"content_id": 1, "asset_id": 2, "os": (1, np.nan, 2), "path": "bob_psp.png"},
]
print("this must never run: " + str(__import__("pathlib").Path("ran").write_text("x")))
"""


def test_sureal_datasets_are_read_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and dicts of scores, missing ones, repeats, numpy's own way of writing numbers; the file's code does not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.py").write_text(SUREAL)
    table = read(tmp_path / "set.py", pattern=r"(?P<face>\w+)_(?P<condition>\w+)\.png").table
    assert not (tmp_path / "ran").exists()
    rows = {(r.rater, r.face, r.condition, r.kind): r.score for r in table.itertuples()}
    assert rows == {
        ("0", "ada", "psp", "main"): 5, ("1", "ada", "psp", "main"): 4, ("Rita", "ada", "bicubic", "main"): 2,
        ("Otto", "ada", "bicubic", "main"): 3, ("Otto", "ada", "bicubic", "repeat"): 2,
        ("0", "bob", "psp", "main"): 1, ("2", "bob", "psp", "main"): 2,
    }  # fmt: skip
    plain = read(tmp_path / "set.py").table
    assert set(plain["face"]) == {"ada", "bob"}
    content = {"dis_videos": [{"content_id": 3, "asset_id": 0, "path": "x.png", "os": [1, 2]}]}
    (tmp_path / "set.json").write_text(json.dumps(content))
    assert list(read(tmp_path / "set.json").table["face"]) == ["3", "3"]


def test_an_imported_study_is_read_like_one_of_ours(tmp_path: Path) -> None:
    """A study folder with ratings, scale and counts; means may be shown; it has no design."""
    avrate(tmp_path / "ratings.db")
    made = into_study(tmp_path / "ratings.db", tmp_path / "study")
    again = load(tmp_path / "study")
    assert again.imported
    assert again.may_show_means()
    assert again.scale == (1, 5)
    assert list(again.ratings().columns) == list(COLUMNS)
    assert len(again.ratings()) == 6
    assert made.digest == again.digest
    assert again.peeks() == []
    with pytest.raises(FaceSRError, match="no design of ours"):
        _ = again.design


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "a,b\n1,2\n", r"no column for rater, score, face or stimulus; understood names"),
        ("x.txt", "", r"\.txt is not read; give \.db"),
        ("x.db", "not a database", r"is not an AVrate database"),
        ("x.py", "dis_videos = 3", r"not a sureal dataset"),
        ("x.py", "def broken(:", r"cannot be read as a sureal dataset"),
        ("x.csv", "rater,face,score\n1,a,none\n", r"no score that is a number"),
    ],
)
def test_unreadable_files_get_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    """What was wrong, with the value, and what is understood; no folder is left."""
    (tmp_path / name).write_text(content)
    with pytest.raises(FaceSRError, match=message):
        into_study(tmp_path / name, tmp_path / "study")
    assert not (tmp_path / "study").exists()


# --- check ----------------------------------------------------------------------------------------------------------------------------


def table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A long table with sensible values where ``rows`` are silent."""
    usual = {"other": "", "kind": "main", "rt_ms": 900.0, "at": "", "simulated": False, "revisions": 0}
    frame = pd.DataFrame([{**usual, "position": i + 1, **row} for i, row in enumerate(rows)]).reindex(columns=list(COLUMNS))
    frame["correct"] = frame["correct"].astype("boolean")
    return frame


def found(findings: list[Finding]) -> dict[str, int]:
    """Kind and count."""
    return {f"{f.kind}: {f.what.split(' ')[0]}": f.count for f in findings}


def test_check_finds_each_kind_of_error() -> None:
    """Double, missing and impossible ratings, each put there on purpose; and nothing in a sound table."""
    sound = [
        {"rater": r, "face": f, "condition": c, "score": 1 + (k % 5)}
        for r in "AB"
        for k, f in enumerate("abcdefghij")
        for c in "xy"
    ]
    for i, row in enumerate(sound):
        row["position"] = i % 20 + 1
    assert check_table(table(sound)) == []
    twice = [*sound, {**sound[0], "position": 21}]
    assert found(check_table(table(twice))) == {"double: items": 1}
    hole = [r for r in sound if not (r["rater"] == "B" and r["face"] == "c" and r["condition"] == "x")]
    missing = check_table(table(hole))
    assert found(missing) == {"missing: items": 1}
    assert missing[0].examples == ["B c x"]
    for change, what in (
        ({"score": 6}, "impossible: scores"),
        ({"score": float("nan")}, "impossible: answers"),
        ({"score": 2.5}, "impossible: scores"),
        ({"rt_ms": 20.0}, "impossible: response"),
        ({"simulated": True}, "impossible: answers"),
    ):
        assert found(check_table(table([{**sound[0], **change}, *sound[1:]]), (1, 5))) == {what: 1}, change
    backwards = [{**r, "at": f"2026-01-01T00:00:{59 - i if i == 3 else i:02d}.000Z"} for i, r in enumerate(sound[:20])]
    assert found(check_table(table(backwards)))["impossible: answers"] == 1


def test_check_of_a_study(tmp_path: Path) -> None:
    """A study as it should be has notes at most; a rating without consent, a hole made by hand and a changed image are found."""
    study = small_study(tmp_path)
    rater, _ = store.invite(study.engine, rows=3)
    assert {f.kind for f in check(study)} == {"note"}
    store.rate(study.engine, rater, 1, None)
    found_now = [str(f) for f in check(study)]
    assert any("ratings before consent" in f for f in found_now)
    store.consent(study.engine, rater, "en")
    with writing(study.engine) as connection:
        connection.execute(
            t.rating.insert().values(rater=rater.id, position=3, score=None, input="", at="2099-01-01T00:00:00.000Z")
        )
    assert any(f.kind == "missing" and "holes" in f.what for f in check(study))
    with writing(study.engine) as connection:
        connection.execute(t.plan.update().where(t.plan.c.row == 2, t.plan.c.position == 1).values(face="someone else"))
    assert any("order of trials" in f.what for f in check(study))
    image = study.stimulus_path(study.design.stimuli[0].name)
    image.write_bytes(image.read_bytes() + b"x")
    assert any("stimuli that are not the frozen ones" in f.what for f in check(study))
    study.close()


def test_overview_has_no_scores(study: Study, tmp_path: Path) -> None:
    """Watching shows who is where; simulated raters are counted apart; no mean can be worked out from it."""
    seen = overview(study)
    assert (seen.finished, seen.answered, seen.simulated) == (0, 0, 3)
    made = small_study(tmp_path, attention=1)
    rater, _ = store.invite(made.engine, rows=3)
    store.consent(made.engine, rater, "en")
    plan = made.design.rows()[0]
    for position, trial in enumerate(plan, 1):
        wrong = trial.kind == "attention" and (trial.low or 0) % 5 + 1
        store.rate(
            made.engine,
            rater,
            position,
            None if trial.kind.startswith("anchor") else wrong or 3,
            rt_ms=1500,
            shown={"hidden_ms": 10},
        )
    seen = overview(made)
    row = seen.raters.iloc[0]
    assert (row["done"], row["of"], row["rated"], row["wrong"], row["checks"]) == (17, 17, 13, 1, 1)
    assert row["median_s"] == 1.5
    assert row["hidden_s"] == pytest.approx(0.13)
    assert (seen.finished, seen.missing) == (0, 2 * 12)  # the plan leaves out who gets every attention item wrong
    assert row["excluded"] == "attention_wrong: 1 of 1 attention items wrong, more than 50%"
    assert int(seen.rate["ratings"].sum()) == 13
    assert "score" not in seen.raters.columns
    assert "r001" in seen.text()
    json.dumps(seen.as_dict())
    made.close()


def test_wins_of_pairs() -> None:
    """Left, right and tie: half a win each."""
    rows = [
        {"rater": "A", "face": "a", "condition": "x", "other": "y", "score": 1},
        {"rater": "A", "face": "b", "condition": "y", "other": "x", "score": 2},
        {"rater": "B", "face": "a", "condition": "x", "other": "y", "score": 3},
        {"rater": "B", "face": "b", "condition": "x", "other": "y", "score": 2},
    ]
    names, won = wins(table(rows), ["x", "y"])
    assert names == ["x", "y"]
    np.testing.assert_array_equal(won, [[[0, 2], [0, 0]], [[0, 0.5], [1.5, 0]]])
