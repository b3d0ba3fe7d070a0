"""The one decoding path: whatever the format, a picture means the same pixels, or it is refused with its reason.

Orientation tags are applied, embedded colour profiles are converted to sRGB, a camera's multi-picture JPEG gives its first picture; each of
these is noted. Refused, because 8-bit RGB would be a guess: 16-bit, float, CMYK, used transparency, animation, several pages, colours that are
not sRGB and come without a profile, damaged files, and more pixels than the budget.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.declared import Refused, check_png_profile, other_colours, profile

if TYPE_CHECKING:
    from PIL import Image, ImageCms

U8 = NDArray[np.uint8]
MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded (a decompression bomb, or a whole slide)."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF")
"""What Pillow may decode; of its other plug-ins some run programs (PostScript) and most are not 8-bit RGB."""
SIGNS = {
    b"GIF8": "GIF", b"8BPS": "Photoshop", b"%!PS": "PostScript", b"%PDF": "PDF", b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"v/1\x01": "OpenEXR", b"P5": "PGM", b"P6": "PPM", b"DDS ": "DDS", b"\x93NUMPY": "NumPy",
    b"<svg": "SVG", b"<?xml": "XML", b"<htm": "HTML", b"<!do": "HTML", b"<!DO": "HTML", b"PK\x03\x04": "zip",
}  # fmt: skip
"""First bytes of files that people call images, to say what they are."""


@dataclass(frozen=True)
class Picture:
    """``pixels`` (H, W, 3) uint8, sRGB, upright; ``notes``: what was done to get there, a sentence each."""

    pixels: U8
    notes: tuple[str, ...] = ()


def decode(data: bytes, name: str) -> Picture:
    """Pixels of an image file's bytes. Raises ``FaceSRError``, one sentence that begins with ``name``."""
    try:
        if data.startswith(PNG):
            found = _plain_png(data)
            if found is not None:
                return Picture(found)
        return _decoded(data)
    except Refused as error:
        raise FaceSRError(f"{name}: {error}") from None
    except Exception as error:  # each codec has its own ways to fail on a damaged file; MemoryError is among them
        raise FaceSRError(
            f"{name}: broken or truncated image ({' '.join(str(error).split())[:200] or type(error).__name__})"
        ) from None


def header_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height as stored (before any orientation tag), from the header alone."""
    try:
        with _opened(data) as picture:
            return picture.size
    except Refused as error:
        raise FaceSRError(f"{name}: {error}") from None
    except Exception as error:
        raise FaceSRError(f"{name}: broken or truncated image ({' '.join(str(error).split())[:200]})") from None


# -- PNG -----------------------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"
PLAIN = {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"tIME", b"bKGD", b"sBIT", b"hIST", b"sRGB"}
"""Chunks of an 8-bit RGB PNG that leave its pixels what they are. Text is searched for the tags that programs hide there."""


def _plain_png(data: bytes) -> U8 | None:
    """The pixels of an ordinary 8-bit RGB PNG, which OpenCV decodes fastest; None for other kinds. Every checksum is verified."""
    import cv2

    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    _budget(width, height)
    plain = _chunks(data)
    if data[24] == 16:
        raise Refused("16-bit; save it as 8-bit RGB")
    if not plain or data[24:26] != b"\x08\x02" or max(width, height) >= 1 << 20:
        _whole_png(data, width, height)
        return None
    # unlike imdecode and Pillow, imdecodemulti does not pass off the first rows of a cut stream as the image
    whole, images = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if not whole or len(images) != 1 or images[0].shape != (height, width, 3):
        raise Refused("broken or truncated image (its pixels end too early)")
    return np.asarray(images[0], np.uint8)


def _chunks(data: bytes) -> bool:
    """Walk the chunks; whether all are ``PLAIN``. Refuses a damaged or cut file, and colours that are declared and not sRGB."""
    at, plain, kinds = 8, True, set()
    view = memoryview(data)
    while True:
        size, kind = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        end = at + 12 + size
        if end > len(data):
            raise Refused("broken or truncated image (a PNG without its end)")
        body = view[at + 8 : end - 4]
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise Refused(f"broken or truncated image (the checksum of its {kind.decode('latin-1')!r} part is wrong)")
        kinds.add(kind)
        plain &= kind in PLAIN and not (kind[1:] in (b"EXt", b"TXt") and bytes(body[:12]) in (b"Raw profile ", b"XML:com.adob"))
        if kind == b"gAMA" and size == 4 and not 42_000 <= int.from_bytes(body, "big") <= 49_000:
            kinds.add(b"other gamma")
        if kind == b"cHRM" and size == 32 and any(abs(int.from_bytes(body[4 * i : 4 * i + 4], "big") - v) > 500 for i, v in SRGB):
            kinds.add(b"other primaries")
        if kind == b"cICP" and bytes(body) != b"\x01\x0d\0\x01":  # BT.709 primaries, sRGB's curve, RGB, full range
            raise Refused("declares colours that are not full-range sRGB (a cICP chunk); save it as sRGB")
        if kind == b"iCCP":
            check_png_profile(bytes(body))
        if kind == b"IEND":
            break
        at = end
    if kinds & {b"other gamma", b"other primaries"} and not kinds & {b"sRGB", b"iCCP", b"cICP"}:
        raise Refused("declares colours that are not sRGB (a gamma or primaries of its own, without a profile); save it as sRGB")
    return plain and end == len(data) and kinds <= PLAIN


def _whole_png(data: bytes, width: int, height: int) -> None:
    """Refuse a PNG whose compressed stream holds fewer pixels than its header says: Pillow would leave the rest black."""
    bits = data[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 1)
    passes = ADAM7 if data[28] else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    wanted = sum(h * (1 + -(-w * bits // 8)) for w, h in sizes if w > 0 and h > 0)
    inflate, got, at = zlib.decompressobj(), 0, 8
    while at < len(data) and got < wanted:
        size = int.from_bytes(data[at : at + 4], "big")
        part = data[at + 8 : at + 8 + size] if data[at + 4 : at + 8] == b"IDAT" else b""
        while part and got < wanted:
            got += len(inflate.decompress(part, 1 << 20))
            part = inflate.unconsumed_tail
        at += 12 + size
    if got < wanted:
        raise Refused("broken or truncated image (its pixels end too early)")


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of the seven passes of an interlaced PNG."""

