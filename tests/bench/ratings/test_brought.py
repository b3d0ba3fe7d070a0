"""Tables as people bring them: forms, logs of choices, headers of two rows, computed rows, folders of one file per person.

All hold the same sixty grades, so every one must give the same means; or one sentence.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Imported, rating_options, read
from facesr.bench.study.analysis import PairedAnalysis, analyse_study
from facesr.bench.study.imports import into_study

PEOPLE, FACES, METHODS = ["ann", "bob", "cyd", "dan", "eve"], ["f1", "f2", "f3", "f4"], ["bicubic", "psp", "hr"]
ITEMS = [(f, m) for f in FACES for m in METHODS]
_RNG = np.random.default_rng(1)
QUALITY = dict(zip(METHODS, (1.8, 3.4, 4.4), strict=True))
GRADE = {(p, f, m): int(np.clip(np.rint(_RNG.normal(QUALITY[m], 0.8)), 1, 5)) for p in PEOPLE for f, m in ITEMS}
MEANS = {m: np.mean([g for (_, _, k), g in GRADE.items() if k == m]) for m in METHODS}
HEAD = ["rater", "face", "condition", "score"]
ROWS: list[list[Any]] = [[p, f, m, g] for (p, f, m), g in GRADE.items()]
WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"]


def _csv(file: Path, rows: list[list[Any]], separator: str = ",") -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter=separator).writerows(rows)
    return file


def _means(found: Imported) -> dict[str, float]:
    main = found.table[found.table["kind"] == "main"]
    return {str(k): float(v) for k, v in main.groupby("condition")["score"].mean().items()}


def _sheet(p: str, show: Callable[[int], Any] = lambda g: g) -> list[Any]:
    return [show(GRADE[p, f, m]) for f, m in ITEMS]


def _google(file: Path) -> Path:
    head = ["Timestamp", "Email Address", *(f"How would you rate this image? [{f}_{m}.png]" for f, m in ITEMS)]
    return _csv(file, [head, *(["2026/11/01 10:00:00 AM GMT+1", f"{p}@x.org", *_sheet(p)] for p in PEOPLE)])


def _lime(file: Path) -> Path:
    head = ["Response ID", "Date submitted", "Last page", "Start language", "Seed", *(f"Quality [{f}_{m}]" for f, m in ITEMS)]
    return _csv(
        file, [head, *([i + 1, "2026-11-01 10:00:00", 3, "en", 12345678 + i, *_sheet(p)] for i, p in enumerate(PEOPLE))], ";"
    )


def _monkey(file: Path) -> Path:
    top = ["Respondent ID", "Collector ID", "Start Date", "IP Address", "How good is this image?", *[""] * 11]
    below = ["", "", "", "", *(f"{f}_{m}" for f, m in ITEMS)]
    return _csv(
        file,
        [
            top,
            below,
            *([1140000 + i, 9, "11/01/2026", "1.2.3.4", *_sheet(p, lambda g: WORDS[g - 1])] for i, p in enumerate(PEOPLE)),
        ],
    )


def _label_studio_csv(file: Path) -> Path:
    head = ["annotation_id", "annotator", "created_at", "id", "image", "lead_time", "rating"]
    made = [
        [i, PEOPLE.index(p) + 1, "2026-11-01T10:00:00Z", i, f"/data/1/{m}/{f}.png", 3.2, g] for i, (p, f, m, g) in enumerate(ROWS)
    ]
    return _csv(file, [head, *made])


def _label_studio(file: Path) -> Path:
    file = file.with_suffix(".json")

    def made(p: str, f: str, m: str) -> dict[str, Any]:
        value = {"from_name": "rating", "type": "rating", "value": {"rating": GRADE[p, f, m]}}
        return {"completed_by": {"id": PEOPLE.index(p), "email": f"{p}@x.org"}, "was_cancelled": False, "result": [value]}

    tasks = [
        {"id": i, "data": {"image": f"/data/{m}/{f}.png"}, "annotations": [made(p, f, m) for p in PEOPLE]}
        for i, (f, m) in enumerate(ITEMS)
    ]
    file.write_text(json.dumps(tasks))
    return file


def _folder(file: Path) -> Path:
    folder = file.with_suffix("")
    folder.mkdir()
    for p in PEOPLE:
        _csv(folder / f"{p}.csv", [HEAD[1:], *(r[1:] for r in ROWS if r[0] == p)])
    (folder / "notes.md").write_text("not a table")
    return folder


def _copies(file: Path) -> Path:
    return _csv(file, [[*HEAD, "score"], *([*r, r[3]] for r in ROWS)])


def _totals(file: Path) -> Path:
    return _csv(file, [HEAD, *ROWS, ["Mean", "f1", "psp", 3.4], ["Average", "", "", 3.2], ["", "", "Total", 60]])


def _mixed(file: Path) -> Path:
    text = (
        "\n".join(",".join(map(str, r)) for r in [HEAD, *ROWS])
        .encode()
        .replace(b"ann", b"J\xf6rg")
        .replace(b"bob", "Jürg".encode())
    )
    file.write_bytes(text)
    return file


@pytest.mark.parametrize("bring", [_google, _lime, _monkey, _label_studio_csv, _label_studio, _folder, _copies, _totals, _mixed])
def test_the_same_grades_whatever_the_table(bring: Callable[[Path], Path], tmp_path: Path) -> None:
    found = read(bring(tmp_path / "t.csv"))
    assert _means(found) == pytest.approx(MEANS)
    assert (found.table["rater"].nunique(), found.table["face"].nunique()) == (5, 4)
    assert len(found.unused) == (3 if bring is _totals else 0)


def test_percent_signs_are_a_scale_to_a_hundred(tmp_path: Path) -> None:
    found = read(_csv(tmp_path / "t.csv", [HEAD, *([*r[:3], f"{r[3] * 20} %"] for r in ROWS)]))
    assert (found.scale.low, found.scale.high) == (0, 100)
    assert _means(found) == pytest.approx({m: 20 * v for m, v in MEANS.items()})
    one = [[*r[:3], "80%"] if i == 0 else r for i, r in enumerate(ROWS)]
    slip = read(_csv(tmp_path / "s.csv", [HEAD, *one]))
    assert list(slip.unused["value"]) == ["80%"]


def test_merged_headers_and_formulas_of_a_spreadsheet(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["rater", "image", "bicubic", "", "psp", "", "hr", ""])
    sheet.append(["", "", *["quality", "sharpness"] * 3])
    for first in ("C1:D1", "E1:F1", "G1:H1"):
        sheet.merge_cells(first)
    for p in PEOPLE:
        for f in FACES:
            sheet.append([p, f, *(v for m in METHODS for v in (GRADE[p, f, m], 3))])
    book.save(tmp_path / "merged.xlsx")
    found = read(tmp_path / "merged.xlsx", rating_options(columns=["score=*quality"]))
    assert _means(found) == pytest.approx({f"{m} quality": v for m, v in MEANS.items()})
    book = openpyxl.Workbook()
    for row in [HEAD, *([*r[:3], f"={r[3]}+0"] for r in ROWS)]:
        book.active.append(row)
    book.save(tmp_path / "formula.xlsx")
    with pytest.raises(FaceSRError, match="row 2 of 'score' holds a formula without its result"):
        read(tmp_path / "formula.xlsx")


def test_forms_say_what_they_lack(tmp_path: Path) -> None:
    nobody = _csv(tmp_path / "n.csv", [["Timestamp", *(f"Rate [{f}_{m}]" for f, m in ITEMS)], *(["1", *_sheet(p)] for p in PEOPLE)])
    with pytest.raises(FaceSRError, match="nothing that tells its people apart"):
        read(nobody)
    head = ["id", "submitdate", "seed", *(f"G1Q1[{f}_{m}]" for f, m in ITEMS)]
    codes = _csv(tmp_path / "c.csv", [head, *([i, "2026-11-01", 1, *_sheet(p, lambda g: f"A{g}")] for i, p in enumerate(PEOPLE))])
    with pytest.raises(FaceSRError, match=r"'G1Q1\[f1_bicubic\]' holds 'A\d'"):
        read(codes)
    assert _means(read(codes, rating_options(labels=["A1=1,A2=2,A3=3,A4=4,A5=5"]))) == pytest.approx(MEANS)
    with pytest.raises(FaceSRError, match="holds no table"):
        (tmp_path / "empty").mkdir()
        read(tmp_path / "empty")


PAIRS = [(p, f, a, b) for p in PEOPLE for f in FACES for a, b in (("bicubic", "psp"), ("psp", "hr"), ("bicubic", "hr"))]
CHOSEN = [int(k) for k in np.random.default_rng(2).choice([1, 2, 3], len(PAIRS), p=[0.3, 0.5, 0.2])]


@pytest.mark.parametrize(("head", "words"), [
    (["judge", "question_id", "model_a", "model_b", "winner"], lambda a, b: ["model_a", "model_b", "tie"]),
    (["participant", "face", "left", "right", "choice"], lambda a, b: ["Left", "Right", "no difference"]),
    (["participant", "face", "left", "right", "preferred"], lambda a, b: [a, b, "same"]),
])  # fmt: skip
def test_logs_of_choices(head: list[str], words: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    rows = [[p, f, a, b, words(a, b)[k - 1]] for (p, f, a, b), k in zip(PAIRS, CHOSEN, strict=True)]
    found = read(
        _csv(
            tmp_path / "t.csv", [head, *rows, ["ann", "f9", "psp", "hr", "banana"], ["ann", "f9", "hr", "hr", words("hr", "x")[0]]]
        )
    )
    assert found.method == "pair"
    assert list(found.table["score"]) == CHOSEN
    assert "banana" in set(found.unused["value"]) and len(found.unused) == 2
    study = into_study(tmp_path / "t.csv", tmp_path / "study")
    result = analyse_study(study)
    assert isinstance(result, PairedAnalysis) and result.scores.comparisons == len(PAIRS)
    study.close()


def test_choices_of_0_and_1_are_not_guessed(tmp_path: Path) -> None:
    rows = [[p, f, a, b, k % 2] for (p, f, a, b), k in zip(PAIRS, CHOSEN, strict=True)]
    with pytest.raises(FaceSRError, match=r"t\.csv: 'choice' holds 0 and 1, which does not say which is 'left'"):
        read(_csv(tmp_path / "t.csv", [["participant", "face", "left", "right", "choice"], *rows]))


def test_winners_and_losers(tmp_path: Path) -> None:
    rows = [[p, f, a if k == 1 else b, b if k == 1 else a] for (p, f, a, b), k in zip(PAIRS, CHOSEN, strict=True)]
    found = read(_csv(tmp_path / "t.csv", [["user", "image", "winner", "loser"], *rows]))
    assert list(found.table["condition"]) == [r[2] for r in rows] and (found.table["score"] == 1).all()
    assert any("which side each stood on is not known" in note for note in found.notes)


def test_webmushras_other_files(tmp_path: Path) -> None:
    """Columns and words as webMUSHRA's service/write.php and PairedComparisonPage.js write them."""
    choice = ["choice_reference", "choice_non_reference", "choice_answer", "choice_time", "choice_comment"]
    head = ["session_test_id", "email", "session_uuid", "trial_id", *choice]
    words = ["correct", "incorrect", "undecided", "unknown"]
    rows = [["t", "", p, f, "hr", "psp", words[i % 4], 4000, ""] for i, (p, f) in enumerate((p, f) for p in PEOPLE for f in FACES)]
    found = read(_csv(tmp_path / "paired_comparison.csv", [head, *rows]))
    assert found.method == "pair" and list(found.table["score"]) == [1, 2, 3] * 5
    assert list(found.unused["reason"]) == ["no answer"] * 5
    head = ["session_test_id", "session_uuid", "trial_id", "rating_reference", "rating_non_reference", "rating_reference_score",
            "rating_non_reference_score", "rating_time", "choice_comment"]  # fmt: skip
    rows = [
        ["t", p, f, "hr", m, GRADE[p, f, "hr"], GRADE[p, f, m], 4000, ""] for p in PEOPLE for f in FACES for m in ("psp", "bicubic")
    ]
    found = read(_csv(tmp_path / "bs1116.csv", [head, *rows]))
    assert _means(found) == pytest.approx(MEANS) and (found.scale.low, found.scale.high) == (1, 5)
    assert found.table["kind"].value_counts().to_dict() == {"main": 60, "repeat": 20}


