"""Reading what may come from a stranger: bytes, text, JSON, TOML, parquet and zip, with kind, size, encoding and depth checked here.

Everything is read as data: regular files only (no pipe, device or folder), up to a limit, never imported, never unpickled, never unpacked
to disk. Whatever is wrong is a ``FaceSRError`` of one sentence that names the file.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import re
import stat
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MIB = 1 << 20
MAX_FILE = 512 * MIB
"""The most bytes read into memory at once: an uncompressed image of the pixel budget has fewer."""
MAX_TEXT = 256 * MIB
MAX_TOML = 4 * MIB
MAX_DEPTH = 64
"""Brackets within brackets in JSON and TOML; Python's parsers recurse once per level."""
MAX_CHUNK = 2048 * MIB
"""Uncompressed bytes of one row group of a parquet file: what its reader holds at once."""
MAX_RATIO = 1100
"""Deflate reaches 1032 : 1; a member of an archive that claims more, and is large, is a bomb."""


# Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever; O_BINARY is Windows', the others are not.
_READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def read_bytes(path: Path | str, limit: int = MAX_FILE) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes; a pipe, a device, a folder or a link that leads nowhere is refused."""
    try:
        with open(os.open(path, _READ), "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if what := _irregular(facts.st_mode):
                raise FaceSRError(f"{path} cannot be read: it is {what}, not a regular file")
            if facts.st_size > limit:
                raise FaceSRError(f"{path} has {facts.st_size / MIB:,.0f} MiB; at most {limit // MIB:,} are read")
            data = file.read(facts.st_size + 1)  # not limit: Python sets aside as much memory as is asked for
            if len(data) > facts.st_size:
                data += file.read(limit + 1 - len(data))
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # a NUL in the name
        raise FaceSRError(f"{str(path)!r}: cannot be read ({error})") from None
    if len(data) > limit:
        raise FaceSRError(f"{path} grows while it is read; at most {limit // MIB:,} MiB are read")
    return data


def leads_out(path: Path, home: Path) -> bool:
    """Whether ``path``, which should lie in the folder ``home``, leads out of it through a link (of its own or of a folder on the way)."""
    real, inside = os.path.realpath(path), os.path.realpath(home)
    return real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep)


def check_regular(path: Path | str) -> None:
    """Refuse what is not a regular file before another library opens it: it would hang on a pipe."""
    try:
        what = _irregular(Path(path).stat().st_mode)
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise FaceSRError(f"{str(path)!r}: cannot be read ({error})") from None
    if what:
        raise FaceSRError(f"{path} cannot be read: it is {what}, not a regular file")


def _irregular(mode: int) -> str:
    kinds: dict[str, Callable[[int], bool]] = {
        "a folder": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a device": lambda m: stat.S_ISCHR(m) or stat.S_ISBLK(m),
        "a socket": stat.S_ISSOCK,
    }
    return next((name for name, test in kinds.items() if test(mode)), "" if stat.S_ISREG(mode) else "something else")


def file_sha256(path: Path) -> str:
    """sha256, in hex, of a regular file's bytes, whatever its size."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror or error})") from None


BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),  # before UTF-16, whose mark UTF-32 little-endian begins with
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes, name: Path | str) -> str:
    """Text of UTF-8 or UTF-16 bytes, with or without a byte-order mark; anything else is one sentence. ``name`` is for that sentence."""
    encoding = next((e for mark, e in BOMS if data.startswith(mark)), "") or _unmarked(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"byte 0x{data[error.start]:02x} at position {error.start}" if error.start < len(data) else "its end is missing"
        raise FaceSRError(f"{name}: not text in UTF-8 or UTF-16 ({where}): save it as UTF-8") from None
    if "\0" in text:
        raise FaceSRError(f"{name}: not text (it holds NUL characters)")
    return text


def _unmarked(data: bytes) -> str:
    """UTF-16 of mostly Latin text has a zero in every second byte; UTF-8 text has none at all."""
    head = data[:400]
    if len(head) >= 4 and b"\0" in head:
        if head[1::2].count(0) > len(head) * 0.4 and head[::2].count(0) == 0:
            return "utf-16-le"
        if head[::2].count(0) > len(head) * 0.4 and head[1::2].count(0) == 0:
            return "utf-16-be"
    return "utf-8"


def read_text(path: Path | str, limit: int = MAX_TEXT) -> str:
    """The text of a file; see ``decode_text``. Ends of lines are left as they are."""
    return decode_text(read_bytes(path, limit), path)


def csv_separator(header: str, marks: str = ",;\t") -> str:
    """The mark that a table's first line has most of, outside quotes; '' where it has none."""
    bare = re.sub(r'"[^"]*"', "", header)
    best = max(marks, key=bare.count)
    return best if best in bare else ""


def csv_rows(text: str, what: str) -> list[list[str]]:
    """Rows of a table with comma, semicolon or tab. ``what`` begins the sentence of the ``FaceSRError`` for text that is no table."""
    header = text.lstrip().partition("\n")[0]
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=csv_separator(header) or ",", strict=True))
    except csv.Error as error:
        raise FaceSRError(f"{what} cannot be read as CSV ({error}): check its quotes") from None


