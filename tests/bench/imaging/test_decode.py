"""One picture, one meaning: orientation, colour profile and kind are honoured or refused alike in every format."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_picture
from facesr.bench.imaging.decode import Picture, decode
from helpers import picture

HOW: dict[str, dict[str, object]] = {
    "PNG": {},
    "JPEG": {"quality": 100, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF-lzw": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
NOISE = {"JPEG": 6, "AVIF": 12}
"""Levels that the lossy formats may be off."""
SMOOTH = np.asarray(Image.fromarray(picture(1, 8)).resize((64, 48), Image.Resampling.BICUBIC))


def _bytes(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind.partition("-")[0], **HOW.get(kind, {}), **more)
    return out.getvalue()


def _tag(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


UNDO = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each orientation tag the ``Image.Transpose`` that makes the stored picture of an upright one (EXIF 2.32, table 6)."""


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("kind", HOW)
def test_orientation_is_obeyed_in_every_format(kind: str, tag: int, grey: bool) -> None:
    upright = Image.fromarray(SMOOTH).convert("L") if grey else Image.fromarray(SMOOTH)
    stored = upright.transpose(Image.Transpose(UNDO[tag])) if tag > 1 else upright
    found = decode(_bytes(stored, kind, exif=_tag(tag)), "a")
    assert found.pixels.shape == SMOOTH.shape
    assert np.abs(found.pixels.astype(int) - np.asarray(upright.convert("RGB"))).max() <= NOISE.get(kind, 0)
    assert found.notes == ((f"turned upright by its orientation tag ({tag})",) if tag > 1 else ())


def test_jpeg_pixels_are_those_of_opencv() -> None:
    data = _bytes(Image.fromarray(SMOOTH), "JPEG", exif=_tag(6))
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(decode(data, "a").pixels.astype(int) - other).max() <= 1


# -- colour ----------------------------------------------------------------------------------------------------------------------


