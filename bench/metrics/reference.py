"""Reference sets of distances between distributions: a folder, a prepared data set, or statistics and features that somebody saved.

A set is what its images are: its digest covers their bytes and how they are brought to size, stands in the metric's footnote and enters its key.
Features of a set are computed once and kept in the cache under that digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.data.dataset import chosen
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F32, F64, U8, Face
from facesr.bench.imaging.files import read_rgb
from facesr.bench.imaging.resample import resize8
from facesr.bench.metrics.base import NoScore
from facesr.bench.weights import find_weight, read_tensors, weight_sha256
from facesr.bench.weights.files import cache_folder

SAVED = (".npz", ".pth", ".pt")
LARGEST = 4 << 30
"""Bytes that saved features may take: seven times FFHQ's."""
PART = 32
"""Images whose features are computed in one call."""


@dataclass(frozen=True)
class FeatureMoments:
    """Mean (d,) and covariance (d, d) of features; ``n``: of how many images, None where it is not known."""

    mean: F64
    cov: F64
    n: int | None = None


@dataclass(frozen=True)
class Reference:
    """A named set. ``faces``: its images; else ``features`` (n, d) or ``moments``, which somebody saved; ``digest``: sha256, of all it is."""

    name: str
    digest: str
    n: int | None
    faces: tuple[Face, ...] = ()
    features: F32 | None = None
    moments: FeatureMoments | None = None

    @property
    def words(self) -> str:
        """For a footnote."""
        count = "number of images not known" if self.n is None else f"{self.n:,} images"
        return f"{self.name} ({count}, sha256 {self.digest[:12]})"


@lru_cache(maxsize=8)
def open_reference(text: str, size: int, reduce: str) -> Reference:
    """What ``text`` names: a folder of images, a prepared data set, or a file of features (``.npz``) or statistics (``.npz`` mu, sigma; ``.pth``).

    Images are brought to ``size`` (0: left as they are) by the filter ``reduce``, as HR is: the digest covers both. Raises ``FaceSRError``.
    """
    path = Path(text).expanduser()
    if path.suffix.lower() in SAVED:
        return _saved(path)
    if not path.is_dir() and os.sep in text:
        raise FaceSRError(f"reference {text}: there is no such folder or file")
    try:
        data = chosen(str(path), size)
    except FaceSRError as error:
        raise FaceSRError(f"reference {text}: {str(error).removeprefix(f'--data {text}: ')}") from None
    if len(data.faces) < 2:
        raise FaceSRError(f"reference {text} holds {len(data.faces)} images: a distribution needs at least two")
    how = f"{size} {reduce}" if size else "as they are"
    digest = hashlib.sha256(json.dumps([how, sorted(f.sha256 for f in data.faces)]).encode()).hexdigest()
    return Reference(path.name or text, digest, len(data.faces), data.faces)


def _saved(path: Path) -> Reference:
    if not path.is_file():
        raise FaceSRError(f"reference {path}: there is no such file")
    file = find_weight(path)
    if file.suffix.lower() == ".npz":
        try:
            with zipfile.ZipFile(file) as archive:
                if sum(part.file_size for part in archive.infolist()) > LARGEST:
                    raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
            with np.load(file, allow_pickle=False) as held:
                tables = {name: np.asarray(held[name]) for name in held.files if held[name].dtype.kind in "fiu"}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise FaceSRError(f"reference {path} cannot be read as .npz ({error})") from None
    else:
        tables = {key: value.double().numpy() for key, value in read_tensors(file).items() if hasattr(value, "numpy")}
    digest = weight_sha256(file)
    if "features" in tables:
        features = tables["features"].astype(np.float32)
        if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
            raise FaceSRError(f"reference {path}: 'features' must be finite numbers, one row for each of two images or more")
        return Reference(path.stem, digest, len(features), features=features)
    mean, cov = (next((tables[k] for k in keys if k in tables), None) for keys in (("mu", "mean"), ("sigma", "cov")))
    if mean is None or cov is None:
        raise FaceSRError(f"reference {path} holds {', '.join(tables) or 'no numbers'}: give features, or mu and sigma")
    mean, cov = np.asarray(mean, np.float64).reshape(-1), np.asarray(cov, np.float64)
    if cov.shape != (len(mean), len(mean)) or not np.isfinite(cov).all() or not np.isfinite(mean).all():
        raise FaceSRError(
            f"reference {path}: mu has {len(mean)} numbers and sigma {cov.shape}, finite and square of that side is asked for"
        )
    if not np.allclose(cov, cov.T, atol=1e-6 * max(1.0, float(np.abs(cov).max()))):
        raise FaceSRError(f"reference {path}: sigma is no covariance, it is not symmetric")
    count = int(tables["n"].reshape(-1)[0]) if "n" in tables and tables["n"].size else None
    return Reference(path.stem, digest, count, moments=FeatureMoments(mean, cov, count))


def features_of(
    reference: Reference, key: str, size: int, reduce: str, embed: Callable[[U8, Sequence[Face]], Sequence[Any]]
) -> F32:
    """Features (n, d) of a set's images, from the cache where they are; ``key``: of the network. Images in which it finds no face are left out.

    ``embed`` gives one row (or ``NoScore``) for each of some images of one size. Raises ``FaceSRError`` for an image that cannot be read.
    """
    if reference.features is not None:
        return reference.features
    place = cache_folder() / "features" / f"{hashlib.sha256(f'{reference.digest} {key}'.encode()).hexdigest()[:40]}.npy"
    if place.is_file():
        try:
            return np.asarray(np.load(place, allow_pickle=False), np.float32)
        except (OSError, ValueError, EOFError):
            place.unlink(missing_ok=True)  # cut off: made again
    rows: list[F32] = []
    for start in range(0, len(reference.faces), PART):
        faces = reference.faces[start : start + PART]
        images = [_image(face, size, reduce) for face in faces]
        if size:  # landmarks are in pixels of the file
            faces = tuple(replace(f, landmarks=None) for f in faces)
        for shape in sorted({image.shape for image in images}):
            same = [i for i, image in enumerate(images) if image.shape == shape]
            found = embed(np.stack([images[i] for i in same]), [faces[i] for i in same])
            rows += [np.asarray(row, np.float32) for row in found if not isinstance(row, NoScore)]
    if len(rows) < 2:
        raise FaceSRError(f"reference {reference.name}: {len(rows)} of its {len(reference.faces)} images have features")
    features = np.stack(rows)
    _keep(place, features)
    return features


def _image(face: Face, size: int, reduce: str) -> U8:
    image = read_rgb(face.path)
    if not size or image.shape[:2] == (size, size):
        return image
    if image.shape[0] != image.shape[1] or image.shape[0] < size:
        raise FaceSRError(
            f"reference image {face.path.name} has {image.shape[1]} x {image.shape[0]} pixels: squares of at least {size} are reduced to it"
        )
    return resize8(image, size, reduce)


def _keep(place: Path, features: F32) -> None:
    """Into the cache, whole or not at all; a cache that cannot be written costs the next run its time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
            np.save(file, features)
        Path(file.name).replace(place)
    except OSError:
        return