_STRINGS = re.compile(r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
_JSON_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"')


def _deep(text: str, strings: re.Pattern[str]) -> bool:
    """Whether brackets nest deeper than ``MAX_DEPTH``."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", strings.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def parse_json(text: str, name: Path | str) -> Any:
    """The value of JSON text, nested at most ``MAX_DEPTH`` deep."""
    if _deep(text, _JSON_STRINGS):
        raise FaceSRError(f"{name}: not read: nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FaceSRError(f"{name}: not valid JSON ({' '.join(str(error).split())[:200]})") from None


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file."""
    return parse_object(read_text(path), path)


def parse_object(text: str, name: Path | str) -> dict[str, Any]:
    """The object of JSON text."""
    value = parse_json(text, name)
    if not isinstance(value, dict):
        raise FaceSRError(f"{name}: holds {'a list' if isinstance(value, list) else 'one value'}, not a JSON object")
    return value


def parse_toml(text: str, name: Path | str) -> dict[str, Any]:
    """The table of TOML text."""
    if len(text) > MAX_TOML:
        raise FaceSRError(f"{name}: not read: {len(text) / MIB:,.0f} MiB of TOML, at most {MAX_TOML // MIB} are read")
    deep = FaceSRError(f"{name}: not read: nested deeper than {MAX_DEPTH} levels")
    if _deep(text, _STRINGS):
        raise deep
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError, as is a number of 5000 digits
        raise FaceSRError(f"{name}: not valid TOML: {' '.join(str(error).split())[:200]}") from None
    level: list[Any] = [found]  # dotted keys nest without brackets
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return found
    raise deep


def _within(value: Any) -> list[Any]:
    """The tables and lists directly inside a table or list."""
    inside = value.values() if isinstance(value, dict) else value
    return [v for v in inside if isinstance(v, dict | list)]


def read_toml(path: Path | str) -> dict[str, Any]:
    """The table in a TOML file."""
    return parse_toml(read_text(path, MAX_TOML), path)


@contextmanager
def open_parquet(path: Path | str) -> Iterator[pq.ParquetFile]:
    """A parquet file whose footer is sound; errors of reading its rows inside the ``with`` are one sentence too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular(path)
    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=64 * MIB, thrift_container_size_limit=4_000_000, page_checksum_verification=True
        ) as table:
            _budget(table, path)
            yield table
    except (OSError, pa.ArrowException, UnicodeDecodeError, OverflowError) as error:  # Arrow's own include ValueError and KeyError
        raise FaceSRError(f"{path}: not a readable parquet file ({' '.join(str(error).split())[:200]})") from None


def _budget(table: pq.ParquetFile, path: Path | str) -> None:
    about = table.metadata
    for group in range(about.num_row_groups):
        # Not the columns' own sizes: pyarrow 26 ends the process where what a column says of itself is damaged.
        size = about.row_group(group).total_byte_size
        if size > MAX_CHUNK:
            raise FaceSRError(f"{path}: one row group holds {size / MIB:,.0f} MiB; write smaller row groups")


@contextmanager
def open_zip(path: Path | str | Any, name: str = "") -> Iterator[zipfile.ZipFile]:
    """A zip archive, from a path or from a file in memory (then ``name`` says which)."""
    shown = name or str(path)
    if isinstance(path, str | Path):
        check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FaceSRError:
        raise
    except ZIP_ERRORS as error:
        raise FaceSRError(f"{shown}: not a readable zip archive ({error})") from None


ZIP_ERRORS = (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError)
"""What ``zipfile`` raises on broken archives (``UnicodeDecodeError`` is a ValueError)."""


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int = MAX_FILE) -> bytes:
    """One member of an archive, after its size and compression were found sane; raises ``FaceSRError`` without the archive's name."""
    if info.flag_bits & 1:
        raise FaceSRError("encrypted: unpack the archive first")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise FaceSRError("a link inside the archive: unpack it first")
    if info.file_size > limit:
        raise FaceSRError(f"{info.file_size / MIB:,.0f} MiB when unpacked; at most {limit // MIB:,} are read")
    if info.file_size > 16 * MIB and info.file_size > MAX_RATIO * max(1, info.compress_size):
        raise FaceSRError(f"compressed {info.file_size // max(1, info.compress_size):,} times: not a real image")
    try:
        with archive.open(info) as file:
            data = file.read(limit + 1)
    except Exception as error:  # zlib.error, lzma.LZMAError, struct.error, ...: each codec has its own
        raise FaceSRError(f"damaged inside the archive ({' '.join(str(error).split())[:200]})") from None
    if len(data) > limit:
        raise FaceSRError(f"more than {limit // MIB:,} MiB when unpacked")
    return data
