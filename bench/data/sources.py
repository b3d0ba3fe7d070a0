"""Images from what people have: folders, zip archives (also within archives) and parquet shards. Whatever else lies there is named too."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.reading import open_parquet, open_zip, read_bytes, read_member

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
OTHER_IMAGES = (".gif", ".jp2", ".j2k", ".jxl", ".psd", ".ppm", ".pgm", ".exr", ".tga", ".svg", ".npy", ".npz", ".mat",
                ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2")  # fmt: skip
HIDDEN = "a hidden file"
NESTED = 3
"""Archives within archives are opened down to this depth."""


@dataclass(frozen=True)
class Item:
    """Something in a source. ``name``: its path inside, with '/'; ``file``: on disk, where it is a file of its own, else ``data``.

    ``reason``: why it cannot be a face, known before decoding; '' for an image. ``image``: whether it counts as one although it is refused.
    """

    name: str
    file: Path | None = None
    data: bytes = b""
    reason: str = ""
    image: bool = True

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        return PurePosixPath(self.name).stem

    def read(self) -> bytes:
        """The image file's bytes."""
        return read_bytes(self.file) if self.file else self.data


@dataclass(frozen=True)
class Source:
    """A folder, a .zip or a .parquet file. ``skip``: resolved paths that are no part of it; ``column``: of parquet, where there are several."""

    path: Path
    skip: Collection[Path] = ()
    column: str = ""

    def items(self, load: bool = True) -> Iterator[Item]:
        """Everything in the source, in a fixed order; archives are read one image at a time, and not at all without ``load``."""
        if self.path.is_dir():
            for name, path, reason in _walk(self.path, self.skip):
                yield from self._file(name, path, reason, load)
        elif self.path.suffix.lower() == ".zip":
            yield from _zip(self.path, "", load)
        elif self.path.suffix.lower() == ".parquet":
            yield from _parquet(self.path, "", self.column, load)
        else:
            raise FaceSRError(f"{self.path} is neither a folder, a .zip nor a .parquet file")

    def _file(self, name: str, path: Path, reason: str, load: bool) -> Iterator[Item]:
        if reason:
            yield Item(name, reason=reason, image=path.suffix.lower() in SUFFIXES)
        elif not (other := _other(name)):
            yield Item(name, path)
        elif other != "container":
            yield _refused(name, other)
        else:
            try:
                if path.suffix.lower() == ".zip":
                    yield from _zip(path, f"{name}/", load)
                else:
                    yield from _parquet(path, f"{name}/", self.column, load)
            except FaceSRError as error:
                yield Item(name, reason=str(error).removeprefix(f"{path}: ").removeprefix(f"{path} "), image=False)


def _refused(name: str, reason: str) -> Item:
    image = PurePosixPath(name).suffix.lower() in (*SUFFIXES, *OTHER_IMAGES) and reason != HIDDEN
    return Item(name, reason=reason, image=image)


def _walk(root: Path, skip: Collection[Path]) -> list[tuple[str, Path, str]]:
    """Every file below a folder, links followed once: name inside, path, and why it cannot be read, or ''."""
    found: list[tuple[str, Path, str]] = []
    seen: dict[tuple[int, int], str] = {}
    ours = {path.name for path in skip}
    todo = [(root, "")]
    while todo:
        folder, prefix = todo.pop()
        try:
            facts = folder.stat()
            if first := seen.get((facts.st_dev, facts.st_ino)):
                found.append((prefix.rstrip("/"), folder, f"the same folder as {first}"))
                continue
            seen[facts.st_dev, facts.st_ino] = prefix.rstrip("/") or "the source itself"
            entries = sorted(folder.iterdir(), key=lambda p: p.name, reverse=True)
        except OSError as error:
            found.append((prefix.rstrip("/"), folder, f"cannot be read ({error.strerror})"))
            continue
        for path in entries:
            name = prefix + path.name
            if path.name in ours and Path(os.path.realpath(path)) in skip:
                continue
            try:
                if path.is_dir():
                    todo.append((path, f"{name}/"))
                    continue
                path.stat()  # is_file() hides why a link leads nowhere
                found.append((name, path, "" if path.is_file() else "a pipe, a device or a socket, not a file"))
            except OSError as error:
                found.append((name, path, f"cannot be read ({error.strerror})"))
    return sorted(found, key=lambda entry: entry[0])


