"""Distances to a named reference set: its digest, its cache, saved features and statistics, and what is no reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.imaging.files import write_png
from facesr.bench.metrics.base import NoScore, SetScore
from facesr.bench.metrics.naturalness import FaceKernel, _Distribution, frechet, kernel_distance_to
from facesr.bench.registry import build_metric


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return shift + np.random.default_rng(seed).normal(size=(n, d))


class Toy(_Distribution):
    """Three features an image: its mean colours. ``calls`` counts the images that were embedded."""

    name, label, digits, conventions = "toy", "Toy", 3, "mean colours"
    kernel = False
    calls = 0

    def __init__(self, *, reference: str = "", size: int = 0, reduce: str = "box", kernel: bool = False) -> None:
        self.kernel = kernel  # type: ignore[misc]
        self.set_reference(reference, size, reduce)

    def features(self, sr: U8, batch: Batch, reference: Any) -> Sequence[Any]:
        return list(sr.mean((1, 2)) / 64)

    def embed(self, images: U8, faces: Sequence[Face]) -> Sequence[Any]:
        Toy.calls += len(images)
        return self.features(images, Batch((), images), None)

    @property
    def weights(self) -> dict[str, str]:
        return self.known()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images of 8 pixels."""
    monkeypatch.setenv("FACESR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "Other Faces").mkdir()
    for i, image in enumerate(images(12, 3)):
        write_png(tmp_path / "Other Faces" / f"{i}.png", image)
    return tmp_path / "Other Faces"


def images(n: int, seed: int, side: int = 8) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def score(metric: _Distribution, sr: U8) -> SetScore | NoScore:
    faces = tuple(Face(str(i), Path(), "") for i in range(len(sr)))
    return metric.compare(list(metric.features(sr, Batch(faces, sr), None)), [0.0] * len(sr), faces)


def test_kernel_distance_to_a_reference_is_the_unbiased_one() -> None:
    """Binkowski's formula written out over all pairs, and the jackknife by leaving images of the first set out one by one."""

    def known(x: np.ndarray, y: np.ndarray) -> float:
        k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
        xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
        yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
        return float(xx + yy - 2 * np.mean([k(a, b) for a in x for b in y]))

    x, y = normal(7, 4, 0), normal(11, 4, 1, 0.5)
    value, low, high = kernel_distance_to(x, y)
    assert value == pytest.approx(known(x, y), rel=1e-10)
    left = [known(np.delete(x, i, 0), y) for i in range(7)]
    half = 1.959964 * np.sqrt(6 / 7 * np.square(left - np.mean(left)).sum())
    assert (value - low, high - value) == pytest.approx((half, half), rel=1e-8)
    with pytest.raises(FaceSRError, match="at least 3 images against 2"):
        kernel_distance_to(x[:2], y)


def test_a_cache_that_cannot_be_written_costs_time_and_no_score(folder: Path, tmp_path: Path) -> None:
    want = score(Toy(reference=str(folder)), images(9, 5))
    (tmp_path / "cache").rename(tmp_path / "moved")
    (tmp_path / "cache").write_text("no folder")
    Toy.calls = 0
    assert score(Toy(reference=str(folder)), images(9, 5)) == want
    assert Toy.calls == 12


def test_a_folder_is_named_digested_and_embedded_once(folder: Path) -> None:
    Toy.calls = 0
    metric = Toy(reference=str(folder))
    assert metric.name == "toy[Other Faces]"
    assert metric.label == "Toy against Other Faces"
    assert "against Other Faces (12 images, sha256 " in metric.conventions
    sr = images(9, 5)
    found = score(metric, sr)
    own = np.stack([image.mean((0, 1)) / 64 for image in images(12, 3)])
    assert isinstance(found, SetScore)
    assert found.value == pytest.approx(frechet(sr.mean((1, 2)) / 64, own), rel=1e-5)
    assert score(Toy(reference=str(folder)), sr) == found
    assert Toy.calls == 12
    assert isinstance(score(Toy(reference=str(folder), kernel=True), sr), SetScore)

    before = metric.weights["reference"]
    (folder / "0.png").rename(folder / "renamed.png")
    write_png(folder / "1.png", images(1, 99)[0])
    from facesr.bench.metrics.reference import open_reference

    open_reference.cache_clear()
    assert Toy(reference=str(folder)).weights["reference"] != before
    reduced = Toy(reference=str(folder), size=4)
    assert "brought to 4 pixels by box" in reduced.conventions
    assert reduced.weights["reference"] not in (before, Toy(reference=str(folder)).weights["reference"])
    assert isinstance(score(reduced, images(9, 5, 4)), SetScore)


def test_saved_features_and_statistics_give_the_same_number(folder: Path, tmp_path: Path) -> None:
    sr = images(9, 5)
    known = score(Toy(reference=str(folder)), sr)
    assert isinstance(known, SetScore)
    features = np.stack([image.mean((0, 1)) / 64 for image in images(12, 3)])
    mean, cov = features.mean(0), np.cov(features, rowvar=False)
    np.savez(tmp_path / "features.npz", features=features.astype(np.float32))
    np.savez(tmp_path / "stats.npz", mu=mean, sigma=cov)
    torch.save({"mean": torch.tensor(mean), "cov": torch.tensor(cov)}, tmp_path / "inception_FFHQ_512.pth")
    for file in ("features.npz", "stats.npz", "inception_FFHQ_512.pth"):
        metric = Toy(reference=str(tmp_path / file))
        assert "as saved" in metric.conventions
        found = score(metric, sr)
        assert isinstance(found, SetScore)
        assert found.value == pytest.approx(known.value, rel=1e-4)
    with pytest.raises(FaceSRError, match="a kernel distance needs the images or their features"):
        Toy(reference=str(tmp_path / "stats.npz"), kernel=True)
    few = score(Toy(reference=str(tmp_path / "stats.npz")), sr[:3])
    assert isinstance(few, NoScore)
    assert "needs more than 3 images, these are 3" in few.reason


def test_what_is_no_reference_gets_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    write_png(tmp_path / "one" / "a.png", images(1, 0)[0])
    np.savez(tmp_path / "other.npz", words=np.array(["a"]), numbers=np.ones(3))
    np.savez(tmp_path / "slanted.npz", mu=np.zeros(2), sigma=np.array([[1.0, 2.0], [0.0, 1.0]]))
    np.savez(tmp_path / "wide.npz", mu=np.zeros(5), sigma=np.eye(5))
    np.savez(tmp_path / "nan.npz", features=np.full((4, 3), np.nan))
    np.savez(tmp_path / "code.npz", features=np.array([{"a": 1}], dtype=object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "wide.npz").read_bytes()[:-40])
    for given, said in (
        ("empty", "no images|0 images"), ("one", "holds 1 images"), ("nowhere", "no such folder or file"),
        ("other.npz", "holds numbers: give features"), ("slanted.npz", "not symmetric"), ("nan.npz", "finite numbers"),
        ("code.npz", "cannot be read"), ("cut.npz", "cut off|cannot be read"), ("absent.npz", "no such file"),
    ):  # fmt: skip
        with pytest.raises(FaceSRError, match=said):
            Toy(reference=str(tmp_path / given))
    with pytest.raises(FaceSRError, match="reference ffhk: no such folder, and no prepared data set of that name"):
        Toy(reference="ffhk")
    wide = score(Toy(reference=str(tmp_path / "wide.npz")), images(9, 5))
    assert isinstance(wide, NoScore)
    assert "holds 5 features an image, this network gives 3" in wide.reason
    Toy()._fits(2048, int("2048"))  # equal, though not the same object
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    from facesr.bench.metrics.reference import open_reference

    open_reference.cache_clear()
    broken = score(Toy(reference=str(folder)), images(9, 5))
    assert isinstance(broken, NoScore)
    assert "broken.png" in broken.reason
    with pytest.raises(FaceSRError, match="choose from: bicubic-matlab"):
        Toy(reference=str(folder), reduce="bocks")


def test_the_metrics_take_it_as_a_convention(folder: Path) -> None:
    metric = build_metric("kd-sface", {"reference": str(folder)}, {"data.size": 8, "data.reduce": "box"})
    assert isinstance(metric, FaceKernel)
    assert metric.name == "kd-sface[Other Faces]"
    assert "brought to 8 pixels by box" in metric.conventions
    assert build_metric("fid", {"reference": str(folder)}).compares_with == "nothing"
    assert build_metric("fid").compares_with == "hr"
