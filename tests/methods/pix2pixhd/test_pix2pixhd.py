"""pix2pixHD against the published code's own numbers (oracle files), its checkpoints, and its adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conformance import agrees, recorded
from conformance.detweights import make_state_dict
from facesr.bench.errors import FaceSRError
from facesr.methods.pix2pixhd import checkpoint
from facesr.methods.pix2pixhd.losses import VGG19Loss, feature_matching, gan_bce, lsgan
from facesr.methods.pix2pixhd.method import Pix2PixHD, tensor2im
from facesr.methods.pix2pixhd.net import (
    FeatureEncoder,
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    halve,
    initialise,
    instance_means,
)


# Seven times the published implementation's own error in float32 (7.1e-6).
def close(ours: Tensor, theirs: Tensor) -> None:
    agrees(ours, theirs, atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", ["pix2pixhd_global_small", "pix2pixhd_local_small"])
def test_generators_equal_the_published_ones(name: str) -> None:
    known = recorded(name)
    data, state = known, known.get("state_dict", {})
    net = checkpoint.generator(state, name)  # sizes are read off the shapes
    assert isinstance(net, LocalEnhancer if "local" in name else GlobalGenerator)
    assert net.state_dict().keys() == state.keys()
    with torch.no_grad():
        close(net(data["inputs"]["x"]), data["outputs"]["y"])


def test_discriminator_equals_the_published_one() -> None:
    known = recorded("pix2pixhd_disc_feat")
    data, state = known, known.get("state_dict", {})
    net = checkpoint.discriminator(state)
    with torch.no_grad():
        found = net(data["inputs"]["x"])
    assert [len(scale) for scale in found] == [5, 5]
    for ours, theirs in zip(found, data["outputs"]["y"], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            close(a, b)


def test_losses_equal_the_published_ones() -> None:
    known = recorded("pix2pixhd_losses")
    data, state = known, known.get("state_dict", {})
    expected, (a, b) = data["outputs"], (data["inputs"]["a"], data["inputs"]["b"])
    vgg = VGG19Loss(state)
    close(vgg(a, b), expected["vgg"])
    assert [tuple(f.shape) for f in vgg.features(a)] == [tuple(s) for s in expected["vgg_feat_shapes"]]
    spec = {k: tuple(v) for k, v in data["inputs"]["disc_spec"].items()}
    net = MultiscaleDiscriminator(6, 8)
    net.load_state_dict(make_state_dict(spec, data["seed"]))
    with torch.no_grad():
        fake, real = net(torch.cat([a, b], 1)), net(torch.cat([a, a], 1))
    close(lsgan(fake, real=True), expected["gan_fake_as_real"])
    close(lsgan(fake, real=False), expected["gan_fake_as_fake"])
    close(lsgan(real, real=True), expected["gan_real"])
    close(feature_matching(fake, real), expected["feature_matching"])


def test_vgg_takes_torchvisions_keys_and_wants_all_of_them() -> None:
    known = recorded("pix2pixhd_losses")
    _, state = known, known.get("state_dict", {})
    theirs = {"features." + k.split(".", 1)[1]: v for k, v in state.items()}
    x, y = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    assert torch.equal(VGG19Loss(theirs)(x, y), VGG19Loss(state)(x, y))
    del theirs["features.28.weight"]
    with pytest.raises(FaceSRError, match=r"28\.weight"):
        VGG19Loss(theirs)


def test_tensor2im_truncates_as_published() -> None:
    known = recorded("pix2pixhd_tensor2im")
    data, _ = known, known.get("state_dict", {})
    assert np.array_equal(tensor2im(data["inputs"]["t"]), data["outputs"]["u8"].numpy())


def test_published_sizes_have_the_published_parameters() -> None:
    # methods.md §1.3: 182.44 M in 56 tensors; the official Cityscapes file has 182.86 M in 74
    with torch.device("meta"):
        whole, local = GlobalGenerator(), LocalEnhancer(36, 3)
    assert (sum(p.numel() for p in whole.parameters()), len(whole.state_dict())) == (182_443_267, 56)
    assert (sum(p.numel() for p in local.parameters()), len(local.state_dict())) == (182_857_059, 74)
    names = {k.rsplit(".", 1)[0] for k in whole.state_dict()}
    blocks = {f"model.{i}.conv_block.{j}" for i in range(16, 25) for j in (1, 5)}
    assert names == {f"model.{i}" for i in (1, 4, 7, 10, 13, 25, 28, 31, 34, 38)} | blocks


def test_running_statistics_of_old_files_are_dropped_and_those_of_batch_norm_kept(tmp_path: Path) -> None:
    new = GlobalGenerator(ngf=4, n_down=2, n_blocks=2)
    old = {**new.state_dict(), "model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}
    torch.save(old, tmp_path / "latest_net_G.pth", _use_new_zipfile_serialization=False)
    method = Pix2PixHD.from_checkpoint(tmp_path / "latest_net_G.pth", size=32)
    assert method.net is not None
    assert method.net.state_dict().keys() == new.state_dict().keys()
    batch = GlobalGenerator(ngf=4, n_down=2, n_blocks=2, norm="batch")
    batch.train()(torch.rand(2, 3, 16, 16))
    again = checkpoint.generator(checkpoint.cleaned(batch.state_dict()))
    assert torch.equal(again.state_dict()["model.2.running_mean"], batch.state_dict()["model.2.running_mean"])


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("features", [True, False])
def test_discriminators_of_every_option_are_recovered(norm: Any, features: bool) -> None:
    net = MultiscaleDiscriminator(6, 4, n_layers=2, num_d=3, features=features, norm=norm).eval()
    again = checkpoint.discriminator(net.state_dict()).eval()
    x = torch.rand(2, 6, 32, 32)
    for ours, theirs in zip(again(x), net(x), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert len(net(x)) == 3


@pytest.mark.parametrize("n_enhancers", [1, 2])
def test_local_enhancers_are_recovered(n_enhancers: int) -> None:
    net = LocalEnhancer(3, 3, 4, 2, 1, n_enhancers, 2).eval()
    again = checkpoint.generator(net.state_dict()).eval()
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(x), net(x))
    assert again(x).shape == x.shape


def test_encoder_means_hold_within_each_image_of_a_batch() -> None:
    torch.manual_seed(0)
    features, instances = torch.rand(3, 2, 8, 8), torch.randint(0, 4, (3, 1, 8, 8))
    found = instance_means(features, instances)
    for b in range(3):
        for i in instances[b].unique():
            where = instances[b, 0] == i
            for c in range(2):
                values = found[b, c][where]
                agrees(values, features[b, c][where].mean().expand_as(values))
    agrees(instance_means(features[1:2], instances[1:2]), found[1:2])


def test_encoder_is_recovered_and_checks_its_input() -> None:
    net = FeatureEncoder(3, 2, 4, 2).eval()
    again = checkpoint.encoder(net.state_dict()).eval()
    x, instances = torch.rand(2, 3, 16, 16), torch.randint(0, 3, (2, 1, 16, 16))
    assert torch.equal(again(x, instances), net(x, instances))
    with pytest.raises(FaceSRError, match="instance map"):
        net(x, instances[:1])
    with pytest.raises(FaceSRError, match="feature encoder"):
        checkpoint.encoder(GlobalGenerator(ngf=2, n_down=1, n_blocks=1).state_dict())


def test_halving_averages_over_what_is_there() -> None:
    assert torch.equal(halve(torch.ones(1, 1, 6, 6)), torch.ones(1, 1, 3, 3))


def test_cross_entropy_is_torchs() -> None:
    torch.manual_seed(0)
    verdicts = [[torch.rand(2, 4), torch.rand(2, 1, 5, 5)], [torch.rand(2, 1, 3, 3)]]
    expected = sum(-torch.log(scale[-1]).mean() for scale in verdicts)
    agrees(gan_bce(verdicts, real=True), torch.as_tensor(expected))
    expected = sum(-torch.log(1 - scale[-1]).mean() for scale in verdicts)
    agrees(gan_bce(verdicts, real=False), torch.as_tensor(expected))
    judge = MultiscaleDiscriminator(6, 4, n_layers=2, sigmoid=True).requires_grad_(False)
    assert all(0 <= float(v[-1].min()) <= float(v[-1].max()) <= 1 for v in judge(torch.rand(1, 6, 32, 32)))


def test_initial_weights_are_the_published_normals() -> None:
    net = GlobalGenerator(ngf=32, n_down=2, n_blocks=2, norm="batch")
    initialise(net)
    assert float(net.state_dict()["model.7.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(net.state_dict()["model.8.weight"].mean()) == pytest.approx(1.0, abs=0.02)


def test_adapter_enlarges_and_keeps_the_range(tmp_path: Path) -> None:
    torch.save(GlobalGenerator(ngf=4, n_down=2, n_blocks=1).state_dict(), tmp_path / "g.pth")
    method = Pix2PixHD.from_checkpoint(tmp_path / "g.pth", size=32, scale=4)
    lr = torch.rand(3, 3, 8, 8)
    image = method.restore(lr)
    assert image.shape == (3, 3, 32, 32)
    assert 0 <= image.min() <= image.max() <= 1
    agrees(method.restore(lr[2:]), image[2:], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (GlobalGenerator(36, 3, 2, 1, 1).state_dict(), "36 to 3 channels"),
        ({"encoder.weight": torch.zeros(1)}, "holds no pix2pixHD generator"),
        (
            {k: v for k, v in GlobalGenerator(ngf=2, n_down=1, n_blocks=1).state_dict().items() if k != "model.4.bias"},
            "1 key missing",
        ),
    ],
)
def test_other_files_get_one_sentence(tmp_path: Path, state: dict[str, Tensor], words: str) -> None:
    torch.save(state, tmp_path / "g.pth")
    with pytest.raises(FaceSRError, match=words) as told:
        Pix2PixHD.from_checkpoint(tmp_path / "g.pth")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "lr", [torch.rand(1, 1, 16, 16), torch.rand(1, 3, 12, 12), torch.full((1, 3, 16, 16), float("nan")), torch.rand(0, 3, 16, 16)]
)
def test_bad_input_gets_one_sentence(tmp_path: Path, lr: Tensor) -> None:
    torch.save(GlobalGenerator(ngf=2, n_down=1, n_blocks=1).state_dict(), tmp_path / "g.pth")
    with pytest.raises(FaceSRError):
        Pix2PixHD.from_checkpoint(tmp_path / "g.pth").restore(lr)


def test_a_size_the_strides_do_not_divide_gets_one_sentence() -> None:
    with pytest.raises(FaceSRError, match="multiples of 4"):
        GlobalGenerator(ngf=2, n_down=2, n_blocks=1)(torch.zeros(1, 3, 30, 30))


def test_other_sizes_than_the_default_weights_are_skipped_with_the_reason() -> None:
    assert Pix2PixHD().skip() is None
    assert "x8 at 128" in (Pix2PixHD(size=256).skip() or "")


@pytest.mark.skipif(not Pix2PixHD.default.is_file(), reason="the default weights are not in this checkout")
def test_default_weights_keep_a_grey_face_grey() -> None:
    image = Pix2PixHD().restore(torch.full((1, 3, 16, 16), 0.5))
    assert image.shape == (1, 3, 128, 128)
    assert float(image.mean()) == pytest.approx(0.5, abs=0.15)