def _profile(
    gamma: float, red: tuple[float, float, float], green: tuple[float, float, float], blue: tuple[float, float, float]
) -> bytes:
    """A matrix profile of ICC version 2: D50-adapted primaries and a pure power law (ICC.1:2001-04, 6.3.1.1)."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    white = (0.9642, 1.0, 0.82491)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"test colours\0"
    words = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {
        b"desc": words,
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(white),
        b"rXYZ": xyz(red),
        b"gXYZ": xyz(green),
        b"bXYZ": xyz(blue),
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += key + struct.pack(">II", start + len(body), len(value))
        body += padded
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40], head[68:80] = b"\2\x40\0\0", b"mntrRGB XYZ ", b"acsp", b"".join(map(fixed, white))
    head[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    return bytes(head) + table + body


P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def _by_hand(pixels: np.ndarray, gamma: float, primaries: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """The same colours in sRGB, by IEC 61966-2-1 and two 3 x 3 matrices."""
    linear = (pixels / 255.0) ** gamma @ np.array(primaries) @ np.linalg.inv(np.array(SRGB))
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_embedded_profiles_are_converted_to_srgb_and_said(kind: str) -> None:
    profile = _profile(563 / 256, *P3)
    found = decode(_bytes(Image.fromarray(SMOOTH), kind, icc_profile=profile), "a")
    wanted = _by_hand(SMOOTH, 563 / 256, P3)
    off = np.abs(found.pixels - wanted)
    assert off.mean() < 3 if kind in NOISE else off.max() <= 2
    assert np.abs(SMOOTH - wanted).max() > 20
    assert found.notes == ("colours converted from the embedded profile 'test colours' to sRGB",)


def test_a_profile_that_is_srgb_changes_no_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = decode(_bytes(Image.fromarray(SMOOTH), "PNG", icc_profile=profile), "a")
    assert np.array_equal(found.pixels, SMOOTH)
    assert found.notes == ()
    grey = Image.fromarray(SMOOTH).convert("L")
    assert np.array_equal(decode(_bytes(grey, "PNG", icc_profile=profile), "a").pixels, np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize(
    ("profile", "says"),
    [(b"nonsense" * 20, "profile cannot be read"), (ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), "for Lab")],
)
def test_profiles_that_do_not_fit_are_refused(profile: bytes, says: str) -> None:
    with pytest.raises(FaceSRError, match=says):
        decode(_bytes(Image.fromarray(SMOOTH), "PNG", icc_profile=profile), "a")


def _bmp(header: int, space: bytes, primaries: bytes = bytes(36), gammas: bytes = bytes(12), profile: bytes = b"") -> bytes:
    """A BMP of ``SMOOTH`` with header V4 or V5 (MS-WMF 2.2.2.3 and 2.2.2.5)."""
    rows = SMOOTH[::-1, :, ::-1].tobytes()
    info = struct.pack("<IiiHHIIiiII", header, 64, 48, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    info += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0) + space + primaries + gammas
    info += struct.pack("<IIII", 4, header + len(rows), len(profile), 0) if header == 124 else b""
    return b"BM" + struct.pack("<IHHI", 14 + header + len(rows) + len(profile), 0, 0, 14 + header) + info + rows + profile


def _exif(main: dict[int, object] | None = None, photo: dict[int, object] | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif.update(main or {})
    if photo:
        exif[0x8769] = photo
    again = Image.Exif()  # Pillow's TIFF writer takes tables within tables from bytes only
    again.load(exif.tobytes())
    return again


ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def _xyz(x: float, y: float) -> bytes:
    return struct.pack("<iii", *(round(v * (1 << 30)) for v in (x, y, 1 - x - y)))


def _colours(of: tuple[float, ...]) -> bytes:
    return b"".join(_xyz(*of[i : i + 2]) for i in (0, 2, 4))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_colours_declared_without_a_profile_are_refused_in_every_format(kind: str) -> None:
    image = Image.fromarray(SMOOTH)
    r03 = [_exif(photo={0xA001: 0xFFFF, 0xA005: {1: "R03"}})] if kind != "TIFF" else []  # Pillow writes no third table into a TIFF
    for exif in (
        *r03,
        _exif(photo={0xA001: 2}),
        _exif({319: ADOBE}),
        _exif({318: (0.3457, 0.3585)}),
        _exif({301: tuple(range(0, 65536, 256))}),
    ):
        with pytest.raises(FaceSRError, match=r"declares (Adobe RGB|colours that are not sRGB)"):
            decode(_bytes(image, kind, exif=exif), "a")
    srgb = _exif({319: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06), 318: (0.3127, 0.329)}, {0xA001: 1, 0xA005: {1: "R98"}})
    found = decode(_bytes(image, kind, exif=srgb), "a")
    assert np.abs(found.pixels.astype(int) - SMOOTH).max() <= NOISE.get(kind, 0)
    assert found.notes == ()


@pytest.mark.parametrize(
    "how",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}, {"grey": True}],
    ids=lambda how: next(iter(how), "plain"),
)
def test_a_jpeg_whose_data_are_damaged_is_refused(how: dict[str, Any]) -> None:
    """Zeros in the middle, cut and closed, a restart interval lost: Pillow hands out grey blocks. What cameras append costs nothing."""
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    image = Image.fromarray(noisy)
    out = io.BytesIO()
    (image.convert("L") if "grey" in how else image).save(out, "JPEG", quality=90, **how)
    data = out.getvalue()
    scan = data.index(b"\xff\xda") + 20
    middle = (scan + len(data)) // 2
    for harmless in (data, data + b"appended by a phone", data[:-2] + b"\xff\xff\xff\xd9"):
        assert decode(harmless, "a").pixels.shape == (64, 64, 3)
    damaged = [data[:middle] + b"\xff\xd9", data[:middle] + bytes(200) + data[middle + 200 :]]
    if "restart_marker_rows" in how:
        first, second = (data.index(marker, scan) for marker in (b"\xff\xd1", b"\xff\xd2"))
        damaged.append(data[:first] + data[second:])
    for broken in damaged:
        with pytest.raises(FaceSRError, match="broken or truncated image"):
            decode(broken, "a")


def test_an_older_pillow_reads_a_photo_without_every_exif_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow before 13 raises KeyError for the interoperability table where there is none."""
    read = Image.Exif.get_ifd

    def older(exif: Image.Exif, tag: int) -> object:
        found = read(exif, tag)
        if tag == 0xA005 and not found:
            raise KeyError(tag)
        return found

    monkeypatch.setattr(Image.Exif, "get_ifd", older)
    data = _bytes(Image.fromarray(SMOOTH), "JPEG", exif=_exif(photo={0xA001: 1}))
    assert np.abs(decode(data, "a").pixels.astype(int) - SMOOTH).max() <= NOISE["JPEG"]


