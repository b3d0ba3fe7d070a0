"""Any separator, encoding, decimal sign, shape and file type: the same ratings, or a refusal of one sentence."""

from __future__ import annotations

import csv
import io
import zipfile
from itertools import product
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Imported, rating_options, read
from facesr.cli import main

ENDINGS = (".csv", ".json", ".py", ".xlsx", ".parquet", ".db")
Ratings = dict[tuple[str, str, str], float]

RATERS = st.lists(
    st.sampled_from(["Zoë", "r1", "r2", "5f01", "=evil", "a b", "Ann; Bob", "x,y", 'quo"te', "0017"]),
    min_size=2,
    max_size=4,
    unique=True,
)
FACES = st.lists(st.sampled_from(["f1", "000123", "ada", "ünal", "a|b", "-f"]), min_size=2, max_size=3, unique=True)
CONDITIONS = st.lists(st.sampled_from(["hr", "psp", "Bicubic", "pix 2", "+x", "m;n"]), min_size=2, max_size=3, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> Ratings:
    """A complete table of grades and half grades on 1 to 5, the ends among them."""
    keys = list(product(draw(RATERS), draw(FACES), draw(CONDITIONS)))
    scores = draw(st.lists(st.sampled_from([1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]), min_size=len(keys), max_size=len(keys)))
    return dict(zip(keys, scores, strict=True))


def cells(found: Imported) -> Ratings:
    """What was read."""
    return {(r.rater, r.face, r.condition): r.score for r in found.table[found.table["kind"] == "main"].itertuples()}


def number(value: float, comma: bool) -> str:
    """A grade as people write it."""
    return f"{value:g}".replace(".", "," if comma else ".")


def shaped(ratings: Ratings, shape: str, comma: bool) -> list[list[str]]:
    """Rows of a long table, or of one with the raters or the conditions across."""
    raters, faces, conditions = (list(dict.fromkeys(k[i] for k in ratings)) for i in range(3))
    if shape == "long":
        return [["rater ", " Face", "CONDITION", "score"], *([*k, number(v, comma)] for k, v in ratings.items())]
    if shape == "raters":
        body = [[f, c, *(number(ratings[r, f, c], comma) for r in raters)] for f in faces for c in conditions]
        return [["image", "method", *raters], *body]
    body = [[r, f, *(number(ratings[r, f, c], comma) for c in conditions)] for r in raters for f in faces]
    return [["participant", "image", *conditions], *body]


@settings(max_examples=60, deadline=None)
@given(
    ratings=tables(),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]),
    comma=st.booleans(),
    shape=st.sampled_from(["long", "raters", "conditions"]),
    told=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_the_dialect_the_ratings_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    ratings: Ratings,
    separator: str,
    encoding: str,
    comma: bool,
    shape: str,
    told: bool,
    newline: str,
) -> None:
    """Round trip through a file as a program or a spreadsheet might have saved it."""
    file = tmp_path_factory.mktemp("dialect") / "ratings.csv"
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=newline).writerows(shaped(ratings, shape, comma))
    text = (f"sep={separator}{newline}" if told else "") + out.getvalue()
    file.write_bytes(text.encode(encoding))
    found = read(file)
    assert cells(found) == ratings
    assert (found.scale.low, found.scale.high) == (1, 5)
    assert len(found.unused) == 0


