"""Images, archives, parquet shards, protocols and command files: damaged at random, and made to do harm."""

from __future__ import annotations

import io
import os
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesr.bench.data.prepare import Request, prepare_data
from facesr.bench.imaging.decode import MAX_PIXELS
from facesr.bench.imaging.files import encode_png, read_picture
from facesr.bench.protocol import FOLDER, load_protocol
from facesr.methods.command import Command
from helpers import TINY, picture
from hostile.campaign import Outcome, check, damage, peak, reset_peak

RGB = picture(3, 40)


def _saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(RGB).convert(mode)
    if kind in ("MPO", "APNG"):
        options |= {"save_all": True, "append_images": [Image.fromarray(RGB[::-1].copy())]}
    image.save(out, "PNG" if kind == "APNG" else kind, **options)
    return out.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


IMAGES: dict[str, Callable[[], bytes]] = {
    "png": lambda: encode_png(RGB),
    "png-palette": lambda: _saved("PNG", "P"),
    "png-alpha-exif": lambda: _saved("PNG", "RGBA", exif=_exif()),
    "jpeg": lambda: _saved("JPEG", exif=_exif()),
    "webp": lambda: _saved("WEBP", exif=_exif()),
    "tiff": lambda: _saved("TIFF", compression="tiff_lzw"),
    "mpo": lambda: _saved("MPO"),
    "apng": lambda: _saved("APNG"),
    "bmp": lambda: _saved("BMP"),
    "avif": lambda: _saved("AVIF"),
}


def _pixels(found: Any) -> bool:
    pixels = found.pixels
    return bool(pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and 0 < pixels.size <= 3 * MAX_PIXELS)


@pytest.mark.parametrize("kind", IMAGES)
def test_damaged_images(kind: str, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    outcome = fresh.submit(damage, f"image {kind}", IMAGES[kind](), read_picture, tmp_path / f"x.{kind[:4]}", 90, _pixels).result()
    check(outcome)
    assert outcome.refused > outcome.tried // 10 or kind == "bmp"


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, colour: int, depth: int, data: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _zeros(size: int) -> bytes:
    """``size`` zero bytes, compressed, without holding them."""
    packer, out = zlib.compressobj(9), []
    for start in range(0, size, 1 << 20):
        out.append(packer.compress(bytes(min(1 << 20, size - start))))
    return b"".join(out) + packer.flush()


def _odd_images(folder: Path) -> Outcome:
    """Bombs and things that are no files, each read in a process of its own."""
    reset_peak()
    outcome = Outcome("image bombs and non-files")
    small = zlib.compress(b"\0" * 10)
    made: dict[str, bytes] = {
        "wide": _png(2**31 - 1, 1, 2, 8, small),
        "square": _png(60_000, 60_000, 2, 8, small),
        "true-square": _png(20_000, 20_000, 0, 1, _zeros(20_000 * 2501)),
        "at-the-limit": _png(8_000, 8_000, 2, 8, _zeros(8_000 * 24_001)),
        "no-pixels": _png(0, 0, 2, 8, small),
        "text-bomb": _png(8, 8, 2, 8, zlib.compress(bytes(8 * 25)), _chunk(b"zTXt", b"a\0\0" + _zeros(1 << 28))),
        "profile-bomb": _png(8, 8, 2, 8, zlib.compress(bytes(8 * 25)), _chunk(b"iCCP", b"a\0\0" + _zeros(1 << 28))),
        "exif-bomb": _png(8, 8, 2, 8, zlib.compress(bytes(8 * 25)), _chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
        "empty": b"",
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
        "tiff-loop": b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8),
        "bmp": b"BM" + struct.pack("<IHHIIiiHHIIIIII", 54, 0, 0, 54, 40, 2**30, -(2**30), 1, 24, 0, 0, 0, 0, 0, 0),
        "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\xff" * 5000,
        "webp": b"RIFF\xff\xff\xff\xffWEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xff" * 6,
    }
    for name, data in made.items():
        (folder / f"{name}.png").write_bytes(data)
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "folder.png").mkdir()
    (folder / "proc.png").symlink_to("/proc/self/mem")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path may have 107 bytes
        listening.bind("socket.png")
        os.chdir(here)
        for path in sorted(folder.iterdir()):
            outcome.one(path.name, lambda path=path: read_picture(path), _pixels)  # type: ignore[misc]
    outcome.peak = peak()
    return outcome


def test_bombs_and_what_is_no_file(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_odd_images, tmp_path).result())


# -- sources of data prepare -----------------------------------------------------------------------------------------------------


def _prepared(source: Path) -> Any:
    """Prepare a source; the manifest, after looking that nothing was written beside the output folder."""
    out = source.parent / "out"
    before = {p for p in source.parent.parent.rglob("*") if not p.is_relative_to(out)}
    try:
        made = prepare_data(Request("mine", source, size=16, out=out, workers=1))
    finally:
        after = {p for p in source.parent.parent.rglob("*") if not p.is_relative_to(out)}
    if after != before:
        raise AssertionError(f"written outside: {sorted(after - before)[:3]}")
    return made