SRGB = tuple(enumerate((31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)))
"""White point and primaries of sRGB in a cHRM chunk, times 100,000."""


# -- everything else -------------------------------------------------------------------------------------------------------------


def _budget(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(f"{width} x {height} pixels; images may have up to {MAX_PIXELS // 1_000_000} million")


def _opened(data: bytes) -> Image.Image:
    """The picture behind the header; nothing is decoded yet."""
    from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

    Image.preinit()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what Pillow warns of is refused or harmless, and is said here
    heif = data[4:8] == b"ftyp" and _heif()
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS if heif else FORMATS[:-1])
    except UnidentifiedImageError:
        raise Refused(_unknown(data)) from None
    except Image.DecompressionBombError:
        raise Refused(f"far more than {MAX_PIXELS // 1_000_000} million pixels") from None
    _budget(*picture.size)
    return picture


def _heif() -> bool:
    """Whether HEIC can be read: pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        brand = data[8:12].decode("latin-1")
        if brand in ("heic", "heix", "heim", "heis", "hevc", "mif1", "msf1") and not _heif():
            return "a HEIC image; to read it, pip install 'facesr-bench[heif]'"
        if brand in ("avif", "avis", "heic", "heix", "mif1", "msf1"):
            return "broken or truncated image (HEIC or AVIF)"
    if known := next((what for sign, what in SIGNS.items() if data.startswith(sign)), ""):
        return f"not an image this program can read (it is {known}); save it as 8-bit RGB PNG"
    if not data:
        return "not an image this program can read (the file is empty)"
    if data.startswith((b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return "broken or truncated image"
    return "not an image this program can read"


def _decoded(data: bytes) -> Picture:
    from PIL import ImageOps

    with _opened(data) as picture:
        if problem := _problem(picture, data):
            raise Refused(problem)
        tag = picture.getexif().get(0x0112, 1) if picture.format == "TIFF" else 0  # which Pillow obeys, and drops, as it loads
        picture.load()
        if picture.format in ("JPEG", "MPO") and (damage := _jpeg_damage(data)):
            raise Refused(f"broken or truncated image ({damage})")
        tag = tag or picture.info.get("original_orientation") or picture.getexif().get(0x0112, 1)  # pillow-heif obeys it too
        embedded = profile(picture, data)
        if not embedded and (problem := other_colours(picture, data)):
            raise Refused(problem)
        rgb, converted = _srgb(ImageOps.exif_transpose(picture), embedded)
        if converted and picture.format == "PNG" and b"cICP" in data[: data.find(b"IDAT")]:
            raise Refused("its colour profile and its cICP chunk disagree; save it as sRGB")
        first = f"the first of {picture.n_frames} pictures of a camera's file" if picture.format == "MPO" else ""  # type: ignore[attr-defined]
        turned = f"turned upright by its orientation tag ({tag})" if tag in range(2, 9) else ""
        return Picture(np.array(rgb, dtype=np.uint8), tuple(note for note in (first, turned, converted) if note))


DAMAGE = ("remature end", "bad Huffman code", "bad arithmetic code", "instead of RST")
"""Of libjpeg's warnings those that cost pixels."""
APPENDED = 256
"""Bytes that cameras leave before the end marker; more, or before another marker, are data that the decoder lost its place in."""


