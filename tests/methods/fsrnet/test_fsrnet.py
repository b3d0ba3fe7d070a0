"""FSRNet against the published ports' own numbers (oracle files), its checkpoints in every layout, and its adapter."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance import agrees, recorded
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.methods.fsrnet import checkpoint
from facesr.methods.fsrnet.checkpoint import from_cydiachen, from_state, sizes_of, to_cydiachen
from facesr.methods.fsrnet.method import FSRGAN, FSRNet
from facesr.methods.fsrnet.net import FSRNetwork, HourGlass, Sizes
from facesr.methods.fsrnet.pickled import _Unpickler

TINY = Sizes(
    width=8,
    coarse_width=4,
    deconv_widths=(6,),
    prior_width=8,
    coarse_blocks=1,
    encoder_blocks=2,
    decoder_blocks=1,
    hourglass_depth=2,
)


@pytest.mark.parametrize("shared", [False, True])
def test_equals_cs_giungs_port(shared: bool) -> None:
    known = recorded("fsrnet_csgiung_81_11")
    data, state = known, known.get("state_dict", {})
    net = FSRNetwork(Sizes(shared=shared)).eval()
    assert sum(p.numel() for p in net.parameters()) == (
        2_164_380 if shared else 3_274_140
    )  # methods.md §0.8: 2.16 M, 3.26 M and heads
    net.load_state_dict(state, strict=True)
    assert len(net.state_dict()) == data["meta"]["n_keys"]
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())  # and back: every tensor is kept
    with torch.no_grad():
        output = net(data["inputs"]["x"])
        features = net.fsr_enc(output.coarse), net.pre_net(output.coarse)
    expected = data["outputs"]
    agrees(output.coarse, expected["coarse"], atol=5e-6, rtol=0)
    agrees(output.prior, expected["prior"], atol=3e-5, rtol=0)
    agrees(output.image, expected["out"], atol=5e-6, rtol=0)
    agrees(features[0], expected["f"], atol=5e-6, rtol=0)
    agrees(features[1], expected["p"], atol=3e-5, rtol=0)


def test_equals_cydiachens_hourglass() -> None:
    known = recorded("fsrnet_hourglass_small")
    data, state = known, known.get("state_dict", {})
    net = HourGlass(16, 2).eval()
    net.load_state_dict(state, strict=True)
    agrees(net(data["inputs"]["x"]), data["outputs"]["y"], atol=1e-5, rtol=0)


def test_sizes_of_a_cs_giung_checkpoint_are_read_off_its_shapes() -> None:
    known = recorded("fsrnet_csgiung_81_11")
    _, state = known, known.get("state_dict", {})
    held = from_state({"state_dict": {f"module.{k}": v for k, v in state.items()}, "hmaps_ch": 81, "pmaps_ch": 11}, "e099.pth")
    assert (held.layout, held.range, held.sizes) == ("cs-giung", "signed", Sizes(shared=True))


@pytest.mark.parametrize(
    "sizes",
    [
        TINY,
        Sizes(
            width=8,
            coarse_width=4,
            deconv_widths=(8, 6, 4),
            prior_width=12,
            coarse_blocks=0,
            encoder_blocks=1,
            decoder_blocks=0,
            hourglasses=1,
        ),
        Sizes(
            width=8,
            coarse_width=8,
            deconv_widths=(8,),
            prior_width=16,
            encoder_blocks=3,
            landmarks=5,
            parsing=0,
            fuse="maps",
            deconv_kernel=4,
        ),
        Sizes(
            width=8, coarse_width=8, deconv_widths=(8,), prior_width=16, encoder_blocks=2, landmarks=0, parsing=0, norm="instance"
        ),
    ],
)
def test_sizes_are_recovered_and_shapes_kept(sizes: Sizes) -> None:
    net = FSRNetwork(sizes).eval()
    assert sizes_of(net.state_dict()) == sizes
    output = net(torch.rand(2, 3, 64, 64) * 2 - 1)
    side = 64 // sizes.stride
    assert output.image.shape == output.coarse.shape == (2, 3, 64, 64)
    assert output.prior.shape == (2, sizes.maps or sizes.prior_width, side, side)


def test_cydiachens_layout_and_back() -> None:
    sizes = Sizes(width=8, coarse_width=8, deconv_widths=(8,), prior_width=16, landmarks=0, parsing=0)
    net = FSRNetwork(sizes).eval()
    theirs = to_cydiachen(net.state_dict())
    # names as in the port's flat sequences: conv, norm, then block i at 3 + i; the last conv behind a padding
    assert {"coarse_SR_Encoder.1.weight", "fine_SR_Encoder.14.conv_block.5.weight", "fine_SR_Encoder.16.weight"} <= set(theirs)
    assert {"prior_Estimation_Network.3.skipConv.weight", "prior_Estimation_Network.7.res3_1.convBlock.0.weight"} <= set(theirs)
    assert {"fine_SR_Decoder.3.weight", "fine_SR_Decoder.10.weight"} <= set(theirs)
    ours = from_cydiachen(theirs)
    assert ours.keys() == net.state_dict().keys()
    assert all(torch.equal(ours[k], v) for k, v in net.state_dict().items())
    held = from_state(theirs, "model.pth")
    assert (held.layout, held.range, held.sizes) == ("cydiachen", "unit", sizes)


class Pickled(torch.nn.Module):
    """What a whole pickled module holds, with an attribute that would run code if it were unpickled."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for key, value in state.items():
            part: torch.nn.Module = self
            *path, last = key.split(".")
            for name in path:
                if name not in part._modules:
                    part.add_module(name, torch.nn.Module())
                part = part._modules[name]  # type: ignore[assignment]
            part.register_buffer(last, value)
        self.bomb = Bomb()


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(BOMB[0]),))