def _complete(made: Any) -> bool:
    return bool(made.faces) and all(row.sha256 and row.source for row in made.faces)


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    cells = [{"bytes": encode_png(picture(i, 16)), "path": f"{i}.png"} for i in range(4)]
    pq.write_table(pa.table({"image": cells, "label": [1, 2, 3, 4]}), out)
    return out.getvalue()


def _source(kind: str) -> bytes:
    return (
        _parquet() if kind == "parquet" else _zip({f"{i}.png": encode_png(picture(i, 16)) for i in range(3)} | {"r/read.me": b"x"})
    )


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_damaged_sources(kind: str, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    place = tmp_path / "in" / f"x.{kind}"
    place.parent.mkdir()
    check(fresh.submit(damage, f"prepare {kind}", _source(kind), _prepared, place, 40, _complete).result())


def _odd_sources(folder: Path) -> Outcome:
    reset_peak()
    outcome = Outcome("prepare bombs and paths")
    good = encode_png(picture(1, 16))
    nested = good
    for _ in range(6):
        nested = _zip({"a.png": good, "in.zip": nested} if nested != good else {"a.png": good})
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        info = tarfile.TarInfo("../../evil.png")
        info.size = len(good)
        archive.addfile(info, io.BytesIO(good))
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as whole:
        whole.writestr(link, "/etc/passwd")
        whole.writestr("a.png", good)
    many = _zip({f"{i:05d}.txt": b"" for i in range(20_000)} | {"a.png": good})
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as whole, whole.open("bomb.png", "w", force_zip64=True) as member:
        for _ in range(700):
            member.write(bytes(1 << 20))
    made = {
        "paths.zip": _zip({"../../evil.png": good, "/etc/evil.png": good, "C:\\evil.png": good, "a\\..\\..\\b.png": good, "con.png": good}),
        "names.zip": _zip({"\x1b[2J.png": good, "*.png": good, "n" * 300 + ".png": good, " .png": good, "..png": good, "=1+1.png": good}),
        "nested.zip": nested, "link.zip": linked.getvalue(), "many.zip": many, "bomb.zip": bomb.getvalue(), "x.tar.gz": tar.getvalue(),
        "same.zip": _zip({"a/1.png": good, "b/1.png": encode_png(picture(2, 16)), "a-1.png": encode_png(picture(3, 16))}),
    }  # fmt: skip
    for name, data in made.items():
        place = folder / name.partition(".")[0] / "in" / name
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
        outcome.one(name, lambda place=place: _prepared(place), _complete)  # type: ignore[misc]
        outcome.one(f"folder of {name}", lambda place=place: _prepared(place.parent), _complete)  # type: ignore[misc]
    odd = folder / "odd" / "in"
    odd.mkdir(parents=True)
    os.mkfifo(odd / "pipe.png")
    os.mkfifo(odd / "pipe.zip")
    os.mkfifo(odd / "pipe.parquet")
    (odd / "zero.zip").symlink_to("/dev/zero")
    (odd / "self").symlink_to(odd)
    (odd / "loop").symlink_to(odd / "loop")
    (odd / os.fsdecode(b"\xff\xfe.png")).write_bytes(good)
    outcome.one("odd folder", lambda: _prepared(odd), _complete)
    outcome.peak = peak()
    return outcome


def test_archives_that_bomb_or_lead_outside(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_odd_sources, tmp_path).result())


# -- protocols and command files ---------------------------------------------------------------------------------------------------

COMMAND = """command = ["true", "{input}", "{output}"]
timeout = 5.0
batch = 4
env = {A = "b"}
files = []
reduce = "box"
"""


def _protocol(path: Path) -> Any:
    return load_protocol(str(path), ["psnr", "ssim", "consistency", "consistency-pass"])


def _command(path: Path) -> Any:
    made = Command(path=str(path))
    return made, made.weights


@pytest.mark.parametrize(
    ("kind", "text", "read"),
    [
        ("protocol", TINY, _protocol),
        ("protocol of ours", (FOLDER / "demo-x8-128.toml").read_text(), lambda path: load_protocol(str(path))),
        ("command file", COMMAND, _command),
    ],
)
def test_damaged_descriptions(kind: str, text: str, read: Callable[[Path], Any], tmp_path: Path) -> None:
    outcome = damage(kind, text.encode(), read, tmp_path / "x.toml", 150)
    for name, data in {
        "utf-16": text.encode("utf-16"), "bom": b"\xef\xbb\xbf" + text.encode(), "0xff": b"# \xff\n" + text.encode(), "nul": b"\0" + text.encode(),
        "deep": b"x = " + b"[" * 5000, "huge": b"#" * (5 << 20), "digits": b"x = " + b"9" * 5000,
    }.items():  # fmt: skip
        (tmp_path / "x.toml").write_bytes(data)
        outcome.one(name, lambda: read(tmp_path / "x.toml"))
    outcome.peak = 0  # in this process, whose memory is not the campaign's
    check(outcome)
