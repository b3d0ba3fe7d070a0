"""A campaign against the readers of weight files: seeded mutations of whole files, of every kind that is read.

``FACESR_HOSTILE=20`` tries twenty times as many. Every file ends in a network or in one ``FaceSRError`` of one line, in time and memory.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import random
import re
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from facesr.bench.errors import FaceSRError
from facesr.bench.onnxnet import OnnxNet
from facesr.methods.fsrnet import FSRNet
from facesr.methods.fsrnet.net import FSRNetwork, Sizes
from facesr.methods.generators.opening import open_generator
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.pix2pixhd.net import GlobalGenerator
from facesr.methods.psp import PSP
from facesr.methods.psp.checkpoint import published
from facesr.methods.psp.encoders import EncoderConfig, build
from facesr.methods.psp.net import PSPNet

TRIES = 40 * int(os.environ.get("FACESR_HOSTILE", "1"))
SECONDS, BYTES = 20.0, 2 << 30


def _fsrnet() -> dict[str, torch.Tensor]:
    tiny = Sizes(
        width=4, coarse_width=4, deconv_widths=(4,), prior_width=8, hourglass_depth=1, hourglasses=1, landmarks=2, parsing=1
    )
    return FSRNetwork(tiny).state_dict()


def _psp() -> dict[str, Any]:
    sizes = EncoderConfig(n_styles=6, input_size=64, channels=(4, 6, 8, 10), depths=(1, 1, 1, 1), width=8, head=4)
    generator = StyleGAN2(16, channels=dict.fromkeys((4, 8, 16), 4), n_mlp=1).eval()
    return published(PSPNet(build(sizes), generator, torch.zeros(6, 512)).eval())


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
    spec = importlib.util.spec_from_file_location("torch7_writer", Path(__file__).parents[1] / "methods" / "test_fsrnet_torch7.py")
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


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four of: a byte changed, numbers made enormous or negative, a piece cut, doubled or moved, the end gone."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # the beginning of a file says what the rest is: half of all harm goes there
        at = rng.randrange(min(len(out), 600)) if rng.random() < 0.5 else rng.randrange(len(out))
        how = rng.randrange(6)
        if how == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at : at + 8] = struct.pack("<q", rng.choice((-1, 0, 1 << 31, 1 << 40, (1 << 63) - 1)))
        elif how == 2:
            del out[at : at + rng.randint(1, 64)]
        elif how == 3:
            out[at:at] = out[at : at + rng.randint(1, 64)]
        elif how == 4:
            out[at : at + 4] = rng.randbytes(4)
        else:
            del out[max(at, 1) :]
        if not out:
            out = bytearray(b"\0")
    return bytes(out)


def _campaign(kind: str, folder: Path) -> tuple[int, int]:
    """How many damaged files were refused, and the most memory that this process ever held, in bytes (0 where nobody counts it)."""
    torch.manual_seed(0)
    make, load = KINDS[kind]
    whole = folder / kind
    make(whole)
    load(whole)
    data = whole.read_bytes()
    refused = 0
    for seed in range(TRIES):
        path = folder / f"{seed}-{kind}"
        path.write_bytes(_mutated(data, random.Random(f"{kind}/{seed}")))
        began = time.process_time()
        try:
            load(path)
        except FaceSRError as error:
            refused += 1
            assert "\n" not in str(error), seed
        assert time.process_time() - began < SECONDS, seed
        path.unlink()
    # not ru_maxrss: a process inherits that figure from the one that started it
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return refused, int(peak[1]) * 1024 if peak else 0


@pytest.fixture(scope="module")
def fresh() -> Iterator[ProcessPoolExecutor]:
    """A process of its own, so that the memory it takes is the campaign's and not that of the tests before it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_network_or_one_sentence(kind: str, tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    refused, peak = fresh.submit(_campaign, kind, tmp_path).result()
    assert refused > TRIES // 4
    assert peak < BYTES
