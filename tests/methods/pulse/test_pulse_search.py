"""The search as a whole, on a small StyleGAN2 with random weights: equal to the published loop, seeded, independent of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import resize
from facesr.bench.method import Restored
from facesr.methods.generators.stylegan1 import StyleGAN1
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.network import Precision
from facesr.methods.pulse import PULSE
from facesr.methods.pulse.fit import GaussianFit
from facesr.methods.pulse.net import PULSENet, find_fit
from facesr.methods.pulse.search import draw
from facesr.methods.pulse.settings import Settings

NARROW = {4: 16, 8: 16, 16: 16, 32: 16}


def small(seed: int = 0) -> StyleGAN2:
    torch.manual_seed(seed)
    return StyleGAN2(32, channels=NARROW).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prior") / "small.pt"
    torch.save({"g_ema": small().state_dict(), "latent_avg": torch.zeros(512)}, path)
    return path


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "gaussian_fit.pt"
    own = GaussianFit.sample(small(), 2048)
    torch.save({"mean": own.mean, "std": own.std}, path)
    return path


@pytest.fixture(scope="module")
def net() -> PULSENet:
    generator = small()
    return PULSENet(generator, GaussianFit.sample(generator, 2048), Settings(steps=12))


def lr_faces(n: int, side: int = 4) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(7))


def published(net: PULSENet, ref: Tensor, seed: int) -> tuple[Tensor, list[float]]:
    """The release's loop for one face, statement by statement after reference/methods.md 1.2 (plain Adam, own projection)."""
    settings, g = net.settings, net.generator
    torch.manual_seed(seed)
    latent = torch.randn(1, g.n_styles, 512).requires_grad_()
    noise = [torch.randn(1, 1, side, side) for side in g.noise_sizes]
    for trained in noise[:5]:
        trained.requires_grad_()
    variables = [latent, *noise[:5]]
    radii = [(v.detach().pow(2).sum(tuple(range(2, v.ndim)), keepdim=True) + 1e-9).sqrt() for v in variables]
    adam = torch.optim.Adam(variables, lr=0.4)
    errors = []
    for j in range(settings.steps):
        n = settings.steps
        rest = 0.1 + (j - 0.9 * n) / (0.1 * n) * (0.001 - 0.1)
        factor = (9 * (1 - np.abs(j / (0.9 * n) - 0.5) * 2) + 1) / 10 if j < 0.9 * n else rest
        adam.param_groups[0]["lr"] = 0.4 * factor
        adam.zero_grad()
        w = F.leaky_relu(latent * net.fit.std + net.fit.mean, 0.2)
        image = (g.synthesize(w, noise) + 1) / 2
        mse = (resize(image, ref.shape[-1], "bicubic-pulse") - ref).pow(2).mean()
        x, y = w.view(1, 1, -1, 512), w.view(1, -1, 1, 512)
        a = ((x - y).pow(2).sum(-1) + 1e-9).sqrt()
        b = ((x + y).pow(2).sum(-1) + 1e-9).sqrt()
        cross = ((2 * torch.atan2(a, b)).pow(2) * 512).mean((1, 2)).div(8).sum()
        (100 * mse.clamp(min=settings.eps) + 0.05 * cross).backward()
        errors.append(float(mse.detach()))
        adam.step()
        with torch.no_grad():
            for v, r in zip(variables, radii, strict=True):
                v.div_((v.pow(2).sum(tuple(range(2, v.ndim)), keepdim=True) + 1e-9).sqrt()).mul_(r)
    return image.detach().clamp(0, 1), errors


