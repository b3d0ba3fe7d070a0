"""Attributes of faces from a table of one's own: a CSV whose first column names the faces and whose others are attributes."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

from facesr.bench.data.dataset import Dataset
from facesr.bench.errors import FaceSRError, some
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.reading import csv_rows, read_text


def with_attributes(data: Dataset, file: Path) -> Dataset:
    """``data`` with the attributes of ``file`` (comma, semicolon or tab), over those it has; empty cells say nothing.

    Faces are named with or without their file's ending. Raises ``FaceSRError`` with all that is wrong; rows of faces that the data set
    does not have are listed in ``unused``.
    """
    text = read_text(file).strip("\r\n")
    rows = csv_rows(text, f"--attributes {file}")
    names = [name.strip() for name in rows[0]] if rows else []
    problems = [] if len(names) > 1 else ["its first line must name a column for the faces and one for each attribute"]
    problems += [f"column {i} has no name" for i, name in enumerate(names, 1) if not name]
    problems += [f"column {name!r} is there twice" for name in sorted({n for n in names if n and names.count(n) > 1})]
    given: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            problems.append(f"row {number} has {len(row)} cells, the first {len(names)}")
            continue
        face = _face(row[0])
        if face in given:
            problems.append(f"face {face!r} is there twice (row {number})")
        given[face] = {name: cell.strip() for name, cell in zip(names[1:], row[1:], strict=True) if cell.strip()}
    known = {unicodedata.normalize("NFC", f.name) for f in data.faces}
    if not problems and not known & set(given):
        problems.append(
            f"none of its faces is in the data (such as {some(sorted(given)) or 'none'}; the data has {some(sorted(known))})"
        )
    if problems:
        raise FaceSRError(f"--attributes {file}: {'; '.join(problems[:8])}")
    faces = tuple(
        replace(f, attributes={**f.attributes, **given.get(unicodedata.normalize("NFC", f.name), {})}) for f in data.faces
    )
    strange = tuple(f"attributes of {name}" for name in given if name not in known)
    without = [f.name for f in data.faces if unicodedata.normalize("NFC", f.name) not in given]
    said = (f"{len(without)} of {len(faces)} faces have no row in {file.name}: {some(without)}",) if without else ()
    return replace(data, faces=faces, unused=(*data.unused, *strange), said=(*data.said, *said))


def _face(text: str) -> str:
    name = unicodedata.normalize("NFC", text.strip())
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
