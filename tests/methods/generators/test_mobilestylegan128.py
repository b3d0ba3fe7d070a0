"""The 128² generator: what the full one gives, averaged, within the issue's 32 dB; one fixed set of weights that comes along."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.weights import find_weight
from facesr.methods.generators.files import IR_WEIGHTS
from facesr.methods.generators.mobilestylegan import MobileStyleGAN
from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128
from facesr.methods.generators.synthetic import SyntheticFaces
from facesr.methods.generators.training import relative_rates


@pytest.fixture(scope="module")
def small() -> MobileStyleGAN128:
    return MobileStyleGAN128.from_checkpoint()


def styles(small: MobileStyleGAN128, n: int, seed: int = 5) -> torch.Tensor:
    return small.map(torch.randn(n, 512, generator=torch.Generator().manual_seed(seed)))


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of images in [-1, 1], one value a face."""
    return 10 * torch.log10(4 / (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean((1, 2, 3)))


def test_gives_the_box_average_of_the_full_picture(small: MobileStyleGAN128) -> None:
    """Two fresh latents, not truncated; the model card has 500 (and the goal is 32 dB on their mean)."""
    try:
        full = MobileStyleGAN.from_checkpoint(find_weight(IR_WEIGHTS[0]).parent)
    except WeightsMissing as error:
        pytest.skip(str(error))
    w = styles(small, 2)
    truth = torch.cat([F.avg_pool2d(full.synthesize(one[None]), 8) for one in w])
    assert psnr(small.synthesize(w), truth).min() > 32
    untrained = MobileStyleGAN128.from_full(full).requires_grad_(False)
    start = psnr(untrained.synthesize(w), truth)
    assert (start > 27).all()
    assert (psnr(small.synthesize(w), truth) > start + 3).all()


def test_each_face_alone_is_the_same_as_in_a_batch(small: MobileStyleGAN128) -> None:
    w = styles(small, 3)
    together = small.synthesize(w)
    assert together.shape == (3, 3, 128, 128)
    torch.testing.assert_close(together[1:2], small.synthesize(w[1:2]), atol=5e-5, rtol=0)
    assert (together[0] - together[1]).abs().mean() > 0.05


def test_w_plus_has_sixteen_rows_that_all_matter(small: MobileStyleGAN128) -> None:
    w = small.broadcast(styles(small, 1)).clone().requires_grad_()
    assert w.shape == (1, 16, 512) == (1, small.n_styles, small.style_dim)
    small.synthesize(w).square().mean().backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert (w.grad[0].norm(dim=1) > 0).all()
    with pytest.raises(FaceSRError, match="16"):
        small.synthesize(torch.zeros(1, 23, 512))


def test_mixing_keeps_the_coarse_rows_face(small: MobileStyleGAN128) -> None:
    """The mixed face shrunk to 16² is nearer to the coarse parent than to the fine one."""
    both = styles(small, 2)
    a, b = both[:1], both[1:]
    mixed, coarse, fine = (F.avg_pool2d(small.synthesize(w), 8) for w in (small.mix(a, b, 13), a, b))
    assert (mixed - coarse).square().mean() < (mixed - fine).square().mean()


def test_noise_is_given_in_units_of_the_layers_own(small: MobileStyleGAN128) -> None:
    w = styles(small, 2)
    assert small.noise_sizes == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    given = small.random_noise(2, torch.Generator().manual_seed(0))
    assert 1e-4 < (small.synthesize(w, given) - small.synthesize(w)).abs().mean() < 0.1
    with pytest.raises(FaceSRError, match="11, one per layer"):
        small.synthesize(w, given[:2])


def test_a_wrong_file_gets_one_sentence(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"constant": torch.zeros(1, 512, 4, 4), "extra": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(FaceSRError, match=r"x\.safetensors, as a MobileStyleGAN128: .* keys missing .*1 key unexpected"):
        MobileStyleGAN128.from_checkpoint(tmp_path / "x.safetensors")


def test_endless_faces_depend_on_the_seed_only(small: MobileStyleGAN128) -> None:
    source = SyntheticFaces(small, small.synthesize, sources=[], latents="", size=128, psi=(0.5, 0.5))
    first, again = (source.draw(2, torch.Generator().manual_seed(9)) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    images, w = first
    torch.testing.assert_close(images, small.synthesize(w).add(1).div(2).clamp(0, 1))
    assert not torch.equal(w, source.draw(2, torch.Generator().manual_seed(10))[1])
    with pytest.raises(FaceSRError, match="go together"):
        SyntheticFaces(small, small.synthesize, sources=[{"folder": "x"}], latents="", size=128)


def test_rates_follow_the_size_of_each_tensor() -> None:
    layer = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(layer.weight, 0.5)
    torch.nn.init.constant_(layer.bias, 4.0)
    assert [group["lr"] for group in relative_rates(layer, 0.01)] == pytest.approx([0.005, 0.04])
