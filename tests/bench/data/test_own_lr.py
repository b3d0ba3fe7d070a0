"""LR images of one's own: with HR, with photos of the people, alone; any factor; what cannot be measured is refused before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facesr
from facesr.bench.data.dataset import DEMO
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_lr, read_rgb, resize, resize8, rounded, to_tensor, write_png
from facesr.bench.run.merge import merge_shards
from facesr.cli import main
from helpers import faces, picture

METHODS = ["bicubic", "nearest"]


def _lr(world: Path, side: int = 20, count: int = 3, suffix: str = ".png") -> Path:
    folder = world / "lr"
    folder.mkdir(exist_ok=True)
    for i in range(count):
        small = resize8(picture(i), side, "box")
        Image.fromarray(small).save(folder / f"{i:03d}{suffix}", **({"quality": 90} if suffix == ".jpg" else {}))
    return folder


def _cells(run: facesr.Run) -> dict[tuple[str, str, str], float]:
    return {(r.method, r.image, r.metric): r.value for r in run.scores.itertuples() if r.status == "ok"}


def test_with_hr_and_a_factor_that_is_no_whole_number(tmp_path: Path) -> None:
    lr = _lr(tmp_path)
    hr = faces(tmp_path / "hr", 4)
    run = facesr.run(methods=METHODS, out=tmp_path / "run", lr=lr, data=hr, size=64, metrics=["psnr", "consistency"])
    assert run.folder.scales == [3.2]
    assert [f.name for f in run.folder.faces] == ["000", "001", "002"]
    kept = read_lr(run.folder.lr_path("001", 3.2))
    assert np.array_equal(kept, resize8(picture(1), 20, "box"))  # as it came, not made from HR
    sr = read_rgb(run.folder.sr_path("bicubic", "001", 3.2))
    assert np.array_equal(sr, rounded(resize(to_tensor(kept[None]), 64, "bicubic-matlab")[0].permute(1, 2, 0).numpy()))
    found = _cells(run)
    error = np.mean((sr.astype(float) - picture(1)) ** 2)
    assert found["bicubic", "001", "psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    again = resize(to_tensor(sr[None]).double(), 20, "bicubic-matlab")[0].permute(1, 2, 0).numpy()
    assert found["bicubic", "001", "consistency"] == pytest.approx(np.mean((again - kept / 255) ** 2), rel=1e-5)
    assert set(run.scores["scale"]) == {3.2}
    assert "×3.2" in run.table().markdown(notes="full")
    assert "not made from HR" in run.table().markdown(notes="full")
    # a second call computes nothing; another LR image computes its own cells
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "run/sr").rglob("*.png")}
    write_png(lr / "002.png", resize8(picture(7), 20, "box"))
    facesr.run(methods=METHODS, out=tmp_path / "run", lr=lr, data=hr, size=64, metrics=["psnr", "consistency"])
    assert {f.stem for f, then in before.items() if f.stat().st_mtime_ns != then} == {"002"}


def test_without_hr_only_what_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lr = _lr(tmp_path, 16, suffix=".jpg")
    (lr / "001.jpg").write_bytes(b"broken")
    with pytest.raises(FaceSRError) as refused:
        facesr.run(
            methods=METHODS,
            out=tmp_path / "run",
            lr=lr,
            metrics=["psnr", "ssim", "fid", "identity-sface", "identity-sface-detected"],
        )
    for name in ("psnr", "ssim", "fid", "identity-sface", "identity-sface-detected"):
        assert f"metric {name} compares SR with HR" in str(refused.value)
    assert not (tmp_path / "run").exists()
    arguments = [
        "run",
        "--lr",
        str(lr),
        "--methods",
        "bicubic",
        "--size",
        "128",
        "--metrics",
        "consistency,consistency-pass,niqe?block=32",
    ]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 1  # one LR is broken
    said = capsys.readouterr().out
    assert "LR: " in said
    run = facesr.load(tmp_path / "run")
    assert not run.folder.has_hr
    good = run.scores[run.scores.status == "ok"]
    assert set(good.image) == {"000", "002"}
    assert set(good.metric) == {"consistency", "consistency-pass", "niqe"}
    assert set(run.scores[run.scores.image == "001"].status) == {"failed"}
    page = run.report(tmp_path / "report").read_text()
    assert "LR ×8" in page
    assert ">HR<" not in page
    for i in (1, 2):
        main([*arguments, "--shard", f"{i}/2", "--out", str(tmp_path / f"s{i}")])
    whole = merge_shards(tmp_path / "whole", [tmp_path / "s1", tmp_path / "s2"])
    assert whole.digest == run.folder.digest
    assert whole.scores().equals(run.scores)


def test_identity_against_a_photo_of_the_person(tmp_path: Path) -> None:
    lr, photos = tmp_path / "lr", tmp_path / "photos"
    names = sorted(f.name for f in (DEMO / "images").glob("*.png"))[:3]
    lr.mkdir()
    photos.mkdir()
    for name in names:
        write_png(lr / name, resize8(read_rgb(DEMO / "images" / name), 32, "box"))
    for name in names[:2]:  # a wide photo with the face in its left half
        face = read_rgb(DEMO / "images" / name)
        write_png(
            photos / name, np.concatenate([resize8(face, 200, "bicubic-pillow"), np.full((200, 300, 3), 90, np.uint8)], axis=1)
        )
    metrics = ["identity-sface-detected", "face-found", "consistency"]
    run = facesr.run(methods=["bicubic"], out=tmp_path / "run", lr=lr, references=photos, metrics=metrics)
    scores = run.scores.set_index(["metric", "image"]).sort_index()
    for name in names[:2]:
        sr = read_rgb(run.folder.sr_path("bicubic", Path(name).stem, 4))
        # SFace of the face in the photo, found and aligned there, against SFace of SR, by hand
        from facesr.bench.detect import detect_batch, main_face
        from facesr.bench.metrics.embedders import embedder
        from facesr.bench.metrics.faces import aligned

        network, vectors = embedder("sface"), []
        for image in (sr, read_rgb(photos / name)):
            face = main_face(detect_batch(image[None])[0], image.shape[:2])
            assert face is not None
            vectors.append(network.embed(aligned(image[None], [face.landmarks5], network.fit).pixels)[0])
        assert scores.loc[("identity-sface-detected", Path(name).stem), "value"] == pytest.approx(
            float(vectors[0] @ vectors[1]), abs=0.03
        )
    third = scores.loc[("identity-sface-detected", Path(names[2]).stem)]
    assert (third.status, third.reason) == ("skipped", "there is no photo of this person")
    assert (scores.loc["face-found"].status == "ok").all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scale = 8", "'degradation.scale' is given beside [lr]"),
        ("quantize = true", "'degradation.quantize' is given beside [lr]"),
        ("", "'lr.references' is for LR without HR"),
    ],
)
def test_protocol_files(tmp_path: Path, text: str, says: str) -> None:
    from facesr.bench import protocol

    own = f"""
