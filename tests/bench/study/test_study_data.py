"""Exports with manifest and dictionary, and what ``study check`` finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import COLUMNS, read
from facesr.bench.study import Study, store
from facesr.bench.study import tables as t
from facesr.bench.study.check import Finding, check_ratings, check_table
from facesr.bench.study.database import writing
from facesr.bench.study.export import export, verify_export
from facesr.bench.study.imports import into_study
from facesr.bench.study.pairs import wins
from facesr.bench.study.simulate import simulate
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
    assert verify_export(tmp_path / "out") == []


def test_a_changed_export_is_found(study: Study, tmp_path: Path) -> None:
    """One altered grade in the CSV, or a lost file."""
    export(study, tmp_path / "out", simulated=True)
    file = tmp_path / "out/ratings.csv"
    file.write_text(file.read_text().replace(",1.0,", ",5.0,", 1))
    (tmp_path / "out/raters.csv").unlink()
    assert verify_export(tmp_path / "out") == ["ratings.csv was changed after the export", "raters.csv is missing"]
    assert any(f.kind == "impossible" for f in check_ratings(tmp_path / "out"))


def test_export_leaves_other_folders_alone(study: Study, tmp_path: Path) -> None:
    """A folder with other files is refused."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FaceSRError, match="holds other files"):
        export(study, tmp_path, simulated=True)


def test_no_cell_of_an_export_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    """A rater called =cmd|... is quoted in the CSV, whole in the Parquet, and itself again when the CSV is imported."""
    evil = "=cmd|' /C calc'!A0"
    rows = [f"{r},{f},{c},{s}" for r in (evil, "r2") for f in "ab" for c, s in (("-psp", 3), ("hr", 5))]
    (tmp_path / "evil.csv").write_text("\n".join(["rater,face,condition,score", *rows]))
    export(into_study(tmp_path / "evil.csv", tmp_path / "study"), tmp_path / "out")
    lines = (tmp_path / "out/ratings.csv").read_text().splitlines()
    assert lines[1].startswith(f"'{evil},a,'-psp,,3.0,main")
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in lines for cell in line.split(","))
    assert pd.read_parquet(tmp_path / "out/ratings.parquet")["rater"][0] == evil
    back = read(tmp_path / "out/ratings.csv").table
    assert list(back["rater"]) == [evil] * 4 + ["r2"] * 4
    assert set(back["condition"]) == {"-psp", "hr"}


def test_an_export_can_be_imported_again(study: Study, tmp_path: Path) -> None:
    """The exported CSV is a long table that import reads, kinds and all."""
    export(study, tmp_path / "out", simulated=True)
    back = read(tmp_path / "out/ratings.csv").table
    ours = study.ratings(simulated=True)
    for column in ("rater", "face", "condition", "other", "kind", "position", "correct", "simulated", "revisions"):
        assert list(back[column]) == list(ours[column]), column
    np.testing.assert_allclose(back["score"], ours["score"])


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
    rater, _ = store.seat_rater(study.engine, rows=3)
    assert {f.kind for f in check_ratings(study)} == {"note"}
    store.rate(study.engine, rater, 1, None)
    found_now = [str(f) for f in check_ratings(study)]
    assert any("ratings before consent" in f for f in found_now)
    store.consent(study.engine, rater, "en")
    with writing(study.engine) as connection:
        connection.execute(
            t.rating.insert().values(rater=rater.id, position=3, score=None, input="", at="2099-01-01T00:00:00.000Z")
        )
    assert any(f.kind == "missing" and "holes" in f.what for f in check_ratings(study))
    with writing(study.engine) as connection:
        connection.execute(t.plan.update().where(t.plan.c.row == 2, t.plan.c.position == 1).values(face="someone else"))
    assert any("order of trials" in f.what for f in check_ratings(study))
    image = study.stimulus_path(study.design.stimuli[0].name)
    image.write_bytes(image.read_bytes() + b"x")
    assert any("stimuli that are not the frozen ones" in f.what for f in check_ratings(study))
    study.close()


def test_overview_has_no_scores(study: Study, tmp_path: Path) -> None:
    """Watching shows who is where; simulated raters are counted apart; no mean can be worked out from it."""
    seen = overview(study)
    assert (seen.finished, seen.answered, seen.simulated) == (0, 0, 3)
    made = small_study(tmp_path, attention=1)
    rater, _ = store.seat_rater(made.engine, rows=3)
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
