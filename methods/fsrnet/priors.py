"""FSRNet's prior maps: landmark heat maps and parsing maps, in [-1, 1], that follow the augmentation of their image.

Published: Helen, 194 landmarks and 9 or 11 maps; CelebA, 81 landmarks and 11 parsing maps. Here: any number of points from a CSV, five
points found by YuNet, or 11 parsing maps from label images, from CelebAMask-HQ's mask files, or from BiSeNet. Faces without any are
left out of the prior's loss.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesr.bench.detect import detect_batch
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import read_rgb, resize
from facesr.bench.weights import load_tensors
from facesr.methods.fsrnet.parsing import CLASSES, BiSeNet
from facesr.methods.training.data import FaceBatches, Faces, expand
from facesr.methods.training.objective import Batch

MAPS = ("skin", "l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear", "nose", "mouth", "u_lip", "l_lip")
"""The 11 parsing maps, in the published order."""
MIRROR_MAPS = (0, 2, 1, 4, 3, 6, 5, 7, 8, 9, 10)
"""Left and right change places in a mirror image; u_lip and l_lip are the upper and the lower one."""
MIRROR_FIVE = (1, 0, 2, 4, 3)
"""Left and right change places in a mirror image: eyes, and corners of the mouth."""
SIGMA = 3.0
"""Published width of a heat map's Gaussian, in pixels of a map of 64."""


@dataclass(frozen=True)
class PriorOptions:
    """The table ``[data.prior]``."""

    kind: Literal["yunet", "landmarks", "labels", "celebamask", "bisenet"]
    """``yunet``: five points, detected; ``landmarks``: a CSV (name, x0, y0, x1, ...); ``labels``: images of class numbers 0-18;
    ``celebamask``: CelebAMask-HQ's ``NNNNN_skin.png`` files; ``bisenet``: labels by face-parsing.PyTorch's net."""
    path: str = ""
    """The CSV, the folder, or BiSeNet's ``79999_iter.pth``."""
    mirror: tuple[int, ...] = ()
    """For ``landmarks``: the index of each point's mirror image; needed where images are flipped."""
    sigma: float = SIGMA
    """Width of the heat maps, in pixels of a map of 64; scaled with the map."""


def heat_maps(points: Tensor, side: int, sigma: float = SIGMA) -> Tensor:
    """A Gaussian at each point: ``points`` (..., K, 2), (x, y) in pixels of the map, to (..., K, side, side) in [-1, 1]."""
    pixel = torch.arange(side, dtype=torch.float32, device=points.device)
    x = (pixel - points[..., 0, None]).square()
    y = (pixel - points[..., 1, None]).square()
    return torch.exp(-(y[..., :, None] + x[..., None, :]) / (2 * sigma**2)) * 2 - 1


def parsing_maps(labels: NDArray[np.uint8] | Tensor, side: int) -> Tensor:
    """The 11 maps, in [-1, 1], of class numbers (B, H, W): each class apart, reduced by Pillow's bicubic kernel as the port does."""
    classes = torch.as_tensor(np.asarray(labels)).long()
    masks = torch.stack([classes == CLASSES.index(name) for name in MAPS], 1).float()
    return resize(masks, side, "bicubic-pillow").clamp(0, 1) * 2 - 1


def celebamask_labels(folder: Path, index: int, side: int = 512) -> NDArray[np.uint8]:
    """Class numbers (side, side) from CelebAMask-HQ's mask files ``NNNNN_name.png``; later classes lie over earlier ones."""
    result = np.zeros((side, side), np.uint8)
    for number, name in enumerate(CLASSES):
        file = folder / f"{index:05d}_{name}.png"
        if number and file.is_file():
            mask = read_rgb(file)[:, :, 0]
            if mask.shape != result.shape:
                raise FaceSRError(f"{file}: {mask.shape[1]} x {mask.shape[0]} pixels; CelebAMask-HQ's masks have {side} a side")
            result[mask > 127] = number
    return result


class LandmarkPrior:
    """Heat maps of points that are known for some faces. ``points`` (N, K, 2) in pixels of the image, NaN where unknown."""

    def __init__(self, points: Tensor, mirror: Sequence[int], sigma: float, size: int) -> None:
        self.points, self.mirror, self.sigma, self.size = points, list(mirror), sigma, size
        self.channels = points.shape[1]

    def __call__(self, batch: Batch, side: int) -> tuple[Tensor, Tensor]:
        """Maps (B, K, side, side) and which faces have them (B,)."""
        points = self.points[batch["rows"]] - batch["moves"].flip(1)[:, None]  # moves are (down, right), points (x, y)
        mirrored = torch.stack([self.size - 1 - points[..., 0], points[..., 1]], -1)
        if self.mirror:
            mirrored = mirrored[:, self.mirror]
        elif batch["flips"].any():
            raise FaceSRError("[data.prior] landmarks of flipped images need 'mirror', the index of each point's mirror image")
        points = torch.where(batch["flips"][:, None, None], mirrored, points)
        known = points.isfinite().all(-1).all(-1)
        scaled = (points + 0.5) * (side / self.size) - 0.5
        return heat_maps(scaled.nan_to_num(-100.0), side, self.sigma * side / 64), known