def test_a_folder_of_people_is_imported(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "t.csv")
    broken = (folder / "ann.csv").read_text().splitlines()
    broken[3] = broken[3].rpartition(",")[0] + ",x"
    (folder / "ann.csv").write_text("\n".join(broken))
    study = into_study(folder, tmp_path / "study")
    first = study.info["source"]["sha256"]
    assert study.info["counts"]["raters"] == 5 and study.info["unused"] == {"not a number, nor a word of the scale": 1}
    assert "ann.csv: score" in (tmp_path / "study" / "unused.csv").read_text()
    study.close()
    (folder / "bob.csv").rename(folder / "rob.csv")
    again = into_study(folder, tmp_path / "again")
    assert again.info["source"]["sha256"] != first
    again.close()
    _csv(folder / "zed.csv", [["quality"], [3]])
    with pytest.raises(FaceSRError, match=r"zed\.csv"):
        read(folder)
    (folder / "zed.csv").unlink()
    _csv(folder / "zoe.csv", [["rater", "question_id", "left", "right", "choice"], ["z", 1, "psp", "hr", "left"]])
    with pytest.raises(FaceSRError, match=r"files of different kinds: ann\.csv is a long table, zoe\.csv a log of choices"):
        read(folder)


def test_a_leaning_to_one_side_is_said(tmp_path: Path) -> None:
    """Twelve raters choose the left one in nine of ten pairs, whichever it is; then with the better one always left."""
    rng = np.random.default_rng(4)
    head = ["rater", "face", "left", "right", "choice"]
    people, faces = [f"r{i}" for i in range(12)], [f"f{i}" for i in range(20)]

    def said(swap: bool) -> str:
        places = [("a", "b") if i % 2 or not swap else ("b", "a") for i in range(20)]
        rows = [[p, f, *places[i], "left" if rng.random() < 0.9 else "right"] for p in people for i, f in enumerate(faces)]
        name = "even" if swap else "uneven"
        study = into_study(_csv(tmp_path / f"{name}.csv", [head, *rows]), tmp_path / name)
        found = analyse_study(study)
        study.close()
        assert isinstance(found, PairedAnalysis)
        return next(s for s in found.sentences if "left image" in s)

    assert "a leaning to one side; 1 of 1 pairs did not stand equally often" in said(False)
    assert "a leaning to one side; every pair stood equally often on both sides" in said(True)
