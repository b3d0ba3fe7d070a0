"""Mistakes made on purpose on known images: the right one is named, with the dB it costs; nothing is said of images that are merely bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import facesr
from facesr.bench.data.dataset import DEMO
from facesr.bench.diagnosis import FACES, diagnose, examined
from facesr.bench.faces import U8
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.imaging.resample import resize8
from facesr.bench.results import load_run
from facesr.cli import main
from facesr.reports.gather import gather
from facesr.reports.scores import open_runs

FILES = sorted((DEMO / "images").glob("*.png"))
HR = np.stack([read_rgb(path) for path in FILES])
NAMES = [path.stem for path in FILES]


def enlarged(factor: int, kernel: str = "bicubic-matlab") -> U8:
    """HR reduced by ``factor`` and enlarged again."""
    return np.stack([resize8(resize8(x, 128 // factor, "bicubic-matlab"), 128, kernel) for x in HR])


SR = enlarged(4)  # better than bicubic x8: 26.6 dB for 22.9


def levels(values: np.ndarray) -> U8:
    """Rounded and clipped, as a file holds them."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def moved(images: U8, matrix: list[list[float]]) -> U8:
    """Each image under an affine map."""
    return np.stack([cv2.warpAffine(x, np.array(matrix), (128, 128), borderMode=cv2.BORDER_REPLICATE) for x in images])


