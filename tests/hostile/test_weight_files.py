"""A campaign against the readers of weight files: seeded mutations of whole files, of every kind that is read.

Every file ends in a network or in one ``FaceSRError`` of one line, in time and memory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from facesr.bench.onnxnet import OnnxNet
from facesr.methods.fsrnet import FSRNet
from facesr.methods.fsrnet.net import FSRNetwork, Sizes
from facesr.methods.generators.opening import open_generator
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.pix2pixhd.net import GlobalGenerator
from facesr.methods.psp import PSP
from facesr.methods.psp.checkpoint import to_published
from facesr.methods.psp.encoders import EncoderConfig, build_encoder
from facesr.methods.psp.net import PSPNet
from hostile.campaign import Outcome, check, damage


def _fsrnet() -> dict[str, torch.Tensor]:
    tiny = Sizes(
        width=4, coarse_width=4, deconv_widths=(4,), prior_width=8, hourglass_depth=1, hourglasses=1, landmarks=2, parsing=1
    )
    return FSRNetwork(tiny).state_dict()


def _psp() -> dict[str, Any]:
    sizes = EncoderConfig(n_styles=6, input_size=64, channels=(4, 6, 8, 10), depths=(1, 1, 1, 1), width=8, head=4)
    generator = StyleGAN2(16, channels=dict.fromkeys((4, 8, 16), 4), n_mlp=1).eval()
    return to_published(PSPNet(build_encoder(sizes), generator, torch.zeros(6, 512)).eval())


def _onnx(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(torch.rand(4, 3, 3, 3).numpy(), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())


def _t7(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "torch7_writer", Path(__file__).parents[1] / "methods" / "fsrnet" / "test_fsrnet_torch7.py"
    )
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    out = theirs.Writer()
    out.value(theirs.lua(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3))))
    path.write_bytes(bytes(out.out))


Make, Load = Callable[[Path], Any], Callable[[Path], Any]
KINDS: dict[str, tuple[Make, Load]] = {
    "psp.pt": (lambda path: torch.save(_psp(), path), lambda path: PSP(checkpoint=str(path), size=16).load()),
    "fsrnet.pth": (lambda path: torch.save({"state_dict": _fsrnet()}, path), lambda path: FSRNet(checkpoint=str(path)).load()),
    "fsrnet-old.pth": (
        lambda path: torch.save({"state_dict": _fsrnet()}, path, _use_new_zipfile_serialization=False),
        lambda path: FSRNet(checkpoint=str(path)).load(),
    ),
    "fsrnet.safetensors": (lambda path: save_file(_fsrnet(), path), lambda path: FSRNet(checkpoint=str(path)).load()),
    "pix2pixhd.pth": (
        lambda path: torch.save(GlobalGenerator(ngf=2, n_down=1, n_blocks=1).state_dict(), path),
        lambda path: Pix2PixHD(checkpoint=str(path)).load(),
    ),
    "stylegan2.pt": (
        lambda path: torch.save({"g_ema": StyleGAN2(8, channels={4: 4, 8: 4}, n_mlp=1).to_layout("rosinality")}, path),
        open_generator,
    ),
    "recogniser.onnx": (_onnx, OnnxNet),
    "CelebA_8x.t7": (_t7, lambda path: FSRNet(checkpoint=str(path)).load()),
}


def _campaign(kind: str, folder: Path) -> Outcome:
    """Damaged files of one kind, loaded."""
    torch.manual_seed(0)
    make, load = KINDS[kind]
    whole = folder / kind
    make(whole)
    load(whole)
    return damage(f"weights {kind}", whole.read_bytes(), load, folder / f"x-{kind}", 40)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_network_or_one_sentence(kind: str, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    outcome = fresh.submit(_campaign, kind, tmp_path).result()
    check(outcome)
    assert outcome.refused > outcome.tried // 4
