"""pSp's encoder, network, checkpoints and preprocessing against its own code (oracles ``psp_parts``, ``psp_full_256``,
``psp_losses_and_degradation``, ``psp_tensor2im``; tolerance 1e-5, images 5e-5) and against the published file's 792 keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conformance import VECTORS, agrees
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import to_tensor
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.psp.checkpoint import assemble, read_psp, to_published
from facesr.methods.psp.encoders import ENCODERS, EncoderConfig, GradualStyleBlock, build_encoder, describe_encoder, upsample_add
from facesr.methods.psp.net import PSPNet
from facesr.methods.psp.preprocess import as_script, bilinear_resize, degrade_published, from_lr

Oracle = Callable[[str], dict[str, Any]]
SMALL = EncoderConfig(n_styles=8, input_size=64, channels=(8, 12, 16, 24), depths=(1, 1, 2, 1), width=20, head=10)


def small_generator() -> StyleGAN2:
    torch.manual_seed(1)
    return StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12)).eval().requires_grad_(False)


@pytest.mark.parametrize(("block", "channels", "spatial"), [("style_block_16", 16, 16), ("style_block_64", 8, 64)])
def test_map2style_equals_the_published_block(block: str, channels: int, spatial: int, oracle: Oracle) -> None:
    known = oracle("psp_parts")
    net = GradualStyleBlock(channels, channels, spatial)
    net.load_state_dict(known["state_dict"][block])
    with torch.no_grad():
        agrees(net(known["inputs"][block]), known["outputs"][block], atol=1e-5, rtol=1e-5)


def test_upsample_add_equals_the_published_one(oracle: Oracle) -> None:
    known = oracle("psp_parts")
    agrees(upsample_add(*known["inputs"]["upsample_add"]), known["outputs"]["upsample_add"], atol=1e-6, rtol=0)


def test_whole_network_equals_the_published_one(oracle: Oracle) -> None:
    """239 million weights at output size 256, from a checkpoint whose options are as old as the first release's."""
    known = oracle("psp_full_256")
    opts = {"start_from_latent_avg": True, "encoder_type": "GradualStyleEncoder"}
    tree = {"state_dict": known["state_dict"], "opts": opts, "latent_avg": known["inputs"]["latent_avg"]}
    net, x, want = assemble(tree, Path("psp.pt")), known["inputs"]["x"], known["outputs"]
    with torch.no_grad():
        codes = net.encode(x)
        agrees(codes, want["latent"], atol=1e-5, rtol=0)
        assert net.latent_avg is not None
        agrees(codes - net.latent_avg, want["encoder_codes"], atol=1e-5, rtol=0)
        c1, c2, c3 = net.encoder.maps(x)
        agrees(c1.mean((2, 3)), want["c1_mean"], atol=1e-5, rtol=0)
        agrees(c2.mean((2, 3)), want["c2_mean"], atol=1e-5, rtol=0)
        agrees(c3, want["c3"], atol=1e-5, rtol=0)
        images, latents = net(x, return_latents=True)
        agrees(images, want["out256"], atol=5e-5, rtol=0)
        agrees(latents, want["latent"], atol=1e-5, rtol=0)
        agrees(net.decoder.synthesize(codes), want["out_native"], atol=5e-5, rtol=0)


def test_the_published_super_resolution_checkpoint_has_our_names_and_shapes() -> None:
    keys = {name: tuple(shape) for name, shape, _ in json.loads((VECTORS / "psp_official_keys.json").read_text())["keys"]}
    with torch.device("meta"):
        net = PSPNet(build_encoder(), StyleGAN2(1024), torch.zeros(18, 512))
    assert len(keys) == 792
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == keys
    encoder = {
        name.removeprefix("encoder."): torch.empty(shape, device="meta") for name, shape in keys.items() if "encoder." in name
    }
    assert describe_encoder(encoder) == EncoderConfig()


