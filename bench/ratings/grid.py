"""A file as rows of text: separators, encodings and spreadsheets, before anyone asks what the columns mean."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.reading import MAX_TEXT, csv_separator, decode_text, open_parquet, open_zip, read_bytes

if TYPE_CHECKING:
    import pandas as pd

TEXT = {".csv", ".tsv", ".txt", ".tab", ".dat"}
SEPARATORS = ",;\t|"
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LARGEST = 1 << 30
"""Bytes a spreadsheet may unpack to: more is no table of ratings."""
FORMULA = re.compile(r"^'(?=[=+\-@])")
"""The quote by which a spreadsheet, and our own export, keeps a text from being run as a formula: it is no part of the text."""
INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])


@dataclass(frozen=True)
class TextGrid:
    """``cells``: every cell as stripped text under its column's name, '' where empty. ``rows``: the spreadsheet row of each."""

    cells: pd.DataFrame
    rows: list[int]
    about: str

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return [str(c) for c in self.cells.columns]

    def column(self, name: str) -> str:
        """The column that a user named, whatever its blanks and case; refuses one that is not there."""
        known = {plain_name(c): c for c in self.columns}
        if name in self.columns:
            return name
        if plain_name(name) not in known:
            raise FaceSRError(f"there is no column {name!r}: {suggest(name, self.columns)}")
        return known[plain_name(name)]


def clean(text: object) -> str:
    """A cell without what nobody sees: outer blanks, no-break and zero-width ones, soft hyphens, marks of the encoding."""
    return " ".join(str(text).translate(INVISIBLE).split())


def plain_name(text: str) -> str:
    """A column's name as it is compared: lower case, letters and digits alone."""
    return re.sub(r"[\W_]+", "", clean(text).casefold())


def read_grid(path: Path, sheet: str | None = None) -> TextGrid:
    """The cells of a .csv, .tsv, .txt, .xlsx or .parquet file. Raises ``FaceSRError`` with one sentence for what is none."""
    suffix = path.suffix.lower()
    if sheet is not None and suffix != ".xlsx":
        raise FaceSRError(f"--sheet {sheet!r} is for .xlsx files, and {path.name} is none")
    if suffix == ".xlsx":
        return _from_rows(*_xlsx(path, sheet), path)
    if suffix == ".parquet":
        return _parquet(path)
    text, encoding = text_and_encoding(path)
    rows, separator, skipped = _split_text(text, path)
    return _from_rows(rows, f"{NAMES[separator]}, {encoding}", path, first=1 + skipped)


def text_and_encoding(path: Path) -> tuple[str, str]:
    """The text of a file and its encoding: UTF-8 or UTF-16, with or without a mark, else (where neither fits) Windows' Latin."""
    data = read_bytes(path, MAX_TEXT)
    try:
        return decode_text(data, path), "UTF-8 or UTF-16"
    except FaceSRError:
        if b"\0" in data or not data:
            raise
    try:
        return data.decode("cp1252"), "Windows Latin-1"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1"


def _split_text(text: str, path: Path) -> tuple[list[list[str]], str, int]:
    """Rows, the separator, and how many lines came before them: ``sep=`` says it, else the header's, outside quotes."""
    skipped, separator = 0, None
    if told := re.match(r'"?sep=(.)"?\r?\n', text, re.IGNORECASE):
        separator, text, skipped = told[1], text[told.end() :], 1
        if separator not in SEPARATORS:
            raise FaceSRError(f"{path}: its first line says sep={separator}; read are , ; tab and |")
    head = next((line for line in text.splitlines() if line.strip()), "")
    if not head:
        raise FaceSRError(f"{path} is empty: there is no header to read")
    if separator is None:
        separator = csv_separator(head, SEPARATORS)
        if not separator:
            raise FaceSRError(
                f"{path}: the header {head[:60]!r} holds no separator (, ; tab or |): a table needs at least a rater, an item and a score"
            )
    before = csv.field_size_limit(1 << 24)  # a cell may hold a whole session as JSON; the limit is the whole process's
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)), separator, skipped
    except csv.Error as error:
        raise FaceSRError(f"{path} cannot be read as a table with {NAMES[separator]} ({error}): check its quotes") from None
    finally:
        csv.field_size_limit(before)


def _from_rows(rows: list[list[str]], about: str, path: Path, first: int = 1) -> TextGrid:
    import pandas as pd

    numbered = [(first + i, [clean(FORMULA.sub("", c)) for c in row]) for i, row in enumerate(rows)]
    numbered = [(n, row) for n, row in numbered if any(row)]
    if not numbered:
        raise FaceSRError(f"{path} is empty: there is no header to read")
    numbered, joined = _one_header(numbered)
    header = numbered[0][1]
    while header and not header[-1]:
        header = header[:-1]
    width = len(header)
    long = [n for n, row in numbered[1:] if any(row[width:])]
    if long:
        raise FaceSRError(
            f"{path}: row {long[0]} has more cells than the header's {width}{f' (and {len(long) - 1} more rows)' if len(long) > 1 else ''}: "
            "a cell that holds the separator needs quotes"
        )
    if header and all(re.fullmatch(r"[+-]?\d+([.,]\d+)?|nan", c, re.IGNORECASE) for c in header):
        raise FaceSRError(
            f"{path}: its first row ({', '.join(header[:3])} ...) holds numbers, no names of columns: add a header, and a column naming the image"
        )
    numbered = _without_copies(numbered, header)
    header = numbered[0][1][:width]
    width = len(header)
    twice = sorted({c for c in header if c and header.count(c) > 1})
    if twice:
        raise FaceSRError(f"{path} has the column {', '.join(map(repr, twice))} more than once: name each column once")
    names = [c or f"column {i}" for i, c in enumerate(header, 1)]
    body = [(row + [""] * width)[:width] for _, row in numbered[1:]]
    return TextGrid(pd.DataFrame(body, columns=names, dtype=object), [n for n, _ in numbered[1:]], about + joined)


