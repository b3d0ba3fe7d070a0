"""``facesr.method``: one method on a caller's own images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import to_tensor, to_uint8
from facesr.bench.method import Method, Restored
from facesr.bench.registry import MethodSpec, method_specs
from facesr.bench.results.status import SERVED
from facesr.bench.weights import with_fetch
from facesr.images import lr_pixels, pixels

if TYPE_CHECKING:
    from facesr.images import AnyImages


@dataclass(frozen=True)
class ReadyMethod:
    """A method with its parameters, ready to be called or to be handed to ``facesr.run``; made by ``facesr.method``."""

    spec: MethodSpec
    scale: float
    seed: int
    device: str

    def __call__(self, lr: AnyImages, *, names: list[str] | None = None) -> Any:
        """Super-resolve ``lr``: one image or a batch, as files, PIL images, arrays or tensors (uint8, or float in [0, 1], which
        is not rounded).

        Returns what came in: PIL for PIL and files, uint8 or float arrays (N, H, W, 3), float tensors (N, 3, H, W), 8-bit values in each
        case; ``scale`` times larger. ``names``: faces' names, which seed methods that draw random numbers. A face that the method gives
        no image for raises ``FaceSRError`` with the reason.
        """
        import torch

        given, exact = pixels(lr, "lr"), lr_pixels(lr)
        count, height, width, _ = given.values.shape
        if height != width:
            raise FaceSRError(f"lr: {width} x {height} pixels is not square")
        labels = names or [str(i) for i in range(count)]
        if len(labels) != count:
            raise FaceSRError(f"{len(labels)} names for {count} images")
        method = self._loaded(height * self.scale)
        made = []
        with torch.random.fork_rng(devices=[]):
            for start in range(0, count, method.batch_size):
                part = slice(start, start + method.batch_size)
                torch.manual_seed(self.seed)
                result = method.restore(to_tensor(exact[part]).to(self.device), labels[part])
                restored = result if isinstance(result, Restored) else Restored(result)
                lost = [o for o in restored.outcomes or () if o.status not in SERVED]
                if lost:
                    raise FaceSRError(f"{self.spec.label}: {lost[0].reason or lost[0].status}")
                made.append(restored.images.float().cpu())
        return given.like(to_uint8(torch.cat(made)))

    def _loaded(self, size: int) -> Method:
        made = self.spec.build(size=size, scale=self.scale, seed=self.seed, device=self.device)
        if reason := made.skip():
            raise FaceSRError(f"{self.spec.label} at x{self.scale} to {size}: {reason}")
        with_fetch(made.load)
        return made


def method(name: str, *, label: str = "", scale: float = 8, seed: int = 0, device: str = "cpu", **parameters: Any) -> ReadyMethod:
    """One method by name (``facesr methods`` lists them), ``my_file.py:MyMethod``, ``folder:PATH`` or ``command:FILE.toml``.

    ``parameters`` are the method's own (``refine_steps=25``). ``label``: its name in tables. ``scale``: how many times larger the answer is.
    Raises ``FaceSRError`` for an unknown name or parameter; weights are looked for at the first call.
    """
    (spec,) = method_specs([f"{label}={name}" if label else name])
    spec = MethodSpec(spec.label, spec.target, {**spec.params, **parameters})
    spec.build(
        size=round(16 * scale), scale=scale, seed=seed, device=device
    )  # a wrong parameter is reported here, not at the first face
    return ReadyMethod(spec, scale, seed, device)
