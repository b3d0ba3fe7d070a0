"""pix2pixHD's further beginnings: wider nets with the same function, two stages in one file, discriminators of boxes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.methods.fsrnet.net import FSRNetwork
from facesr.methods.fsrnet.net import Sizes as FSRSizes
from facesr.methods.pix2pixhd import start
from facesr.methods.pix2pixhd.checkpoint import generator, read_pix2pixhd
from facesr.methods.pix2pixhd.net import GlobalGenerator, MultiscaleDiscriminator, initialise
from facesr.methods.pix2pixhd.stages import Judges, TwoStage, read_first
from facesr.methods.pix2pixhd.training import Pix2PixHDSizes
from facesr.methods.training import export

SMALL = FSRSizes(
    width=8, coarse_width=4, deconv_widths=(8, 8), prior_width=8, coarse_blocks=0, encoder_blocks=1, decoder_blocks=1, prior_blocks=1,
    hourglasses=1, hourglass_depth=2, landmarks=0, parsing=0, residual=True,
)  # fmt: skip


def _trained(ngf: int, blocks: int) -> GlobalGenerator:
    """A generator whose norms have statistics of their own."""
    torch.manual_seed(3)
    net = GlobalGenerator(3, 3, ngf, 2, blocks, "batch")
    initialise(net)
    for _ in range(3):
        net(torch.rand(2, 3, 32, 32) * 2 - 1)
    return net.eval()


@pytest.mark.parametrize("blocks", [2, 3])
def test_a_wider_generator_begins_with_the_same_function(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Net2WiderNet: without the noise the wider net's images are the narrow one's; a further block begins as the identity."""
    monkeypatch.setattr(start, "NOISE", 0.0)
    narrow, wide = _trained(4, 2), GlobalGenerator(3, 3, 6, 2, blocks, "batch").eval()
    initialise(wide)
    start.widen(narrow, wide)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before, after = narrow(x), wide(x)
    assert before.std() > 0.01
    assert torch.allclose(before, after, atol=1e-5)


def test_a_narrower_generator_cannot_begin_with_a_wider_one() -> None:
    """One sentence each for fewer channels and for another number of halvings."""
    with pytest.raises(FaceSRError, match="at least as large"):
        start.widen(_trained(6, 2), GlobalGenerator(3, 3, 4, 2, 2, "batch"))
    with pytest.raises(FaceSRError, match="n_down"):
        start.widen(_trained(4, 2), GlobalGenerator(3, 3, 4, 3, 2, "batch"))


def test_two_stages_begin_as_the_first_and_come_back_from_a_file(tmp_path: Path) -> None:
    """Silenced, the net gives FSRNet's image to the bit; trained, its file gives the same image again, with the published key names."""
    torch.manual_seed(5)
    file = tmp_path / "fsrnet.safetensors"
    about = {"sizes": json.dumps(dataclasses.asdict(SMALL)), "format": "facesr fsrnet 1"}
    export.write_weights(file, FSRNetwork(SMALL).state_dict(), about, half=False)
    first = read_first(file)
    net = TwoStage(first, _trained(4, 1))
    net.silence()
    net.eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.equal(net(x), first(x).image)
        last = net.model[-2]
        assert isinstance(last, torch.nn.Conv2d)
        torch.nn.init.normal_(last.weight, 0, 0.1)
        expected = net(x)
    assert not torch.equal(expected, first(x).image)
    assert not any(p.requires_grad for p in net.first.parameters())
    export.write_weights(tmp_path / "both.safetensors", net.state_dict(), {}, half=False)
    again = generator(read_pix2pixhd(tmp_path / "both.safetensors")).eval()
    assert isinstance(again, TwoStage)
    with torch.no_grad():
        assert torch.allclose(again(x), expected, atol=1e-6)


def test_a_weaker_net_adds_less_of_the_same() -> None:
    """The saved weights of strength .5 add tanh(z / 2) where the net adds tanh(z); the first stage's image is unchanged."""
    torch.manual_seed(5)
    net = TwoStage(FSRNetwork(SMALL), _trained(4, 1)).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        base = net.first(x).image
        z = net.model[:-1](base)
        weak = TwoStage(FSRNetwork(SMALL), _trained(4, 1)).eval()
        weak.load_state_dict(net.weaker(0.5))
        torch.testing.assert_close(weak(x), (base + torch.tanh(z / 2)).clamp(-1, 1))
        assert (net(x) - base).abs().mean() > 1.5 * (weak(x) - base).abs().mean() > 0
    for wrong, said in ({"strength": 0.5}, "'first', and there is none"), ({"strength": 0.0, "first": "default"}, "not above 0"):
        with pytest.raises(FaceSRError, match=said):
            from_table(Pix2PixHDSizes, wrong, "[net]")


def test_each_box_is_judged_by_itself() -> None:
    """A change inside a box reaches that box's verdict; a change outside all boxes reaches the whole image's alone."""
    torch.manual_seed(1)
    whole = MultiscaleDiscriminator(6, 4, 2, 2, norm="instance")
    judges = Judges(whole, ((4, 4, 16, 24), (20, 8, 12, 16)), 4, 2, "instance").eval()
    x = torch.rand(1, 6, 32, 32)
    changed, outside = x.clone(), x.clone()
    changed[:, :, 21:30, 9:20] += 0.5
    outside[:, :, :, 30:] += 0.5
    with torch.no_grad():
        verdicts = [[scale[-1] for scale in judges(image)] for image in (x, changed, outside)]
    assert len(verdicts[0]) == 4
    assert torch.equal(verdicts[0][2], verdicts[1][2])
    assert not torch.equal(verdicts[0][3], verdicts[1][3])
    assert torch.equal(verdicts[0][2], verdicts[2][2])
    assert torch.equal(verdicts[0][3], verdicts[2][3])
    assert not torch.equal(verdicts[0][0], verdicts[2][0])
