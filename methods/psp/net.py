"""pSp's network: an encoder, the mean latent its codes are offsets from, and a fixed generator that takes W+."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.methods.generators.base import Generator
from facesr.methods.psp.encoders import PSPEncoder


class PSPNet(nn.Module):
    """``encoder`` and ``decoder`` with the published state-dict names; ``latent_avg`` (n_styles, 512) or (512,) lies beside them, as published.

    ``decoder`` may be any generator with as many styles as the encoder gives. ``learn_in_w``: the encoder gives one style for all
    rows. ``opts``: the options a checkpoint came with, kept for writing it back.
    """

    latent_avg: Tensor | None

    def __init__(
        self,
        encoder: PSPEncoder,
        decoder: Generator,
        latent_avg: Tensor | None = None,
        *,
        learn_in_w: bool = False,
        opts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        rows = encoder.config.n_styles
        if not learn_in_w and rows != decoder.n_styles:
            raise FaceSRError(
                f"This pSp encoder gives {rows} styles, the generator of side {decoder.size} takes {decoder.n_styles}: "
                "they were not made for each other."
            )
        if latent_avg is not None and tuple(latent_avg.shape) not in ((rows, 512), (decoder.n_styles, 512), (512,)):
            raise FaceSRError(f"latent_avg has shape {tuple(latent_avg.shape)}, expected ({decoder.n_styles}, 512) or (512,).")
        self.encoder, self.decoder = encoder, decoder
        self.register_buffer("latent_avg", latent_avg, persistent=False)
        self.learn_in_w, self.opts = learn_in_w, dict(opts or {})
        self.face_pool = nn.AdaptiveAvgPool2d((256, 256))

    def encode(self, x: Tensor) -> Tensor:
        """W+ codes (B, n_styles, 512) of faces (B, 3, s, s), RGB in [-1, 1], ``latent_avg`` added; s is 256 where published."""
        codes = cast(Tensor, self.encoder(x))
        if codes.ndim == 2:
            codes = codes.unsqueeze(1).expand(-1, self.decoder.n_styles, -1)
        return codes if self.latent_avg is None else codes + self.latent_avg.to(codes)

    def mix(self, codes: Tensor, rows: Sequence[int], inject: Tensor | None = None, alpha: float | None = None) -> Tensor:
        """Codes with the styles ``rows`` replaced by those of ``inject``, or blended with them by ``alpha``; zero where there is none."""
        wrong = [row for row in rows if not 0 <= row < codes.shape[1]]
        if wrong:
            raise FaceSRError(f"latent_mask names style {wrong[0]}, but there are styles 0 to {codes.shape[1] - 1}.")
        picked = list(rows)
        mixed = codes.clone()
        if inject is None:
            mixed[:, picked] = 0
        elif alpha is None:
            mixed[:, picked] = inject.expand_as(codes)[:, picked]
        else:
            mixed[:, picked] = alpha * inject.expand_as(codes)[:, picked] + (1 - alpha) * codes[:, picked]
        return mixed

    def forward(
        self,
        x: Tensor,
        resize: bool = True,
        latent_mask: Sequence[int] | None = None,
        input_code: bool = False,
        randomize_noise: bool = False,
        inject_latent: Tensor | None = None,
        return_latents: bool = False,
        alpha: float | None = None,
    ) -> Any:
        """Faces in [-1, 1] to images, nominal [-1, 1] and not clipped; with ``return_latents`` also the W+ codes.

        The arguments are the published ones. ``resize``: pool the output to 256x256 (the inference script sets it to False).
        ``randomize_noise`` is off here, as the inference script has it, so that calling twice gives the same; training turns it on.
        ``input_code``: ``x`` is a z (B, 512), mapped by the generator.
        """
        if input_code:
            codes = self.decoder.broadcast(self.decoder.map(x))
        else:
            codes = self.encode(x)
            if latent_mask is not None:
                codes = self.mix(codes, latent_mask, inject_latent, alpha)
        images = self.decoder.synthesize(codes, "random" if randomize_noise else None)
        if resize:
            images = self.face_pool(images)
        return (images, codes) if return_latents else images

    def styles(self, z: Tensor) -> Tensor:
        """W+ codes (B, n_styles, 512) of normal ``z`` (B, 512), to inject when mixing."""
        return self.decoder.broadcast(self.decoder.map(z))

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What a weight file of the encoder alone holds: tensors and text metadata (``facesr.methods.psp.checkpoint`` reads it)."""
        state = {f"encoder.{key}": value for key, value in self.encoder.state_dict().items()}
        if self.latent_avg is not None:
            state["latent_avg"] = self.latent_avg
        return state, {"psp_encoder": self.encoder.config.to_json(), "learn_in_w": str(int(self.learn_in_w))}
