"""Networks, alignment and distances of distributions beside lpips, torchmetrics, OpenCV, insightface and torch-fidelity.

The networks' own weights are not on the package index (LPIPS's trunks, ArcFace, Inception): both sides get the same pseudo-random ones, which
tests the arithmetic as well. YuNet and SFace come with a package and run with their real weights.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from benchmarks.conformance import OPENCV4, UNREACHABLE, Check, NotRun, Section
from benchmarks.conformance.data import FACES, demo, faces, texture
from facesr.bench.faces import F64, U8, Batch
from facesr.bench.metrics.base import Metric

Trunk = Literal["alex", "vgg", "squeeze"]
RANDOM = f"{FACES}, pseudo-random trunk, published heads"


@cache
def lpips_net(trunk: Trunk) -> Any:
    """The lpips package with a random trunk."""
    import lpips
    import torch

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names an argument of torchvision that has gone
        return lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False).eval()


@cache
def our_lpips(trunk: Trunk) -> Any:
    """Ours with the same trunk."""
    from facesr.bench.networks.lpips import LPIPS

    return LPIPS(trunk, {key.split(".", 1)[1]: value for key, value in lpips_net(trunk).net.state_dict().items()})


def centred(images: U8) -> Any:
    """(N, 3, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


def pictures() -> tuple[Any, Any]:
    """Demo faces, blurred and not, in [-1, 1]."""
    pairs = faces()
    return centred(np.stack([p.sr for p in pairs])), centred(np.stack([p.hr for p in pairs]))


def lpips_apart(trunk: Trunk) -> float:
    """A batch of ours against single pairs of the package."""
    import torch

    a, b = pictures()
    with torch.no_grad():
        theirs = torch.cat([lpips_net(trunk)(x[None], y[None]).flatten() for x, y in zip(a, b, strict=True)])
        return float((our_lpips(trunk)(a, b) - theirs).abs().max())


def torchmetrics_lpips_apart(trunk: Trunk) -> float:
    """torchmetrics has a copy of the network and its own heads' file."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS

    theirs = _LPIPS(net=trunk, pnet_rand=True).eval()
    values = lpips_net(trunk).net.state_dict().values()  # its SqueezeNet names the same layers otherwise
    theirs.net.load_state_dict(dict(zip(theirs.net.state_dict(), values, strict=True)))
    a, b = pictures()
    with torch.no_grad():
        return float((our_lpips(trunk)(a, b) - theirs(a, b).flatten()).abs().max())


def both() -> tuple[U8, U8]:
    """Demo faces, blurred and not, as 8-bit images."""
    return np.stack([p.sr for p in faces()]), np.stack([p.hr for p in faces()])


def real_lpips_apart(name: str, trunk: Trunk) -> float:
    """The metric as users run it, with ImageNet's trunk."""
    import lpips

    from facesr.bench.registry import build_metric

    metric = build_metric(name)
    assert metric.weights  # raises where they are not here
    net = lpips.LPIPS(net=trunk, verbose=False).eval()
    values = metric.distance(*both())  # type: ignore[attr-defined]
    return float(np.abs(np.array(values) - net(*pictures()).detach().numpy().ravel()).max())


def st_lpips_apart() -> float:
    """The package carries its weights."""
    import torch

    for name, item in (("IPython", "embed"), ("torchsummary", "summary")):  # it imports what it does not ask for
        sys.modules.setdefault(name, SimpleNamespace(**{item: None}))  # type: ignore[arg-type]
    from stlpips_pytorch import stlpips

    from facesr.bench import weights
    from facesr.bench.registry import build_metric

    weights.fetch("stlpips-alex")
    values = build_metric("st-lpips-alex").distance(*both())  # type: ignore[attr-defined]
    with torch.no_grad():
        theirs = stlpips.LPIPS(net="alex", variant="shift_tolerant").eval()(*pictures())
    return float(np.abs(np.array(values) - theirs.numpy().ravel()).max())


def pyiqa_apart(name: str) -> float:
    """A network of pyiqa, run by ours and by pyiqa itself; its weights come from the network."""
    import torch

    from facesr.bench.registry import build_metric

    metric = build_metric(name)
    image = demo()[:1]
    with suppress(OSError), socket.create_connection(("huggingface.co", 443), timeout=5):
        import pyiqa

        theirs = pyiqa.create_metric(metric.metric, device="cpu")  # type: ignore[attr-defined]
        return abs(_single(metric, image) - float(theirs(torch.from_numpy(image.transpose(0, 3, 1, 2) / np.float32(255)))))
    raise NotRun(UNREACHABLE)


def _single(metric: Metric, image: U8) -> float:
    (value,) = metric.score(image, Batch((), image), None)
    return float(value)  # type: ignore[arg-type]


def small_recogniser(folder: Path) -> Path:
    """An ONNX file as small as can be, as the tests make it."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from small_networks import recogniser

    return recogniser(folder / "w600k_r50.onnx")


def arcface_apart() -> float:
    """Our reading of a recognition file against ``ArcFaceONNX.get_feat``, relative to the vector's length."""
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    from facesr.bench.metrics.embedders import ArcFace, OnnxEmbedder

    crops = np.stack([texture(112, 112, seed) for seed in range(4)])
    with tempfile.TemporaryDirectory() as folder:
        file = small_recogniser(Path(folder))
        theirs = ArcFaceONNX(str(file))
        known = np.concatenate([theirs.get_feat(np.ascontiguousarray(crop[..., ::-1])) for crop in crops])
        found = OnnxEmbedder.run(ArcFace(str(file)), crops)
    return float((np.abs(found - known).max(axis=1) / np.linalg.norm(known, axis=1)).max())


def landmarks() -> list[F64]:
    """Five points of faces: upright, turned, small."""
    base = np.array([[94.0, 120], [160, 120], [126, 158], [100, 187], [158, 187]])
    rng = np.random.default_rng(0)
    turns = [
        np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * s for a, s in ((0, 1), (0.3, 0.7), (-1.0, 0.4), (2.5, 0.6))
    ]
    return [(base - 128) @ turn.T + 64 + rng.normal(0, 2, (5, 2)) for turn in turns]


def alignment_apart(what: str) -> float:
    """Matrices in pixels, crops in grey levels."""
    from insightface.utils import face_align

    from facesr.bench.align import similarity, warp

    worst = 0.0
    for points in landmarks():
        if what == "matrix":
            for size in (112, 128, 224):
                worst = max(worst, float(np.abs(similarity(points, size) - face_align.estimate_norm(points, size)).max()))
        else:
            theirs = face_align.norm_crop(demo()[0], points)
            worst = max(worst, float(np.abs(warp(demo()[0], similarity(points)).astype(int) - theirs).max()))
    return worst


def yunet() -> Path:
    """The detector's file, from its package."""
    from facesr.bench import weights

    return weights.fetch("yunet")


def yunet_apart() -> float:
    """Boxes and landmarks in pixels."""
    import cv2

    from facesr.bench.detect import detect

    peer = cv2.FaceDetectorYN.create(str(yunet()), "", (128, 128), score_threshold=0.7, nms_threshold=0.3)
    worst = 0.0
    for image in demo():
        _, rows = peer.detect(np.ascontiguousarray(image[..., ::-1]))
        found = detect(image)
        if len(found) != len(rows):
            raise ValueError(f"{len(found)} faces, OpenCV finds {len(rows)}")
        for mine, row in zip(found, rows[np.argsort(-rows[:, 14])], strict=True):
            worst = max(worst, float(np.abs(np.concatenate([mine.box, mine.landmarks5.ravel()]) - row[:14]).max()))
    return worst


SFACE = """
import sys, cv2, numpy as np
net = cv2.FaceRecognizerSF.create(sys.argv[1], "")
np.save("known.npy", np.concatenate([net.feature(crop) for crop in np.load("crops.npy")]))
"""


def sface_apart() -> float:
    """Embeddings of aligned crops, relative to their length; OpenCV 4 lies beside OpenCV 5, so it has a process of its own."""
    import os
    import subprocess

    import cv2

    from facesr.bench import weights
    from facesr.bench.metrics.embedders import SFace

    crops = np.stack([cv2.resize(face, (112, 112), interpolation=cv2.INTER_AREA) for face in demo()])
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "crops.npy", crops[..., ::-1])
        subprocess.run(
            [sys.executable, "-c", SFACE, str(weights.fetch("sface"))],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(OPENCV4)},
            check=True,
        )
        known = np.load(Path(folder) / "known.npy")
    return float((np.abs(SFace().run(crops) - known).max(axis=1) / np.linalg.norm(known, axis=1)).max())