F = SR.astype(float)
WRONG: dict[str, Callable[[], U8]] = {
    "BGR:": lambda: SR[..., ::-1],
    "channels in the order GBR": lambda: SR[..., [1, 2, 0]],
    "values in [-1, 1] saved as [0, 1]": lambda: levels(2 * F - 255),
    "from [-1, 1] to [0, 1] once too often": lambda: levels((F + 255) / 2),
    "linear light": lambda: levels((F / 255) ** 2.2 * 255),
    "gamma applied twice": lambda: levels((F / 255) ** (1 / 2.2) * 255),
    "a negative": lambda: 255 - SR,
    "YCbCr": lambda: np.stack([cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] for x in SR]),
    "ImageNet": lambda: levels((F / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225] * 255),
    "mirrored": lambda: SR[:, :, ::-1],
    "upside down": lambda: SR[:, ::-1],
    "180 degrees": lambda: SR[:, ::-1, ::-1],
    "90 degrees to the left": lambda: np.rot90(SR, 1, (1, 2)),
    "90 degrees to the right": lambda: np.rot90(SR, -1, (1, 2)),
    "rows and columns exchanged:": lambda: SR.transpose(0, 2, 1, 3),
    "4 px to the right and 2 px down": lambda: np.roll(SR, (2, 4), (1, 2)),
    "3 px to the left and 1 px up": lambda: np.roll(SR, (-1, -3), (1, 2)),
    "other faces' files": lambda: np.roll(SR, 1, 0),
    "faces of 80 %": lambda: moved(SR, [[0.8, 0, 12.7], [0, 0.8, 12.7]]),
    "LR of x16 enlarged by bicubic": lambda: enlarged(16),
    "LR of x16 enlarged by nearest": lambda: enlarged(16, "nearest"),
    "BGR and rows and columns exchanged": lambda: SR.transpose(0, 2, 1, 3)[..., ::-1],
    "the dark half cut off and pictures mirrored": lambda: levels(2 * F - 255)[:, :, ::-1],
    "linear light saved without its gamma and pictures mirrored": lambda: levels((F / 255) ** 2.2 * 255)[:, :, ::-1],
}
RANDOM = np.random.default_rng(0)
BAD: dict[str, Callable[[], U8]] = {
    "good": lambda: SR,
    "noise": lambda: RANDOM.integers(0, 256, SR.shape, dtype=np.uint8),
    "black": lambda: SR * 0,
    "white": lambda: SR * 0 + 255,
    "the mean face": lambda: np.repeat(levels(F.mean(0))[None], len(SR), 0),
    "blurred": lambda: np.stack([cv2.GaussianBlur(x, (0, 0), 12) for x in SR]),
    "noisy": lambda: levels(F + RANDOM.normal(0, 40, F.shape)),
    "flat": lambda: levels((F - 128) * 0.3 + 128),
    "nearest": lambda: enlarged(8, "nearest"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_named_and_measured(what: str) -> None:
    wrong = np.ascontiguousarray(WRONG[what]())
    found = diagnose(wrong, HR, 8, NAMES)
    assert found is not None
    assert what in str(found)
    assert (found.helped, found.faces) == (8, 8)
    assert found.restored > found.given + 4


def test_what_survived_is_turned_with_the_image() -> None:
    cut = WRONG["values in [-1, 1] saved as [0, 1]"]()
    alone, mirrored = diagnose(cut, HR, 8), diagnose(np.ascontiguousarray(cut[:, :, ::-1]), HR, 8)
    assert alone is not None and mirrored is not None
    assert mirrored.restored == pytest.approx(alone.restored)


def test_the_figures_are_those_of_psnr() -> None:
    found = diagnose(np.ascontiguousarray(SR[..., ::-1]), HR, 8)
    assert found is not None
    psnr = facesr.metric("psnr")
    assert found.given == pytest.approx(float(np.mean(psnr(SR[..., ::-1].copy(), HR))), abs=1e-9)
    assert found.restored == pytest.approx(float(np.mean(psnr(SR, HR))), abs=1e-9)
    assert str(found).startswith("looks like BGR: 26.6 dB when channels are swapped, 15.8 as given, 8 of 8")


@pytest.mark.parametrize("what", BAD)
def test_nothing_is_said_where_nothing_explains(what: str) -> None:
    assert diagnose(BAD[what](), HR, 8, NAMES) is None


def test_one_odd_face_explains_nothing_and_few_faces_are_looked_at() -> None:
    some = np.concatenate([SR[:3, ..., ::-1], SR[3:]])
    assert diagnose(some, HR, 8, NAMES) is None
    assert len(examined([str(i) for i in range(30_000)])) == FACES
    assert examined(["a", "b"]) == ["a", "b"]


def test_the_commands_the_run_the_table_and_the_report_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, image in zip(NAMES, SR, strict=True):
        write_png(theirs / f"{name}.png", image[..., ::-1])
    said = "looks like BGR: 26.6 dB when channels are swapped, 15.8 as given, 8 of 8 faces"
    assert main(["score", str(theirs), "--hr", str(DEMO / "images"), "--metrics", "psnr"]) == 0
    assert said in capsys.readouterr().out
    assert facesr.score(theirs, DEMO / "images", ["psnr"]).remarks == (said,)
    words = ["run", "demo-x8-128", "--methods", f"bicubic,theirs=folder:{theirs}", "--metrics", "psnr", "--workers", "1"]
    for _ in range(2):  # nothing is due the second time; it is said again
        assert main([*words, "--out", str(tmp_path / "run")]) == 0
        assert f"theirs: {said}" in capsys.readouterr().out
    run = load_run(tmp_path / "run")
    assert [m.diagnosis for m in run.info.methods] == [(), (said,)]
    values = run.scores()
    assert values[values["method"] == "theirs"]["value"].mean() == pytest.approx(15.8, abs=0.05)  # scores stay what they are
    assert main(["table", str(tmp_path / "run")]) == 0
    assert f"theirs: {said}." in capsys.readouterr().out
    assert f"theirs: {said}." in gather(open_runs([tmp_path / "run"]), None, count=1).warnings
    write_png(theirs / f"{NAMES[0]}.png", SR[0])
    for name, image in zip(NAMES, SR, strict=True):
        write_png(theirs / f"{name}.png", image)
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "looks like" not in capsys.readouterr().out


def test_how_images_were_read_is_said_once_per_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for side in ("hr", "sr"):
        (tmp_path / side).mkdir()
        for i, (name, image) in enumerate(zip(NAMES, HR, strict=True)):
            turned = Image.Exif()
            if side == "hr" and i < 3:  # stored on its side, and marked so
                turned[0x0112] = 6
                image = np.rot90(image)
            Image.fromarray(image).save(tmp_path / side / f"{name}.png", exif=turned)
    line = "3 images: turned upright by its orientation tag (6)"
    assert main(["score", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--metrics", "psnr"]) == 0
    out = capsys.readouterr().out
    assert out.count(line) == 1 and "100.0000" in out
    words = ["run", "demo-x8-128", "--data", str(tmp_path / "hr"), "--metrics", "psnr", "--workers", "1", "--methods"]
    for methods in (f"m=folder:{tmp_path / 'hr'}", f"m=folder:{tmp_path / 'hr'},bicubic"):
        assert main([*words, methods, "--out", str(tmp_path / "run")]) == 0
        out = capsys.readouterr().out
        assert out.count(f"HR: {line}") == 1 and out.count(f"m: {line}") == 1
    assert main(["data", "prepare", "mine", "--from", str(tmp_path / "hr"), "--out", str(tmp_path / "made")]) == 0
    assert capsys.readouterr().out.count(line) == 1