def _one_header(numbered: list[tuple[int, list[str]]]) -> tuple[list[tuple[int, list[str]]], str]:
    """Two rows of header, the first with merged cells over the second, as one: 'psp quality', or the second's names where each is one of a kind.

    Told by a second row without a number that is empty where the first begins and filled where the first has gaps.
    """
    if len(numbered) < 3:
        return numbered, ""
    (row, top), (_, below) = numbered[0], numbered[1]
    width = max(len(top), len(below))
    top, below = top + [""] * (width - len(top)), below + [""] * (width - len(below))
    gaps = [i for i in range(width) if not top[i] and below[i]]
    if below[0] or not top[0] or not gaps or any(re.fullmatch(r"[+-]?[\d.,]+", c) for c in below):
        return numbered, ""
    filled, last = [], ""
    for a, b in zip(top, below, strict=True):
        last = a or (last if b else "")
        filled.append(last)
    known = [b for b in below if b]
    unique = len(set(known)) == len(known) and not set(known) & {a for a, b in zip(top, below, strict=True) if not b}
    header = [(b if unique else f"{a} {b}") if b else a for a, b in zip(filled, below, strict=True)]
    return [(row, header), *numbered[2:]], ", two rows of header joined"


def _without_copies(numbered: list[tuple[int, list[str]]], header: list[str]) -> list[tuple[int, list[str]]]:
    """Rows without columns whose name and cells another one has already."""
    columns: dict[tuple[str, ...], int] = {}
    for i, name in enumerate(header):
        key = (
            (name, *(row[i] if i < len(row) else "" for _, row in numbered[1:]))
            if name and header.count(name) > 1
            else (name, str(i))
        )
        columns.setdefault(key, i)
    kept = sorted(columns.values())
    return numbered if len(kept) == len(header) else [(n, [row[i] for i in kept if i < len(row)]) for n, row in numbered]


def _parquet(path: Path) -> TextGrid:
    import pandas as pd

    with open_parquet(path) as file:
        frame = file.read().to_pandas()
    cells = pd.DataFrame({str(c): [_text(v) for v in frame[c]] for c in frame.columns}, dtype=object)
    return TextGrid(cells, list(range(2, len(cells) + 2)), "Parquet")


def _xlsx(path: Path, sheet: str | None) -> tuple[list[list[str]], str]:
    import openpyxl

    with open_zip(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise FaceSRError(f"{path} unpacks to more than {LARGEST >> 30} GiB: no table of ratings is that large")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets through whatever its parsers raise
        raise FaceSRError(f"{path} cannot be read as .xlsx ({' '.join(str(error).split())[:200]})") from None
    try:
        sheets = {s.title: [[_text(v) for v in row] for row in s.iter_rows(values_only=True)] for s in book.worksheets}
    except Exception as error:
        raise FaceSRError(f"{path} cannot be read as .xlsx ({' '.join(str(error).split())[:200]})") from None
    finally:
        book.close()
    filled = {name: rows for name, rows in sheets.items() if any(any(row) for row in rows)}
    if sheet is not None and sheet not in sheets:
        raise FaceSRError(f"{path} has no sheet {sheet!r}: {suggest(sheet, sheets)}")
    if sheet is None and len(filled) > 1:
        raise FaceSRError(f"{path} has several sheets ({', '.join(filled)}): choose one with --sheet")
    name = sheet if sheet is not None else next(iter(filled), "")
    _refuse_formulas(path, name, filled.get(name, []))
    return filled.get(name, []), f"sheet {name!r}"


def _refuse_formulas(path: Path, name: str, rows: list[list[str]]) -> None:
    """A program that wrote formulas and never computed them leaves no values: say so, where a column is empty under its name."""
    import openpyxl

    empty = [i for i, head in enumerate(rows[0] if rows else []) if head and not any(row[i] for row in rows[1:] if i < len(row))]
    if not empty or len(rows) < 2:
        return
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        for r, row in enumerate(book[name].iter_rows(min_row=2, values_only=True), 2):
            for i in empty:
                if i < len(row) and isinstance(row[i], str) and row[i].startswith("="):
                    raise FaceSRError(
                        f"{path}: row {r} of {rows[0][i]!r} holds a formula without its result: open the file in a spreadsheet program and save it"
                    )
    finally:
        book.close()


def _text(value: Any) -> str:
    """A typed value as text: whole numbers without '.0', dates in ISO 8601."""
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return clean(value)