name = "camera"
version = 1
[data]
dataset = "{"none" if text else "demo"}"
split = "all"
size = 64
[lr]
folder = "lr"
references = "photos"
[degradation]
kernel = "bicubic-matlab"
{text}
[[metric]]
name = "consistency"
"""
    with pytest.raises(FaceSRError, match=says.replace("[", r"\[").replace("]", r"\]")):
        protocol.parse_protocol(own)
    (tmp_path / "p.toml").write_text(own.replace(text or "\0", "").replace('"demo"', '"none"').replace('references = "photos"', ""))
    _lr(tmp_path, 16)
    run = facesr.run(tmp_path / "p.toml", METHODS, tmp_path / "run")
    assert (run.folder.scales, len(run.scores)) == ([4], 6)


def test_refusals(tmp_path: Path) -> None:
    lr = _lr(tmp_path)
    for given, says in (
        ({"lr": lr, "data": faces(tmp_path / "other" / "hr").rename(tmp_path / "hr2")}, None),
        ({}, "name a protocol"),
        ({"lr": lr, "size": 16}, "20 pixels a side, more than the target of 16"),
        ({"protocol": "demo-x8-128", "references": lr}, "--references is for LR without HR"),
        ({"protocol": "demo-x8-128", "lr": lr}, "is named as a face is"),
        ({"protocol": "demo-x8-128", "lr": lr, "size": 64}, "--size goes with --lr and no protocol"),
    ):
        if says:
            with pytest.raises(FaceSRError, match=says):
                facesr.run(methods=METHODS, out=tmp_path / "no", **given)  # type: ignore[arg-type]
    write_png(lr / "zzz.png", picture(1, 24))
    with pytest.raises(FaceSRError, match=r"several sizes \(3 of 20 x 20, 1 of 24 x 24"):
        facesr.run(methods=METHODS, out=tmp_path / "no", lr=lr)
