"""``quantize = false`` end to end: methods, metrics, programs, figures and verification all see the unrounded LR."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_lr, read_rgb, resize, rounded, to_tensor
from facesr.bench.imaging.lowres import decode_lr, encode_lr
from facesr.bench.run import make_plan, start
from facesr.bench.run.merge import merge_shards
from helpers import TINY, faces, picture

UNROUNDED = TINY.replace("quantize = true", "quantize = false")
PROGRAM = """
import sys, pathlib, numpy as np
from PIL import Image
source, out = map(pathlib.Path, sys.argv[1:])
for file in source.glob("*.npy"):
    lr = np.load(file)
    assert lr.dtype == np.float32 and abs(lr * 255 - np.round(lr * 255)).max() > 0.01
    Image.fromarray(np.uint8(np.round(lr * 255)).repeat(8, 0).repeat(8, 1)).save(out / (file.stem + ".png"))
"""


def _plan(world: Path, *methods: str, out: str = "run", text: str = UNROUNDED, **more: object):  # type: ignore[no-untyped-def]
    asked = protocol.parse_protocol(text, metrics=registry.installed("facesr.metrics"))
    return make_plan(asked, registry.method_specs(methods), world / out, data=str(world / "hr"), **more)  # type: ignore[arg-type]


def test_unrounded_lr_reaches_methods_metrics_and_readers(tmp_path: Path) -> None:
    faces(tmp_path / "hr", 3)
    (tmp_path / "p.py").write_text(PROGRAM)
    for name, how in (("png", ""), ("npy", 'input = "npy"\n')):
        (tmp_path / f"{name}.toml").write_text(f'command = ["{sys.executable}", "p.py", "{{input}}", "{{output}}"]\n{how}')
    asked = ("bicubic", f"npy=command:{tmp_path}/npy.toml", f"png=command:{tmp_path}/png.toml")
    run = start(_plan(tmp_path, *asked))
    # LR, worked out from the definition with torch in double precision
    hr = to_tensor(picture(1)[None]).double()
    lr = resize(hr, 8, "bicubic-matlab").clamp(0, 1)[0].permute(1, 2, 0).numpy()
    kept = read_lr(run.lr_path("001", 8))
    assert kept.dtype == np.float32
    assert np.abs(kept - lr).max() < 1e-7
    assert np.abs(kept * 255 - np.round(kept * 255)).max() > 0.1
    # the method was given it: bicubic of the unrounded LR, which the rounded one does not give
    sr = read_rgb(run.sr_path("bicubic", "001", 8))
    up = resize(to_tensor(kept[None]), 64, "bicubic-matlab")[0].permute(1, 2, 0).numpy()
    assert np.array_equal(sr, rounded(up))
    # epsilon is against it
    scores = run.scores().set_index(["method", "image", "metric"]).sort_index()
    again = resize(to_tensor(sr[None]).double(), 8, "bicubic-matlab")[0].permute(1, 2, 0).numpy()
    assert scores.loc[("bicubic", "001", "consistency"), "value"] == pytest.approx(np.mean((again - lr) ** 2), rel=1e-5)
    assert (scores.loc["npy"]["status"] == "ok").all()
    assert scores.loc[("png", "001", "psnr"), "reason"].endswith('8-bit PNG cannot hold it: set input = "npy"')
    # pictures for people, verification, and the shards' way
    from facesr.bench.verify.files import verify_files
    from facesr.dashboard.images import face_png
    from facesr.reports.page import data_url

    shown = np.asarray(Image.open(__import__("io").BytesIO(face_png(run, "lr", "001", 8, ""))))
    assert np.array_equal(shown, np.floor(kept * 255.0 + 0.5))
    assert data_url(run.lr_path("001", 8)).startswith("data:image/png")
    assert face_png(run, "residual", "001", 8, "bicubic")
    assert verify_files(run).clean
    for i in (1, 2):
        start(_plan(tmp_path, "bicubic", out=f"s{i}", shard=f"{i}/2"))
    whole = merge_shards(tmp_path / "whole", [tmp_path / "s1", tmp_path / "s2"])
    assert whole.lr_path("001", 8).read_bytes() == run.lr_path("001", 8).read_bytes()
    assert whole.digest == start(_plan(tmp_path, "bicubic", out="again")).digest
    # another digest than the rounded one, and going back makes every cell anew
    eight = start(_plan(tmp_path, "bicubic", text=TINY))
    assert eight.digest != run.digest
    assert np.array_equal(read_lr(eight.lr_path("001", 8)), rounded(kept))


def test_a_study_of_an_unrounded_run_measures_epsilon_against_it(tmp_path: Path) -> None:
    from facesr.bench.study.create import consistency

    faces(tmp_path / "hr", 3)
    run = start(_plan(tmp_path, "bicubic"))
    value = run.scores().set_index(["image", "metric"]).loc[("002", "consistency"), "value"]
    found = consistency(read_rgb(run.sr_path("bicubic", "002", 8)), read_lr(run.lr_path("002", 8)), run)
    assert found == pytest.approx(value, rel=1e-4)


def test_files_that_are_no_unrounded_lr_are_one_sentence(tmp_path: Path) -> None:
    good = encode_lr(np.full((4, 4, 3), 0.5, np.float32))
    assert decode_lr(good, "x").dtype == np.float32
    wrong = [
        good[:20],
        good[:-5],
        good.replace(b"<f4", b"<f8"),
        good.replace(b"<f4", b"|O "),
        good.replace(b"(4, 4, 3)", b"(9,9,9,9)"),
    ]
    wrong += [encode_lr(np.full((4, 4, 3), v, np.float32)) for v in (1.5, -0.1, np.nan)]
    wrong += [good.replace(b"(4, 4, 3)", b"(400000, 400000, 3)"[:9])]
    for data in wrong:
        with pytest.raises(FaceSRError, match=r"^x: "):
            decode_lr(data, "x")


def test_one_bad_hr_costs_its_own_cells_only(tmp_path: Path) -> None:
    faces(tmp_path / "hr", 3)
    (tmp_path / "hr/001.png").write_bytes(b"no image")
    run = start(replace(_plan(tmp_path, "bicubic")))
    frame = run.scores()
    assert set(frame[frame.status != "ok"].image) == {"001"}


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 3), (2, 1)])
def test_an_unrounded_image_of_any_shape_comes_back(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    assert (decode_lr(encode_lr(image), "a.npy") == image).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 3), "<f4"),
        np.zeros((4, 0, 3), "<f4"),
        np.zeros((4, 4), "<f4"),
        np.zeros((4, 4, 4), "<f4"),
        np.zeros((4, 4, 3), "<f8"),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray) -> None:
    held = io.BytesIO()
    np.save(held, array)
    with pytest.raises(FaceSRError, match=r"a\.npy: not an unrounded LR image .* float32 \(rows, columns, 3\) is expected"):
        decode_lr(held.getvalue(), "a.npy")


def test_a_header_that_promises_too_much_is_refused_before_it_is_read() -> None:
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": "<f4", "fortran_order": False, "shape": (1_000_000, 1_000_000, 3)})
    with pytest.raises(FaceSRError, match="not an unrounded LR image"):
        decode_lr(held.getvalue(), "a.npy")
