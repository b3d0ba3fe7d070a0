"""The image losses as a quadratic form of the codes: what a change of W+ does to them, to first order, for the price of a matrix.

Every loss used here is a squared distance of features f of the image, so near the truth it is |J d|^2, d the change of codes and J
the Jacobian of f through the generator (Gauss-Newton). For v ~ N(0, I), g = J^T v has E[(g . d)^2] = |J d|^2: one backward pass a
probe g, and a few hundred faces' probes together know what codes do to faces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from facesr.methods.generators.base import Generator

Features = Callable[[Tensor], list[Tensor]]
"""Images (B, 3, S, S) in [-1, 1] -> tensors (B, …) whose summed squared differences are the loss, a face."""


class LinearLosses:
    """A weighted sum of losses that are squared distances of ``features``; a weight of each in ``weights``."""

    def __init__(self, features: Mapping[str, Features], weights: Mapping[str, float]) -> None:
        self.features = {name: of for name, of in features.items() if weights[name]}
        self.weights = weights

    def to(self, targets: Tensor) -> Callable[[Tensor], Tensor]:
        """The loss itself (B,) of images (B, 3, S, S) against ``targets``, whose features are taken once."""
        with torch.no_grad():
            wanted = {name: of(targets) for name, of in self.features.items()}

        def loss(images: Tensor) -> Tensor:
            total = images.new_zeros(len(images))
            for name, of in self.features.items():
                parts = zip(of(images), wanted[name], strict=True)
                total = total + self.weights[name] * torch.stack([(a - b).square().flatten(1).sum(1) for a, b in parts]).sum(0)
            return total

        return loss

    def of(self, images: Tensor, targets: Tensor) -> Tensor:
        """The same, once."""
        return self.to(targets)(images)

    def probe(self, generator: Generator, codes: Tensor, seed: int, together: int = 8) -> dict[str, Tensor]:
        """For each face of ``codes`` (B, n_styles, 512) and loss one probe (B, n_styles * 512), as fp16; ``together`` faces at once."""
        draw = torch.Generator(codes.device).manual_seed(seed)
        found: dict[str, list[Tensor]] = {name: [] for name in self.features}
        for some in torch.split(codes, together):
            at = some.clone().requires_grad_()
            image = generator.synthesize(at)
            for name, of in self.features.items():
                parts = [(part * torch.randn(part.shape, generator=draw, device=part.device)).sum() for part in of(image)]
                found[name].append(torch.autograd.grad(torch.stack(parts).sum(), at, retain_graph=True)[0].flatten(1))
        return {name: torch.cat(rows).half() for name, rows in found.items()}

    def rows(self, probes: Mapping[str, Tensor]) -> Tensor:
        """B (K, n_styles * 512) such that |B d|^2 is the loss of a small change d of a code, on the average of the probed faces."""
        return torch.cat([probes[name].float() * (self.weights[name] / len(probes[name])) ** 0.5 for name in self.features])


class Quadratic(nn.Module):
    """|B d|^2 of changes d (B, n_styles, 512) of codes, one value a face; ``rows``: B."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, change: Tensor) -> Tensor:
        """(B,)."""
        return (change.flatten(1) @ self.get_buffer("rows").to(change).T).square().sum(1)


class Descent:
    """Gradient descent on codes with momentum, preconditioned by B and by the spread of the generator's own W.

    A code is ``mean + u L`` with L the root of W's covariance (plus ``floor``), so that steps keep to what faces vary in; a step is
    (2 B^T B + c)^-1 times the gradient by u, by Woodbury's identity; c is ``damping`` times the trace of 2 B^T B.
    """

    def __init__(self, generator: Generator, rows: Tensor, *, damping: float = 0.003, floor: float = 0.02) -> None:
        with torch.no_grad():
            z = torch.randn(6000, generator.style_dim, generator=torch.Generator().manual_seed(1)).to(generator.mean_style)
            w = generator.map(z) - generator.mean_style
            values, vectors = torch.linalg.eigh(w.T @ w / len(w))
        self.root = (vectors * (values.clamp(min=0) + floor).sqrt()) @ vectors.T
        self.rows = (rows.view(len(rows), -1, generator.style_dim) @ self.root).flatten(1) * 2**0.5
        self.damping = damping * float(self.rows.square().sum())
        self.factor = torch.linalg.cholesky(self.rows @ self.rows.T + self.damping * torch.eye(len(rows)).to(rows))

    def direction(self, gradient: Tensor) -> Tensor:
        """The step (B, n_styles, 512) for a gradient by codes."""
        g = (gradient @ self.root).flatten(1)
        g = (g - torch.cholesky_solve(self.rows @ g.T, self.factor).T @ self.rows) / self.damping
        step: Tensor = g.view_as(gradient) @ self.root
        return step

    def invert(
        self,
        codes: Tensor,
        loss: Callable[[Tensor], Tensor],
        steps: int,
        *,
        rate: float = 0.7,
        momentum: float = 0.6,
        enough: float = -1.0,
    ) -> Tensor:
        """Codes of the least ``loss`` met in ``steps`` from ``codes`` (B, n_styles, 512); it takes them and gives (B,).

        A face whose loss rises goes back and on at half its rate; one whose loss is at most ``enough`` rests.
        """
        best, slope, velocity = codes, torch.zeros_like(codes), torch.zeros_like(codes)
        least, rates = codes.new_full((len(codes),), torch.inf), codes.new_full((len(codes), 1, 1), rate)
        for step in range(steps + 1):
            at = codes.detach().requires_grad_()
            value = loss(at)
            moved = value.detach() < torch.where(least > enough, least, -torch.inf)
            least = torch.where(moved, value.detach(), least)
            better = moved[:, None, None]
            if not (least > enough).any():
                return torch.where(better, at.detach(), best)
            gradient = torch.autograd.grad(value.sum(), at)[0] if step < steps else slope
            best, slope = torch.where(better, at.detach(), best), torch.where(better, gradient, slope)
            rates = torch.where(better, rates, rates / 2)
            velocity = torch.where(better, momentum * velocity, 0) + self.direction(slope)
            codes = best - rates * velocity
        return best
