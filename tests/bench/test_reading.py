"""One reader for what a stranger may have written: kind, size, encoding, depth and shape are checked in one place."""

from __future__ import annotations

import codecs
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facesr.bench import reading
from facesr.bench.errors import FaceSRError

WORDS = "naïve, 顔\n1,2\r\n"


@pytest.mark.parametrize(
    "data",
    [
        WORDS.encode(),
        codecs.BOM_UTF8 + WORDS.encode(),
        codecs.BOM_UTF16_LE + WORDS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + WORDS.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + WORDS.encode("utf-32-le"),
    ],
)
def test_text_in_any_unicode_encoding(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    assert reading.read_text(tmp_path / "a.csv") == WORDS


def test_utf16_without_a_mark() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert reading.decode_text("file, x1, y1".encode(encoding), "a") == "file, x1, y1"


@pytest.mark.parametrize(
    ("data", "says"),
    [("grün".encode("latin-1"), "byte 0xfc at position 2"), (b"a\0b", "NUL"), (codecs.BOM_UTF16_LE + b"a", "not text")],
)
def test_other_encodings_are_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(FaceSRError, match=says):
        reading.decode_text(data, "a.csv")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda p: p.symlink_to("/dev/zero"), "a device"),
        (lambda p: p.symlink_to(p), "symbolic links"),
        (lambda p: p.symlink_to("absent"), "No such file"),
        (lambda p: p.mkdir(), "irectory|folder"),
        (lambda p: p.write_bytes(b"12345678"), "at most 0 are read"),
    ],
)
@pytest.mark.timeout(20)
def test_only_regular_files_of_a_sane_size_are_opened(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    make(tmp_path / "f")
    with pytest.raises(FaceSRError, match=says):
        reading.read_bytes(tmp_path / "f", limit=4)
    if "at most" not in says:
        with pytest.raises(FaceSRError, match=says), reading.open_parquet(tmp_path / "f"):
            pass
        with pytest.raises(FaceSRError, match=says), reading.open_zip(tmp_path / "f"):
            pass


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (reading.parse_json, "[" * 100_000, "deeper than 64"),
        (reading.parse_json, "9" * 5000, "4300 digits"),
        (reading.parse_json, "{", "not valid JSON"),
        (reading.parse_toml, "a = " + "[" * 70 + "]" * 70, "deeper than 64"),
        (reading.parse_toml, ".".join("a" * 5000) + " = 1", "deeper than 64"),
        (reading.parse_toml, f"[{'.'.join('a' * 70)}]", "deeper than 64"),
        (reading.parse_toml, "a = " + "9" * 5000, "4300 digits"),
        (reading.parse_toml, "a = 1\na = 2", "not valid TOML"),
    ],
)
def test_deep_and_broken_text(parse: Callable[[str, str], object], text: str, says: str) -> None:
    with pytest.raises(FaceSRError, match=says) as caught:
        parse(text, "a.file")
    assert "\n" not in str(caught.value)


def test_brackets_within_strings_do_not_count(tmp_path: Path) -> None:
    assert reading.parse_toml(f'a = "{"[" * 99}"', "a") == {"a": "[" * 99}
    (tmp_path / "a.json").write_text(f'{{"a": "{"[" * 99}"}}')
    assert reading.read_json(tmp_path / "a.json") == {"a": "[" * 99}
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(FaceSRError, match="holds a list, not a JSON object"):
        reading.read_json(tmp_path / "a.json")


def test_parquet_that_is_cut_or_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), file)
    whole = file.read_bytes()
    with reading.open_parquet(file) as table:
        assert table.read().num_rows == 1000
    for cut in (0, 4, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(FaceSRError, match="not a readable parquet file"), reading.open_parquet(file):
            pass


def test_members_of_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("good", b"1" * 100)
        archive.writestr("bomb", bytes(40 << 20))
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with reading.open_zip(file) as archive:
        assert reading.read_member(archive, archive.getinfo("good")) == b"1" * 100
        for name, says in (("bomb", "not a real image"), ("link", "a link inside")):
            with pytest.raises(FaceSRError, match=says):
                reading.read_member(archive, archive.getinfo(name))
        with pytest.raises(FaceSRError, match="at most 0 are read"):
            reading.read_member(archive, archive.getinfo("good"), limit=10)
    file.write_bytes(file.read_bytes().replace(b"good", b"\xff\xfe\xfd\xfc", 1))
    with reading.open_zip(file) as archive, pytest.raises(FaceSRError, match="damaged inside the archive"):
        reading.read_member(archive, archive.infolist()[0])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("face,age\na,1\n", [["face", "age"], ["a", "1"]]),
        ("\nface;age\r\na;1,5\r\n", [[], ["face", "age"], ["a", "1,5"]]),
        ('"face, file, name";"age"\n"a;b";1\n', [["face, file, name", "age"], ["a;b", "1"]]),
        ("face\na\n", [["face"], ["a"]]),
    ],
)
def test_the_separator_of_a_table_is_its_headers_outside_quotes(text: str, rows: list[list[str]]) -> None:
    """A comma within a quoted name is no separator."""
    assert reading.csv_rows(text, "table.csv") == rows


def test_a_table_with_a_quote_left_open_is_one_sentence() -> None:
    with pytest.raises(FaceSRError, match=r"^table\.csv cannot be read as CSV \(.*\): check its quotes$"):
        reading.csv_rows('face,age\n"a,1\n', "table.csv")


def test_a_row_group_that_does_not_fit_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two columns of 1,000 eight-byte numbers are at least 16,000 bytes together, and neither alone."""
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({c: np.random.default_rng(i).random(1000) for i, c in enumerate("ab")}), file, use_dictionary=False)
    with reading.open_parquet(file) as table:
        assert table.read().num_rows == 1000
    monkeypatch.setattr("facesr.bench.reading.MAX_CHUNK", 15_000)
    with pytest.raises(FaceSRError, match="one row group holds 0 MiB; write smaller row groups"), reading.open_parquet(file):
        pass


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc: a regular file that is longer than its size says")
def test_a_file_longer_than_its_size_is_read_whole_up_to_the_limit() -> None:
    whole = reading.read_bytes("/proc/self/status")
    assert whole.startswith(b"Name:")
    assert b"voluntary_ctxt_switches" in whole
    with pytest.raises(FaceSRError, match="grows while it is read"):
        reading.read_bytes("/proc/self/status", limit=100)
