"""What both sides are given: demo faces, generated pictures (flat, bright, tiny, odd sizes) and simulated ratings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from facesr.bench.faces import F64, U8
from facesr.bench.stats.cube import Cube

PICTURES = "faces, 7 generated"
FACES = "8 demo faces, 128 px"


@dataclass(frozen=True)
class Pair:
    """An image and what it is compared with, (H, W, 3) uint8 RGB."""

    name: str
    sr: U8
    hr: U8


@cache
def demo() -> U8:
    """The demo faces that are part of the project, (8, 128, 128, 3)."""
    from facesr.bench.data.dataset import DEMO
    from facesr.bench.imaging import read_rgb

    return np.stack([read_rgb(file) for file in sorted((DEMO / "images").glob("*.png"))])


def blurred(images: U8, sigma: float) -> U8:
    """What a poor method might give."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def texture(height: int, width: int, seed: int) -> U8:
    """Smooth colours with grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(image + rng.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)


@cache
def faces() -> tuple[Pair, ...]:
    """Demo faces against themselves blurred, and one against another."""
    hr = demo()
    pairs = [Pair(f"face {i}", sr, one) for i, (sr, one) in enumerate(zip(blurred(hr, 1.5), hr, strict=True))]
    return (*pairs, Pair("two faces", hr[0], hr[1]))


@cache
def generated() -> tuple[Pair, ...]:
    """Pictures on which implementations part ways: nothing but one value, nearly white, noise, stripes, sides that are no power of two."""
    rng = np.random.default_rng(0)
    flat, white = np.full((64, 64, 3), 128, np.uint8), np.full((64, 64, 3), 255, np.uint8)
    near = white.copy()
    near[..., 0] = 254
    noise = rng.integers(0, 256, (64, 80, 3), np.uint8)
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    odd, tall = texture(97, 129, 1), texture(131, 75, 2)
    return (
        Pair("flat", flat, flat + np.uint8(3)),
        Pair("bright", near, white),
        Pair("bright face", np.maximum(texture(64, 64, 3), 250), white),
        Pair("noise", noise, noise[::-1].copy()),
        Pair("stripes", stripes, 255 - stripes),
        Pair("odd", cv2.GaussianBlur(odd, (0, 0), 1.0), odd),
        Pair("tall", cv2.GaussianBlur(tall, (0, 0), 2.0), tall),
    )


@cache
def tiny() -> tuple[Pair, ...]:
    """The smallest images that SSIM takes."""
    return tuple(Pair(f"{h} x {w}", texture(h, w, h), texture(h, w, w + 50)) for h, w in ((11, 11), (11, 40), (13, 12), (16, 16)))


@cache
def large() -> tuple[Pair, ...]:
    """Large enough for five scales: 192 and 256 px, and sides that no two divides."""
    hr = [cv2.resize(face, (256, 256), interpolation=cv2.INTER_CUBIC) for face in demo()[:3]]
    hr += [texture(192, 192, 5), texture(177, 201, 6)]
    return tuple(Pair(f"large {i}", cv2.GaussianBlur(x, (0, 0), 1.0 + 0.5 * i), x) for i, x in enumerate(hr))


@cache
def ratings(seed: int = 0, raters: int = 24, stimuli: int = 60, missing: float = 0.0) -> F64:
    """Simulated five-point ratings (stimuli, raters): qualities, biases of raters, raters who are noisier than others."""
    rng = np.random.default_rng(seed)
    quality, bias = rng.uniform(1.5, 4.5, (stimuli, 1)), rng.normal(0, 0.3, (1, raters))
    x = np.clip(np.rint(quality + bias + rng.normal(0, 1, (stimuli, raters)) * rng.uniform(0.4, 1.3, (1, raters))), 1, 5)
    x[rng.random(x.shape) < missing] = np.nan
    return x


@cache
def study(seed: int = 1, raters: int = 8, faces: int = 6, missing: float = 0.0) -> Cube:
    """A simulated study of three methods as a cube (raters, faces, methods); raters and faces differ in what they make of a method."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.6, (raters, 1, 1)) + rng.normal(0, 0.4, (1, faces, 1)) + np.array([3.4, 3.0, 2.6])
    x = x + rng.normal(0, 0.4, (raters, 1, 3)) + rng.normal(0, 0.4, (1, faces, 3)) + rng.normal(0, 0.8, (raters, faces, 3))
    x = np.clip(np.rint(x), 1, 5)
    x[rng.random(x.shape) < missing] = np.nan
    return Cube(x, tuple(f"r{i}" for i in range(raters)), tuple(f"f{i}" for i in range(faces)), ("a", "b", "c"))