def features() -> tuple[F64, F64]:
    """Two sets of 300 vectors of 24 numbers that differ in mean and covariance."""
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 1, (24, 24))
    return rng.normal(0, 1, (300, 24)), rng.normal(0.1, 1, (300, 24)) @ (np.eye(24) + 0.1 * mix)


def frechet_apart(peer: Callable[[F64, F64], float]) -> float:
    """Ours against another's Fréchet distance, relative."""
    from facesr.bench.metrics.naturalness import frechet

    known = peer(*features())
    return abs(frechet(*features()) - known) / known


def fidelity_frechet(a: F64, b: F64) -> float:
    """torch-fidelity's."""
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    stats = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    return float(next(iter(fid_statistics_to_metric(*stats, verbose=False).values())))


def torchmetrics_frechet(a: F64, b: F64) -> float:
    """torchmetrics'."""
    import torch
    from torchmetrics.image.fid import _compute_fid

    moments = [torch.from_numpy(m) for x in (a, b) for m in (x.mean(axis=0), np.cov(x, rowvar=False))]
    return float(_compute_fid(*moments))


def kernel_apart(peer: Callable[[F64, F64], float]) -> float:
    """Ours against another's unbiased squared MMD with KID's kernel."""
    from facesr.bench.metrics.naturalness import kernel_distance

    return abs(kernel_distance(*features())[0] - peer(*features()))


