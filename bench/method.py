"""The interface a method fulfils. How one is found by name is in ``facesr.bench.registry``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from facesr.bench.results.status import Status

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """How one face of a batch ended: a status other than ``ok`` carries a reason in one sentence."""

    status: Status | str = Status.OK
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))


@dataclass
class Restored:
    """What ``restore`` may return instead of a bare tensor.

    ``images``: (B, 3, H, W) RGB in [0, 1]; ``outcomes``: one per face (all ``ok`` when ``None``);
    ``samples``: (K, B, 3, H, W), further plausible answers of a multi-modal method.
    """

    images: Tensor
    outcomes: Sequence[Outcome] | None = None
    samples: Tensor | None = None


class Method:
    """A face super-resolution method. Subclass it, set the class attributes, write ``restore``.

    The bench makes one with keyword arguments only: ``size`` (HR side in pixels), ``scale``, ``seed``, ``device`` and
    the parameters a user sets (``--set pulse.steps=200``), which must be arguments of ``__init__``.
    """

    cite: ClassVar[str] = ""
    """BibTeX key of the paper."""
    terms: ClassVar[str] = ""
    """Licence or terms of the code and weights it uses, in a few words; '' where there is nothing to say."""
    batch_size: int = 8
    """Faces per call of ``restore``."""
    needs_lr: ClassVar[bool] = True
    """False where ``restore`` never looks at ``lr`` (finished images): no LR is made for it, and its answer does not depend on LR."""
    fixed_batch: bool = True
    """The bench fills the last batch up to ``batch_size`` (with copies of its last face), because a network's last digits depend on the
    size of its batch. False where nothing depends on it, or a face must not come twice (an external program)."""

    from_protocol: ClassVar[Mapping[str, str]] = {}
    """Parameters that are the protocol's own values unless set: ``{"eps": "consistency.epsilon"}``."""

    def __init__(self, *, size: int = 128, scale: float = 8, seed: int = 0, device: str = "cpu") -> None:
        self.size, self.scale, self.seed, self.device = size, scale, seed, device

    def skip(self) -> str | None:
        """Why this method cannot serve this size and scale (every cell then says so), or None."""
        return None

    def load(self) -> None:
        """Load weights; called once before the first ``restore``. Raises ``WeightsMissing`` where a file is not to be had."""

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of every weight file (script, settings file) in use, by name; known before ``load``. Part of the cache key."""
        return {}

    @property
    def notes(self) -> Sequence[str]:
        """Sentences that every table, caption and view of this method's results carries (whose weights these are, say)."""
        return ()

    @property
    def training_losses(self) -> Sequence[str]:
        """Names of the metrics that the weights in use were trained on: a table that shows one says so.

        ``metric:network`` is the metric with weights in whose file name ``network`` occurs.
        """
        return ()

    def check(self, names: Sequence[str]) -> Sequence[str]:
        """What can be known before any face is restored; called once, before ``load``, with the names of the whole data set.

        Raises ``FaceSRError`` where nothing can come of it, which refuses the run. Returns sentences for whoever started it.
        """
        return ()

    def missing(self) -> str:
        """Why ``load`` would raise ``WeightsMissing`` (which costs this method its cells, not the run), or ''. Asked before any work."""
        return ""

    def inputs(self, name: str) -> Sequence[Path]:
        """Files beside LR that this face's answer depends on (a finished image, say); part of the cache key. Called before ``load``."""
        return ()

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Tensor | Restored:
        """Super-resolve ``lr`` (B, 3, h, w), RGB in [0, 1], to (B, 3, H, W) in [0, 1] (values outside are clipped).

        ``names``: the faces' names, for methods that draw random numbers: seed by (seed, name), so that neither the order
        nor the size of a batch changes a face. An output larger than ``size`` is reduced by the protocol's filter.
        """
        raise NotImplementedError
