"""Ratings that other programs collected, as one long table: whatever separator, language or layout, or one sentence on what was seen.

- ``read(path, options)``: the table, the scale, and the list of every cell that was not used.
- ``options(...)``: what a user may say about the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.columns import COLUMNS, UNUSED
from facesr.bench.ratings.options import Options, rating_options
from facesr.bench.ratings.table import Answers, Imported
from facesr.bench.reading import check_regular

if TYPE_CHECKING:
    from facesr.bench.ratings.grid import TextGrid

__all__ = ["COLUMNS", "UNUSED", "Imported", "Options", "rating_options", "read"]

ENDINGS = ".csv, .tsv, .txt, .xlsx, .parquet, .db (AVrate), .json (jsPsych, sureal) or .py (sureal)"


def read(path: Path, asked: Options | None = None) -> Imported:
    """Read a file of ratings, or a folder of one file per person, telling the layout by its content unless ``asked.layout`` names it.

    Raises ``FaceSRError`` with one sentence for a file that cannot be read, or not with certainty.
    """
    from facesr.bench.ratings.table import finish_table

    asked = asked or Options()
    if path.is_dir():
        from facesr.bench.ratings.folder import files_of, together

        parts = []
        for file in files_of(path):
            with _naming(file):
                parts.append((file, _answers(file, asked, alone=False)))
        return finish_table(together(parts, path), asked)
    if not path.is_file():
        raise FaceSRError(f"there is no file {path}")
    check_regular(path)
    with _naming(path):
        return finish_table(_answers(path, asked), asked)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except FaceSRError as error:
        raise FaceSRError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _of_one_scale(path: Path, asked: Options) -> None:
    """Refuse to choose one of several scales where the file's form has only one: rows of two would be taken together."""
    if asked.rating_type is not None:
        raise FaceSRError(f"--rating-type {asked.rating_type!r} chooses a scale of an AVrate file, and {path.name} is none")


def _answers(path: Path, asked: Options, *, alone: bool = True) -> Answers:
    """``alone`` False: one of a folder's files, whose name is the rater where it does not name one itself."""
    if not alone:
        check_regular(path)
    from facesr.bench.ratings import avrate, jsons
    from facesr.bench.ratings.folder import named_by_file
    from facesr.bench.ratings.grid import TEXT, read_grid
    from facesr.bench.ratings.sureal import sureal

    suffix = path.suffix.lower()
    if suffix in {".db", ".sqlite", ".sqlite3"}:
        return avrate.from_database(path, asked)
    if suffix in {".py", ".json"}:
        _of_one_scale(path, asked)
    if suffix == ".py":
        return sureal(path, asked)
    if suffix == ".json":
        return jsons.answers(path, asked, alone=alone)
    if suffix in {".xls", ".ods", ".numbers"}:
        raise FaceSRError(f"{path}: {suffix} is not read; save it as .xlsx or .csv")
    if suffix not in TEXT | {".xlsx", ".parquet"}:
        raise FaceSRError(f"{path}: {suffix or 'a file without ending'} is not read; give {ENDINGS}")
    grid = read_grid(path, asked.sheet) if alone else named_by_file(read_grid(path, asked.sheet), path, asked)
    return _of_grid(grid, path, asked)


def _of_grid(grid: TextGrid, path: Path, asked: Options) -> Answers:
    from facesr.bench.ratings import avrate
    from facesr.bench.ratings.long import long
    from facesr.bench.ratings.platforms import PLATFORMS

    if not (asked.layout in {None, "avrate"} and avrate.is_avrate(grid)):
        _of_one_scale(path, asked)
    if asked.layout in PLATFORMS:
        return PLATFORMS[asked.layout][1](grid, asked)
    if asked.layout == "p910":
        return PLATFORMS["mturk"][1](grid, asked)
    if asked.layout in {None, "avrate"} and avrate.is_avrate(grid):
        return avrate.from_grid(grid, asked)
    if asked.layout is None:
        for told, reader in PLATFORMS.values():
            if told(grid):
                return reader(grid, asked)
    return long(grid, asked)
