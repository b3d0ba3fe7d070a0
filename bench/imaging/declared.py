"""What a file says of its colours: the profile it embeds, and the other ways to say that they are not sRGB.

A profile that is there and cannot be had whole is refused, never left aside; so is what no profile stands for.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

WHITE, PRIMARIES = (0.3127, 0.3290), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""Chromaticities of sRGB (IEC 61966-2-1)."""
NEAR = 0.005
DAMAGED = "its colour profile is damaged or incomplete; save it as sRGB"
EXIF, INTEROP, COLOR_SPACE, ICC = 0x8769, 0xA005, 0xA001, 34675
TRANSFER, WHITE_POINT, CHROMATICITIES = 301, 318, 319


class Refused(Exception):
    """Why a picture is refused."""


def profile(picture: Image.Image, data: bytes) -> bytes | None:
    """The embedded ICC profile, or None where there is none. Raises ``Refused`` for one that Pillow would leave aside without a word."""
    found = picture.info.get("icc_profile")
    if found:
        return bytes(found)
    if picture.format == "BMP":
        return _of_bmp(data)
    segments = getattr(picture, "applist", ())  # of a JPEG
    tags: Any = getattr(picture, "tag_v2", ())  # of a TIFF
    if any(name == "APP2" and body.startswith(b"ICC_PROFILE\0") for name, body in segments) or ICC in tags:
        raise Refused(DAMAGED)
    return None


def check_png_profile(body: bytes) -> None:
    """Raise ``Refused`` where an iCCP chunk does not hold a profile."""
    _, _, rest = body.partition(b"\0")
    try:
        whole = rest[:1] == b"\0" and len(zlib.decompressobj().decompress(rest[1:], 1 << 24)) >= 128
    except zlib.error:
        whole = False
    if not whole:
        raise Refused(DAMAGED)


def other_colours(picture: Image.Image, data: bytes) -> str:
    """Why a picture without a profile is not in sRGB by its own words, or ''."""
    if picture.format in ("AVIF", "HEIF") and (at := data[:65_536].find(b"colrnclx")) >= 0:
        primaries, transfer = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (8, 10))
        if primaries not in (1, 2) or transfer not in (1, 2, 6, 13, 14, 15):
            return f"declares colours that are not sRGB (primaries {primaries}, transfer {transfer}); save it as sRGB"
    if picture.format == "BMP" and (problem := _calibrated(data)):
        return problem
    exif = picture.getexif()
    try:
        interop = exif.get_ifd(INTEROP)
    except KeyError:  # Pillow before 13, where there is no such table
        interop = {}
    if exif.get_ifd(EXIF).get(COLOR_SPACE) == 2 or str(interop.get(1, "")).startswith("R03"):
        return "declares Adobe RGB and embeds no profile; save it as sRGB"
    for tag, srgb in ((CHROMATICITIES, PRIMARIES), (WHITE_POINT, WHITE)):
        if tag in exif and not _near(exif[tag], srgb):
            return "declares colours that are not sRGB (primaries of its own, without a profile); save it as sRGB"
    if TRANSFER in exif and not _srgb_curve(exif[TRANSFER]):
        return "declares colours that are not sRGB (a transfer function of its own, without a profile); save it as sRGB"
    return ""


def _near(found: Any, srgb: Sequence[float]) -> bool:
    try:
        values = [float(v) for v in found]
    except (TypeError, ValueError, ZeroDivisionError):
        return False
    return len(values) == len(srgb) and all(abs(a - b) <= NEAR for a, b in zip(values, srgb, strict=True))


def _srgb_curve(found: Any) -> bool:
    """Whether a TIFF transfer function (16-bit light by level, once or per channel) is sRGB's within two hundredths."""
    curve = list(found) if isinstance(found, tuple | list) else []
    if not curve or len(curve) % 256:
        return False
    levels = [i % 256 / 255 for i in range(len(curve))]
    light = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return all(abs(value / 65535 - want) <= 0.02 for value, want in zip(curve, light, strict=True))


# -- BMP, of which Pillow reads no colours ----------------------------------------------------------------------------------------


def _of_bmp(data: bytes) -> bytes | None:
    """The profile of a BMP with header V5."""
    kind = data[70:74] if _int(data, 14) >= 124 else b""
    if kind == b"KNIL":
        raise Refused("names a colour profile in another file; save it as sRGB")
    if kind != b"DEBM":
        return None
    start, size = 14 + _int(data, 126), _int(data, 130)
    if not 128 <= size <= len(data) - start:
        raise Refused(DAMAGED)
    return data[start : start + size]


def _calibrated(data: bytes) -> str:
    """Of a BMP with header V4 or V5 that gives primaries (as XYZ): why they are not sRGB's, or ''."""
    if _int(data, 14) < 108 or data[70:74] != b"\0\0\0\0":
        return ""
    numbers = [_int(data, 74 + 4 * i) / (1 << 30) for i in range(9)]
    points = [value / sum(xyz) for xyz in (numbers[:3], numbers[3:6], numbers[6:]) if sum(xyz) for value in xyz[:2]]
    gammas = [g for g in (_int(data, 110 + 4 * i) / 65536 for i in range(3)) if g]
    if (points and not _near(points, PRIMARIES)) or any(not 2.1 <= g <= 2.3 for g in gammas):
        return "declares colours that are not sRGB (primaries or a gamma of its own, without a profile); save it as sRGB"
    return ""


def _int(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