BOMB = [""]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_module_pickled_whole_is_read_without_running_it(tmp_path: Path, legacy: bool) -> None:
    BOMB[0] = str(tmp_path / "exploded")
    state = to_cydiachen(
        FSRNetwork(Sizes(width=8, coarse_width=8, deconv_widths=(8,), prior_width=16, landmarks=0, parsing=0)).state_dict()
    )
    path = tmp_path / "model_epoch_1_iter_0.pth"
    torch.save({"epoch": 1, "model": Pickled(state)}, path, _use_new_zipfile_serialization=not legacy)
    method = FSRNet.from_checkpoint(path)
    assert method.used_range == "unit"
    assert method.net is not None
    assert torch.equal(method.net.state_dict()["fsr_enc.conv2.1.weight"], state["fine_SR_Encoder.16.weight"])
    assert not (tmp_path / "exploded").exists()


def test_a_number_in_a_pickle_is_no_order_for_memory() -> None:
    """``LONG_BINPUT`` says under which number a value is remembered; C's unpickler makes room for all numbers up to it (19 GB, found by damage)."""
    tracemalloc.start()
    try:
        assert _Unpickler(io.BytesIO(b"\x80\x02}r" + (50_000_000).to_bytes(4, "little") + b".")).load() == {}
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_adapter_enlarges_and_keeps_ranges(tmp_path: Path) -> None:
    net = FSRNetwork(TINY).eval()
    path = tmp_path / "tiny.pth"
    torch.save({"state_dict": net.state_dict()}, path)
    lr = torch.rand(3, 3, 8, 8)
    signed = FSRNet.from_checkpoint(path, size=32, scale=4)
    image = signed.restore(lr)
    assert isinstance(image, torch.Tensor)
    assert image.shape == (3, 3, 32, 32)
    assert 0 <= image.min() <= image.max() <= 1
    agrees(signed.restore(lr[1:2]), image[1:2], atol=1e-5, rtol=0)
    unit = FSRNet.from_checkpoint(path, size=32, scale=4, range="unit")
    assert not torch.allclose(unit.restore(lr), image)
    assert signed.weights.keys() == {"net"}


def test_residual_option_adds_the_input() -> None:
    import dataclasses

    x = torch.rand(1, 3, 16, 16) * 2 - 1
    without, added = (FSRNetwork(dataclasses.replace(TINY, residual=r)).eval() for r in (False, True))
    added.load_state_dict(without.state_dict())
    agrees(added(x).image, (x + without(x).image).clamp(-1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "fsr_enc.conv2.1.weight"}, "fsr_enc.conv2.1.weight"),
        (lambda s: {k: v for k, v in s.items() if k != "csr_net.conv2.1.weight"}, "1 key missing"),
        (lambda s: {"generator.weight": torch.zeros(2)}, "holds no FSRNet checkpoint"),
    ],
)
def test_broken_checkpoints_get_one_sentence(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "broken.pth"
    torch.save({"state_dict": change(FSRNetwork(TINY).state_dict())}, path)
    with pytest.raises(FaceSRError, match=words) as told:
        FSRNet.from_checkpoint(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "lr",
    [
        torch.rand(1, 1, 16, 16),
        torch.full((1, 3, 16, 16), float("nan")),
        torch.rand(0, 3, 16, 16),
        torch.rand(3, 16, 16),
        torch.rand(1, 3, 12, 12),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path: Path, lr: torch.Tensor) -> None:
    path = tmp_path / "tiny.pth"
    torch.save(FSRNetwork(TINY).state_dict(), path)
    with pytest.raises(FaceSRError):
        FSRNet.from_checkpoint(path).restore(lr)


def test_a_size_the_stride_does_not_divide_gets_one_sentence() -> None:
    with pytest.raises(FaceSRError, match="multiples of 2"):
        FSRNetwork(TINY)(torch.zeros(1, 3, 33, 33))


def test_wrong_options_get_one_sentence() -> None:
    with pytest.raises(FaceSRError, match="range"):
        FSRNet(range="tanh")
    with pytest.raises(FaceSRError, match="width is 0"):
        Sizes(width=0)
    with pytest.raises(FaceSRError, match="maps"):
        Sizes(fuse="maps", landmarks=0, parsing=0)


def test_other_sizes_than_the_default_weights_are_skipped_with_the_reason() -> None:
    assert FSRNet().skip() is None
    assert "x8 at 128" in (FSRNet(scale=4).skip() or "")


def test_fsrgan_has_no_default_weights() -> None:
    assert FSRGAN().weights == {}
    with pytest.raises(WeightsMissing, match="checkpoint"):
        FSRGAN().load()


@pytest.mark.skipif(not FSRNet.default or not FSRNet.default.is_file(), reason="the default weights are not in this checkout")
def test_default_weights_load_and_beat_bicubic_on_a_synthetic_edge() -> None:
    method = FSRNet()
    image = method.restore(torch.full((1, 3, 16, 16), 0.5))
    assert isinstance(image, torch.Tensor)
    assert image.shape == (1, 3, 128, 128)
    assert checkpoint.read_fsrnet(FSRNet.default or "").layout == "facesr"
    assert float(image.mean()) == pytest.approx(0.5, abs=0.1)  # a grey face stays about grey
