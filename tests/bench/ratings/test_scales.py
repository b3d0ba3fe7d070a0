"""Grades, scales, persons and repeats: declared or recognised, never stretched, never joined, never guessed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Imported, rating_options, read
from facesr.bench.ratings.scores import WORDS, recognise
from facesr.bench.study.check import check_ratings

ROOT = Path(__file__).parents[3]
HEAD = "rater,face,condition,score"


def table(folder: Path, lines: list[str], head: str = HEAD, **asked: object) -> Imported:
    """Read rows given as text."""
    (folder / "t.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    return read(folder / "t.csv", rating_options(**asked))  # type: ignore[arg-type]


def rows(scores: list[object]) -> list[str]:
    """One rater per ten faces."""
    return [f"r{i // 10},f{i % 10},psp,{s}" for i, s in enumerate(scores)]


SOUND = [1, 2, 3, 4, 5, 5, 4, 3, 2, 1] * 6


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        (SOUND, (1, 5)),
        ([2, 3, 4] * 20, (1, 5)),
        ([0, 1, 2, 3, 4] * 12, (0, 4)),
        ([1, 2, 3, 4, 5, 6, 7] * 10, (1, 7)),
        ([-3, -2, -1, 0, 1, 2, 3] * 10, (-3, 3)),
        (list(range(11)) * 6, (0, 10)),
        (list(range(0, 101, 5)) * 3, (0, 100)),
        ([17.25, 80.5, 33.75, 99.9, 64.0, 12.5] * 10, (0, 100)),
        ([*SOUND, 55], (1, 5)),
        ([*SOUND, 44, 23], (1, 5)),
        ([*SOUND, *[-1] * 40], (1, 5)),
        ([*SOUND, *[99] * 30, *[-9] * 3], (1, 5)),
        ([*range(0, 101, 2), -1, 999], (0, 100)),
    ],
)
def test_scales_that_are_recognised(scores: list[float], scale: tuple[int, int]) -> None:
    """Slips of the hand and codes for no answer leave the scale as it is."""
    counts: dict[float, int] = {}
    for s in scores:
        counts[float(s)] = counts.get(float(s), 0) + 1
    found = recognise(counts)
    assert (found.low, found.high) == scale


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([*SOUND, *[0] * 8], "0 may be a grade or stand for no answer"),
        ([*SOUND, 6], "many for slips, few for a wider scale"),
        ([-1, 1, 2, 3] * 10, "-1 may be a grade of -3 to 3"),
        ([0.1, 0.5, 0.9] * 10, "shares"),
        ([0, 1] * 20, "yes and no"),
        ([1, 2, 3, 4, 5, 15, 25, 35, 45, 4] * 5, "decimal points lost"),
        ([500, 700, 900] * 10, "no scale that is recognised"),
        ([99] * 10, "codes for missing"),
    ],
)
def test_scales_that_are_not_certain_are_asked_for(scores: list[float], why: str) -> None:
    """What was seen, and what to give."""
    counts: dict[float, int] = {}
    for s in scores:
        counts[float(s)] = counts.get(float(s), 0) + 1
    with pytest.raises(FaceSRError, match=rf"the scores run from .*{why}.*--scale LOW HIGH"):
        recognise(counts)


def test_every_cell_that_is_not_used_is_listed(tmp_path: Path) -> None:
    """Row as a spreadsheet counts, column, cell and reason; what is left is analysed."""
    lines = [
        *rows(list(SOUND)),
        "r6,f0,psp,55",
        "r6,f1,psp,",
        "r6,f2,psp,NA",
        "r6,f3,psp,-1",
        "r6,f4,psp,n.b.",
        ",f5,psp,4",
        "r6,,psp,4",
    ]
    found = table(tmp_path, lines)
    told = {(r.row, r.column, r.value): r.reason for r in found.unused.itertuples()}
    assert told == {
        (62, "score", "55"): "outside the scale 1 to 5",
        (63, "score", ""): "no answer",
        (64, "score", "NA"): "no answer",
        (65, "score", "-1"): "outside the scale 1 to 5 (a code for no answer?)",
        (66, "score", "n.b."): "not a number, nor a word of the scale",
        (67, "score", "4"): "no rater's id",
        (68, "score", "4"): "no image is named",
    }
    assert found.counts["ratings"] == 60
    assert found.counts["unused cells"] == 7
    kinds = {f.kind for f in check_ratings(tmp_path / "t.csv")}
    assert {"impossible", "missing"} <= kinds


def test_words_beside_numbers(tmp_path: Path) -> None:
    """'5 (Excellent)' and its kin are 5; a word alone is its grade; one that contradicts its number is listed."""
    cells = [
        "5 (Excellent)",
        "1 - Bad",
        "4: good",
        "Excellent (5)",
        "3",
        "fair",
        "GOOD",
        "ausge\u00adzeichnet",
        "2. Poor",
        "5 (Bad)",
    ]
    found = table(tmp_path, rows(list(cells)))
    assert list(found.table["score"]) == [5, 1, 4, 5, 3, 3, 4, 5, 2]
    assert list(found.unused["reason"]) == ["the number says 5 and the word 1"]


def test_the_rating_pages_own_words_are_known() -> None:
    """In every language the page is offered in."""
    files = sorted(ROOT.glob("**/texts/*.toml"))
    files = [f for f in files if ".venv" not in f.parts and "grade_5" in f.read_text(encoding="utf-8")]
    assert len(files) >= 2
    for file in files:
        texts = tomllib.loads(file.read_text(encoding="utf-8"))
        for grade in range(1, 6):
            word = texts[f"grade_{grade}"].replace("\u00ad", "").casefold()
            assert WORDS[word] == (grade, (1, 5)), (file, word)


def test_words_that_nobody_explained_are_asked_for(tmp_path: Path) -> None:
    """A word that comes again is an answer: leaving it out would move the mean."""
    cells = [3, 4, "super", 3, "super", 4, 2, "super", 3, 4]
    with pytest.raises(
        FaceSRError, match=r"3 of 10 scores are neither numbers nor words.*'super' \(row 4\).*--labels 'super=GRADE"
    ):
        table(tmp_path, rows(list(cells)))
    assert list(table(tmp_path, rows(list(cells)), labels=["super=5,mies=1"]).table["score"]) == [3, 4, 5, 3, 5, 4, 2, 5, 3, 4]
    assert len(table(tmp_path, rows(list(cells)), missing=["super"]).unused) == 3


def test_reversed_scales(tmp_path: Path) -> None:
    """1 is the best: turned round where said; refused where the words say so and the user does not."""
    assert list(table(tmp_path, rows([1, 5, 2, 3]), reverse=True, scale=(1, 5)).table["score"]) == [5, 1, 4, 3]
    cells: list[object] = ["1 (Excellent)", "5 (Bad)", "2 (Good)", "4 (Poor)"]
    with pytest.raises(FaceSRError, match=r"contradict each other.*--reverse"):
        table(tmp_path, rows(cells))
    assert list(table(tmp_path, rows(cells), reverse=True).table["score"]) == [5, 1, 4, 2]


def test_codes_that_the_user_names(tmp_path: Path) -> None:
    """``--missing -1,99``, as numbers and as text."""
    found = table(tmp_path, rows([1, 2, "-1", 3, "99", "-1.0", 4]), missing=["-1,99"])
    assert found.counts["ratings"] == 4
    assert set(found.unused["reason"]) == {"no answer"}


def test_three_people_without_an_id_are_nobody(tmp_path: Path) -> None:
    """Not one rater who agrees with himself."""
    lines = [*rows(list(SOUND[:20])), *(f",f{i},psp,{s}" for _ in range(3) for i, s in ((0, 3), (1, 4)))]
    found = table(tmp_path, lines)
    assert set(found.table["rater"]) == {"r0", "r1"}
    assert found.counts["repeats"] == 0
    assert len(found.unused) == 6


def test_one_condition_in_many_spellings(tmp_path: Path) -> None:
    """Blanks, case and invisible characters make no new condition; the import says what it joined."""
    lines = ["a,f1,hr,5", "a,f2,HR,4", "b,f1, hr ,5", "b,f2,hr\u00a0,4", "a,f1,psp,2", "b,f1,\ufeffpsp,3"]
    found = table(tmp_path, lines)
    assert set(found.table["condition"]) == {"hr", "psp"}
    assert any("'HR'" in n and "taken as one" in n for n in found.notes)


HEAD_AT = "rater,face,condition,score,timestamp"


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        ("2024-05-01T10:20:00Z", "repeat"),
        ("2024-05-02T10:00:00Z", "again"),
        ("2024-05-01T10:00:00Z", "duplicate"),
        ("2024-05-01T12:20:00+02:00", "repeat"),
    ],
)
def test_second_answers(tmp_path: Path, second: str, kind: str) -> None:
    """A repeat lies in the same sitting; a day later is another participation; the same moment is one answer stored twice."""
    lines = ["a,f1,psp,4,2024-05-01T10:00:00Z", "a,f2,psp,3,2024-05-01T10:10:00Z", f"a,f1,psp,2,{second}"]
    found = table(tmp_path, lines, HEAD_AT)
    assert list(found.table["kind"]) == ["main", "main", kind]
    assert found.counts["repeats"] == (kind == "repeat")
    assert len(found.unused) == (kind != "repeat")


def test_second_answers_that_nothing_explains(tmp_path: Path) -> None:
    """Without place or time nobody can tell a repeat from a double: neither is claimed."""
    found = table(tmp_path, ["a,f1,psp,4", "a,f2,psp,3", "a,f1,psp,2"])
    assert list(found.table["kind"]) == ["main", "main", "again"]
    assert "neither place nor time" in found.unused["reason"][0]


@pytest.mark.parametrize(
    ("times", "problems"),
    [
        (["2024-10-27T02:58:00+02:00", "2024-10-27T02:00:10+01:00"], 0),
        (["2024-10-27T02:58:00", "2024-10-27T02:00:10"], 0),
        (["999", "1500"], 0),
        (["3/27/2020 9:59", "3/27/2020 10:00"], 0),
        (["27.3.2020 9:59", "27.3.2020 10:00"], 0),
        (["2024-05-02T10:00:00Z", "2024-05-02T09:59:00Z"], 1),
        (["1714640400000", "1714640300000"], 1),
        (["2024-10-27T12:58:00", "2024-10-27T12:00:10"], 1),
    ],
)
def test_times_are_compared_as_moments(tmp_path: Path, times: list[str], problems: int) -> None:
    """Zones, milliseconds, American dates and the end of summer time are no fault; a clock that runs back is."""
    lines = [f"a,f{i},psp,{3 + i},{i + 1},{t}" for i, t in enumerate(times)]
    (tmp_path / "t.csv").write_text("\n".join(["rater,face,condition,score,position,timestamp", *lines]))
    assert len([f for f in check_ratings(tmp_path / "t.csv") if f.kind != "note"]) == problems
