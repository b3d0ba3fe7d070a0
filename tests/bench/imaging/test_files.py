"""Images go in as 8-bit RGB or are refused in one sentence; they come out byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, image_size, read_rgb, to_tensor, to_uint8, write_png
from facesr.bench.imaging.files import decode_rgb
from helpers import picture


def test_png_round_trip_is_exact(tmp_path: Path) -> None:
    image = picture(1)
    data = write_png(tmp_path / "a.png", image)
    assert (tmp_path / "a.png").read_bytes() == data == encode_png(image)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), image)
    assert np.array_equal(decode_rgb(data, "a"), image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)  # Pillow reads the same colours
    assert image_size(tmp_path / "a.png") == (64, 64)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_grey_and_palette_become_rgb(tmp_path: Path, mode: str) -> None:
    picture_ = Image.fromarray(picture(2)).convert(mode)
    picture_.save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.asarray(picture_.convert("RGB")))


def test_opaque_alpha_is_dropped_and_used_alpha_refused(tmp_path: Path) -> None:
    rgba = Image.fromarray(picture(3)).convert("RGBA")
    rgba.save(tmp_path / "opaque.png")
    assert np.array_equal(read_rgb(tmp_path / "opaque.png"), picture(3))
    rgba.putpixel((3, 3), (1, 2, 3, 100))
    rgba.save(tmp_path / "glass.png")
    with pytest.raises(FaceSRError, match="transparent"):
        read_rgb(tmp_path / "glass.png")


def _save_16bit(path: Path) -> None:
    Image.fromarray(picture(1)[..., 0].astype(np.uint16) * 257).save(path)


def _save_truncated(path: Path) -> None:
    path.write_bytes(encode_png(picture(1))[:-200])


def _save_cut_at_end(path: Path) -> None:
    path.write_bytes(encode_png(picture(1))[:-12])


def _save_truncated_jpeg(path: Path) -> None:
    Image.fromarray(picture(1)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:600])


def _save_cmyk(path: Path) -> None:
    Image.fromarray(picture(1)).convert("CMYK").save(path, "TIFF")


def _save_animated(path: Path) -> None:
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])


def _save_gigantic(path: Path) -> None:
    head = bytearray(encode_png(picture(1)))
    head[16:24] = (100_000).to_bytes(4, "big") * 2
    path.write_bytes(head)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_save_16bit, "16-bit"),
        (_save_truncated, "broken or truncated"),
        (_save_cut_at_end, "broken or truncated"),
        (_save_truncated_jpeg, "broken or truncated"),
        (_save_cmyk, "CMYK"),
        (_save_animated, "animated, 3 frames"),
        (_save_gigantic, "100000 x 100000"),
        (lambda p: p.write_text("<html>"), "not an image"),
        (lambda p: p.write_bytes(b""), "not an image"),
        (lambda p: p.mkdir(), "cannot be read"),
        (lambda p: None, "No such file"),
    ],
)
def test_what_is_refused_is_told_in_one_sentence(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "face.png"
    make(path)  # type: ignore[operator]
    with pytest.raises(FaceSRError, match=says) as caught:
        read_rgb(path)
    assert "\n" not in str(caught.value)
    assert "face.png" in str(caught.value)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="cannot be written"):
        write_png(tmp_path / "no such folder" / "a.png", picture(1))
    assert not list(tmp_path.iterdir())


def test_tensor_round_trip_and_rounding() -> None:
    images = np.stack([picture(1), picture(2)])
    assert np.array_equal(to_uint8(to_tensor(images)), images)
    tensor = to_tensor(images)[:1, :, :1, :2].fill_(0.5)  # 127.5 rounds up; the published scripts truncate to 127
    assert (to_uint8(tensor) == 128).all()
    assert (to_uint8(tensor + 9) == 255).all()
