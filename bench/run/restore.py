"""First half of a run: HR -> LR -> SR, only the cells that are due."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facesr.bench.data.dataset import sha256
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8, Face
from facesr.bench.imaging.files import read_rgb, write_png
from facesr.bench.imaging.resample import resize8
from facesr.bench.method import Method, Outcome, Restored
from facesr.bench.registry import MethodSpec
from facesr.bench.run.plan import Plan, digest, stamp
from facesr.bench.run.store import Store
from facesr.bench.weights import with_fetch

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str, int, int], None]
T = TypeVar("T")
CHUNK = 16
"""Faces in memory at once."""
RETRIED = ("failed", "weights_missing", "missing")
"""Statuses that a later run tries again."""


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive slices."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read_hr(plan: Plan, face: Face) -> U8:
    """A face at the protocol's size: the prepared file, reduced by the protocol's filter where it is larger."""
    size = plan.protocol.data.size
    image = read_rgb(face.path)
    height, width, _ = image.shape
    if height != width:
        raise FaceSRError(f"{face.path}: {width} x {height} pixels is not square: align faces first with 'facesr data prepare'")
    if height < size:
        raise FaceSRError(
            f"{face.path}: {width} x {height} pixels is smaller than the protocol's {size}; enlarging HR would be cheating"
        )
    return resize8(image, size, plan.protocol.data.reduce)


def degrade(plan: Plan, hr: U8, scale: int) -> U8:
    """The 8-bit LR image of an HR image."""
    return resize8(hr, plan.protocol.data.size // scale, plan.protocol.degradation.kernel)


def make_lr(plan: Plan, store: Store, progress: Progress) -> dict[tuple[int, str], str]:
    """Write the LR images that are due; returns the sha256 of each (scale, face)."""
    have = {(s, i): (k, h) for s, i, k, h in store.rows("SELECT scale, image, key, sha256 FROM degraded")}
    good: dict[tuple[int, str], str] = {}
    due: list[Face] = []
    for face in plan.data.faces:
        for scale in plan.protocol.degradation.scale:
            key, known = have.get((scale, face.name), ("", ""))
            file = plan.folder("lr", scale) / f"{face.name}.png"
            if key == plan.degradation_key(face, scale) and file.is_file() and sha256(file) == known:
                good[scale, face.name] = known
            elif not due or due[-1] is not face:
                due.append(face)
    for scale in plan.protocol.degradation.scale:
        _make_folder(plan.folder("lr", scale))
    with ThreadPoolExecutor(4) as pool:
        done = 0
        for part in chunks(due, CHUNK):
            rows = []
            for face, made in zip(part, pool.map(lambda f: _lr_files(plan, f), part), strict=True):
                for scale, known in made:
                    good[scale, face.name] = known
                    rows.append((scale, face.name, plan.degradation_key(face, scale), known))
            store.put("degraded", rows)
            done += len(part)
            progress("LR images", done, len(due))
    return good


def _lr_files(plan: Plan, face: Face) -> list[tuple[int, str]]:
    import hashlib

    hr = read_hr(plan, face)
    made = []
    for scale in plan.protocol.degradation.scale:
        data = write_png(plan.folder("lr", scale) / f"{face.name}.png", degrade(plan, hr, scale))
        made.append((scale, hashlib.sha256(data).hexdigest()))
    return made


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None


class Restorer:
    """Runs one method at one scale over the faces that are due."""

    def __init__(self, plan: Plan, store: Store, spec: MethodSpec, scale: int, lr: dict[tuple[int, str], str]) -> None:
        self.plan, self.store, self.spec, self.scale, self.lr = plan, store, spec, scale, lr
        self.folder = plan.folder(f"sr/{spec.label}", scale)
        self.stamp = stamp(spec)
        self.method: Method | None = None

    def check(self) -> None:
        """Make the method unless nothing about it changed: a wrong parameter is told before any work starts."""
        self._weights()

    def run(self, progress: Progress) -> None:
        """Restore what is due; every face ends as a row of the store."""
        weights = self._weights()
        have = {
            image: (key, status, known)
            for image, key, status, known in self.store.rows(
                "SELECT image, key, status, sha256 FROM restored WHERE method = ? AND scale = ?", (self.spec.label, self.scale)
            )
        }
        due = [f for f in self.plan.data.faces if not self._good(f, weights, have.get(f.name))]
        if not due:
            return
        try:
            reason = self._build().skip()
            if reason:
                self.store.put("restored", [self._row(f, weights, Outcome("skipped", reason), None, "") for f in due])
                return
            method = self._load()
            _make_folder(self.folder)
        except WeightsMissing as error:
            self.store.put("restored", [self._row(f, weights, Outcome("weights_missing", str(error)), None, "") for f in due])
            progress(self.spec.label, len(due), len(due))
            return
        except FaceSRError as error:  # a broken weight file costs this method its cells, not the others theirs
            self.store.put("restored", [self._row(f, weights, Outcome("failed", str(error)), None, "") for f in due])
            return
        self._all(method, weights, due, progress)

    def _weights(self) -> str:
        """Hashes of the method's weights: as recorded when nothing about it changed, else asked of the method itself."""
        for known, weights in self.store.rows("SELECT stamp, weights FROM method WHERE label = ?", (self.spec.label,)):
            if known == self.stamp:
                return str(weights)
        method = self._build()
        try:
            weights = json.dumps(with_fetch(lambda: method.weights), sort_keys=True)
        except WeightsMissing:
            weights = "{}"
        self.store.put("method", [(self.spec.label, self.stamp, weights, method.terms, method.cite)])
        return weights

    def _build(self) -> Method:
        if self.method is None:
            plan = self.plan
            self.method = self.spec.build(size=plan.protocol.data.size, scale=self.scale, seed=plan.seed, device=plan.device)
        return self.method

    def _load(self) -> Method:
        method = self._build()
        with_fetch(method.load)
        return method

    def _key(self, face: Face, weights: str) -> str:
        inputs: list[str] = []
        if self.spec.target.startswith("facesr.methods.folder:"):  # its images are its input: nothing to import, nothing to load
            inputs = self._folder_inputs(face)
        d = self.plan.degradation_key(face, self.scale)
        return digest(
            "sr", d, self.lr.get((self.scale, face.name)), self.stamp, weights, self.plan.seed, self.scale, face.name, inputs
        )

    def _folder_inputs(self, face: Face) -> list[str]:
        method = self._build()
        if not getattr(method, "files", None):
            method.load()
        return [sha256(p) for p in method.inputs(face.name)]

    def _good(self, face: Face, weights: str, known: tuple[str, str, str] | None) -> bool:
        if known is None or known[1] in RETRIED or known[0] != self._key(face, weights):
            return False
        file = self.folder / f"{face.name}.png"
        return known[1] == "skipped" or (file.is_file() and sha256(file) == known[2])

    def _row(self, face: Face, weights: str, outcome: Outcome, seconds: float | None, known: str) -> tuple[Any, ...]:
        return (self.spec.label, self.scale, face.name, self._key(face, weights), outcome.status, outcome.reason, seconds, known)

    def _all(self, method: Method, weights: str, due: Sequence[Face], progress: Progress) -> None:
        done = 0
        for part in chunks(due, max(1, method.batch_size)):
            self.store.put("restored", self._batch(method, weights, part))
            done += len(part)
            progress(self.spec.label, done, len(due))

    def _batch(self, method: Method, weights: str, faces: Sequence[Face]) -> list[tuple[Any, ...]]:
        try:
            images, outcomes, seconds = self._call(method, faces)
        except Exception as error:  # a method may raise anything; one bad face must not take its batch with it
            if len(faces) > 1:
                return [row for face in faces for row in self._batch(method, weights, [face])]
            self._forget(faces[0])
            return [self._row(faces[0], weights, Outcome("failed", _sentence(error)), None, "")]
        rows = []
        for face, image, outcome in zip(faces, images, outcomes, strict=True):
            known = ""
            if outcome.status in ("ok", "not_converged"):
                import hashlib

                known = hashlib.sha256(write_png(self.folder / f"{face.name}.png", image)).hexdigest()
            else:
                self._forget(face)
            rows.append(self._row(face, weights, outcome, seconds / len(faces), known))
        return rows

    def _forget(self, face: Face) -> None:
        (self.folder / f"{face.name}.png").unlink(missing_ok=True)

    def _call(self, method: Method, faces: Sequence[Face]) -> tuple[U8, Sequence[Outcome], float]:
        import torch

        from facesr.bench.imaging.files import to_tensor, to_uint8

        lr = np.stack([read_rgb(self.plan.folder("lr", self.scale) / f"{f.name}.png") for f in faces])
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed)
            result = method.restore(to_tensor(lr).to(self.plan.device), [f.name for f in faces])
        seconds = time.perf_counter() - start
        restored = result if isinstance(result, Restored) else Restored(result)
        images = self._fit(restored.images, len(faces))
        outcomes = list(restored.outcomes or [Outcome()] * len(faces))
        if len(outcomes) != len(faces):
            raise FaceSRError(f"{self.spec.label} gave {len(outcomes)} outcomes for {len(faces)} faces")
        for i, image in enumerate(images):
            if outcomes[i].status in ("ok", "not_converged") and not torch.isfinite(image).all():
                outcomes[i] = Outcome("failed", "the method returned NaN or infinite values")
        if restored.samples is not None:
            self._write_samples(restored.samples, faces)
        return to_uint8(images.float().nan_to_num()), outcomes, seconds

    def _fit(self, images: Tensor, count: int) -> Tensor:
        from facesr.bench.imaging.resample import resize

        size = self.plan.protocol.data.size
        n, channels, height, width = images.shape if images.ndim == 4 else (0, 0, 0, 0)
        if (n, channels) != (count, 3) or height != width or height < size:
            raise FaceSRError(
                f"{self.spec.label} returned {tuple(images.shape)}, expected ({count}, 3, {size}, {size}) or a larger square"
            )
        return images if height == size else resize(images.float(), size, self.plan.protocol.data.reduce)

    def _write_samples(self, samples: Tensor, faces: Sequence[Face]) -> None:
        from facesr.bench.imaging.files import to_uint8

        for k, sample in enumerate(samples):
            folder = self.plan.folder(f"samples/{self.spec.label}", self.scale) / str(k)
            _make_folder(folder)
            for face, image in zip(faces, to_uint8(self._fit(sample, len(faces))), strict=True):
                write_png(folder / f"{face.name}.png", image)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, FaceSRError) else f"{type(error).__name__}: {text}"
