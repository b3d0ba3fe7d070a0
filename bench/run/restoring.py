"""Computing SR images, and nothing else: a task goes in, images and outcomes come out. Runs in this process or in any other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing, sentence, trace
from facesr.bench.faces import U8
from facesr.bench.imaging.files import encode_png, to_tensor, to_uint8
from facesr.bench.imaging.lowres import LR
from facesr.bench.imaging.resample import resize
from facesr.bench.method import Method, Outcome, Restored
from facesr.bench.registry import MethodSpec
from facesr.bench.results import SERVED, Status
from facesr.bench.run.peak import peak_memory, restart_peak
from facesr.bench.weights import with_fetch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Setting:
    """What all tasks of a run share; small enough to send with each of them. ``reduce``: the filter from larger answers to ``size``."""

    size: int
    reduce: str
    seed: int
    device: str
    against: Literal["hr", "person", "nothing"] = "hr"
    """What there is to compare SR with; see ``facesr.bench.protocol.Protocol``."""


@dataclass(frozen=True)
class RestoreTask:
    """A method at a scale on some faces. ``lr``: (N, h, w, 3), uint8 or unrounded, in the order of ``names``."""

    setting: Setting
    spec: MethodSpec
    scale: float
    names: tuple[str, ...]
    lr: LR

    @property
    def title(self) -> str:
        """For progress and logs."""
        return self.spec.label

    @property
    def faces(self) -> int:
        """How many faces."""
        return len(self.names)


@dataclass(frozen=True)
class Restoration:
    """One face's answer: ``png`` is the 8-bit image as a file, or None; ``samples``: further answers; ``seconds``: None where unknown."""

    name: str
    outcome: Outcome
    png: bytes | None = None
    seconds: float | None = None
    samples: tuple[bytes, ...] = ()
    first: bool = False
    """In the first batch after the method was loaded, which warms up."""
    memory: int | None = None
    """Most bytes that were held since the method was loaded; see ``facesr.bench.run.peak``."""


@dataclass
class RestoreResult:
    """Answers in the order of the task's names. ``traces``: tracebacks of errors in the method, for the run's log."""

    faces: list[Restoration]
    traces: list[str] = field(default_factory=list)


class Loaded:
    """The method that was asked for last, kept loaded in this process; another one takes its place."""

    _key: Any = None
    _method: Method | None = None
    _trouble: Exception | None = None
    warm: bool = False
    """Whether the method has restored a batch."""

    def get(self, spec: MethodSpec, scale: float, setting: Setting) -> Method:
        """The loaded method. What its constructor or ``load`` raised is raised again for every task."""
        key = (spec.label, spec.target, repr(sorted(spec.given.items(), key=str)), scale, setting)
        if self._key != key:
            self._key = self._method = self._trouble = None
            self.warm = False
            restart_peak(setting.device)
            try:
                method = spec.build(size=setting.size, scale=scale, seed=setting.seed, device=setting.device)
                if method.skip() is None:
                    with_fetch(method.load)
                self._method = method
            except Exception as error:  # a plug-in may raise anything; it costs this method its cells
                self._trouble = error
            self._key = key
        if self._trouble is not None:
            raise self._trouble
        assert self._method is not None
        return self._method

    def forget(self) -> None:
        """Let the method go."""
        self._key = self._method = self._trouble = None


def restore_task(task: RestoreTask, loaded: Loaded) -> RestoreResult:
    """Answers of every face of a task; a fault of the method is the outcome of its faces."""
    try:
        method = loaded.get(task.spec, task.scale, task.setting)
        if reason := method.skip():
            return RestoreResult([Restoration(n, Outcome(Status.SKIPPED, reason)) for n in task.names])
    except WeightsMissing as error:
        return RestoreResult([Restoration(n, Outcome(Status.WEIGHTS_MISSING, str(error))) for n in task.names])
    except Exception as error:  # as above
        outcome = Outcome(Status.FAILED, sentence(error))
        return RestoreResult([Restoration(n, outcome) for n in task.names], trace(error, f"{task.title} cannot be loaded"))
    result = RestoreResult([])
    _some(method, task, slice(0, task.faces), result)
    memory = peak_memory(task.setting.device)
    result.faces = [replace(f, first=not loaded.warm, memory=memory) for f in result.faces]
    loaded.warm = loaded.warm or any(f.png is not None for f in result.faces)
    return result