def test_equals_the_published_loop(net: PULSENet) -> None:
    ref = lr_faces(1)
    want, errors = published(net, ref, seed=3)
    found = net.search(ref, [3])
    torch.testing.assert_close(found.last, want, atol=1e-3, rtol=0)  # a search loop's tolerance
    torch.testing.assert_close(found.history[:, 0], torch.tensor(errors), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(net(ref, seed=3), found.last)
    assert float(found.least_error[0]) == pytest.approx(min(errors), rel=1e-3)


def test_a_face_is_the_same_alone_and_in_any_batch(net: PULSENet) -> None:
    ref = lr_faces(3)
    together = net.search(ref, [5, 6, 7])
    backwards = net.search(ref.flip(0), [7, 6, 5])
    for i in range(3):
        alone = net.search(ref[i : i + 1], [5 + i])
        torch.testing.assert_close(alone.last[0], together.last[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(backwards.last[2 - i], together.last[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.best_error[0], together.best_error[i], atol=1e-4, rtol=0)


def test_draws_in_the_published_order() -> None:
    generator = StyleGAN1(16, mapped=False)
    settings = Settings(bad_noise_layers="2.17", num_trainable_noise_layers=2)
    latent, noise, trained = draw(generator, [11, 12], settings)
    torch.manual_seed(12)
    torch.testing.assert_close(latent[1], torch.randn(1, 6, 512)[0])
    for layer, side in enumerate((4, 4, 8, 8, 16, 16)):
        want = torch.zeros(1, side, side) if layer == 2 else torch.randn(1, 1, side, side)[0]
        torch.testing.assert_close(noise[layer][1].detach(), want)
    assert len(trained) == 2 and all(t.requires_grad for t in trained)
    for kind in ("zero", "fixed"):
        _, noise, trained = draw(generator, [11], Settings(noise_type=kind, tile_latent=True))  # type: ignore[arg-type]
        assert trained == [] and (kind == "fixed") == bool(noise[0].any())
    assert draw(generator, [1], Settings(tile_latent=True))[0].shape == (1, 1, 512)
    assert draw(generator, [1], Settings(noise_type="stored"))[1:] == ([], [])


def test_stored_noise_is_the_generators_own(net: PULSENet) -> None:
    found = net.search(lr_faces(1), [0], noise_type="stored", steps=1)
    latent, _, _ = draw(net.generator, [0], Settings(noise_type="stored"))
    with torch.no_grad():
        want = (net.generator.synthesize(net.fit.styles(latent)) + 1) / 2
    torch.testing.assert_close(found.last, want.clamp(0, 1), atol=1e-5, rtol=0)


def test_best_is_of_the_lowest_loss_and_last_is_last(net: PULSENet) -> None:
    found = net.search(lr_faces(2), [0, 1], loss_str="100*L2", eps=1e-9)
    torch.testing.assert_close(found.best_error, found.history.min(0).values)
    torch.testing.assert_close(found.last_error, found.history[-1])
    for images, errors in ((found.best, found.best_error), (found.last, found.last_error)):
        again = (resize(images, 4, "bicubic-pulse") - lr_faces(2)).square().flatten(1).mean(1)
        assert torch.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
        assert (again - errors).abs().max() < 0.2  # the image is clipped, the error is not
    assert found.history.shape == (12, 2)


@pytest.mark.parametrize(
    "change", [{"opt_name": "sgd"}, {"opt_name": "sgdm"}, {"opt_name": "adamax"}, {"lr_schedule": "fixed"}, {"tile_latent": True}]
)
def test_every_option_runs_and_lowers_the_error(net: PULSENet, change: dict[str, object]) -> None:
    found = net.search(lr_faces(1), [0], **change)
    assert float(found.least_error) <= float(found.history[0]) and torch.isfinite(found.last).all()


def test_faces_are_seeded_by_name(prior: Path, fit: Path) -> None:
    method = PULSE.from_checkpoint(prior, gaussian_fit=fit, size=32, steps=3, seed=1)
    lr = lr_faces(1).expand(2, -1, -1, -1)
    both = method.restore(lr, ["anna", "bert"])
    swapped = method.restore(lr, ["bert", "anna"])
    torch.testing.assert_close(both.images.flip(0), swapped.images, atol=1e-3, rtol=0)
    assert (both.images[0] - both.images[1]).abs().max() > 1e-2
    other = PULSE.from_checkpoint(prior, gaussian_fit=fit, size=32, steps=3, seed=2).restore(lr, ["anna", "bert"])
    assert (other.images - both.images).abs().max() > 1e-2


def test_a_face_beyond_eps_is_not_converged_and_its_image_is_kept(prior: Path, fit: Path) -> None:
    lr = lr_faces(2)
    strict = PULSE.from_checkpoint(prior, gaussian_fit=fit, size=32, steps=2, eps=1e-9).restore(lr, ["a", "b"])
    assert isinstance(strict, Restored) and strict.outcomes is not None
    assert [o.status for o in strict.outcomes] == ["not_converged"] * 2
    error = float((resize(strict.images, 4, "bicubic-pulse") - lr)[0].square().mean())
    assert strict.images.shape == (2, 3, 32, 32) and "eps 1e-09" in strict.outcomes[0].reason and error > 1e-9
    easy = PULSE.from_checkpoint(prior, gaussian_fit=fit, size=32, steps=2, eps=10.0).restore(lr, ["a", "b"])
    assert easy.outcomes is not None and [o.status for o in easy.outcomes] == ["ok", "ok"]


def test_each_face_is_judged_by_its_own_error(prior: Path, fit: Path) -> None:
    """The release compares the sum over a batch with eps, so that a batch never converges."""
    lr = torch.cat([lr_faces(1), torch.zeros(1, 3, 4, 4)])
    options = {"gaussian_fit": fit, "size": 32, "steps": 2, "loss_str": "1*GEOCROSS"}  # eps does not enter this loss
    first = PULSE.from_checkpoint(prior, **options)
    errors = first.net.search(lr, [first.seed] * 2).last_error
    judged = PULSE.from_checkpoint(prior, eps=float(errors.mean()), **options).restore(lr)
    assert judged.outcomes is not None
    assert [o.status for o in judged.outcomes] == ["ok" if e < errors.mean() else "not_converged" for e in errors]
    assert len({o.status for o in judged.outcomes}) == 2


def test_the_gaussian_of_a_stylegan1_is_found_or_asked_for(tmp_path: Path) -> None:
    generator = StyleGAN1(16, mapped=False)
    with pytest.raises(WeightsMissing, match=r"gaussian_fit\.pt"):
        find_fit(generator, tmp_path / "synthesis.pt")
    torch.save({"mean": torch.full((512,), 2.0), "std": torch.ones(512)}, tmp_path / "gaussian_fit.pt")
    assert float(find_fit(generator, tmp_path / "synthesis.pt").mean[0]) == 2
    assert float(find_fit(generator, tmp_path / "x.pt", tmp_path / "gaussian_fit.pt").std[0]) == 1


def test_sampled_fit_is_the_fit_of_its_samples() -> None:
    generator = small()
    z = torch.randn(5000, 512, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = GaussianFit.of(generator.map(z))
    got = GaussianFit.sample(generator, 5000)
    torch.testing.assert_close(got.mean, want.mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.std, want.std, atol=1e-5, rtol=1e-4)


def test_bad_requests_get_one_sentence(prior: Path, fit: Path, tmp_path: Path) -> None:
    method = PULSE.from_checkpoint(prior, gaussian_fit=fit, size=32)
    good = lr_faces(1)
    for bad, said in (
        (good[:, :1], "1 channel instead of RGB's 3"),
        (good * float("nan"), "NaN"),
        (good[:0], "the batch is empty"),
        (good[:, :, :3], "not a square"),
        (good * 255, r"instead of \[0, 1\]"),
        (good[0], "not \\(3, 4, 4\\)"),
        (torch.rand(1, 3, 5, 5), "do not shrink to 5x5"),
    ):
        with pytest.raises(FaceSRError, match=said):
            method.restore(bad)
    with pytest.raises(FaceSRError, match="did you mean 'best'"):
        PULSE(keep="bets")  # type: ignore[arg-type]
    with pytest.raises(FaceSRError, match="did you mean 'linear1cycle"):
        PULSE(lr_schedule="linear1cycl")
    with pytest.raises(WeightsMissing, match="nowhere"):
        PULSE(prior=str(tmp_path / "nowhere.pt")).load()
    with pytest.raises(FaceSRError, match="did you mean 'mobilestylegan128'"):
        PULSE(prior="mobilestylegan18").load()


def test_weights_are_named_with_their_digest(prior: Path, fit: Path) -> None:
    digests = PULSE(prior=str(prior), gaussian_fit=str(fit)).weights
    assert list(digests) == ["small.pt", "gaussian_fit.pt"] and len(digests["small.pt"]) == 64


@pytest.mark.parametrize("layout", ["stylegan1", "stylegan2"])
def test_half_precision_searches_published_priors(prior: Path, fit: Path, tmp_path: Path, layout: str) -> None:
    path = prior
    if layout == "stylegan1":
        torch.manual_seed(0)
        for name, tensors in StyleGAN1(32).to_layout("pulse").items():
            torch.save(tensors, tmp_path / name)
        path = tmp_path / "synthesis.pt"
    lr = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def found(precision: Precision) -> torch.Tensor:
        method = PULSE(prior=str(path), gaussian_fit=str(fit), size=32, steps=3, precision=precision)
        return method.restore(lr, ["a"]).images

    whole, half = found("fp32"), found("bf16")
    assert half.dtype == torch.float32
    assert torch.isfinite(half).all()
    assert 0 < (half - whole).abs().mean() < 0.05  # of untrained nets, whose channels hardly vary before they are normalised
