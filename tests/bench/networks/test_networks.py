"""The face networks against the published implementations' outputs on pseudo-random weights (oracles ``arcface_ir_se50``,
``insightface_iresnet18``; tolerance 2e-6 to 1e-5: an eps of batch norm of 2e-5 is noticed)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from conformance import agrees
from facesr.bench.errors import FaceSRError
from facesr.bench.networks.iresnet import IResNet
from facesr.bench.networks.irse import Backbone, Bottleneck

Oracle = Callable[[str], dict[str, Any]]


def test_ir_se50_equals_the_published_network(oracle: Oracle) -> None:
    known = oracle("arcface_ir_se50")
    net = Backbone.from_state_dict(known["state_dict"])
    with torch.no_grad():
        raw = net.features(known["inputs"]["x"])
        unit = net(known["inputs"]["x"])
    agrees(raw, known["outputs"]["before_norm"], atol=1e-5, rtol=0)
    agrees(unit, known["outputs"]["y"], atol=2e-6, rtol=0)
    assert [(k, list(v.shape)) for k, v in net.state_dict().items()] == [(k, list(s)) for k, s in known["meta"]["all_keys"]]


def test_iresnet18_equals_insightface_and_is_not_normalised(oracle: Oracle) -> None:
    known = oracle("insightface_iresnet18")
    net = IResNet.from_state_dict(known["state_dict"])
    with torch.no_grad():
        got = net(known["inputs"]["x"])
    agrees(got, known["outputs"]["y"], atol=5e-6, rtol=0)
    assert (got.norm(dim=1) > 1.5).all()
    assert sum(p.numel() for p in net.parameters()) == known["meta"]["n_params"]


def test_ir_101_has_curricularfaces_672_keys() -> None:
    with torch.device("meta"):
        keys = Backbone(100, "ir", affine=False).state_dict().keys()
    assert len(keys) == 672  # reference/methods.md, section 3
    assert "output_layer.4.weight" not in keys and "output_layer.4.running_mean" in keys


def test_layout_is_told_from_the_keys_and_a_wrong_file_is_named() -> None:
    torch.manual_seed(0)
    state = Backbone(50, "ir", affine=False).state_dict()
    net = Backbone.from_state_dict(state)
    assert not net.training and "output_layer.4.weight" not in net.state_dict()
    del state["body.3.res_layer.1.weight"]
    with pytest.raises(FaceSRError, match=r"body\.3\.res_layer\.1\.weight"):
        Backbone.from_state_dict(state)
    with pytest.raises(FaceSRError, match="holds no IR or IR-SE"):
        Backbone.from_state_dict({"conv1.weight": torch.zeros(1)})
    with pytest.raises(FaceSRError, match="holds no insightface iresnet"):
        IResNet.from_state_dict(state)
    with pytest.raises(FaceSRError, match="50, 100 or 152"):
        Backbone(34)


def test_wrong_input_is_told_in_one_sentence() -> None:
    with torch.device("meta"):
        net, ires = Backbone(), IResNet(18)
        x = torch.zeros(1, 3, 128, 128)
    with pytest.raises(FaceSRError, match=r"\(1, 3, 128, 128\)"):
        net(x)
    with pytest.raises(FaceSRError, match=r"\(1, 3, 128, 128\)"):
        ires(x)


def test_old_files_without_batch_counters_load() -> None:
    state = {k: v for k, v in Backbone(50).state_dict().items() if not k.endswith("num_batches_tracked")}
    assert len(Backbone.from_state_dict(state).state_dict()) == 397


@pytest.mark.parametrize("block", ["ir_se_same", "ir_se_up", "ir"])
def test_residual_blocks_equal_the_published_ones(block: str, oracle: Oracle) -> None:
    known = oracle("psp_parts")
    shape = {"ir_se_same": (32, 32, 2, "ir_se"), "ir_se_up": (16, 32, 2, "ir_se"), "ir": (16, 32, 1, "ir")}[block]
    net = Bottleneck(*shape)  # type: ignore[arg-type]
    net.load_state_dict(known["state_dict"][block])
    with torch.no_grad():
        got = net.eval()(known["inputs"][block])
    agrees(got, known["outputs"][block], atol=1e-5, rtol=1e-5)