def fidelity_kernel(a: F64, b: F64) -> float:
    """torch-fidelity's, one subset of all."""
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}
    return float(mmd2(kernel_poly(a, a, **options), kernel_poly(a, b, **options), kernel_poly(b, b, **options)))


def torchmetrics_kernel(a: F64, b: F64) -> float:
    """torchmetrics'."""
    import torch
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))


def sections() -> list[Section]:
    """Everything that has a peer."""
    trunks: tuple[Trunk, ...] = ("alex", "vgg", "squeeze")
    distances = [
        *[Check(f"`lpips-{t}`, a batch", "lpips", f"`LPIPS(net='{t}')`, pair by pair", RANDOM, 1e-5, partial(lpips_apart, t)) for t in trunks],
        *[Check(f"`lpips-{t}`", "torchmetrics", f"its copy of the network, net='{t}'", RANDOM, 1e-5, partial(torchmetrics_lpips_apart, t))
          for t in trunks],
        *[Check(f"`lpips-{t}`", "lpips", f"`LPIPS(net='{t}')`", f"{FACES}, ImageNet's trunk", 1e-5, partial(real_lpips_apart, f"lpips-{t}", t))
          for t in trunks],
        Check("`st-lpips-alex`", "stlpips-pytorch", "`LPIPS(net='alex', variant='shift_tolerant')`", FACES, 1e-5, st_lpips_apart),
        *[Check(f"`{n}`", "pyiqa", "the same network called directly", "a demo face", 1e-5, partial(pyiqa_apart, n))
          for n in ("topiq-nr", "musiq", "maniqa", "clip-iqa")],
    ]  # fmt: skip
    aligned = [
        Check("`align.similarity` at 112, 128, 224", "insightface", "`estimate_norm`, in pixels", "4 sets of landmarks, turned up to 143°", 1e-3,
              partial(alignment_apart, "matrix")),
        Check("`align.warp`", "insightface", "`norm_crop`, in grey levels", "a demo face, 4 sets of landmarks", 1, partial(alignment_apart, "crop")),
        Check("`identity-arcface`'s vector", "insightface", "`ArcFaceONNX.get_feat`, relative", "4 generated crops, pseudo-random network", 1e-5,
              arcface_apart),
        Check("`detect`: boxes and landmarks", "opencv-python-headless", "`FaceDetectorYN`, in pixels", FACES, 1e-2, yunet_apart),
        Check("`identity-sface`'s vector", "opencv-python-headless<5", "`FaceRecognizerSF.feature`, relative", "8 demo faces at 112 px", 1e-4,
              sface_apart),
    ]  # fmt: skip
    data = "2 × 300 simulated vectors of 24 numbers"
    sets = [
        Check(
            "`fid`'s distance",
            "torch-fidelity",
            "`fid_statistics_to_metric`, relative",
            data,
            1e-8,
            partial(frechet_apart, fidelity_frechet),
        ),
        Check(
            "`fid`'s distance",
            "torchmetrics",
            "`FrechetInceptionDistance`'s, relative",
            data,
            1e-8,
            partial(frechet_apart, torchmetrics_frechet),
        ),
        Check(
            "`kid`'s distance", "torch-fidelity", "`mmd2`, one subset of all", data, 1e-9, partial(kernel_apart, fidelity_kernel)
        ),
        Check("`kid`'s distance", "torchmetrics", "`poly_mmd`", data, 1e-9, partial(kernel_apart, torchmetrics_kernel)),
    ]
    return [
        Section("Perceptual distances and quality networks", distances),
        Section("Alignment, detection and identity", aligned),
        Section("Distances of sets", sets),
    ]
