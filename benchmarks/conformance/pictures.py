"""Metrics of a pair of pictures, and of one picture, beside BasicSR, scikit-image, torchmetrics, piq and pyiqa."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.conformance import Check, Section
from benchmarks.conformance.data import FACES, PICTURES, Pair, faces, generated, large, tiny
from benchmarks.fidelity import basicsr
from facesr.bench.faces import U8, Batch
from facesr.bench.metrics.base import NoScore
from facesr.bench.registry import build_metric

Peer = Callable[[U8, U8], float]
EVERY = f"{PICTURES}, 4 tiny"
LARGE = "5 pictures of 177 to 256 px, odd sides among them"


def ours(name: str, sr: U8, hr: U8, **conventions: object) -> float:
    """A metric of this project of one pair."""
    metric = build_metric(name, conventions)
    batch = Batch((), hr[None])
    (value,) = metric.score(sr[None], batch, metric.reference(batch))
    if isinstance(value, NoScore):
        raise ValueError(value.reason)
    return value


def apart(name: str, peer: Callable[[], Peer], pairs: Callable[[], Iterable[Pair]], **conventions: object) -> float:
    """The largest difference over pairs."""
    theirs = peer()
    return max(abs(ours(name, p.sr, p.hr, **conventions) - theirs(p.sr, p.hr)) for p in pairs())


def every() -> tuple[Pair, ...]:
    """All pairs that have an SSIM."""
    return (*faces(), *generated(), *tiny())


def small() -> tuple[Pair, ...]:
    """Those of at least 64 pixels a side."""
    return (*faces(), *generated())


def basicsr_metric(name: str, border: int = 0, y: bool = False) -> Callable[[], Peer]:
    """BasicSR's, which reads BGR."""

    def load() -> Peer:
        function = getattr(basicsr(), name)
        return lambda a, b: float(function(a[..., ::-1].copy(), b[..., ::-1].copy(), border, test_y_channel=y))

    return load


def skimage_psnr() -> Peer:
    """scikit-image's PSNR."""
    from skimage.metrics import peak_signal_noise_ratio

    return lambda a, b: float(peak_signal_noise_ratio(b, a, data_range=255))


def skimage_ssim() -> Peer:
    """scikit-image's map, of which papers' SSIM takes the part that the window fits into."""
    from skimage.metrics import structural_similarity

    def value(a: U8, b: U8) -> float:
        options: dict[str, Any] = {"channel_axis": -1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        whole = structural_similarity(a.astype(float), b.astype(float), data_range=255, full=True, **options)[1]
        return float(whole[5:-5, 5:-5].mean())

    return value


def tensor(image: U8, scale: float = 1.0) -> Any:
    """(1, 3, H, W) in float64."""
    import torch

    return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float64) / scale)


def torchmetrics_metric(name: str, **options: Any) -> Callable[[], Peer]:
    """A function of torchmetrics, in float64."""

    def load() -> Peer:
        import torchmetrics.functional.image as peer

        function = getattr(peer, name)
        return lambda a, b: float(function(tensor(a), tensor(b), **options))

    return load


def torchmetrics_ssim() -> Peer:
    """torchmetrics' map without the border that it mirrors: its own mean counts that, too."""
    import torchmetrics.functional.image as peer

    def value(a: U8, b: U8) -> float:
        _, whole = peer.structural_similarity_index_measure(tensor(a), tensor(b), data_range=255.0, return_full_image=True)
        return float(whole[..., 5:-5, 5:-5].mean())

    return value


def torchmetrics_vif() -> Peer:
    """torchmetrics' VIFp of the luminance."""
    import torch
    import torchmetrics.functional.image as peer

    def grey(image: U8) -> Any:
        return (tensor(image) * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[None, :, None, None]).sum(1, keepdim=True)

    return lambda a, b: float(peer.visual_information_fidelity(grey(a), grey(b)))


def piq_metric(name: str, **options: Any) -> Callable[[], Peer]:
    """A function of piq of one pair alone, in float32 as users call it."""

    def load() -> Peer:
        import piq

        function = getattr(piq, name)
        return lambda a, b: float(function(tensor(a, 255).float(), tensor(b, 255).float(), data_range=1.0, **options))

    return load


@cache
def _pyiqa(name: str, options: tuple[tuple[str, object], ...]) -> Any:
    import pyiqa

    return pyiqa.create_metric(name, device="cpu", **dict(options))


def pyiqa_metric(name: str, **options: object) -> Callable[[], Peer]:
    """A metric of pyiqa that has no weights."""

    def load() -> Peer:
        metric = _pyiqa(name, tuple(options.items()))
        return lambda a, b: float(metric(tensor(a, 255).float(), tensor(b, 255).float()))

    return load


def niqe_apart() -> float:
    """NIQE of pictures of 192 pixels and more."""
    basicsr()
    from basicsr.metrics import calculate_niqe

    images = [p.hr for p in large() if min(p.hr.shape[:2]) >= 192]
    return max(abs(ours("niqe", x, x) - float(calculate_niqe(x[..., ::-1].copy(), 0))) for x in images)


