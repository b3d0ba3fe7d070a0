"""What the methods share that are a network with weights: where the file is, loading on first use, precision, the check of LR."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.imaging import resize
from facesr.bench.method import Method
from facesr.bench.weights import find_weight, metadata, weight_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALL_WEIGHTS = "small default weights of this project, not the published models"
"""What tables, captions and views say (``Method.notes``) of every method that runs on the weights that come along."""
Net = TypeVar("Net", bound="nn.Module")
Precision = Literal["fp32", "bf16", "fp16"]
"""Of a network's arithmetic, by torch's automatic mixed precision; weights are kept in float32 and images come back in it."""


LOSSES = "losses"
"""The entry of a weight file in which a training of this project notes the metrics that were losses, joined by commas."""


def same_file(asked: Callable[[], Path], own: Path) -> bool:
    """Whether a weight file is, byte for byte, one of this project's."""
    try:
        return own.is_file() and weight_sha256(asked()) == weight_sha256(own)
    except (FaceSRError, OSError):  # loading it says what is wrong
        return False


class NetworkMethod(Method, Generic[Net]):
    """A method that is one network. A subclass says how its file becomes a network (``open``) and what a face becomes (``restore``).

    ``default``: the weights that come with the project, which serve ``default_for`` (size, scale; None: any); ``source``: the parameter
    that names another file. No torch is loaded before the network is.
    """

    default: ClassVar[Path | None] = None
    default_for: ClassVar[tuple[int, int] | None] = None
    source: ClassVar[str] = "checkpoint"
    trained_on: ClassVar[tuple[str, ...]] = ()
    """Names of the metrics that were losses in the training of the project's own weights."""
    precisions: ClassVar[tuple[Precision, ...]] = get_args(Precision)

    def __init__(
        self,
        *,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str = "",
        precision: Precision = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        self.checkpoint, self.precision, self.compile = str(checkpoint), precision, compile
        self._net: Net | None = None
        self.fixed_batch = not device.startswith("cpu")  # there faces are computed one by one (facesr.bench.networks.exact)
        problems: list[str] = [] if isinstance(compile, bool) else [f"compile {compile!r} is neither true nor false"]
        self.require(*problems, precision=(precision, self.precisions))

    def require(self, *problems: str, **choices: tuple[object, Sequence[str]]) -> None:
        """Raise one ``FaceSRError`` with all ``problems`` and every value (``name=(value, allowed)``) that is not allowed."""
        wrong = [
            f"{name} {value!r} is unknown, {suggest(str(value), allowed)}"
            for name, (value, allowed) in choices.items()
            if value not in allowed
        ]
        if wrong := [*wrong, *problems]:
            raise FaceSRError(f"Wrong {type(self).__name__} settings: {'; '.join(wrong)}.")

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Self:
        """The method with the network of the file ``path`` loaded, its layout read off its keys; ``options`` go to the constructor."""
        method = cls(**{cls.source: str(path), **options})
        method.load()
        return method

    def file(self) -> Path:
        """The weight file: the one asked for, else the project's own. Raises ``WeightsMissing``."""
        if self.checkpoint:
            return find_weight(self.checkpoint)
        if self.default is None:
            raise WeightsMissing(f"{type(self).__name__} has no default weights: train it, or give {self.source}=PATH")
        if not self.default.is_file():
            raise WeightsMissing(f"{self.default} is missing: reinstall the project, or give {self.source}=PATH")
        return self.default

    def files(self) -> dict[str, Path]:
        """Every weight file in use, by name."""
        return {"net": self.file()}

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of every weight file in use; of none where they are not here (``load`` then says so)."""
        try:
            return {name: weight_sha256(path) for name, path in self.files().items()}
        except WeightsMissing:
            return {}

    def missing(self) -> str:
        """Which weight file is not here; one that can be fetched is fetched when the method is loaded."""
        try:
            self.files()
        except WeightsMissing as error:
            return str(error)
        return ""

    @abstractmethod
    def open(self) -> Net:
        """Build the network that ``file`` describes, filled, on the CPU."""

    @property
    def net(self) -> Net:
        """The network, loaded when first asked for."""
        if self._net is None:
            net = self.open().to(self.device).eval().requires_grad_(False)
            if self.compile:
                self.compile_net(net)
            self._net = net
        return self._net

    def compile_net(self, net: Net) -> None:
        """Have ``torch.compile`` translate what ``restore`` calls of the network; the first face of each batch size then takes a minute."""
        net.compile(dynamic=False)

    def load(self) -> None:
        """Load the network. Raises ``WeightsMissing``, and ``FaceSRError`` for a file that is not what it should be."""
        self.net  # noqa: B018 - loading is what asking for it does

    @property
    def uses_own_weights(self) -> bool:
        """Whether the weights are those that come with the project, be it by path or as a copy."""
        return self.default is not None and (not self.checkpoint or same_file(self.file, self.default))

    @property
    def notes(self) -> Sequence[str]:
        return (SMALL_WEIGHTS,) if self.uses_own_weights else ()

    @property
    def training_losses(self) -> Sequence[str]:
        if self.uses_own_weights:
            return self.trained_on
        try:
            noted = metadata(self.file()).get(LOSSES, "")
        except (FaceSRError, OSError):  # loading it says what is wrong
            return ()
        return tuple(noted.split(",")[:20]) if noted else ()

    def skip(self) -> str | None:
        """Default weights serve the size and scale they were trained for; a person's own serve any that their strides divide."""
        if self.default_for is None or self.checkpoint or (self.size, self.scale) == self.default_for:
            return None
        size, scale = self.default_for
        return f"the default weights are for x{scale} at {size}, not x{self.scale} at {self.size}: give a {self.source}"

    def autocast(self) -> AbstractContextManager[object]:
        """Half precision where ``precision`` asks for it."""
        import torch

        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def passed(self, x: Tensor, image: Callable[[Any], Tensor] = lambda answer: answer) -> Tensor:
        """What the network makes of ``x`` (B, C, H, W) in ``precision``, on a processor face by face; ``image``: the image in its answer."""
        import torch

        from facesr.bench.networks.exact import each

        def answer(face: Tensor) -> Tensor:
            with self.autocast():
                return image(self.net(face)).float()

        with torch.inference_mode():
            return each(answer, x)

    def checked(self, lr: Tensor, names: Sequence[str]) -> Tensor:
        """``lr`` as float32 on the method's device; raises ``FaceSRError`` for what is no batch of LR faces in [0, 1]."""
        from facesr.methods.inputs import check_lr

        return check_lr(lr, type(self).__name__, list(names)).to(self.device)

    def enlarged(self, lr: Tensor, names: Sequence[str], kernel: str) -> Tensor:
        """``checked`` LR of the protocol's side, enlarged to ``size`` by ``kernel`` and clipped: what networks that keep the size take."""
        lr = self.checked(lr, names)
        if round(lr.shape[-1] * self.scale) != self.size:
            side = self.size / self.scale
            raise FaceSRError(
                f"{type(self).__name__} got LR faces of {lr.shape[-1]} px: ×{self.scale} to {self.size} starts at {side:g} px"
            )
        return resize(lr, self.size, kernel).clamp(0, 1)