def test_the_colours_of_a_bmp_are_read_from_its_header() -> None:
    profile, power = _profile(563 / 256, *P3), struct.pack("<III", *[round(2.2 * 65536)] * 3)
    srgb = _colours((0.64, 0.33, 0.30, 0.60, 0.15, 0.06))
    for data in (_bmp(124, b"BGRs"), _bmp(108, b" niW"), _bmp(108, bytes(4)), _bmp(108, bytes(4), srgb, power)):
        assert np.array_equal(decode(data, "a").pixels, SMOOTH)
    found = decode(_bmp(124, b"DEBM", profile=profile), "a")
    assert np.abs(found.pixels - _by_hand(SMOOTH, 563 / 256, P3)).max() <= 2
    assert found.notes == ("colours converted from the embedded profile 'test colours' to sRGB",)
    for data, says in (
        (_bmp(124, b"DEBM", profile=profile)[:-50], "damaged or incomplete"),
        (_bmp(124, b"KNIL", profile=b"c:\\p3.icc\0"), "in another file"),
        (_bmp(108, bytes(4), _colours(ADOBE), power), "not sRGB"),
        (_bmp(108, bytes(4), srgb, struct.pack("<III", *[65536] * 3)), "not sRGB"),
    ):
        with pytest.raises(FaceSRError, match=says):
            decode(data, "a")


def test_a_profile_that_is_there_and_cannot_be_had_whole_is_refused() -> None:
    profile = _profile(563 / 256, *P3)
    jpeg = bytearray(_bytes(Image.fromarray(SMOOTH), "JPEG", icc_profile=profile))
    jpeg[jpeg.find(b"ICC_PROFILE\0") + 13] = 2  # the first of two parts, and there is one
    webp_or_png = [_chunk(b"iCCP", b"p3\0" + body) for body in (b"\0" + b"no zlib stream", b"\1" + zlib.compress(profile), b"\0")]
    for data in (bytes(jpeg), *(PLAIN[:33] + chunk + PLAIN[33:] for chunk in webp_or_png)):
        with pytest.raises(FaceSRError, match="profile is damaged or incomplete"):
            decode(data, "a")
    twice = PLAIN[:33] + _chunk(b"cICP", bytes([1, 13, 0, 1])) + _chunk(b"iCCP", b"p3\0\0" + zlib.compress(profile)) + PLAIN[33:]
    with pytest.raises(FaceSRError, match="disagree"):
        decode(twice, "a")


# -- kinds -----------------------------------------------------------------------------------------------------------------------

PLAIN = encode_png(picture(1))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with(*chunks: bytes) -> bytes:
    return PLAIN[:33] + b"".join(chunks) + PLAIN[33:]


def _grey(bits: int, *chunks: bytes) -> bytes:
    """A grey PNG of 16 x 16 pixels of less than 8 bits, every level in it."""
    rows = zlib.compress((b"\0" + bytes(range(0, 256, 128 // bits))[: 2 * bits]) * 8 + (b"\0" + b"\x76" * 2 * bits) * 8)
    parts = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, bits, 0, 0, 0, 0)),
        *chunks,
        _chunk(b"IDAT", rows),
        _chunk(b"IEND", b""),
    ]
    return PLAIN[:8] + b"".join(parts)


def _signed_tiff() -> bytes:
    """8-bit grey whose samples run from -128 to 127 (tag 339 is 2)."""
    tags = [
        (256, 3, 8),
        (257, 3, 8),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 140),
        (277, 3, 1),
        (278, 3, 8),
        (279, 4, 64),
        (339, 3, 2),
    ]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)).ljust(140, b"\0") + bytes(range(64))


