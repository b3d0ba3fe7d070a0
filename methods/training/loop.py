"""The training loop, on Lightning Fabric: one core to many GPUs with the same code, resumable to the same result."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError, sentence
from facesr.methods.training import checkpoint
from facesr.methods.training.data import FaceSource, step_seed
from facesr.methods.training.objective import Batch, Objective, Phase
from facesr.methods.training.progress import TrainingProgress
from facesr.methods.training.recipe import Loop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST, BEST = "last.pt", "best.pt"


class DivergedError(FaceSRError):
    """A loss or a gradient is not finite. The last checkpoint is from before it."""


@dataclass(frozen=True)
class Machine:
    """Where to run: Fabric's own words (``cpu``, ``cuda``, ``auto``; devices; strategy)."""

    accelerator: str = "auto"
    devices: str = "auto"
    strategy: str = "auto"


class Average:
    """Exponential moving average of the weights and running statistics of some modules (Polyak averaging, with a warm start)."""

    def __init__(self, modules: dict[str, nn.Module], decay: float) -> None:
        self.modules, self.decay = modules, decay
        self.values = {name: {k: v.detach().clone() for k, v in m.state_dict().items()} for name, m in modules.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step ``step`` (1-based): early on the average follows quickly, as (1 + t) / (10 + t)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, module in self.modules.items():
            now = module.state_dict()
            kept = self.values[name]
            floats = [k for k, v in now.items() if v.is_floating_point()]
            torch._foreach_lerp_([kept[k] for k in floats], [now[k].detach() for k in floats], 1 - decay)
            for k, v in now.items():
                if not v.is_floating_point():
                    kept[k].copy_(v)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages stand in the modules; afterwards the trained weights are back, bit for bit."""
        trained = {name: {k: v.detach().clone() for k, v in m.state_dict().items()} for name, m in self.modules.items()}
        try:
            for name, module in self.modules.items():
                module.load_state_dict(self.values[name])
            yield
        finally:
            for name, module in self.modules.items():
                module.load_state_dict(trained[name])


class Trainer:
    """Runs an ``Objective`` over a ``Source`` and leaves checkpoints, history, pictures and TensorBoard files in ``out``."""

    def __init__(
        self,
        objective: Objective,
        source: FaceSource,
        loop: Loop,
        out: Path,
        *,
        validation: list[Batch] | None = None,
        machine: Machine | None = None,
    ) -> None:
        try:
            from lightning_fabric import Fabric
        except ImportError:
            raise FaceSRError("training needs Lightning Fabric and TensorBoard: pip install 'facesr-bench[train]'") from None

        where = machine or Machine()
        devices: Any = int(where.devices) if where.devices.isdigit() else where.devices
        if where.accelerator == "cpu" and devices == "auto":
            devices = 1  # torch's own threads use the cores; a process a core would only add copies
        precision: Any = loop.precision
        try:
            self.fabric: Fabric = Fabric(
                accelerator=where.accelerator, devices=devices, strategy=where.strategy, precision=precision
            )
        except Exception as error:  # noqa: BLE001 - Fabric's own, of several kinds, where the machine or a word is not there
            asked = f"--accelerator {where.accelerator} --devices {where.devices} --strategy {where.strategy}"
            raise FaceSRError(f"{asked} cannot be had here: {sentence(error)}") from None
        self.objective, self.source, self.loop, self.out = objective, source, loop, out
        self.validation = validation or []
        self.step = 0
        self.best: float | None = None
        self._stop = False
        self._set_up()

    def _set_up(self) -> None:
        self.fabric.launch()
        objective = self.objective
        self._bare = dict(objective.modules)
        for module in self._bare.values():
            if self.loop.channels_last:
                module.to(memory_format=torch.channels_last)
        for name, module in self._bare.items():
            objective.modules[name] = self.fabric.setup_module(module)
        for name, optimiser in list(objective.optimisers.items()):
            for group in optimiser.param_groups:
                group.setdefault("initial_lr", group["lr"])
            objective.optimisers[name] = self.fabric.setup_optimizers(optimiser)  # type: ignore[assignment]
        for module in objective.frozen.values():
            self.fabric.to_device(module).eval().requires_grad_(False)
        averaged = {name: self._bare[name] for name in objective.averaged} if self.loop.average else {}
        self.average = Average(averaged, self.loop.average)

    # -- state ---------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs; random numbers and data positions follow from the step."""
        return {
            "step": self.step,
            "best": self.best,
            "modules": {name: module.state_dict() for name, module in self._bare.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.objective.optimisers.items()},
            "average": self.average.values,
            "extra": self.objective.extra_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint; one of another net gets one sentence."""
        try:
            for name, module in self._bare.items():
                module.load_state_dict(state["modules"][name])
            for name, optimiser in self.objective.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            for name, values in self.average.values.items():
                for key, value in values.items():
                    value.copy_(state["average"][name][key])
        except (KeyError, RuntimeError, ValueError) as error:
            raise FaceSRError(
                f"the checkpoint does not fit this recipe's networks ({str(error).splitlines()[0]}): resume with the recipe it was started with"
            ) from None
        self.objective.load_extra_state(state["extra"])
        self.step, self.best = int(state["step"]), state["best"]

    def resume(self) -> bool:
        """Go on from ``last.pt`` where there is one."""
        path = self.out / LAST
        if not path.is_file():
            return False
        self.load_state(checkpoint.load_checkpoint(path, self.fabric.device))
        return True

    def save(self, name: str = LAST) -> None:
        """Write a checkpoint (rank 0)."""
        if self.fabric.is_global_zero:
            checkpoint.save(self.out / name, self.state())

    # -- the loop ------------------------------------------------------------------------------------------------------

    def fit(self, max_minutes: float | None = None) -> int:
        """Train to ``loop.steps``, or until the minutes are over or the process is asked to stop; returns the step reached."""
        self.out.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + 60 * max_minutes if max_minutes else None
        progress = TrainingProgress(self.out, self.loop.steps, self.step, deadline) if self.fabric.is_global_zero else None
        saved = time.monotonic()
        with _told_to_stop(self), ThreadPoolExecutor(1) as ahead:
            upcoming = self._fetch(ahead, self.step)
            while self.step < self.loop.steps and not self._stop and not (deadline and time.monotonic() > deadline):
                batch = {**self._to_device(upcoming.result()), "step": self.step}
                upcoming = self._fetch(ahead, self.step + 1)
                self._advance(batch, progress)
                if time.monotonic() - saved > 60 * self.loop.save_minutes:
                    self.save()
                    saved = time.monotonic()
        self.save()
        if progress:
            progress.close()
        self.fabric.barrier()
        return self.step

    def _fetch(self, ahead: ThreadPoolExecutor, step: int) -> Future[Batch]:
        return ahead.submit(self.source.batch, step, self.fabric.global_rank, self.fabric.world_size)

    def _to_device(self, batch: Batch) -> Batch:
        moved: Batch = self.fabric.to_device(batch)
        if self.loop.channels_last:
            return {
                k: v.contiguous(memory_format=torch.channels_last) if isinstance(v, Tensor) and v.dim() == 4 else v
                for k, v in moved.items()
            }
        return moved

    def _advance(self, batch: Batch, progress: TrainingProgress | None) -> None:
        factor = self.loop.factor(self.step)
        rates = {}
        for name, optimiser in self.objective.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * factor
            rates[f"lr/{name}"] = optimiser.param_groups[0]["lr"]
        for module in self.objective.modules.values():
            module.train()
        torch.manual_seed(step_seed(self.loop.seed, self.step, self.fabric.global_rank) + 1)
        scalars: dict[str, Tensor] = {}
        phases = self.objective.phases(batch)
        while True:
            with self.fabric.autocast():
                phase = next(phases, None)
            if phase is None:
                break
            self._update(phase, batch)
            scalars |= {phase.optimiser: phase.loss, **phase.scalars}
        self.step += 1
        self.average.update(self.step)
        if progress:
            values = {k: float(v.detach()) for k, v in scalars.items()}
            progress.step(self.step, values, rates, self.step % self.loop.log_every == 0)
        self._occasionally(batch, progress)

    def _update(self, phase: Phase, batch: Batch) -> None:
        optimiser = self.objective.optimisers[phase.optimiser]
        if not torch.isfinite(phase.loss):
            self._diverged(f"the loss {phase.optimiser!r} is {float(phase.loss.detach())}", phase, batch)
        optimiser.zero_grad()
        self.fabric.backward(phase.loss)
        parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not torch.isfinite(norm):
            self._diverged(f"the gradient of the loss {phase.optimiser!r} is {float(norm)}", phase, batch)
        if self.loop.clip and norm > self.loop.clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.loop.clip, norm)
        optimiser.step()

    def _diverged(self, what: str, phase: Phase, batch: Batch) -> None:
        names = ", ".join(str(n) for n in batch.get("names", [])) or "without names"
        parts = ", ".join(f"{k} {float(v.detach()):.4g}" for k, v in phase.scalars.items())
        raise DivergedError(
            f"step {self.step + 1}: {what}{f' ({parts})' if parts else ''}; batch: {names}. "
            f"Stopped; {self.out / LAST} is from before: lower the learning rate or set loop.clip, then resume"
        )

    def _occasionally(self, batch: Batch, progress: TrainingProgress | None) -> None:
        last = self.step == self.loop.steps
        validate = self.validation and (last or self.step % self.loop.validate_every == 0)
        preview = last or self.step % self.loop.preview_every == 0
        if progress and (validate or preview):
            with self.evaluating():
                if validate:
                    self._validate(progress)
                image = (
                    self.objective.preview(self._to_device(self.validation[0]) if self.validation else batch) if preview else None
                )
                if image is not None:
                    progress.picture(self.step, image)
        if validate or preview:
            self.fabric.barrier()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Averaged weights in place, eval mode, no gradients, the modules without Fabric's wrappers (one process alone may be here)."""
        wrapped = dict(self.objective.modules)
        self.objective.modules.update(self._bare)
        try:
            with torch.no_grad(), self.average.in_place(), self.fabric.autocast():
                for module in self._bare.values():
                    module.eval()
                yield
        finally:
            self.objective.modules.update(wrapped)

    def _validate(self, progress: TrainingProgress) -> None:
        sums: dict[str, float] = {}
        count = 0
        for batch in self.validation:
            n = len(batch["hr"])
            for key, value in self.objective.validate(self._to_device(batch)).items():
                sums[key] = sums.get(key, 0.0) + value * n
            count += n
        scores = {k: v / count for k, v in sums.items()}
        name, higher = self.objective.watch
        score = scores.get(name, math.nan)
        best = math.isfinite(score) and (self.best is None or (score > self.best if higher else score < self.best))
        if best:
            self.best = score
            self.save(BEST)
        progress.scores(self.step, scores, best)

    def export(self, best: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The objective's weight file, from the averaged weights; of the best validation, or of the last step."""
        if best and (self.out / BEST).is_file():
            self.load_state(checkpoint.load_checkpoint(self.out / BEST, self.fabric.device))
        with self.evaluating():
            tensors, metadata = self.objective.export()
            # State dicts share memory with the modules, which get their trained weights back when this block ends.
            return {k: v.detach().clone() for k, v in tensors.items()}, metadata


@contextmanager
def _told_to_stop(trainer: Trainer) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C end the run after the step in hand, with a checkpoint; a second Ctrl-C ends it at once."""

    def stop(number: int, frame: Any) -> None:
        trainer._stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are someone else's
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["BEST", "LAST", "Average", "DivergedError", "Machine", "Trainer"]
