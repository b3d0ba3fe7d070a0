"""Published figures and alignment on photographs of real people, and on the faces that trained the default weights.

The same code runs on the demo faces in ``tests/bench`` and ``tests/methods``.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from facesr.bench import weights
from facesr.bench.align import align_ffhq, map_points
from facesr.bench.data import celebahq
from facesr.bench.data.dataset import from_manifest
from facesr.bench.data.manifest import Rejected
from facesr.bench.data.prepare import Request, prepare_data
from facesr.bench.detect import detect, main_face
from facesr.bench.errors import WeightsMissing
from facesr.bench.faces import Batch, Face
from facesr.bench.imaging import read_rgb, to_tensor
from facesr.bench.metrics.identity import Identity
from facesr.bench.registry import build_metric
from facesr.methods.generators.demo import CHOSEN, styles
from facesr.methods.generators.mobilestylegan import IR_WEIGHTS, MobileStyleGAN
from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128
from private_files import needed

needed("photographs of real people")

MOBILEFACENET = """
from facesr.bench.metrics.embedders import OnnxEmbedder
from facesr.bench.metrics.identity import Identity


class MobileFace(Identity):
    def __init__(self, weights: str) -> None:
        network = OnnxEmbedder(
            "mobilefacenet", weights, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], terms="Apache-2.0"
        )
        super().__init__(network)
