"""What a metric is. One file per family beside this one; ``facesr.bench.registry`` finds them by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from facesr.bench.faces import U8, Batch, Face
from facesr.bench.results.status import Status


@dataclass(frozen=True)
class NoScore:
    """A cell without a value: why, in one sentence."""

    status: Status | str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))


@dataclass(frozen=True)
class SetScore:
    """A score of a whole set of images, with an interval where the metric has one."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None


class Metric:
    """Scores saved 8-bit images; override ``score``. The constructor's keyword arguments are the conventions a protocol may set.

    Images are always uint8 RGB as stored on disk: a metric converts to its network's range itself, so no caller can feed [0, 1]
    where [-1, 1] is expected.
    """

    name: str = ""
    """The name in protocols and tables; conventions that change the number are part of it (``psnr-y``)."""
    label: str = ""
    """How a table prints it (``PSNR-Y``)."""
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 3
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    conventions: str = ""
    """A footnote: colour, border, window, network, alignment."""
    source: ClassVar[str] = ""
    """The paper or implementation whose numbers it gives."""
    version: ClassVar[int] = 1
    """Raise it when the same images would get another number."""
    needs_lr: ClassVar[bool] = False
    """``batch.lr`` is read."""
    compares_with: Literal["hr", "person", "nothing"] = "hr"
    """What SR is compared with: HR itself, any photo of the person, or nothing (LR at most). Without HR a run offers only the last two."""
    share: ClassVar[bool] = False
    """The value of one image is 1 or 0 and the mean is a share: its interval is Wilson's."""
    scores_unconverged: ClassVar[bool] = False
    """An image whose search did not converge is scored like any other (its miss is what this metric measures)."""
    from_protocol: ClassVar[Mapping[str, str]] = {}
    """Conventions that are the protocol's own values unless set: ``{"kernel": "degradation.kernel"}``."""

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of every weight file in use, by name; part of the cache key. Raises ``WeightsMissing``."""
        return {}

    def skip(self, size: int) -> str | None:
        """Why images of this side cannot be scored, or None."""
        return None

    def reference(self, batch: Batch) -> Any:
        """What depends on HR (and LR) alone: computed once per batch and handed to ``score`` for every method."""
        return None

    def score(self, sr: U8, batch: Batch, reference: Any) -> Sequence[float | NoScore]:
        """One value per face for ``sr`` (N, H, W, 3), uint8 RGB, the same size and order as ``batch.hr``."""
        raise NotImplementedError


class SetMetric(Metric):
    """A score of all images of a method together (FID, KID, retrieval): features per batch, one comparison at the end.

    The run keeps the features of every image (small arrays), so memory grows only with them. ``needs_torch``: whether ``compare`` does; a
    run that only compares numbers then does not load it.
    """

    needs_torch: ClassVar[bool] = True

    def hr_features(self, batch: Batch, reference: Any) -> Sequence[Any]:
        """One feature array (or ``NoScore``) per HR face; ``reference`` is what ``reference(batch)`` gave."""
        return list(reference)

    def features(self, sr: U8, batch: Batch, reference: Any) -> Sequence[Any]:
        """One feature array (or ``NoScore``) per SR face; ``reference`` is what ``reference(batch)`` gave."""
        raise NotImplementedError

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        """The set's score from the features of the faces that have both, ``faces`` in the same order."""
        raise NotImplementedError