LONG = _chunk(b"tEXt", b"Comment\0" + b"x" * 5000)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_with(LONG, _chunk(b"tRNS", struct.pack(">HHH", *map(int, picture(1)[0, 0])))), "transparent"),
        (_with(_chunk(b"gAMA", struct.pack(">I", 100_000))), "not sRGB"),
        (_with(_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))), "not sRGB"),
        (_with(_chunk(b"cICP", bytes([12, 13, 0, 1]))), "not full-range sRGB"),
        (_with(_chunk(b"cICP", bytes([1, 13, 0, 0]))), "not full-range sRGB"),
        (_grey(4, _chunk(b"tRNS", struct.pack(">H", 7))), "transparent"),  # of levels 0 to 15
        (_grey(1, _chunk(b"tRNS", struct.pack(">H", 1))), "transparent"),
        (_signed_tiff(), "signed or float"),
        (bytes(cv2.imencode(".png", picture(1).astype(np.uint16) * 257)[1]), "16-bit"),
        (bytes(cv2.imencode(".tiff", picture(1).astype(np.uint16) * 257)[1]), "16-bit"),
        (PLAIN[:33] + _chunk(b"IDAT", zlib.compress(bytes(193 * 40))) + _chunk(b"IEND", b""), "pixels end too early"),
        (PLAIN[:24] + b"\x08\x00\0\0\0" + struct.pack(">I", zlib.crc32(PLAIN[12:24] + b"\x08\x00\0\0\0"))
         + _chunk(b"IDAT", zlib.compress(bytes(65 * 40))) + _chunk(b"IEND", b""), "pixels end too early"),
        (PLAIN[:2000] + bytes([PLAIN[2000] ^ 4]) + PLAIN[2001:], "checksum"),
        (_bytes(Image.fromarray(picture(1)), "PNG", save_all=True, append_images=[Image.fromarray(picture(2))]), "animated, 2 frames"),
        (_bytes(Image.fromarray(picture(1)), "AVIF", save_all=True, append_images=[Image.fromarray(picture(2))]), "animated, 2 frames"),
        (_bytes(Image.fromarray(picture(1)), "TIFF", save_all=True, append_images=[Image.fromarray(picture(2))]), "several pages, 2"),
        (_bytes(Image.fromarray(picture(1)).convert("CMYK"), "JPEG"), "CMYK"),
        (_bytes(Image.fromarray(picture(1)), "GIF"), "it is GIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is PostScript"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "broken or truncated"),
        (struct.pack(">8sI4sIIBBBBB", PLAIN[:8], 13, b"IHDR", 8001, 8000, 8, 2, 0, 0, 0), "up to 64 million"),
    ],
)  # fmt: skip
def test_what_would_be_a_guess_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FaceSRError, match=says) as caught:
        decode(data, "face")
    assert str(caught.value).startswith("face: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        _with(LONG, _chunk(b"tRNS", struct.pack(">HHH", 300, 300, 300))),  # a colour that no 8-bit pixel has
        _with(_chunk(b"gAMA", struct.pack(">I", 45_455))),
        _with(_chunk(b"gAMA", struct.pack(">I", 100_000)), _chunk(b"sRGB", b"\0")),  # the sRGB chunk overrides (PNG 3rd ed., 4.3)
        _with(_chunk(b"cICP", bytes([1, 13, 0, 1]))),
        _with(_chunk(b"iCCP", b"srgb\0\0" + zlib.compress(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()))),
        PLAIN + b"appended by some tool",
    ],
)
def test_what_leaves_the_pixels_alone_is_read(data: bytes) -> None:
    assert np.array_equal(decode(data, "a").pixels, picture(1))


def test_a_phones_multi_picture_jpeg_gives_its_first_picture() -> None:
    first, preview = Image.fromarray(SMOOTH), Image.fromarray(SMOOTH).resize((16, 12))
    found = decode(_bytes(first, "MPO", save_all=True, append_images=[preview], quality=98), "a")
    assert np.abs(found.pixels.astype(int) - SMOOTH).mean() < 3
    assert found.notes == ("the first of 2 pictures of a camera's file",)


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(SMOOTH)).save(tmp_path / "a.heic", quality=95, chroma=444)
    assert np.abs(read_picture(tmp_path / "a.heic").pixels.astype(int) - SMOOTH).max() < 12
    monkeypatch.setattr("facesr.bench.imaging.decode._heif", lambda: False)
    with pytest.raises(FaceSRError, match=r"facesr-bench\[heif\]"):
        read_picture(tmp_path / "a.heic")


def _mutations(count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(14)
    image = Image.fromarray(picture(1, 32))
    seeds = [_bytes(image, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "TIFF-lzw", "AVIF", "BMP", "GIF")]
    for i in range(count):
        data = bytearray(seeds[i % len(seeds)])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(data)))
            match rng.integers(3):
                case 0:
                    data[at] = int(rng.integers(256))
                case 1:
                    del data[at : at + int(rng.integers(1, 40))]
                case _:
                    data[at:at] = rng.bytes(int(rng.integers(1, 8)))
            data = data or bytearray(b"\0")
        yield bytes(data)


def test_mutated_images_end_in_pixels_or_one_sentence() -> None:
    for data in _mutations(400):
        try:
            found = decode(data, "face")
        except FaceSRError as error:
            assert str(error).startswith("face: ")
            assert "\n" not in str(error)
        else:
            assert isinstance(found, Picture)
            assert found.pixels.dtype == np.uint8
            assert found.pixels.ndim == 3
            assert found.pixels.size <= 3 * 64_000_000