def consistency_apart() -> float:
    """Mean squared error of the degraded answer against LR, degraded by BasicSR's imresize."""
    from facesr.bench.imaging import resize8

    basicsr()
    from basicsr.utils.matlab_functions import imresize

    worst = 0.0
    for p in faces():
        lr = resize8(p.hr[None], 16, "bicubic-matlab")
        metric, batch = build_metric("consistency"), Batch((), p.hr[None], lr)
        (value,) = metric.score(p.sr[None], batch, metric.reference(batch))
        small = imresize(p.sr.astype(np.float64) / 255, 1 / 8)
        worst = max(worst, abs(float(value) - float(np.square(small - lr[0] / 255.0).mean())))  # type: ignore[arg-type]
    return worst


def batches_apart(name: str) -> float:
    """A metric of ours over a batch of faces against piq over each alone: a batch must not change a face's score."""
    pairs = [p for p in large() if p.hr.shape == (256, 256, 3)]
    metric, batch = build_metric(name), Batch((), np.stack([p.hr for p in pairs]))
    values = metric.score(np.stack([p.sr for p in pairs]), batch, metric.reference(batch))
    function, options = metric.function, metric.options  # type: ignore[attr-defined]
    alone = piq_metric(function, **options)()
    return max(abs(float(v) - alone(p.sr, p.hr)) for v, p in zip(values, pairs, strict=True))  # type: ignore[arg-type]


def _piq_checks() -> list[Check]:
    from facesr.bench.metrics import fidelity

    kinds = {
        kind.name: kind
        for kind in vars(fidelity).values()
        if isinstance(kind, type) and issubclass(kind, fidelity._Piq) and kind.name
    }
    return [
        Check(
            f"`{name}`, batch of 3",
            "piq",
            f"`{kind.function}` of each alone",
            "3 demo faces at 256 px",
            1e-5,
            partial(batches_apart, name),
        )
        for name, kind in kinds.items()
    ]


def fidelity() -> list[Check]:
    """PSNR and SSIM, multi-scale SSIM, and those of piq that someone else has as well."""

    def line(
        mine: str, peer: str, what: str, theirs: Callable[[], Peer], tolerance: float, data: str = EVERY, **conventions: object
    ) -> Check:
        pairs = {EVERY: every, PICTURES: small, LARGE: large, FACES: faces}[data]
        name = mine + "".join(f"?{k}={v}" for k, v in conventions.items())
        return Check(f"`{name}`", peer, what, data, tolerance, partial(apart, mine, theirs, pairs, **conventions))

    psnr, ssim = partial(basicsr_metric, "calculate_psnr"), partial(basicsr_metric, "calculate_ssim")
    return [
        line("psnr", "basicsr", "`calculate_psnr`", psnr(), 1e-9),
        line("psnr", "basicsr", "`calculate_psnr`, crop_border 4", psnr(4), 1e-9, PICTURES, border=4),
        line("psnr-y", "basicsr", "`calculate_psnr`, test_y_channel", psnr(y=True), 1e-9),
        line("psnr", "scikit-image", "`peak_signal_noise_ratio`", skimage_psnr, 1e-9),
        line("psnr", "torchmetrics", "`peak_signal_noise_ratio`, float64 (its logarithm is float32)",
             torchmetrics_metric("peak_signal_noise_ratio", data_range=255.0), 1e-5),
        line("psnr", "pyiqa", "`psnr` (adds 1e-8 to the error)", pyiqa_metric("psnr"), 1e-3, FACES),
        line("ssim", "basicsr", "`calculate_ssim`", ssim(), 1e-9),
        line("ssim", "basicsr", "`calculate_ssim`, crop_border 4", ssim(4), 1e-9, PICTURES, border=4),
        line("ssim-y", "basicsr", "`calculate_ssim`, test_y_channel", ssim(y=True), 1e-9),
        line("ssim", "scikit-image", "`structural_similarity`, Gaussian, population covariance; its map less 5 px of border", skimage_ssim, 1e-9),
        line("ssim", "torchmetrics", "`structural_similarity_index_measure`, its map less 5 px of border", torchmetrics_ssim, 1e-9, PICTURES),
        line("ssim", "piq", "`ssim`, downsample=False, float32", piq_metric("ssim", downsample=False), 5e-5, FACES),
        line("ms-ssim", "torchmetrics", "`multiscale_structural_similarity_index_measure`, float64",
             torchmetrics_metric("multiscale_structural_similarity_index_measure", data_range=255.0), 2e-4, LARGE),
        line("ms-ssim", "pyiqa", "`ms_ssim`, RGB (odd sides are halved otherwise)", pyiqa_metric("ms_ssim", test_y_channel=False), 1e-3, LARGE),
        line("vif", "torchmetrics", "`visual_information_fidelity` of the luminance, float64", torchmetrics_vif, 1e-4, LARGE),
        line("fsim", "pyiqa", "`fsim`", pyiqa_metric("fsim"), 1e-5, LARGE),
        line("vsi", "pyiqa", "`vsi`", pyiqa_metric("vsi"), 1e-5, LARGE),
        line("gmsd", "pyiqa", "`gmsd`", pyiqa_metric("gmsd"), 2e-4, LARGE),
        Check("`consistency`", "basicsr", "`imresize` of SR by 1/8, mean squared error", FACES, 1e-8, consistency_apart),
        Check("`niqe`", "basicsr", "`calculate_niqe`", "4 pictures of 192 and 256 px", 1e-4, niqe_apart),
    ]  # fmt: skip


def sections() -> list[Section]:
    """Everything that has a peer."""
    return [
        Section("Fidelity of a picture", fidelity()),
        Section("piq's metrics in batches", _piq_checks(), "Ours call piq with batches; no face's score may depend on the others."),
    ]