@settings(max_examples=10, deadline=None)
@given(ratings=tables(), shape=st.sampled_from(["long", "raters", "conditions"]), typed=st.booleans())
def test_spreadsheets_and_parquet(tmp_path_factory: pytest.TempPathFactory, ratings: Ratings, shape: str, typed: bool) -> None:
    """Numbers as numbers or as text."""
    folder = tmp_path_factory.mktemp("xlsx")
    head, *body = shaped(ratings, shape, comma=False)
    value = {f"{v:g}": v for v in ratings.values()} if typed else {}
    first = 3 if shape == "long" else 2
    filled = [[*row[:first], *(value.get(c, c) for c in row[first:])] for row in body]
    book = openpyxl.Workbook()
    for i, row in enumerate([head, *filled], 1):
        for j, cell in enumerate(row, 1):
            book.active.cell(i, j).value = cell
            if isinstance(cell, str):
                book.active.cell(i, j).data_type = "s"  # '=evil' is a name here, no formula
    book.save(folder / "r.xlsx")
    assert cells(read(folder / "r.xlsx")) == ratings
    pd.DataFrame(filled, columns=head).to_parquet(folder / "r.parquet")
    assert cells(read(folder / "r.parquet")) == ratings


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)), ending=st.sampled_from(ENDINGS))
def test_any_bytes_end_in_ratings_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str) -> None:
    """Nothing but ``FaceSRError``, and that on one line."""
    file = tmp_path_factory.mktemp("bytes") / f"r{ending}"
    file.write_bytes(data)
    try:
        read(file)
    except FaceSRError as error:
        assert "\n" not in str(error)


def test_several_sheets_are_asked_for(tmp_path: Path) -> None:
    """By name."""
    book = openpyxl.Workbook()
    book.active.append(["notes"])
    sheet = book.create_sheet("ratings")
    for row in (["rater", "face", "condition", "score"], ["a", "f1", "psp", 4], ["a", "f1", "hr", 5]):
        sheet.append(row)
    book.save(tmp_path / "r.xlsx")
    with pytest.raises(FaceSRError, match=r"several sheets \(Sheet, ratings\): choose one with --sheet"):
        read(tmp_path / "r.xlsx")
    assert len(read(tmp_path / "r.xlsx", rating_options(sheet="ratings")).table) == 2
    with pytest.raises(FaceSRError, match="did you mean 'ratings'"):
        read(tmp_path / "r.xlsx", rating_options(sheet="rating"))


def test_a_spreadsheet_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    """1.1 GiB of nothing in a megabyte."""
    with (
        zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(b"\0" * (1 << 20))
    with pytest.raises(FaceSRError, match="unpacks to more than 1 GiB"):
        read(tmp_path / "bomb.xlsx")


# --- what the user says -----------------------------------------------------------------------------------------------------------------


def test_columns_that_the_user_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--map``, ``--missing -1,99`` (a value, though it begins with a dash) and the list of unused cells, on the command line."""
    lines = ["WorkerId,Q3_1,what,how", "W1,4,f1,psp", "W1,5,f1,hr", "W2,-1,f1,psp", "W2,99,f1,hr", "W2,3,f2,psp"]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    how = ["--map", "rater=workerid,score=Q3_1", "--map", "face=what,condition=how", "--missing", "-1,99", "--scale", "1", "5"]
    assert main(["study", "import", str(tmp_path / "r.csv"), "--out", str(tmp_path / "s"), *how]) == 0
    out = capsys.readouterr().out
    assert "not used: 2 no answer" in out
    assert "unused.csv" in out
    listed = pd.read_csv(tmp_path / "s/unused.csv", dtype=str)
    assert list(listed["value"]) == ["'-1", "99"]
    assert list(listed["row"]) == ["4", "5"]
    assert main(["study", "check", str(tmp_path / "s")]) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"columns": ["ratr=x"]}, "did you mean 'rater'"),
        ({"columns": ["rater"]}, "write ROLE=COLUMN"),
        ({"columns": ["rater=a,rater=b"]}, "names rater twice"),
        ({"labels": ["good"], "scale": (5, 1)}, "give the lowest grade"),
        ({"labels": ["good=much"]}, "write WORD=GRADE"),
        ({"pattern": "("}, "not a regular expression"),
        ({"pattern": "(?P<face>.)"}, "needs the groups"),
        ({"layout": "qualtrix"}, "did you mean 'qualtrics'"),
        ({"layout": "nope", "scale": (3, 3)}, "--scale 3 3.*--layout 'nope'"),
    ],
)
def test_options_that_cannot_be_meant(asked: dict[str, object], message: str) -> None:
    """One sentence, all problems together."""
    with pytest.raises(FaceSRError, match=message):
        rating_options(**asked)  # type: ignore[arg-type]