def _jpeg_damage(data: bytes) -> str:
    """What libjpeg says of damaged scan data, or ''. Pillow keeps such warnings to itself and hands out grey blocks."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True)
    except ValueError as error:
        said = str(error)
        extra = re.search(r"(\d+) extraneous bytes before marker 0x(\w+)", said)
        lost = extra is not None and (extra[2] != "d9" or int(extra[1]) > APPENDED)
        return said if lost or any(words in said for words in DAMAGE) else ""
    return ""


def _problem(picture: Image.Image, data: bytes) -> str:
    """Why a picture cannot be 8-bit RGB without a guess, or ''."""
    mode, frames, kind = picture.mode, getattr(picture, "n_frames", 1), picture.format
    if frames > 1 and kind != "MPO":
        return f"{'several pages' if kind == 'TIFF' else 'animated'}, {frames} frames; save one of them as PNG"
    depth = _depth(picture, data)
    if depth > 8:
        return f"{depth}-bit; save it as 8-bit RGB"
    if mode in ("CMYK", "YCCK", "LAB", "HSV") or mode.startswith(("I", "F")):
        return f"mode {mode} (16-bit, float or not RGB); save it as 8-bit RGB"
    tag = picture.info.get("original_orientation") or 1
    if kind == "HEIF" and tag != 1 and not any(box in data[:65_536] for box in (b"irot", b"imir")):
        return f"its EXIF orientation ({tag}) and its container disagree on which way is up; save it upright as PNG"
    if kind == "TIFF" and int(picture.tag_v2.get(254, 0)) & 1:  # type: ignore[attr-defined]
        return "only the preview of a camera's raw file; develop it to PNG first"
    if kind == "TIFF" and any(int(f) not in (1, 4) for f in picture.tag_v2.get(339, ())):  # type: ignore[attr-defined]
        return "its samples are signed or float; save it as 8-bit RGB"
    if kind == "PNG" and mode == "L" and data[24] < 8 and "transparency" in picture.info:
        picture.info["transparency"] *= 255 // ((1 << data[24]) - 1)  # Pillow spreads the levels over 0 to 255, and not this one
    alpha = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    if alpha and _lowest_alpha(picture) < 255:
        return "has transparent pixels, whose colour is undefined; save it without an alpha channel"
    return ""


def _lowest_alpha(picture: Image.Image) -> int:
    low, _ = picture.convert("RGBA").getchannel("A").getextrema()
    assert isinstance(low, int)
    return low


def _depth(picture: Image.Image, data: bytes) -> int:
    """Bits per channel of a file that Pillow would cut to 8 without a word."""
    if picture.format == "TIFF":
        return max((int(b) for b in picture.tag_v2.get(258, ())), default=8)  # type: ignore[attr-defined]
    if picture.format == "HEIF":
        return int(picture.info.get("bit_depth", 8))
    if picture.format == "AVIF" and (at := data[:65_536].find(b"pixi")) >= 0:
        return max(data[at + 9 : at + 9 + data[at + 8]], default=8)
    return 8


# -- colour profiles -------------------------------------------------------------------------------------------------------------


def _srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """The picture in sRGB, and what was done, or ''."""
    if not profile:
        return picture.convert("RGB"), ""
    grey = picture.mode in ("L", "1", "LA", "La")
    transform, name = _transform(bytes(profile), grey)
    plain = picture.convert("L" if grey and name.startswith("grey ") else "RGB")
    if transform is None:
        return plain.convert("RGB"), ""
    from PIL import ImageCms

    changed = ImageCms.applyTransform(plain, transform)
    assert changed is not None
    return changed, f"colours converted from the embedded profile '{name}' to sRGB"


@lru_cache(maxsize=8)
def _transform(profile: bytes, grey: bool) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """From a profile to sRGB, colorimetric; None where it is sRGB, measured: it moves no colour by more than a level."""
    from PIL import Image, ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        name = " ".join("".join(c if c.isprintable() else " " for c in ImageCms.getProfileDescription(source)).split())[:60]
        if space not in ("RGB", "GRAY") or (space == "GRAY" and not grey):
            raise Refused(f"embeds a colour profile for {space}, which does not fit its pixels; save it as sRGB")
        mode = "L" if space == "GRAY" else "RGB"
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        steps = np.arange(256) if mode == "L" else np.linspace(0, 255, 18).round()
        axes = [steps] if mode == "L" else [steps] * 3
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.uint8)
        probe = Image.fromarray(grid.reshape(-1, 1) if mode == "L" else grid.reshape(-1, 1, 3))
        made = ImageCms.applyTransform(probe, transform)
        assert made is not None
        moved = np.abs(np.asarray(made, np.int16) - np.asarray(probe.convert("RGB"), np.int16)).max()
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise Refused(f"its colour profile cannot be read ({' '.join(str(error).split())[:100]}); save it as sRGB") from None
    return (None if moved <= 1 else transform), f"grey {name}" if mode == "L" else name
