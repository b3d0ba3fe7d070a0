"""PULSE as a method of the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from facesr.bench.config import from_table
from facesr.bench.method import Outcome, Restored
from facesr.bench.results.status import Status
from facesr.bench.weights import find_weight
from facesr.methods.generators.opening import files, open_generator
from facesr.methods.network import NetworkMethod, Precision, same_file
from facesr.methods.pulse.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from facesr.methods.pulse.net import PULSENet

KEEP = ("last", "best")
SMALL_LOSS = "1000*L2+0.05*GEOCROSS"
"""For ``mobilestylegan128``."""


class PULSE(NetworkMethod["PULSENet"]):
    """Searches the prior's latent space, 100 steps per face, for a face that shrinks to the given one.

    ``prior``: ``mobilestylegan128`` (comes with the project), ``mobilestylegan``, or a file: PULSE's own ``synthesis.pt`` (with
    ``gaussian_fit.pt`` or ``mapping.pt`` beside it, or given), any StyleGAN2 checkpoint. ``keep``: hand out the ``last`` image, as
    published, or the ``best``, of the lowest loss. The remaining parameters are ``facesr.methods.pulse.search.Settings``, under the
    release's names; ``eps`` is the protocol's, else the paper's 1e-3 (the release: 2e-3).

    ``margin``: the loss stops pulling at ``margin`` x ``eps``. The release's 1 leaves faces hovering about ``eps``, where rounding to
    8 bits and the last steps decide: on 44 London faces 61 % were within it. 0.9 leaves them room.

    ``loss_str``: '' is the release's ``100*L2+0.05*GEOCROSS``, but ``1000*L2+0.05*GEOCROSS`` for the small default prior, which the
    release's weight does not bring to ``eps`` in 100 steps (of four portraits kept for validation it brought none, ten times it three).

    ``precision``: fp32 or bf16 (mixed precision in the generator alone).

    A face whose image is farther than ``eps`` from its LR is ``not_converged``; its image is kept. (The release checks the best
    step but writes the last, and writes nothing where no step reached ``eps``.)
    """

    cite: ClassVar[str] = "menon2020pulse"
    source = "prior"
    from_protocol: ClassVar[Mapping[str, str]] = {"eps": "consistency.epsilon"}
    terms: ClassVar[str] = "own code; the FFHQ-trained priors are for non-commercial use"
    batch_size: int = 4
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "bf16")
    """No fp16: nothing here scales the search's gradients into its range."""

    @property
    def uses_own_weights(self) -> bool:
        return self.prior == "mobilestylegan128" or same_file(lambda: files(self.prior)[0], files("mobilestylegan128")[0])

    def __init__(
        self,
        *,
        size: int = 128,
        scale: float = 8,
        seed: int = 0,
        device: str = "cpu",
        prior: str = "mobilestylegan128",
        gaussian_fit: str | None = None,
        mapping: str | None = None,
        keep: Literal["last", "best"] = "last",
        steps: int = 100,
        eps: float = 1e-3,
        margin: float = 0.9,
        loss_str: str = "",
        learning_rate: float = 0.4,
        lr_schedule: str = "linear1cycledrop",
        opt_name: str = "adam",
        noise_type: str = "trainable",
        num_trainable_noise_layers: int = 5,
        bad_noise_layers: str = "17",
        tile_latent: bool = False,
        kernel: str = "bicubic-pulse",
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device, checkpoint=prior, precision=precision)
        problems = [] if 0 < margin <= 1 else [f"margin {margin!r} is not a share of eps (above 0, at most 1)"]
        self.require(*problems, keep=(keep, KEEP))
        self.eps = eps
        self.prior, self.gaussian_fit, self.mapping, self.keep = prior, gaussian_fit, mapping, keep
        given: dict[str, Any] = {
            "steps": steps,
            "eps": eps * margin,
            "loss_str": loss_str or (SMALL_LOSS if prior == "mobilestylegan128" else Settings.loss_str),
            "learning_rate": learning_rate,
            "lr_schedule": lr_schedule,
            "opt_name": opt_name,
            "noise_type": noise_type,
            "num_trainable_noise_layers": num_trainable_noise_layers,
            "bad_noise_layers": bad_noise_layers,
            "tile_latent": tile_latent,
            "kernel": kernel,
            "bf16": precision == "bf16",
        }
        self.settings = from_table(Settings, given, "PULSE's settings")

    def files(self) -> dict[str, Path]:
        paths = files(self.prior)
        # What the release puts beside synthesis.pt is read from there where no other file is named.
        for name, given in (("gaussian_fit.pt", self.gaussian_fit), ("mapping.pt", self.mapping)):
            beside = paths[0].with_name(name)
            paths += [find_weight(given)] if given else [beside] if beside.is_file() else []
        return {path.name: path for path in paths}

    def open(self) -> PULSENet:
        from facesr.methods.pulse.net import PULSENet, find_fit

        generator = open_generator(self.prior, mapping=self.mapping)
        return PULSENet(generator, find_fit(generator, files(self.prior)[0], self.gaussian_fit), self.settings)

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Restored:
        """Faces in [0, 1] of the prior's size for ``lr`` (B, 3, h, h) in [0, 1]; see ``Method.restore``."""
        from facesr.methods.inputs import face_seed

        ref = self.checked(lr, names)
        seeds = [face_seed(self.seed, name) for name in names] if names else [self.seed] * len(ref)
        found = self.net.search(ref, seeds)
        images, errors = (found.last, found.last_error) if self.keep == "last" else (found.best, found.best_error)
        outcomes = [self._outcome(float(e), float(least)) for e, least in zip(errors, found.least_error, strict=True)]
        return Restored(images, outcomes)

    def _outcome(self, error: float, least: float) -> Outcome:
        # float32's eps is what the release compares with: 1e-3 is 1.0000000475e-3 there
        if error <= self.eps * (1 + 1e-6):
            return Outcome()
        steps = f"{self.settings.steps} step{'s' * (self.settings.steps != 1)}"
        return Outcome(
            Status.NOT_CONVERGED,
            f"PULSE's {self.keep} image is {error:.2e} from LR after {steps} (least {least:.2e}), above eps {self.eps:g}",
        )
