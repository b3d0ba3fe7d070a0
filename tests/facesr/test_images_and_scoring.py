"""``facesr.metric``, ``facesr.method`` and ``facesr.score`` on what callers hold: files, PIL images, arrays, tensors, folders."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8
from facesr.cli import main


def picture(seed: int, side: int = 32) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def psnr(a: U8, b: U8) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def forms(image: U8, folder: Path) -> dict[str, Any]:
    import torch

    file = folder / "image.png"
    Image.fromarray(image).save(file)
    return {
        "uint8": image, "float": image / 255, "float32": (image / 255).astype(np.float32), "pil": Image.fromarray(image), "file": file,
        "name": str(file), "tensor": torch.from_numpy(image).permute(2, 0, 1).float() / 255, "byte tensor": torch.from_numpy(image).permute(2, 0, 1),
    }  # fmt: skip


def test_every_form_of_an_image_gives_the_same_number(tmp_path: Path) -> None:
    a, b = picture(0), picture(1)
    metric = facesr.metric("psnr")
    for name, form in forms(a, tmp_path).items():
        assert metric(form, b) == pytest.approx(psnr(a, b), abs=1e-12), name
        assert metric([form], [b])[0] == pytest.approx(psnr(a, b), abs=1e-12), name
    batch = np.stack([a, b])
    assert metric(batch, batch[::-1]).tolist() == pytest.approx([psnr(a, b)] * 2)


def test_a_pil_image_means_what_its_file_means(tmp_path: Path) -> None:
    """Opened from a file or from bytes it is the file; what Pillow would cut, drop or leave aside without a word is refused alike."""
    a, b = picture(0), picture(1)
    metric = facesr.metric("psnr")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(a[::-1, ::-1]).save(tmp_path / "turned.tif", exif=exif)
    cv2.imwrite(str(tmp_path / "deep.png"), a.astype(np.uint16) * 257)
    Image.fromarray(a).save(tmp_path / "two.tif", save_all=True, append_images=[Image.fromarray(b)])
    gamma = PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(a).save(tmp_path / "linear.png", pnginfo=gamma)
    for name, says in (("turned.tif", ""), ("deep.png", "16-bit"), ("two.tif", "of 2 frames"), ("linear.png", "not sRGB")):
        for source in (tmp_path / name, io.BytesIO((tmp_path / name).read_bytes())):
            with Image.open(source) as image:
                if not says:
                    assert metric(image, b) == pytest.approx(psnr(a, b), abs=1e-12)
                    continue
                with pytest.raises(FaceSRError, match=says):
                    metric(image, b)
    with Image.open(tmp_path / "linear.png") as image:
        image.load()
        with pytest.raises(FaceSRError, match="not sRGB"):
            metric(image.crop((0, 0, 32, 32)), b)  # a part of it knows its gamma too
        assert metric(Image.fromarray(np.asarray(image)), b) == pytest.approx(psnr(a, b), abs=1e-12)
    with Image.open(tmp_path / "turned.tif") as image:
        image.putpixel((0, 0), (0, 0, 0))  # what is held counts, not the file
        assert metric(image, Image.open(tmp_path / "turned.tif")) != 100


def test_conventions_act() -> None:
    a, b = picture(0), picture(1)
    assert facesr.metric("psnr", border=4)(a, b) == pytest.approx(psnr(a[4:-4, 4:-4], b[4:-4, 4:-4]))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (picture(0).astype(float), "values run from 0 to 255"),
        (picture(0) / 127.5 - 1, "values run from -1 to 1"),
        (np.full((32, 32, 3), np.nan), "values run from nan to nan"),
        (picture(0).astype(np.int64), "values are int64"),
        (np.ma.masked_greater(picture(0), 200), "masked pixels"),
        (picture(0)[:, :, 0], "give RGB images as"),
        (picture(0, 16), "they must agree"),
        (np.zeros((0, 32, 32, 3), np.uint8), "give RGB images as"),
        ([], "no image"),
        ([picture(0), picture(0, 16)], "one size"),
        ("nowhere.png", "nowhere.png"),
        (Image.new("CMYK", (32, 32)), "mode CMYK"),
        (Image.new("RGBA", (32, 32), (1, 2, 3, 4)), "transparent"),
    ],
)
def test_what_cannot_be_scored_gets_a_sentence(bad: Any, said: str) -> None:
    with pytest.raises(facesr.FaceSRError, match=said):
        facesr.metric("psnr")(bad, picture(1))


def test_a_metric_of_lr_asks_for_it() -> None:
    hr = picture(0)
    lr = facesr.resize(__import__("torch").from_numpy(hr.copy()).permute(2, 0, 1)[None].float() / 255, 4, "bicubic-matlab")
    with pytest.raises(facesr.FaceSRError, match="give lr as well"):
        facesr.metric("consistency")(hr, hr)
    assert facesr.metric("consistency")(hr[None], hr[None], lr=lr.clamp(0, 1))[0] < 1e-3
    with pytest.raises(facesr.FaceSRError, match="did you mean 'psnr'"):
        facesr.metric("psrn")


def test_folders_are_paired_by_name(tmp_path: Path) -> None:
    for side in ("sr", "hr"):
        (tmp_path / side).mkdir()
    for i in range(20):
        Image.fromarray(picture(i)).save(tmp_path / "sr" / f"{i:02}.png")
        Image.fromarray(picture(i + 100)).save(tmp_path / "hr" / f"{i:02}.png")
    Image.fromarray(picture(0, 40)).save(tmp_path / "sr" / "20.png")
    Image.fromarray(picture(1, 40)).save(tmp_path / "hr" / "20.png")
    Image.fromarray(picture(0, 40)).save(tmp_path / "sr" / "odd.png")
    Image.fromarray(picture(0, 48)).save(tmp_path / "hr" / "odd.png")
    Image.fromarray(picture(0)).save(tmp_path / "sr" / "alone.png")
    (tmp_path / "sr" / "broken.png").write_bytes(b"\x89PNG")
    Image.fromarray(picture(0)).save(tmp_path / "hr" / "broken.png")
    found = facesr.score(tmp_path / "sr", str(tmp_path / "hr"), ["psnr", "ssim"])
    cells = found.frame.set_index(["metric", "image"])
    assert len(cells) == 2 * 23
    for i in range(20):
        assert cells.loc[("psnr", f"{i:02}"), "value"] == pytest.approx(psnr(picture(i), picture(i + 100)))
    assert cells.loc[("psnr", "20"), "value"] == pytest.approx(psnr(picture(0, 40), picture(1, 40)))
    assert set(cells[cells["status"] == "failed"].index.get_level_values("image")) == {"odd", "broken"}
    assert "48 x 48" in cells.loc[("ssim", "odd"), "reason"]
    assert found.unused == ("sr/alone",)
    table = found.table()
    assert (table.loc["psnr", "n"], table.loc["psnr", "failed"]) == (21, 2)
    assert "<table" in found._repr_html_()


def test_folders_without_a_common_name_are_refused(tmp_path: Path) -> None:
    for side, name in (("sr", "a"), ("hr", "b")):
        (tmp_path / side).mkdir()
        Image.fromarray(picture(0)).save(tmp_path / side / f"{name}.png")
    with pytest.raises(facesr.FaceSRError, match="paired by file name"):
        facesr.score(tmp_path / "sr", tmp_path / "hr")
    with pytest.raises(facesr.FaceSRError, match="nowhere is not a folder"):
        facesr.score(tmp_path / "sr", tmp_path / "nowhere")


def test_whole_sets_have_one_row() -> None:
    images = np.stack([picture(i, 128) for i in range(3)])
    found = facesr.score(images, images, ["psnr", "retrieval-sface"])
    assert found.frame[found.frame["metric"] == "retrieval-sface"]["image"].tolist() == ["*"]


@pytest.mark.parametrize("form", ["uint8", "float", "pil", "tensor"])
def test_methods_answer_in_the_form_they_were_asked_in(form: str, tmp_path: Path) -> None:
    lr = picture(0, 16)
    sr = facesr.method("nearest")(forms(lr, tmp_path)[form])
    want = lr.repeat(8, 0).repeat(8, 1)
    got = {
        "uint8": lambda: sr,
        "pil": lambda: np.asarray(sr),
        "float": lambda: np.rint(sr * 255),
        "tensor": lambda: (sr * 255).round().permute(1, 2, 0).numpy(),
    }
    assert np.array_equal(got[form](), want)


def test_methods_check_their_parameters_at_once() -> None:
    with pytest.raises(facesr.FaceSRError, match="did you mean 'refine_steps'"):
        facesr.method("psp", refine_stesp=3)
    with pytest.raises(facesr.FaceSRError, match="not square"):
        facesr.method("bicubic")(np.zeros((16, 8, 3), np.uint8))
    with pytest.raises(facesr.FaceSRError, match="2 names for 1 images"):
        facesr.method("bicubic")(picture(0, 16), names=["a", "b"])


def test_the_command_scores_two_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, shift in (("sr", 0), ("hr", 100)):
        (tmp_path / side).mkdir()
        for i in range(3):
            Image.fromarray(picture(i + shift)).save(tmp_path / side / f"{i}.png")
    words = ["score", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr")]
    assert main([*words, "--metrics", "psnr,psnr?border=4", "--out", str(tmp_path / "cells.csv")]) == 0
    printed = capsys.readouterr().out
    assert f"{np.mean([psnr(picture(i), picture(i + 100)) for i in range(3)]):.4f}" in printed
    assert (tmp_path / "cells.csv").read_text().startswith("image,metric,value,status,reason\n0,psnr,")
    assert main([*words, "--label", "x"]) == 2
    assert "--label cannot be used with --hr" in capsys.readouterr().err
    assert main([*words, "--metrics", "consistency"]) == 2
    (tmp_path / "sr" / "0.png").write_bytes(b"nonsense")
    assert main([*words, "--metrics", "psnr"]) == 1
    assert "1 without a score" in capsys.readouterr().out
