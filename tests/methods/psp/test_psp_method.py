"""pSp as a method: LR in, faces out, samples, refinement, errors; on a small encoder and StyleGAN2 with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import KERNELS, resize
from facesr.bench.method import Restored
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.psp import PSP, PSPRefined
from facesr.methods.psp.checkpoint import to_published
from facesr.methods.psp.encoders import EncoderConfig, build_encoder
from facesr.methods.psp.linear import Descent
from facesr.methods.psp.net import PSPNet
from facesr.methods.psp.refine import back_project, refine

SMALL = EncoderConfig(n_styles=8, input_size=64, channels=(8, 12, 16, 24), depths=(1, 1, 2, 1), width=20, head=10)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    generator = StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12))
    path = tmp_path_factory.mktemp("psp") / "psp.pt"
    torch.save(to_published(PSPNet(build_encoder(SMALL), generator, torch.randn(8, 512))), path)
    return path


def faces(n: int) -> Tensor:
    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(3))


def test_a_face_is_the_same_alone_and_in_any_batch(checkpoint: Path) -> None:
    psp = PSP.from_checkpoint(checkpoint, size=32)
    lr = faces(3)
    together = psp.restore(lr, ["a", "b", "c"])
    assert isinstance(together, Tensor) and together.shape == (3, 3, 32, 32)
    for i in range(3):
        alone = psp.restore(lr[i : i + 1])
        assert isinstance(alone, Tensor)
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=0)


def test_lr_goes_in_without_a_second_degradation(checkpoint: Path) -> None:
    lr = faces(1)
    net = PSP.from_checkpoint(checkpoint, size=32).net
    fed = []
    hook = net.encoder.register_forward_pre_hook(lambda module, args: fed.append(args[0]))
    PSP.restore(_with(checkpoint, net), lr)
    PSP.restore(_with(checkpoint, net, preprocess="script", resize_factor=16), lr)
    hook.remove()
    torch.testing.assert_close(fed[0], resize(lr, 64, "bilinear-pillow") * 2 - 1)
    assert (fed[1] - fed[0]).abs().max() > 0.02 and fed[1].shape == fed[0].shape


def _with(checkpoint: Path, net: PSPNet, **options: object) -> PSP:
    psp = PSP(checkpoint=str(checkpoint), size=32, **options)  # type: ignore[arg-type]
    psp._net = net
    return psp


def test_samples_differ_in_fine_styles_and_are_seeded_by_name(checkpoint: Path) -> None:
    net = PSP.from_checkpoint(checkpoint, size=32).net
    lr = faces(2)
    first = _with(checkpoint, net, samples=3, latent_mask="5,6,7").restore(lr, ["a", "b"])
    second = _with(checkpoint, net, samples=2, latent_mask="5,6,7").restore(lr.flip(0), ["b", "a"])
    assert isinstance(first, Restored) and isinstance(second, Restored)
    assert first.samples is not None and second.samples is not None
    assert first.samples.shape == (3, 2, 3, 32, 32)
    torch.testing.assert_close(first.samples[:2], second.samples.flip(1), atol=1e-4, rtol=0)
    assert (first.samples[0] - first.samples[1]).abs().max() > 1e-3
    blended = _with(checkpoint, net, samples=1, latent_mask="5,6,7", mix_alpha=0.0).restore(lr, ["a", "b"])
    assert isinstance(blended, Restored) and blended.samples is not None
    torch.testing.assert_close(blended.samples[0], blended.images)
    default = _with(checkpoint, net, samples=1).restore(lr, ["a", "b"])
    assert isinstance(default, Restored) and default.samples is not None and (default.samples[0] != default.images).any()


def test_refinement_reaches_eps_face_by_face_and_rests_there() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12)).eval().requires_grad_(False)
    with torch.no_grad():
        target = generator.broadcast(generator.map(torch.randn(2, 512)))
        lr = resize(generator.synthesize(target), 4, "box")
        start = target + torch.tensor([0.1, 0.0])[:, None, None] * torch.randn(2, 8, 512)

    def go(rows: slice) -> object:
        return refine(
            start[rows], lr[rows], lambda x: resize(x, 4, "box"), generator.synthesize, steps=60, eps=1e-3, learning_rate=0.02
        )

    both = go(slice(None))
    assert float(both.before[0]) > 1e-3 >= float(both.error.max())  # type: ignore[attr-defined]
    assert int(both.steps[1]) == 0 and torch.equal(both.codes[1], start[1])  # type: ignore[attr-defined]
    alone = go(slice(0, 1))
    torch.testing.assert_close(alone.codes[0], both.codes[0], atol=1e-3, rtol=0)  # type: ignore[attr-defined]


def test_a_descent_nears_lr_face_by_face_and_rests_at_eps() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12)).eval().requires_grad_(False)
    descent = Descent(generator, torch.randn(8, 8 * 512) * 0.05)
    with torch.no_grad():
        target = generator.broadcast(generator.map(torch.randn(2, 512)))
        lr = resize(generator.synthesize(target), 4, "box")
        start = target + torch.tensor([0.3, 0.0])[:, None, None] * torch.randn(2, 8, 512)

    def error(codes: Tensor, rows: slice) -> Tensor:
        with torch.no_grad():
            return (resize(generator.synthesize(codes), 4, "box") - lr[rows]).square().mean((1, 2, 3))

    def go(rows: slice, steps: int = 30) -> Tensor:
        found = refine(
            start[rows], lr[rows], lambda x: resize(x, 4, "box"), generator.synthesize, steps=steps, eps=1e-4, descent=descent
        )
        return found.codes

    both, alone, every = go(slice(None)), go(slice(0, 1)), slice(None)
    assert torch.equal(both[1], start[1])  # within eps from the beginning
    torch.testing.assert_close(alone[0], both[0], atol=1e-3, rtol=0)
    assert error(both, every)[0] < 0.5 * error(start, every)[0]
    assert torch.equal(go(slice(0, 1), steps=0), start[:1])


def test_refinement_is_off_unless_asked_for_and_lowers_the_error(checkpoint: Path) -> None:
    net = PSP.from_checkpoint(checkpoint, size=32).net
    lr = faces(2) * 0.2 + 0.4
    errors = []
    for steps in (0, 30):
        answer = _with(checkpoint, net, refine_steps=steps).restore(lr)
        assert isinstance(answer, Restored) == (steps > 0)
        images = answer.images if isinstance(answer, Restored) else answer
        errors.append((resize(images.clamp(0, 1), 4, "bicubic-matlab") - lr).square().mean((1, 2, 3)))
    assert (errors[1] < errors[0]).all()


def test_a_refined_face_above_eps_is_not_converged_and_keeps_its_image(checkpoint: Path) -> None:
    net = PSP.from_checkpoint(checkpoint, size=32).net
    lr = faces(2) * 0.2 + 0.4
    far = _with(checkpoint, net, refine_steps=1, eps=1e-9).restore(lr)
    assert isinstance(far, Restored) and far.outcomes is not None
    assert [outcome.status for outcome in far.outcomes] == ["not_converged"] * 2
    assert "after 1 step of refinement, above eps 1e-09" in far.outcomes[0].reason
    error = (resize(far.images.clamp(0, 1), 4, "bicubic-matlab") - lr).square().mean((1, 2, 3))
    assert f"{float(error[0]):.2e}" in far.outcomes[0].reason
    near = _with(checkpoint, net, refine_steps=1, eps=1.0).restore(lr)
    assert isinstance(near, Restored) and near.outcomes is not None
    assert [outcome.status for outcome in near.outcomes] == ["ok"] * 2


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_back_projection_reaches_lr_by_every_kernel(kernel: str) -> None:
    draw = torch.Generator().manual_seed(0)
    hr, other = (resize(torch.rand(1, 3, 32, 32, generator=draw) * 0.6 + 0.2, 128, "bicubic-matlab") for _ in range(2))
    lr = resize(hr, 16, kernel)
    once = (other + resize(lr - resize(other, 16, kernel), 128, "bicubic-matlab")).clamp(0, 1)
    torch.testing.assert_close(back_project(other, lr, kernel, 1), once)
    before, after = ((resize(x, 16, kernel) - lr).square().mean() for x in (other, back_project(other, lr, kernel, 6)))
    assert before > 5e-3 and after < 3e-5
    assert back_project(other * 2, lr, kernel, 1).amax() <= 1  # an image, whatever the network gave


def test_back_projection_adds_what_lr_has_to_converged_faces_and_to_samples(checkpoint: Path) -> None:
    net = PSP.from_checkpoint(checkpoint, size=32).net
    lr = faces(2) * 0.2 + 0.4

    def error(images: Tensor) -> Tensor:
        return (resize(images.clamp(0, 1), 4, "bicubic-matlab") - lr).square().mean((1, 2, 3))

    plain = _with(checkpoint, net).restore(lr)
    added = _with(checkpoint, net, back_projection=6).restore(lr)
    assert isinstance(plain, Tensor) and isinstance(added, Tensor)
    torch.testing.assert_close(added, back_project(plain.clamp(0, 1), lr, "bicubic-matlab", 6))
    assert (error(added) < 1e-4).all() and (error(plain) > 1e-3).all()
    smaller = _with(checkpoint, net, back_projection=6)
    smaller.size = 16  # a generator larger than HR: reduced first, so that LR is held at HR's size
    assert smaller.restore(lr).shape[-1] == 16  # type: ignore[union-attr]
    mixed = _with(checkpoint, net, back_projection=6, samples=2, latent_mask="5,6,7").restore(lr, ["a", "b"])
    assert isinstance(mixed, Restored) and mixed.samples is not None and (error(mixed.samples[1]) < 1e-4).all()
    far = _with(checkpoint, net, refine_steps=1, eps=1e-9, back_projection=6).restore(lr)
    assert isinstance(far, Restored) and far.outcomes is not None and far.outcomes[0].status == "not_converged"
    assert f"{float(error(far.images)[0]):.2e}" in far.outcomes[0].reason
    near = _with(checkpoint, net, refine_steps=1, eps=1.0, back_projection=6).restore(lr)
    assert isinstance(near, Restored) and (error(near.images) < 1e-4).all()


def test_the_preset_searches_and_projects_and_says_both() -> None:
    preset = PSPRefined()
    assert (preset.refine_steps, preset.back_projection) == (130, 1)
    assert [any(word in note for note in preset.notes) for word in ("a search after the encoder", "back-projection")] == [
        True,
        True,
    ]
    assert not any("not in the paper" in note for note in PSP().notes)
    assert any("back-projection" in note for note in PSP(back_projection=1).notes)
    with pytest.raises(FaceSRError, match="back_projection -1 is negative"):
        PSP(back_projection=-1)


def test_missing_weights_and_bad_requests_get_one_sentence(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PSP, "default", tmp_path / "none.safetensors")
    with pytest.raises(WeightsMissing, match=r"psp_celebs_super_resolution\.pt"):
        PSP().load()
    with pytest.raises(WeightsMissing, match="nowhere"):
        PSP.from_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(FaceSRError) as caught:
        PSP(preprocess="lrr", samples=-1, mix_alpha=2, latent_mask="8-10", eps=-1)  # type: ignore[arg-type]
    for said in ("did you mean 'lr'", "samples -1", "mix_alpha 2", "latent_mask '8-10'", "eps -1"):
        assert said in str(caught.value)
    psp = PSP.from_checkpoint(checkpoint, size=32)
    for bad, said in (
        (faces(1)[:, :1], "1 channel instead"),
        (faces(1) * float("inf"), "NaN or infinity"),
        (faces(0), "empty"),
        (faces(1)[..., :3], "3x4 pixels"),
    ):
        with pytest.raises(FaceSRError, match=said):
            psp.restore(bad)
    with pytest.raises(FaceSRError, match="2 faces but 1 names"):
        psp.restore(faces(2), ["a"])
    assert list(psp.weights) == ["psp.pt"]
