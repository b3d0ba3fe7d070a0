"""Does a method or metric keep its contract? Each fault comes with the file and line to mend, and what to do there.

A plug-in's own test is two lines: ``from facesr.bench.conformance import method_faults`` and ``assert method_faults("my.py:Mine") == []``.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch
from facesr.bench.imaging import read_rgb
from facesr.bench.metrics.base import Metric, SetMetric
from facesr.bench.registry import build_metric, method_specs

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.bench.method import Method

OURS = Path(__file__).parents[1]


def method_faults(what: str, *, size: int = 128, scale: int = 8, settings: tuple[str, ...] = (), exact: bool = False) -> list[str]:
    """Faults of a method, ``FILE:LINE: sentence`` each; [] where it keeps the contract.

    ``what``: as ``--methods`` takes it (``my.py:Mine``, an installed name); ``settings``: as ``--set`` takes them. Three small faces are restored
    a few times on the CPU. Checked: it loads; ``restore`` gives (B, 3, H, W), H = W at least ``size``, finite, without gradient; its input
    stays as it was; an answer depends neither on the batch nor on a second call with the same seed; it says what it is. ``exact``: answers
    agree bit by bit, on any number of threads and when the method is made anew, as those of the methods that come along do.
    """
    import torch

    try:
        (spec,) = method_specs([what], settings)
        method = spec.build(size=size, scale=scale, seed=1, device="cpu")
        if why := method.skip():
            return [
                f"{_place(type(method), 'skip')}: it declines {size} px, x{scale} ({why}): check it at a size and scale that it serves"
            ]
        method.load()
    except FaceSRError as error:
        return [f"{what}: {error}"]
    except Exception as error:
        return [_raised(error, what, "while it was made or loaded")]
    lr = torch.rand(3, 3, size // scale, size // scale, generator=torch.Generator().manual_seed(0))
    at = _place(type(method), "restore")
    try:
        again = spec.build(size=size, scale=scale, seed=1, device="cpu") if exact else None
        found = _restored_faults(method, lr, size, at, again)
    except Exception as error:
        found = [_raised(error, at, "in restore")]
    if not (inspect.getdoc(type(method)) or "").strip() or type(method).__doc__ is None:
        found.append(
            f"{_place(type(method))}: the class has no docstring: say in one line what the method is, 'facesr methods' prints it"
        )
    found += [
        f"{_place(type(method), 'weights')}: weights[{name!r}] is {digest!r}: give the file's sha256, 64 hex digits"
        for name, digest in method.weights.items()
        if len(digest) != 64
    ]
    return found


def _exact_faults(method: Method, again: Method, lr: Tensor, images: Tensor, at: str) -> list[str]:
    """Whether another number of threads, or the method made anew, gives the same bits."""
    import torch

    names, threads, found = ["a", "b", "c"], torch.get_num_threads(), []
    try:
        torch.set_num_threads(3 - min(threads, 2))
        if not torch.equal(_images(method.restore(lr.clone(), names)), images):
            found.append(f"{at}: an answer depends on the number of threads")
    finally:
        torch.set_num_threads(threads)
    again.load()
    if not torch.equal(_images(again.restore(lr.clone(), names)), images):
        found.append(f"{at}: the method made anew with the same seed gives another answer")
    return found


def _restored_faults(method: Method, lr: Tensor, size: int, at: str, again: Method | None) -> list[str]:
    """Faults of what it gives back; ``again``: the same method made anew, where answers are to agree bit by bit."""
    import torch

    names, before = ["a", "b", "c"], lr.clone()
    answer = method.restore(lr, names)
    images, outcomes = _images(answer), getattr(answer, "outcomes", None)
    if not isinstance(images, torch.Tensor):
        return [f"{at}: restore returns {type(images).__name__}: return a tensor (B, 3, H, W), or Restored(images, ...)"]
    if images.ndim != 4 or images.shape[:2] != (3, 3) or images.shape[2] != images.shape[3] or images.shape[2] < size:
        return [
            f"{at}: restore of 3 faces returns the shape {tuple(images.shape)}: return (3, 3, {size}, {size}), or a larger square"
        ]
    found = []
    if outcomes is not None and len(outcomes) != len(names):
        found.append(f"{at}: {len(outcomes)} outcomes for {len(names)} faces: give one per face")
    if not torch.isfinite(images).all():
        found.append(f"{at}: the answer holds NaN or infinite values")
    if images.requires_grad:
        found.append(f"{at}: the answer carries a gradient: decorate restore with torch.no_grad()")
    if images.detach().amax() > 2 or images.detach().amin() < -0.5:
        low, high = float(images.detach().amin()), float(images.detach().amax())
        found.append(
            f"{at}: values run from {low:.3g} to {high:.3g}: return RGB in [0, 1] (divide by 255, or map [-1, 1] to [0, 1])"
        )
    if not torch.equal(lr, before):
        found.append(f"{at}: restore changes its input: work on lr.clone()")
    one_by_one = torch.cat([_images(method.restore(before[i : i + 1].clone(), names[i : i + 1])) for i in (2, 0)])
    if not torch.allclose(one_by_one, images[[2, 0]], rtol=0, atol=1e-4 if again is None else 0):
        found.append(
            f"{at}: a face's answer depends on its batch: no statistics over the batch (model.eval()), noise seeded by (seed, name)"
        )
    if again is not None:
        return found + _exact_faults(method, again, before, images, at)
    if not torch.allclose(_images(method.restore(before.clone(), names)), images, rtol=0, atol=1e-4):
        found.append(f"{at}: a second call gives another answer: seed random numbers by (self.seed, name)")
    return found


def _images(answer: Any) -> Any:
    return getattr(answer, "images", answer)


def metric_faults(what: str) -> list[str]:
    """Faults of a metric of single images, ``FILE:LINE: sentence`` each; [] where it keeps the contract.

    Checked: it loads and names itself; one number per image; HR against itself scores better than noise, in the declared direction and range;
    the images stay as they were; a score does not depend on the batch.
    """
    try:
        metric = build_metric(what)
    except FaceSRError as error:
        return [f"{what}: {error}"]
    except Exception as error:
        return [_raised(error, what, "while it was made")]
    here = _place(type(metric))
    needed = {"name": metric.name, "label": metric.label, "conventions": metric.conventions}
    found = [f"{here}: {name!r} is empty: tables and footnotes print it" for name, text in needed.items() if not text]
    if isinstance(metric, SetMetric):
        return found
    at = _place(type(metric), "score")
    try:
        return found + _scored_faults(metric, at)
    except Exception as error:
        return [*found, _raised(error, at, "in score")]


def _scored_faults(metric: Metric, at: str) -> list[str]:
    batch = _batch()
    noise = np.random.default_rng(1).integers(0, 256, batch.hr.shape, dtype=np.uint8)
    score = _scorer(metric, batch)
    same, kept = score(batch.hr.copy(), batch), noise.copy()
    worse = score(noise, batch)
    if len(same) != len(batch) or len(worse) != len(batch):
        return [f"{at}: {len(same)} values for {len(batch)} images: return one number (or NoScore) per image, in order"]
    found = [] if np.array_equal(noise, kept) else [f"{at}: score changes the images it is given: work on a copy"]
    pairs = [(a, b) for a, b in zip(same, worse, strict=True) if isinstance(a, int | float) and isinstance(b, int | float)]
    odd = [type(v).__name__ for v in same if not isinstance(v, int | float | np.floating) and type(v).__name__ != "NoScore"]
    if odd:
        found.append(f"{at}: a value is a {odd[0]}: return floats, or NoScore(status, reason)")
    low, high = metric.range
    for value in (v for pair in pairs for v in pair):
        if not low <= value <= high:
            found.append(f"{at}: {value:.4g} lies outside the declared range {low:g} to {high:g}: correct 'range' or the value")
            break
    sign = 1 if metric.higher_is_better else -1
    if any(sign * (a - b) < 0 for a, b in pairs):
        found.append(
            f"{_place(type(metric))}: noise scores better than HR itself: is higher_is_better = {metric.higher_is_better} right?"
        )
    alone = score(noise[1:2], _part(batch, 1))
    if pairs and abs(float(alone[0]) - float(worse[1])) > 1e-4 * max(1.0, abs(float(worse[1]))):
        found.append(f"{at}: an image's score depends on its batch: score each image by itself")
    return found


def _scorer(metric: Metric, batch: Batch) -> Callable[[U8, Batch], list[Any]]:
    reference = metric.reference(batch)

    def score(sr: U8, of: Batch) -> list[Any]:
        return list(metric.score(sr, of, reference if of is batch else metric.reference(of)))

    return score


def _batch() -> Batch:
    faces = tuple(find_dataset("demo", "all", 128).faces[:3])
    hr = np.stack([read_rgb(face.path) for face in faces])
    return Batch(faces, hr, hr[:, 4::8, 4::8].copy())


def _part(batch: Batch, i: int) -> Batch:
    return Batch(batch.faces[i : i + 1], batch.hr[i : i + 1], batch.lr[i : i + 1] if batch.lr is not None else None)


def _place(cls: type, name: str = "") -> str:
    """FILE:LINE of a class or of one of its methods."""
    thing: Any = getattr(cls, name, cls) if name else cls
    getter: Any = thing.fget if isinstance(thing, property) else thing
    thing = inspect.unwrap(getter)
    try:
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return cls.__qualname__
    return f"{file}:{line}"


def _raised(error: Exception, otherwise: str, when: str) -> str:
    """Where a plug-in raised: the innermost line that is not FaceSR-Bench's or an installed package's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f
        for f in frames
        if not Path(f.filename).is_relative_to(OURS) and "site-packages" not in f.filename and "<frozen" not in f.filename
    ]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else otherwise
    return f"{place}: {type(error).__name__} {when}: {error}"
