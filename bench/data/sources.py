"""Images from what people have: a folder (with sub-folders), zip archives, parquet shards with an image column."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8
from facesr.bench.imaging.files import SUFFIXES, read_bytes, read_rgb


@dataclass(frozen=True)
class Item:
    """One image of a source. ``name``: its path inside the source; ``file``: on disk, where it is a file of its own; else ``data``."""

    name: str
    file: Path | None = None
    data: bytes = b""

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        return PurePosixPath(self.name).stem

    def decode(self) -> U8:
        """8-bit RGB pixels; see ``facesr.bench.imaging.read_rgb`` for what is refused."""
        return read_rgb(self.file) if self.file else read_bytes(self.data, self.name)


def items(source: Path) -> Iterator[Item]:
    """All images of a source, in order of name. Archives and shards are read one image at a time."""
    if source.is_dir():
        archives = sorted(source.glob("*.zip"))
        shards = sorted(source.rglob("*.parquet"))
        files = sorted(f for f in source.rglob("*") if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
        if not (archives or shards or files):
            raise FaceSRError(f"{source} holds no images, zip archives or parquet shards")
        yield from (Item(f.relative_to(source).as_posix(), f) for f in files)
        for archive in archives if not files else ():
            yield from _zip(archive)
        for shard in shards if not files else ():
            yield from _parquet(shard)
    elif source.suffix.lower() == ".zip":
        yield from _zip(source)
    elif source.suffix.lower() == ".parquet":
        yield from _parquet(source)
    else:
        raise FaceSRError(f"{source} is neither a folder, a .zip nor a .parquet file")


def _zip(path: Path) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                plain = PurePosixPath(name)
                if plain.suffix.lower() in SUFFIXES and "__MACOSX" not in plain.parts and not plain.name.startswith("."):
                    yield Item(name, data=archive.read(name))
    except (OSError, zipfile.BadZipFile) as error:
        raise FaceSRError(f"{path}: not a readable zip archive ({error})") from None


NAME_COLUMNS = ("file_name", "filename", "image_id", "idx", "index", "id", "name", "path")


def _parquet(path: Path) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FaceSRError(f"{path}: not a readable parquet file ({error})") from None
    schema = table.schema_arrow
    column = next((f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0), None)
    column = column or next((f.name for f in schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)), None)
    if column is None:
        raise FaceSRError(f"{path} has no image column (bytes, or a struct with bytes); its columns are {', '.join(schema.names)}")
    label = next((c for c in NAME_COLUMNS if c in schema.names and c != column), None)
    for batch in table.iter_batches(batch_size=32, columns=[column, *([label] if label else [])]):
        for row in batch.to_pylist():
            yield _row(row, column, label, path)


def _row(row: dict[str, Any], column: str, label: str | None, path: Path) -> Item:
    cell = row[column]
    data = cell["bytes"] if isinstance(cell, dict) else cell
    name = str(row[label]) if label else str((cell.get("path") if isinstance(cell, dict) else None) or "")
    if not name:
        raise FaceSRError(
            f"{path} does not say which image is which: it has no file path in {column!r} and none of {', '.join(NAME_COLUMNS)}"
        )
    return Item(name, data=data or b"")


def read_landmark_file(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    """Five points an image from CSV: file name, then x, y of left eye, right eye, nose, left and right mouth corner (image coordinates)."""
    import csv

    points: dict[str, tuple[tuple[float, float], ...]] = {}
    problems = []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror})") from None
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        numbers: list[float] = []
        with suppress(ValueError):
            numbers = [float(v) for v in row[1:11]]
        if len(numbers) == 10 and np.isfinite(numbers).all():
            points[PurePosixPath(row[0]).stem] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        elif number > 1 and row:
            problems.append(str(number))
    if problems or not points:
        raise FaceSRError(f"{path}: lines {', '.join(problems[:5]) or 'all'} are not 'file, x1, y1, ..., x5, y5'")
    return points
