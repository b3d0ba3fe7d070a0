"""Layouts of programs and platforms, written by hand as they write them: the same ratings come out, or one sentence."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import COLUMNS, rating_options, read
from facesr.bench.study import load_study
from facesr.bench.study.imports import into_study
from rating_cells import Cells, cells

# --- AVrate ---------------------------------------------------------------------------------------------------------------------------


def avrate(path: Path) -> None:
    """A small AVrate database by hand: rater 1 sees a twice by plan, b once but stored twice; rater 2 has no repeats."""
    with closing(sqlite3.connect(path)) as db, db:
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
        "ratings": 6, "raters": 2, "faces": 2, "conditions": 1, "items": 2, "repeats": 1, "repeated ratings": 1, "duplicates": 1,
        "unused cells": 1,
    }  # fmt: skip
    assert list(found.table["kind"]) == ["main", "main", "duplicate", "repeat", "main", "main"]
    assert list(found.table["face"]) == ["a", "b", "b", "a", "a", "b"]
    assert set(found.table["condition"]) == {"psp"}
    assert found.table["at"][0] == "2020-01-01T10:00:01.000001"
    assert list(found.table["position"]) == [1, 2, 3, 4, 1, 2]


# --- long and wide tables -------------------------------------------------------------------------------------------------------------


GRID = {
    ("r1", "f1"): {"hr": 5, "psp": 3},
    ("r1", "f2"): {"hr": 4, "psp": 2},
    ("r2", "f1"): {"hr": 4, "psp": 4},
    ("r2", "f2"): {"hr": 5, "psp": 1},
}
WANTED: Cells = {(r, f, c): float(s) for (r, f), by in GRID.items() for c, s in by.items()}
WIDE = {
    "raters": ["image,method,r1,r2", "f1,hr,5,4", "f1,psp,3,4", "f2,hr,4,5", "f2,psp,2,1"],
    "conditions": ["rater,face,hr,psp", "r1,f1,5,3", "r1,f2,4,2", "r2,f1,4,4", "r2,f2,5,1"],
    "faces": ["subject,condition,f1,f2", "r1,hr,5,4", "r1,psp,3,2", "r2,hr,4,5", "r2,psp,4,1"],
    "paths": ["participant,age,hr/f1.png,psp/f1.png,hr/f2.png,psp/f2.png", "r1,34,5,3,4,2", "r2,51,4,4,5,1"],
    "items": ["participant,f1_hr,f1_psp,f2_hr,f2_psp,comment", "r1,5,3,4,2,nice", "r2,4,4,5,1,"],
}


@pytest.mark.parametrize("shape", WIDE)
def test_wide_tables(tmp_path: Path, shape: str) -> None:
    """Whichever of rater, face and condition has no column of its own lies across."""
    (tmp_path / "wide.csv").write_text("\n".join(WIDE[shape]))
    assert cells(read(tmp_path / "wide.csv")) == WANTED


def test_columns_of_a_wide_table_by_name(tmp_path: Path) -> None:
    """Numbers about people are no ratings: a wildcard names the columns that are."""
    (tmp_path / "wide.csv").write_text("rater,siblings,Q3_f1_hr,Q3_f1_psp,Q3_f2_hr,Q3_f2_psp\nr1,1,5,3,4,2\nr2,3,4,4,5,1\n")
    asked = rating_options(columns=["score=q3_*"], pattern=r"Q3_(?P<face>\w+)_(?P<condition>\w+)")
    assert cells(read(tmp_path / "wide.csv", asked)) == WANTED


# --- sureal ---------------------------------------------------------------------------------------------------------------------------

SUREAL = """
import numpy as np, os
dataset_name = "by hand"
root = '/media/' + "data"
ref_dir = root + '/ref'
dis_dir = os.path.join(root, 'dis')
ref_videos = [{"content_id": 0, "content_name": "ada", "path": ref_dir + "/ada.yuv"},
    {"content_id": 1, "content_name": "bob", "path": f"{ref_dir}/bob.yuv"}]