def _some(method: Method, task: RestoreTask, part: slice, result: RestoreResult) -> None:
    """Restore a part of a task's faces; where the batch fails each face is tried alone, so that one bad face does not cost the others."""
    names = task.names[part]
    try:
        result.faces += _batch(method, task, names, task.lr[part])
    except Exception as error:  # as above
        if len(names) > 1:
            for i in range(part.start, part.start + len(names)):
                _some(method, task, slice(i, i + 1), result)
            return
        result.faces.append(Restoration(names[0], Outcome(Status.FAILED, sentence(error))))
        result.traces += trace(error, f"{task.title} at x{task.scale}, face {names[0]}")


def _batch(method: Method, task: RestoreTask, names: Sequence[str], lr: LR) -> list[Restoration]:
    import torch

    given, all_names = _filled(method, lr, names)
    _finished(task.setting.device)
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.setting.seed)
        answer = method.restore(to_tensor(given).to(task.setting.device), all_names)
    _finished(task.setting.device)
    taken = (time.perf_counter() - start) / len(names)
    seconds = taken if method.needs_lr else None  # reading finished images says nothing of the method
    restored = answer if isinstance(answer, Restored) else Restored(answer)
    wrong = [_range_problem(image) for image in restored.images] if isinstance(restored.images, torch.Tensor) else []
    images = _fit(task, restored.images, len(all_names))[: len(names)]
    samples = [
        to_uint8(_fit(task, s, len(all_names))[: len(names)]) for s in (() if restored.samples is None else restored.samples)
    ]
    pixels = to_uint8(images.float().nan_to_num())
    outcomes = list(restored.outcomes or [Outcome()] * len(all_names))
    if len(outcomes) != len(all_names):
        raise FaceSRError(f"{task.title} gave {len(outcomes)} outcomes for {len(all_names)} faces")
    files = _encoded(pixels, task.setting.device)
    made = []
    for i, (name, outcome) in enumerate(zip(names, outcomes[: len(names)], strict=True)):
        if outcome.status in SERVED and not torch.isfinite(images[i]).all():
            outcome = Outcome(Status.FAILED, "the method returned NaN or infinite values")
        elif outcome.status in SERVED and wrong[i]:
            outcome = Outcome(Status.FAILED, wrong[i])
        served = outcome.status in SERVED
        png = files[i] if served else None
        made.append(Restoration(name, outcome, png, seconds, tuple(encode_png(s[i]) for s in samples) if served else ()))
    return made


def _finished(device: str) -> None:
    """Wait for the GPU: what was asked of it returns at once, and the clock would stop before the work is done."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def _encoded(pixels: U8, device: str) -> list[bytes]:
    """PNG files of images; beside a GPU several at once, since it waits for them (a file of 1024 px takes as long as drawing it)."""
    if device.startswith("cpu"):
        return [encode_png(image) for image in pixels]
    with ThreadPoolExecutor(ENCODERS) as pool:
        return list(pool.map(encode_png, pixels))


def _filled(method: Method, lr: LR, names: Sequence[str]) -> tuple[LR, list[str]]:
    """A batch of the method's full size: a network's last digits depend on how many faces it is given at once."""
    short = method.batch_size - len(names) if method.fixed_batch else 0
    if short <= 0:
        return lr, list(names)
    return np.concatenate([lr, np.repeat(lr[-1:], short, axis=0)]), [*names, *([names[-1]] * short)]


def _range_problem(image: Tensor) -> str:
    """Why an answer is not RGB in [0, 1], or ''. A kernel's or network's small overshoot is clipped; another range would be clipped to nonsense."""
    if not image.is_floating_point():
        return f"the method returned {str(image.dtype).removeprefix('torch.')} values: floating point in [0, 1] is expected"
    low, high = (float(v) for v in image.aminmax())
    if low >= -MAX_OVERSHOOT and high <= 1 + MAX_OVERSHOOT:
        return ""
    like = "0 to 255" if high > 16 and low > -16 else "-1 to 1" if low >= -1.5 and high <= 1.5 else ""
    guess = f" (as if the range were {like})" if like else ""
    return f"the method returned values from {low:.3g} to {high:.3g}{guess}, [0, 1] is expected"


ENCODERS = 4
"""Threads that write PNG files beside a GPU."""
MAX_OVERSHOOT = 0.5
"""Bicubic kernels overshoot by up to .28 at an edge; faces in [-1, 1] reach below -.5 wherever they are dark."""


def _fit(task: RestoreTask, images: Tensor, count: int) -> Tensor:
    size = task.setting.size
    n, channels, height, width = images.shape if images.ndim == 4 else (0, 0, 0, 0)
    if (n, channels) != (count, 3) or height != width or height < size:
        raise FaceSRError(f"{task.title} returned {tuple(images.shape)}, expected ({count}, 3, {size}, {size}) or a larger square")
    return images if height == size else resize(images.float(), size, task.setting.reduce)