class LabelPrior:
    """Parsing maps of class numbers ``labels`` (N, S, S); 255 everywhere where unknown."""

    channels = len(MAPS)

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __call__(self, batch: Batch, side: int) -> tuple[Tensor, Tensor]:
        """Maps (B, 11, side, side) and which faces have them (B,)."""
        labels = self.labels[batch["rows"]]
        size = labels.shape[-1]
        down, right = (batch["moves"][:, i, None] * size // batch["hr"].shape[-1] + torch.arange(size) for i in (0, 1))
        faces = torch.arange(len(labels))[:, None, None]
        moved = labels[faces, down.clamp(0, size - 1)[:, :, None], right.clamp(0, size - 1)[:, None, :]]
        maps = parsing_maps(moved, side)
        mirrored = maps.flip(3)[:, list(MIRROR_MAPS)]
        return torch.where(batch["flips"][:, None, None, None], mirrored, maps), (labels != 255).flatten(1).any(1)


Prior = LandmarkPrior | LabelPrior


class PriorBatches:
    """A source of faces with ``maps`` (B, C, side, side) and ``has_maps`` (B,) added."""

    def __init__(self, source: FaceBatches, prior: Prior, side: int, channels: int) -> None:
        if prior.channels != channels:
            raise FaceSRError(
                f"the net has {channels} prior maps and [data.prior] gives {prior.channels}: set landmarks and parsing in [net] to match"
            )
        self.source, self.prior, self.side = source, prior, side

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """See ``Source``."""
        batch = self.source.batch(step, rank, world)
        maps, known = self.prior(batch, self.side)
        return {**batch, "maps": maps, "has_maps": known}


def make_prior(options: PriorOptions, faces: Faces) -> Prior:
    """Read or compute the prior of every face."""
    makers: dict[str, Callable[[PriorOptions, Faces], Prior]] = {
        "yunet": _yunet,
        "landmarks": _landmarks,
        "labels": _labels,
        "celebamask": _labels,
        "bisenet": _bisenet,
    }
    if options.kind not in makers:
        raise FaceSRError(f"[data.prior]: no kind {options.kind!r}: {suggest(options.kind, makers)}")
    return makers[options.kind](options, faces)


def _yunet(options: PriorOptions, faces: Faces) -> Prior:
    size = faces.pixels.shape[1]
    points = torch.full((len(faces.pixels), 5, 2), float("nan"))
    for start in range(0, len(points), 64):
        for i, found in enumerate(detect_batch(faces.pixels[start : start + 64])):
            if found:
                points[start + i] = torch.as_tensor(found[0].landmarks5, dtype=torch.float32)
    return LandmarkPrior(points, MIRROR_FIVE, options.sigma, size)


def _landmarks(options: PriorOptions, faces: Faces) -> Prior:
    table = expand(options.path)
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = {row[0].rsplit(".", 1)[0]: row[1:] for row in list(csv.reader(file))[1:] if row}
        count = len(next(iter(rows.values()))) // 2
        points = torch.full((len(faces.names), count, 2), float("nan"))
        for i, name in enumerate(faces.names):
            if name in rows:
                points[i] = torch.tensor([float(v) for v in rows[name]]).view(count, 2)
    except (OSError, ValueError, RuntimeError, StopIteration, csv.Error) as error:
        raise FaceSRError(f"{table}: not a table of landmarks (name, x0, y0, x1, y1, ...): {error}") from None
    if options.mirror and sorted(options.mirror) != list(range(count)):
        raise FaceSRError(f"[data.prior] mirror must hold each of 0 to {count - 1} once, for {count} landmarks")
    return LandmarkPrior(points, options.mirror, options.sigma, faces.pixels.shape[1])


def _labels(options: PriorOptions, faces: Faces) -> Prior:
    folder = expand(options.path)
    if not folder.is_dir():
        raise FaceSRError(f"{folder}: no such folder; [data.prior] path names where the {options.kind} files are")
    found: dict[int, NDArray[np.uint8]] = {}
    for i, name in enumerate(faces.names):
        if options.kind == "labels" and (folder / f"{name}.png").is_file():
            found[i] = read_rgb(folder / f"{name}.png")[:, :, 0]
        elif options.kind == "celebamask" and name.isdigit() and (folder / f"{int(name):05d}_skin.png").is_file():
            found[i] = celebamask_labels(folder, int(name))
    if not found:
        raise FaceSRError(
            f"{folder} has no {options.kind} file for any of the {len(faces.names)} faces: files are named as the faces"
        )
    shape = next(iter(found.values())).shape
    labels = torch.full((len(faces.names), *shape), 255, dtype=torch.uint8)
    for i, image in found.items():
        labels[i] = torch.from_numpy(image)
    return LabelPrior(labels)


def _bisenet(options: PriorOptions, faces: Faces) -> Prior:
    net = BiSeNet.from_state(load_tensors(expand(options.path)))
    labels = []
    for start in range(0, len(faces.pixels), 8):
        images = torch.from_numpy(faces.pixels[start : start + 8]).permute(0, 3, 1, 2).float() / 255
        labels.append(net.labels(images).to(torch.uint8)[:, ::4, ::4])  # at 128, twice the maps' side
    return LabelPrior(torch.cat(labels))