"""


@pytest.fixture(scope="module")
def sface() -> Identity:
    for name in ("sface", "yunet"):
        weights.fetch(name)
    metric = build_metric("identity-sface")
    assert isinstance(metric, Identity)
    return metric


@pytest.fixture(scope="module")
def generator() -> MobileStyleGAN:
    try:
        return MobileStyleGAN.from_checkpoint(weights.find_weight(IR_WEIGHTS[-1]).parent)
    except WeightsMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def small() -> MobileStyleGAN128:
    return MobileStyleGAN128.from_checkpoint()


def batch(hr: np.ndarray) -> Batch:
    return Batch(tuple(Face(f"f{i}", Path(f"f{i}.png"), "") for i in range(len(hr))), hr)


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of images in [-1, 1], one value a face."""
    return 10 * torch.log10(4 / (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean((1, 2, 3)))


def test_the_official_rule_gives_the_official_counts(fixtures: Path) -> None:
    splits = celebahq.read_mapping(fixtures / "splits/CelebA-HQ-to-CelebA-mapping.txt")
    for split in ("train", "val", "test"):
        want = {int(v) for v in (fixtures / f"splits/celebahq_{split}.txt").read_text().split()}
        assert {i for i, s in splits.items() if s == split} == want
        assert len(want) == celebahq.TOTALS[split]


def test_london_originals(fixtures: Path, tmp_path: Path) -> None:
    source = tmp_path / "few"
    source.mkdir()
    original = fixtures / "faces/frl-london/original"
    for stem in ("001_03", "002_03"):
        for suffix in (".jpg", ".tem"):
            (source / f"{stem}{suffix}").symlink_to(original / f"{stem}{suffix}")
    (source / "no_points.jpg").symlink_to(original / "003_03.jpg")
    (source / "london_info.csv").symlink_to(fixtures / "faces/frl-london/london_info.csv")
    manifest = prepare_data(Request("london", source, size=128, out=tmp_path / "out"))
    faces = from_manifest(tmp_path / "out").faces
    assert [f.name for f in faces] == ["001_03", "002_03"]
    assert faces[0].attributes == {"age": "24", "gender": "female", "group": "white"}
    assert manifest.rejected == (Rejected("no_points.jpg", "no .tem landmark file beside it"),)
    eyes = np.array(faces[0].landmarks)[:2]
    assert abs(eyes[:, 1].mean() - 60) < 4  # CelebA-HQ's frame: eyes a little above the middle, level, a quarter apart
    assert 28 < eyes[1, 0] - eyes[0, 0] < 36


def test_a_photo_is_aligned_as_the_fixtures_were(fixtures: Path) -> None:
    """From the 1350-pixel originals to CelebA-HQ's frame: scale within 3 %, at least 36 dB to the 128-pixel files that others made."""
    folder = fixtures / "faces/frl-london"
    with (folder / "aligned128.csv").open(newline="") as file:
        known = {row["file"]: float(row["scale"]) for row in csv.DictReader(file)}
    for original in sorted((folder / "original").glob("*.jpg"))[:3]:
        name = f"L{original.stem.split('_')[0]}_neutral.png"
        photo = np.asarray(Image.open(original).convert("RGB"))
        face = main_face(detect(photo), photo.shape[:2])
        assert face is not None
        made = align_ffhq(photo, face.landmarks5, 128, reduce="box")
        theirs = np.asarray(Image.open(folder / "aligned128" / name).convert("RGB"))
        assert made.scale == pytest.approx(known[name], rel=0.03)
        mse = np.square(made.image.astype(float) - theirs).mean()
        assert 10 * np.log10(255**2 / mse) > 36
        # points found in the photo and mapped, against points found in the result: a network's noise apart, but no systematic shift
        (again,) = detect(made.image)
        assert np.abs(np.mean(again.landmarks5 - map_points(face.landmarks5, made.frame, 128), axis=0)).max() < 2.5


def portraits(folder: Path, mood: str, n: int) -> np.ndarray:
    files = sorted((folder / "faces/frl-london/aligned128").glob(f"*_{mood}.png"))[:n]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def test_london_pairs_by_sface(sface: Identity, fixtures: Path) -> None:
    """24 of the 102 people (all of them in the slow test): same person about .92, another about .13 to .16, no overlap."""
    check_london(sface, fixtures, 24, (0.90, 0.94), (0.10, 0.20))


def test_london_pairs_by_a_users_mobilefacenet(sface: Identity, fixtures: Path, tmp_path: Path) -> None:
    """A user's recogniser in 12 lines of his own file; published for this network: .888 and .033, AUC 1."""
    assert len([line for line in MOBILEFACENET.splitlines() if line.strip()]) <= 15
    (tmp_path / "mine.py").write_text(MOBILEFACENET)
    metric = build_metric(f"{tmp_path / 'mine.py'}:MobileFace", {"weights": str(fixtures / "weights/MobileFaceNet.onnx")})
    assert metric.name == "identity-mobilefacenet"
    check_london(metric, fixtures, 24, (0.86, 0.91), (0.0, 0.10))


@pytest.mark.slow
def test_london_pairs_all(sface: Identity, fixtures: Path) -> None:
    """All 102: SFace .92 and .13 (OpenCV's own pipeline: .928, .139), MobileFaceNet .888 and .033, within .01 and .015; AUC 1."""
    check_london(sface, fixtures, 102, (0.915, 0.935), (0.12, 0.15))
    mobile = build_metric(
        "identity-onnx",
        {
            "weights": str(fixtures / "weights/MobileFaceNet.onnx"),
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
        },
    )
    check_london(mobile, fixtures, 102, (0.878, 0.898), (0.02, 0.048))


def check_london(metric: Any, folder: Path, n: int, same: tuple[float, float], different: tuple[float, float]) -> None:
    calm, smiling = portraits(folder, "neutral", n), portraits(folder, "smiling", n)
    faces = batch(calm)
    reference = metric.reference(faces)
    matrix = reference.vectors @ np.stack(metric.recogniser.sr(smiling, faces, reference.points)).T
    own = np.diag(matrix)
    others = matrix[~np.eye(n, dtype=bool)]
    assert same[0] < own.mean() < same[1]
    assert different[0] < others.mean() < different[1]
    assert own.min() > others.max()  # AUC 1


def test_renders_the_faces_openvino_rendered(fixtures: Path, generator: MobileStyleGAN) -> None:
    """The fixtures' face 7, rendered by openvino, box-averaged, JPEG of quality 96 (which costs it 42 dB)."""
    w = torch.from_numpy(np.load(fixtures / "faces/synthetic128.npz")["w"][7:8].astype(np.float32))
    truth = to_tensor(np.stack([read_rgb(fixtures / "faces/synthetic128/00007.jpg")]))
    ours = F.avg_pool2d(generator.synthesize(w), 8).add(1).div(2).clamp(0, 1)
    assert 10 * torch.log10(1 / (ours - truth).square().mean()) > 40


def test_draws_the_synthetic_faces_of_openvino(fixtures: Path, small: MobileStyleGAN128) -> None:
    """Files rendered by openvino at 1024² and box-averaged (JPEG: 42 dB)."""
    rows = [4990, 4991, 4992, 4993]
    w = torch.from_numpy(np.load(fixtures / "faces/synthetic128.npz")["w"][rows].astype(np.float32))
    truth = to_tensor(np.stack([read_rgb(fixtures / f"faces/synthetic128/{row:05d}.jpg") for row in rows]))
    assert psnr(small.synthesize(w), truth * 2 - 1).mean() > 34


def test_mobilefacenet_equals_its_onnx_export(fixtures: Path) -> None:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    from facesr.methods.training.identity import IdentityLoss

    loss = IdentityLoss(torch.load(fixtures / "weights" / "mobilefacenet.pt", map_location="cpu", weights_only=True))
    session = onnxruntime.InferenceSession(str(fixtures / "weights" / "MobileFaceNet.onnx"), providers=["CPUExecutionProvider"])
    x = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    expected = session.run(None, {"input0": x.numpy()})[0]
    assert float(np.abs(loss.net(x).numpy() - expected).max()) < 1e-4


def test_no_demo_face_is_a_training_face(fixtures: Path, generator: MobileStyleGAN) -> None:
    w = styles(generator)[list(CHOSEN)]
    training = torch.from_numpy(np.load(fixtures / "faces/synthetic128.npz")["w"].astype(np.float32))
    among = torch.cdist(training[:500], training[:500]).fill_diagonal_(9e9).min()
    assert torch.cdist(w, training).min() > 0.8 * among