def _other(name: str) -> str:
    """Why a file is no image by its name, 'container' for a zip archive or a parquet shard, '' for an image."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if "__MACOSX" in path.parts or path.name.startswith("."):
        return HIDDEN
    if suffix in (".zip", ".parquet"):
        return "container"
    if suffix in SUFFIXES:
        return ""
    if suffix in PACKED:
        return "an archive other than zip: unpack it first"
    if suffix in OTHER_IMAGES:
        return f"{suffix[1:].upper()} is not read: save it as 8-bit RGB PNG"
    return "not an image by its name"


# -- zip -------------------------------------------------------------------------------------------------------------------------


def _zip(place: Path | io.BytesIO, prefix: str, load: bool, depth: int = 1) -> Iterator[Item]:
    with open_zip(place, prefix.rstrip("/") or str(place)) as archive:
        members = [(i.filename.replace("\\", "/").lstrip("/"), i) for i in archive.infolist()]
        for inner, info in sorted(members, key=lambda m: m[0]):
            if inner.endswith("/"):
                continue
            name, other = f"{prefix}{inner}", _other(inner)
            if other == "container":
                yield from _nested(archive, info, name, load, depth)
            elif other:
                yield _refused(name, other)
            elif load:
                try:
                    yield Item(name, data=read_member(archive, info))
                except FaceSRError as error:
                    yield Item(name, reason=str(error))
            else:
                yield Item(name)


def _nested(archive: Any, info: Any, name: str, load: bool, depth: int) -> Iterator[Item]:
    if not name.lower().endswith(".zip") or depth == NESTED:
        yield Item(
            name, reason="too deep inside archives" if depth == NESTED else "a parquet file inside an archive: unpack it first"
        )
        return
    try:
        yield from _zip(io.BytesIO(read_member(archive, info)), f"{name}/", load, depth + 1)
    except FaceSRError as error:
        yield Item(name, reason=str(error).removeprefix(f"{name}: "))


# -- parquet ---------------------------------------------------------------------------------------------------------------------

NAME_COLUMNS = ("file_name", "filename", "image_id", "idx", "index", "id", "name", "path")
IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
ROWS = 8


def _parquet(path: Path, prefix: str, asked: str, load: bool) -> Iterator[Item]:
    with open_parquet(path) as table:
        column = _image_column(table, asked, path)
        names = table.schema_arrow.names
        label = next((c for c in NAME_COLUMNS if c in names and c != column), None)
        whole = table.schema_arrow.field(column)
        has_path = _is_struct(whole.type) and whole.type.get_field_index("path") >= 0
        if not (label or has_path):
            raise FaceSRError(
                f"{path} does not say which image is which: it has no file path in {column!r} and none of {', '.join(NAME_COLUMNS)}"
            )
        columns = [column if load else f"{column}.path"] if load or has_path else []
        number = 0
        for batch in table.iter_batches(batch_size=ROWS, columns=[*columns, *([label] if label else [])]):
            for row in batch.to_pylist():
                number += 1
                cell = row.get(column)
                inner = row[label] if label else (cell or {}).get("path")
                item = Item(
                    f"{prefix}{str(inner if inner not in (None, '') else f'row-{number}').replace(chr(92), '/').lstrip('/')}"
                )
                data = cell.get("bytes") if isinstance(cell, dict) else cell
                lacking = "" if data or not load else "its row holds no image bytes"
                yield replace(item, data=data or b"", reason=lacking) if load else item


def _is_struct(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))


def _image_column(table: pq.ParquetFile, asked: str, path: Path) -> str:
    """The one column that holds images; several are the user's to choose from."""
    import pyarrow as pa

    schema = table.schema_arrow
    possible = [
        f.name
        for f in schema
        if (_is_struct(f.type) and f.type.get_field_index("bytes") >= 0)
        or pa.types.is_binary(f.type)
        or pa.types.is_large_binary(f.type)
    ]
    if asked:
        if asked not in possible:
            raise FaceSRError(
                f"{path} has no image column {asked!r}: {suggest(asked, possible) if possible else 'it has none at all'}"
            )
        return asked
    if len(possible) > 1:
        possible = [name for name in possible if _holds_images(table, name)] or possible[:1]
    if not possible:
        raise FaceSRError(f"{path} has no image column (bytes, or a struct with bytes); its columns are {', '.join(schema.names)}")
    if len(possible) > 1:
        raise FaceSRError(f"{path} has several image columns ({', '.join(possible)}): name one with --column")
    return str(possible[0])


def _holds_images(table: pq.ParquetFile, name: str) -> bool:
    for batch in table.iter_batches(batch_size=ROWS, columns=[name]):
        cells = [c.get("bytes") if isinstance(c, dict) else c for c in batch.column(0).to_pylist()]
        if first := next((c for c in cells if c), b""):
            return bool(first.startswith(IMAGE_STARTS) or first[4:8] == b"ftyp")
    return False
