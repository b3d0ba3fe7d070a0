"""A folder of one file per person: each is read as it would be alone, and a file that names nobody is its rater's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import TEXT, TextGrid, plain_name
from facesr.bench.ratings.long import SYNONYMS
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.people import PEOPLE
from facesr.bench.ratings.table import Answers

WHO = frozenset(
    plain_name(n) for n in (*SYNONYMS["rater"], *PEOPLE, "ResponseId", "session_uuid", "run_id", "study_result_id", "session_id")
)
"""Columns that name a person, as ``plain`` writes them."""


def files_of(folder: Path) -> list[Path]:
    """The tables of a folder, in order of their names; hidden files and those with other endings are not looked at."""
    known = TEXT | {".xlsx", ".json"}
    found = sorted(f for f in folder.iterdir() if f.suffix.lower() in known and not f.name.startswith((".", "~$")) and f.is_file())
    if not found:
        raise FaceSRError(f"{folder} holds no table: give a file, or a folder of one {', '.join(sorted(known))} file per person")
    return found


def named_by_file(grid: TextGrid, path: Path, options: Options) -> TextGrid:
    """The grid with the file's name as its rater, where neither a column nor the user names one."""
    if options.columns.get("rater") or any(plain_name(c) in WHO for c in grid.columns):
        return grid
    cells = grid.cells.copy()
    cells["rater"] = path.stem  # last: some layouts are recognised by their first column
    return replace(grid, cells=cells)


def together(parts: Sequence[tuple[Path, Answers]], folder: Path) -> Answers:
    """The answers of all files as one; refuses files of different layouts or scales. Cells are listed with their file's name."""
    import pandas as pd

    first = parts[0][1]
    for path, answers in parts:
        if (answers.layout, answers.scale) != (first.layout, first.scale):
            raise FaceSRError(
                f"{folder} holds files of different kinds: {parts[0][0].name} is a {first.layout}, {path.name} a {answers.layout}"
            )
    frames = [a.frame.assign(column=[f"{p.name}: {c}" for c in a.frame["column"]]) for p, a in parts]
    frame = pd.concat(frames, ignore_index=True).fillna("")
    notes = list(dict.fromkeys(note for _, a in parts for note in a.notes))
    if len(notes) > 6:
        notes = [*notes[:5], f"and {len(notes) - 5} more notes of single files"]
    people = frame["rater"].nunique() if "rater" in frame else 0
    planned = {key: n for _, a in parts for key, n in a.planned.items()}
    return Answers(frame, first.layout, first.scale, planned, (f"{len(parts)} files of one folder, {people} raters", *notes))
