"""The parts MobileStyleGAN is made of, and the demo faces that it drew; what needs its weights is in test_mobilestylegan_published.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb
from facesr.methods.generators.demo import CHOSEN, FOLDER
from facesr.methods.generators.mobilestylegan import _StyledConv, inverse_haar, styled_conv
from facesr.methods.generators.mobilestylegan_ir import IRGraph


def test_inverse_haar_is_the_published_sum() -> None:
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64, requires_grad=True)
    out = inverse_haar(x)
    ll, a, b, c = x.view(2, 4, 2, 3, 4).unbind(1)
    for p in (0, 1):
        for q in (0, 1):
            expected = (ll + (-1) ** p * a + (-1) ** q * b + (-1) ** (p + q) * c) / 2
            torch.testing.assert_close(out[:, :, p::2, q::2], expected)
    assert torch.autograd.gradcheck(inverse_haar, x)
    torch.testing.assert_close(out.square().sum(), x.square().sum())


def test_a_gpu_computes_the_same_convolution() -> None:
    """What runs on other devices, a whole map at a time, equals the parts that fit a processor's cache: values and every gradient."""
    random = torch.Generator().manual_seed(0)
    shapes = [(2, 8, 40, 40), (2, 8), (8, 1, 3, 3), (6, 8), (6,), (1, 1, 40, 40)]
    ours, theirs = (
        [torch.randn(s, generator=random.manual_seed(0), dtype=torch.float64).requires_grad_() for s in shapes] for _ in "ab"
    )
    in_parts, whole = _StyledConv.apply(*ours), styled_conv(*theirs)
    torch.testing.assert_close(whole, in_parts, rtol=0, atol=1e-12)
    slope = torch.randn(in_parts.shape, generator=random, dtype=torch.float64)
    for a, b in zip(torch.autograd.grad(in_parts, ours, slope), torch.autograd.grad(whole, theirs, slope), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-10)


IR = """<?xml version="1.0"?><net name="n" version="10"><layers>
<layer id="0" name="k" type="Const"><data element_type="f32" shape="2, 2" offset="4" size="16"/></layer>
<layer id="1" name="m" type="MatMul"/></layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="1"/></edges></net>"""


def test_reads_a_graph(tmp_path: Path) -> None:
    xml, binary = tmp_path / "n.xml", tmp_path / "n.bin"
    xml.write_text(IR)
    binary.write_bytes(np.arange(5, dtype="<f4").tobytes())
    graph = IRGraph(xml, binary)
    assert list(graph.of_kind("MatMul")) == ["1"]
    np.testing.assert_array_equal(graph.constant("1"), [[1, 2], [3, 4]])
    binary.write_bytes(b"\0" * 12)
    with pytest.raises(FaceSRError, match="cut short"):
        IRGraph(xml, binary)
    xml.write_text(IR.replace("<net", "<!DOCTYPE net [<!ENTITY a 'b'>]><net"))
    with pytest.raises(FaceSRError, match="document type"):
        IRGraph(xml, binary)
    xml.write_text(IR[:100])
    with pytest.raises(FaceSRError, match="fetch them again"):
        IRGraph(xml, binary)


def test_demo_faces_are_what_the_manifest_says() -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["total"] == len(manifest["faces"]) == len(CHOSEN) == 8
    for face in manifest["faces"]:
        assert hashlib.sha256((FOLDER / face["file"]).read_bytes()).hexdigest() == face["sha256"]
        assert read_rgb(FOLDER / face["file"]).shape == (128, 128, 3)