dis_videos = [
    {"content_id": 0, "asset_id": 0, "os": [5, 4, float("nan")], "path": dis_dir + "/ada_psp.png"},
    {"content_id": 0, "asset_id": 1, "os": {"Rita": np.float64(2.0), "Otto": [3, 2]}, "path": dis_dir + "/ada_bicubic.png"},
    {"content_id": 1, "asset_id": 2, "os": (1, np.nan, 2), "path": dis_dir + "/bob_psp.png"},
]
print("this must never run: " + str(__import__("pathlib").Path("ran").write_text("x")))
"""


def test_sureal_datasets_are_read_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and dicts of scores, missing ones, repeats, paths put together, numpy's way of writing numbers; the file's code does not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.py").write_text(SUREAL)
    found = read(tmp_path / "set.py", rating_options(pattern=r"(?P<face>[a-z]+)_(?P<condition>\w+)\.png"))
    assert not (tmp_path / "ran").exists()
    rows = {(r.rater, r.face, r.condition, r.kind): r.score for r in found.table.itertuples()}
    assert rows == {
        ("0", "ada", "psp", "main"): 5, ("1", "ada", "psp", "main"): 4, ("Rita", "ada", "bicubic", "main"): 2,
        ("Otto", "ada", "bicubic", "main"): 3, ("Otto", "ada", "bicubic", "repeat"): 2,
        ("0", "bob", "psp", "main"): 1, ("2", "bob", "psp", "main"): 2,
    }  # fmt: skip
    assert list(found.unused["reason"]) == ["no answer", "no answer"]
    plain = read(tmp_path / "set.py").table
    assert set(plain["face"]) == {"ada", "bob"}
    assert set(plain["condition"]) == {f"/media/data/dis/{n}.png" for n in ("ada_psp", "ada_bicubic", "bob_psp")}
    content = {"dis_videos": [{"content_id": 3, "asset_id": 0, "path": "x.png", "os": [1, 2]}]}
    (tmp_path / "set.json").write_text(json.dumps(content))
    assert list(read(tmp_path / "set.json").table["face"]) == ["3", "3"]


def test_sureal_pairs(tmp_path: Path) -> None:
    """``os`` by (rater, other asset): 1 preferred, .5 no difference, 0 the other; each comparison is one row, told from either side."""
    (tmp_path / "pairs.py").write_text(
        "ref_videos = [{'content_id': 0, 'content_name': 'ada', 'path': 'a.png'}]\n"
        "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'psp.png', 'os': {('Ann', 1): 1, ('Bob', 1): 0.5, ('Cy', 1): 0}},\n"
        "              {'content_id': 0, 'asset_id': 1, 'path': 'hr.png', 'os': {('Ann', 0): 0, ('Bob', 0): 0.5, ('Dee', 0): 0}}]\n"
    )
    found = read(tmp_path / "pairs.py")
    assert found.method == "pair"
    rows = {(r.rater, r.condition, r.other): r.score for r in found.table.itertuples()}
    assert rows == {
        ("Ann", "psp.png", "hr.png"): 1,
        ("Bob", "psp.png", "hr.png"): 3,
        ("Cy", "psp.png", "hr.png"): 2,
        ("Dee", "hr.png", "psp.png"): 2,
    }


# --- kept as a study ------------------------------------------------------------------------------------------------------------------


def test_an_imported_study_is_read_like_one_of_ours(tmp_path: Path) -> None:
    """A study folder with ratings, scale and counts; means may be shown; it has no design."""
    avrate(tmp_path / "ratings.db")
    made = into_study(tmp_path / "ratings.db", tmp_path / "study")
    again = load_study(tmp_path / "study")
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
        ("x.csv", "a,b\n1,2\n", r"no column for rater, score, face or stimulus; the columns are 'a', 'b'.*--map rater=COLUMN"),
        ("x.csv", "1,2,3\n4,5,5\n", r"first row \(1, 2, 3 \.\.\.\) holds numbers, no names of columns"),
        ("x.csv", "rater face score\nr1 f1 5\n", r"holds no separator \(, ; tab or \|\)"),
        ("x.csv", "rater,face,score\nr1,f1,3,5\n", r"row 2 has more cells than the header's 3"),
        ("x.csv", "rater,face,score,score\nr1,f1,3,5\n", r"the column 'score' more than once"),
        ("x.csv", "rater,face,score,rating\nr1,f1,3,5\nr2,f1,3,4\n", r"'score', 'rating' could each be the score.*--map score="),
        ("x.csv", 'rater,face,score\nr1,"f1,3\n', r"cannot be read as a table with commas.*quotes"),
        ("x.txt", "", r"is empty"),
        ("x.xls", "", r"\.xls is not read; save it as \.xlsx"),
        ("x.docx", "", r"\.docx is not read; give \.csv"),
        ("x.xlsx", "no zip", r"not a readable zip archive"),
        ("x.parquet", "no parquet", r"not a readable parquet"),
        ("x.db", "not a database", r"is not an AVrate database"),
        ("x.py", "dis_videos = 3", r"not a sureal dataset"),
        ("x.py", "def broken(:", r"cannot be read as a sureal dataset"),
        ("x.json", "{", r"not valid JSON"),
        ("x.json", "[1, 2]", r"neither a list of trials nor a sureal dataset"),
        ("x.csv", "rater,face,score\n1,a,none\n", r"no score that is a number"),
        (
            "x.csv",
            "WorkerId,Input.a,Input.b,Answer.x\nW,p,q,3\n",
            r"can be matched to an image: answers are Answer\.x, inputs Input\.a, Input\.b",
        ),
    ],
)
def test_unreadable_files_get_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    """What was seen, and what to give; no folder is left."""
    (tmp_path / name).write_text(content)
    with pytest.raises(FaceSRError, match=message):
        into_study(tmp_path / name, tmp_path / "study")
    assert not (tmp_path / "study").exists()
