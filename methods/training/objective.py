"""What a method gives the training loop: its networks, its optimisers and its losses. The loop does all the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facesr.bench.errors import FaceSRError, suggest

Batch = dict[str, Any]
"""``hr`` (B, 3, S, S) and ``lr`` (B, 3, s, s): RGB in [0, 1], LR on the 8-bit grid; ``names``: B strings; a source may add
more, and the loop adds ``step`` (0-based)."""


@dataclass
class Phase:
    """One update: the loop clears the gradients of ``optimiser``, runs ``loss`` backward, checks both and takes the step."""

    optimiser: str
    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)
    """What TensorBoard and the progress line show, beside the loss itself."""


class Objective:
    """Subclass it, fill ``modules`` and ``optimisers`` in ``__init__``, write ``phases``.

    The loop replaces the modules by Fabric's wrapped ones, so call ``self.modules["net"](x)`` (``forward`` only); ``plain(module)`` is
    the module itself, for an update in which its parameters take no part (a discriminator in the generator's phase). Random numbers
    come from torch's global generators, which the loop seeds anew at each step: nothing else is needed for resuming to the same result.
    """

    watch: tuple[str, bool] = ("psnr", True)
    """The validation score the best checkpoint is chosen by, and whether higher is better."""

    def __init__(self) -> None:
        self.modules: dict[str, nn.Module] = {}
        """Trained networks by name: they are checkpointed."""
        self.optimisers: dict[str, Optimizer] = {}
        self.frozen: dict[str, nn.Module] = {}
        """Networks that losses look through: moved to the device, put in eval mode, never checkpointed."""
        self.averaged: tuple[str, ...] = ()
        """Names of the modules of which a moving average is kept, for validation and export."""

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """The updates of one step, in order; the code after a ``yield`` runs when that update has been taken."""
        raise NotImplementedError

    def validate(self, batch: Batch) -> dict[str, float]:
        """Mean scores of a validation batch (modules are in eval mode, averaged weights in place)."""
        return {}

    def preview(self, batch: Batch) -> Tensor | None:
        """A picture (3, H, W) in [0, 1] of what the networks do with a batch, or None."""
        return None

    def export(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and text metadata of the weight file a finished training leaves."""
        raise NotImplementedError

    def extra_state(self) -> dict[str, Any]:
        """Further state to checkpoint: tensors and plain Python values only."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what ``extra_state`` gave."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside Fabric's wrapper, or the module itself where there is none."""
    inner = getattr(module, "module", None)
    return inner if isinstance(inner, nn.Module) else module


OPTIMISERS: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
"""A method adds its own (pSp: Ranger)."""


def make_optimiser(options: dict[str, Any], parameters: Any) -> Optimizer:
    """An optimiser from a recipe's table: ``name`` and the keyword arguments of torch's class (``lr``, ``betas``, ...)."""
    rest = dict(options)
    name = str(rest.pop("name", "")).lower()
    if name not in OPTIMISERS:
        raise FaceSRError(f"no optimiser {name!r}: {suggest(name, OPTIMISERS)}")
    try:
        return OPTIMISERS[name](parameters, **{k: tuple(v) if isinstance(v, list) else v for k, v in rest.items()})
    except (TypeError, ValueError) as error:
        raise FaceSRError(f"optimiser {name} cannot take {rest}: {error}") from None


def grid(rows: list[Tensor], limit: int = 8) -> Tensor:
    """Stack rows of images (B, 3, H, W), one below the other, into one picture (3, R * H, B * W), clipped to [0, 1]."""
    return torch.cat([torch.cat(list(row[:limit].detach().float().cpu().clamp(0, 1)), 2) for row in rows], 1)


def psnr_y(a: Tensor, b: Tensor) -> Tensor:
    """PSNR of BT.601 luma (studio range, as BasicSR) of RGB images in [0, 1], after 8-bit rounding: one value an image, in dB."""
    weights = torch.tensor([65.481, 128.553, 24.966], device=a.device).view(1, 3, 1, 1)
    luma = [((x.float().clamp(0, 1) * 255).add(0.5).floor() / 255 * weights).sum(1) for x in (a, b)]
    mse = (luma[0] - luma[1]).pow(2).mean((1, 2)).clamp(min=1e-10)
    return 10 * torch.log10(255**2 / mse)
