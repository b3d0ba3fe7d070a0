"""The conformance check that plug-ins pass, over every method that is installed, a user's too; half precision and compiling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facesr.bench.conformance import method_faults
from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.imaging import read_rgb, resize, to_tensor
from facesr.bench.method import Method, Restored
from facesr.bench.registry import installed, method_specs
from facesr.methods.fsrnet import FSRNet

QUICK = {
    "pulse": ("pulse.steps=3",),
    "psp-refined": ("psp-refined.refine_steps=2",),
    "fsrgan": (f"fsrgan.checkpoint={FSRNet.default}",),
}
"""Settings that keep a search short here; FSRGAN has no weights of its own, and FSRNet's fit its net."""


@pytest.fixture(scope="module")
def lr() -> torch.Tensor:
    faces = find_dataset("demo", "all", 128).faces[:3]
    hr = to_tensor(np.stack([read_rgb(f.path) for f in faces]))
    return resize(hr, 16, "bicubic-matlab").clamp(0, 1)


def _images(answer: torch.Tensor | Restored) -> torch.Tensor:
    return answer.images if isinstance(answer, Restored) else answer


def _made(name: str) -> Method:
    method = method_specs([name], QUICK.get(name, ()))[0].build(size=128, scale=8, seed=1, device="cpu")
    if method.skip():
        pytest.skip(f"{name}: {method.skip()}")
    try:
        method.load()
    except WeightsMissing as error:
        pytest.skip(f"{name}: {error}")
    return method


@pytest.mark.parametrize("name", sorted(installed("facesr.methods")))
def test_method_keeps_the_contract(name: str) -> None:
    _made(name)  # or say which weights are missing
    assert method_faults(name, settings=QUICK.get(name, ()), exact=True) == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["fsrnet", "pix2pixhd", "psp"])
def test_half_precision_acts_and_stays_near(name: str, precision: str, lr: torch.Tensor) -> None:
    whole = _images(_made(name).restore(lr[:1], ["a"]))
    method = method_specs([name], (f"{name}.precision={precision}",))[0].build(size=128, scale=8, seed=1, device="cpu")
    half = _images(method.restore(lr[:1], ["a"]))
    assert half.dtype == torch.float32
    apart = float((half - whole).abs().mean() * 255)
    assert 1e-4 < apart < {"bf16": 1.5, "fp16": 0.2}[precision], apart  # in 8-bit steps


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("name", ["fsrnet", "pix2pixhd", "psp"])
def test_compiled_networks_give_nearly_the_same(name: str, lr: torch.Tensor) -> None:
    torch._dynamo.utils.counters.clear()  # what the test before compiled
    method = method_specs([name], (f"{name}.compile=true",))[0].build(size=128, scale=8, seed=1, device="cpu")
    compiled = _images(method.restore(lr[:1], ["a"]))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0  # something was compiled
    assert float((compiled - _images(_made(name).restore(lr[:1], ["a"]))).abs().max()) < 1e-3


def test_precisions_that_a_method_does_not_have_are_refused() -> None:
    with pytest.raises(FaceSRError, match="precision 'fp16' is unknown"):
        method_specs(["pulse"], ("pulse.precision=fp16",))[0].build(size=128, scale=8, seed=1, device="cpu")
    with pytest.raises(FaceSRError, match="compile is for the pass alone"):
        method_specs(["psp-refined"], ("psp-refined.compile=true",))[0].build(size=128, scale=8, seed=1, device="cpu")
    with pytest.raises(FaceSRError, match="'compile' is 'max-autotune': must be true or false"):
        method_specs(["psp"], ("psp.compile='max-autotune'",))[0].build(size=128, scale=8, seed=1, device="cpu")
    with pytest.raises(FaceSRError, match="compile"):
        method_specs(["pulse"], ("pulse.compile=true",))[0].build(size=128, scale=8, seed=1, device="cpu")