def test_a_round_trip_keeps_every_tensor_and_the_options(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PSPNet(build_encoder(SMALL), small_generator(), torch.randn(8, 512), opts={"start_from_latent_avg": True, "lr": 1e-4})
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    torch.save(to_published(net), first)
    torch.save(to_published(read_psp(first)), second)
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    assert a["opts"] == b["opts"] and torch.equal(a["latent_avg"], b["latent_avg"])
    assert list(a["state_dict"]) == list(b["state_dict"])
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key


@pytest.mark.parametrize("kind", sorted(ENCODERS))
@pytest.mark.parametrize("taps", ["pyramid", "largest", "smallest"])
def test_every_encoder_gives_its_codes_and_is_told_from_its_keys(kind: str, taps: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(**{**vars(SMALL), "kind": kind, "taps": taps})
    encoder, generator = build_encoder(config).eval(), small_generator()
    mean = torch.randn(512)
    net = PSPNet(encoder, generator, mean, learn_in_w=kind[-5:] == "IntoW").eval()
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        codes = net.encode(x)
        assert codes.shape == (2, 8, 512)
        raw = encoder(x)
        agrees(codes - mean, raw if raw.ndim == 3 else raw[:, None].expand(-1, 8, -1), atol=1e-5, rtol=1e-4)
    found = describe_encoder(encoder.state_dict(), input_size=64, encoder_type=kind)
    assert (found.kind, found.channels, found.depths) == (config.kind, config.channels, config.depths)
    if kind == "GradualStyleEncoder":
        assert (found.taps, found.width, found.head, found.n_styles) == (taps, 20, 10, 8)
        depth = {"pyramid": [2] * 3 + [3] * 4 + [4], "largest": [4] * 8, "smallest": [2] * 8}[taps]
        assert [len(head.convs) // 2 for head in encoder.styles] == depth  # type: ignore[union-attr, arg-type]
    assert EncoderConfig.from_json(config.to_json()) == config


def test_an_encoder_of_this_project_is_read_with_its_generator(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = PSPNet(build_encoder(SMALL), small_generator(), torch.randn(8, 512)).eval()
    tensors, told = net.tensors()
    path = tmp_path / "psp.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}, path, told)
    again = read_psp(path, small_generator())
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        agrees(again.encode(x), net.encode(x), atol=2e-2, rtol=1e-2)  # halves of a network of 5 layers
    with pytest.raises(FaceSRError, match="holds an encoder only"):
        read_psp(path)
    with pytest.raises(FaceSRError, match="gives 8 styles, the generator of side 64 takes 10"):
        read_psp(path, StyleGAN2(64, channels=dict.fromkeys((4, 8, 16, 32, 64), 12)))


def test_wrong_checkpoints_are_told_by_their_keys(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "psp.pt"
    good = to_published(PSPNet(build_encoder(SMALL), small_generator(), torch.randn(8, 512), opts={"start_from_latent_avg": True}))

    def refuse(said: str, **changes: Any) -> None:
        torch.save({**good, **changes}, path)
        with pytest.raises(FaceSRError, match=said):
            read_psp(path)

    state = good["state_dict"]
    refuse("'latent_avg'", latent_avg=None)
    refuse("output_size 1024, its decoder is of 32", opts={"output_size": 1024})
    refuse("neither encoder nor decoder", state_dict={**state, "other.weight": torch.zeros(1)})
    refuse(
        r"body\.2\.res_layer\.1\.weight", state_dict={k: v for k, v in state.items() if k != "encoder.body.2.res_layer.1.weight"}
    )
    refuse("holds no decoder", state_dict={k: v for k, v in state.items() if k.startswith("encoder.")})
    refuse(
        "none of its keys begins with encoder.input_layer", state_dict={k: v for k, v in state.items() if k.startswith("decoder.")}
    )
    refuse("19-channel label maps", state_dict={**state, "encoder.input_layer.0.weight": torch.zeros(8, 19, 3, 3)})
    torch.save({"g_ema": {}}, path)
    with pytest.raises(FaceSRError, match="holds no pSp checkpoint"):
        read_psp(path)


def test_style_mixing_replaces_or_blends_the_named_styles() -> None:
    torch.manual_seed(0)
    net = PSPNet(build_encoder(SMALL), small_generator(), torch.zeros(8, 512)).eval()
    codes, other = torch.randn(2, 8, 512), torch.randn(1, 8, 512)
    mixed = net.mix(codes, [5, 7], other)
    assert torch.equal(mixed[:, [5, 7]], other.expand(2, -1, -1)[:, [5, 7]]) and torch.equal(mixed[:, :5], codes[:, :5])
    agrees(net.mix(codes, [0], other, alpha=0.25)[:, 0], 0.25 * other[:, 0] + 0.75 * codes[:, 0])
    assert not net.mix(codes, [3])[:, 3].any() and torch.equal(codes[:, 3], codes[:, 3].clone())
    with pytest.raises(FaceSRError, match="latent_mask names style 8"):
        net.mix(codes, [8])
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        images, latents = net(x, latent_mask=[6, 7], inject_latent=other, return_latents=True)
        agrees(images, net.face_pool(net.decoder.synthesize(latents)))
        assert images.shape == (1, 3, 256, 256) and net(x, resize=False).shape == (1, 3, 32, 32)
        agrees(net(torch.ones(1, 512), input_code=True, resize=False), net.decoder.synthesize(net.styles(torch.ones(1, 512))))
        assert not torch.equal(net(x, randomize_noise=True), net(x, randomize_noise=True)) or not any(
            float(p) for name, p in net.decoder.named_parameters() if name.endswith("noise.weight")
        )


def test_configurations_that_cannot_be_are_refused_with_all_their_problems() -> None:
    with pytest.raises(FaceSRError) as caught:
        EncoderConfig(taps="pyramide", input_size=100, coarse=9, channels=(1, 2))  # type: ignore[arg-type]
    for said in ("did you mean 'pyramid'", "input_size 100", "coarse 9 and middle 7", "channels (1, 2)"):
        assert said in str(caught.value)
    with pytest.raises(FaceSRError, match="did you mean 'width'"):
        EncoderConfig.from_json('{"widht": 3}')
    with pytest.raises(FaceSRError, match=r"takes \(B, 3, 64, 64\).*not \(2, 3, 32, 32\)"):
        build_encoder(SMALL)(torch.zeros(2, 3, 32, 32))


def test_the_scripts_own_degradation_is_reproduced_to_the_bit(oracle: Oracle) -> None:
    known = oracle("psp_losses_and_degradation")
    image = known["inputs"]["image_u8"].numpy()
    for factor, want in known["outputs"]["lr_u8"].items():
        lr = degrade_published(image, int(factor))
        off = np.nan_to_num(np.abs(lr - want.numpy()))  # NaN where the figure was not kept
        # Factor 1 ends on whole numbers, where float32's last bit decides what truncation gives: 2 of 196,608 values
        assert off.max() <= (factor == 1) and np.count_nonzero(off) <= 2 * (factor == 1), factor
        resized = known["outputs"]["resized_u8"][factor]
        agrees(torch.from_numpy(bilinear_resize(lr)).float(), resized.float(), atol=float(factor == 1), rtol=0)
        fed = as_script(to_tensor(image[None]), int(factor))
        agrees(fed, resized.float().permute(2, 0, 1)[None] / 127.5 - 1, atol=1e-6 + 0.008 * (factor == 1), rtol=0)
    with pytest.raises(FaceSRError, match="does not shrink by 3"):
        degrade_published(image, 3)


def test_a_true_lr_face_is_enlarged_as_pillow_does_and_not_degraded(oracle: Oracle) -> None:
    known = oracle("psp_losses_and_degradation")
    small = known["inputs"]["small_u8"].numpy()
    got = (from_lr(to_tensor(small[None])) + 1) / 2 * 255
    want = torch.from_numpy(known["outputs"]["pil_bilinear_64_to_256"].numpy()).permute(2, 0, 1)[None].float()
    agrees(got, want, atol=1.001, rtol=0)  # two passes of 8-bit rounding in Pillow, none here


def test_tensor2im_truncates_where_the_bench_rounds(oracle: Oracle) -> None:
    known = oracle("psp_tensor2im")
    t: Tensor = known["inputs"]["t"]
    truncated = (((t + 1) / 2).clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0)
    assert torch.equal(truncated, known["outputs"]["u8"])
