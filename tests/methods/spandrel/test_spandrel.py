"""Networks by spandrel: generated weights of each architecture, loaded strictly, at the bench's declared steps."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize
from facesr.bench.registry import method_specs
from facesr.methods.spandrel import Spandrel

pytest.importorskip("spandrel", reason="the extra 'spandrel' is not installed")

LR = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
X4: dict[str, dict[str, Any]] = {
    "ESRGAN": {"num_filters": 8, "num_blocks": 2, "scale": 4},
    "RCAN": {"n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "scale": 4},
    "SAFMN": {"dim": 12, "n_blocks": 2, "upscaling_factor": 4},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 12, "upscale": 4},
    "PLKSR": {"dim": 16, "n_blocks": 2, "upscaling_factor": 4},
    "OmniSR": {"num_feat": 16, "res_num": 1, "up_scale": 4},
    "DAT": {"embed_dim": 32, "depth": [2], "num_heads": [2], "split_size": [8, 8], "upscale": 4},
    "SwinIR": {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 4, "upsampler": "pixelshuffle"},
    "HAT": {"embed_dim": 36, "depths": (2,), "num_heads": (2,), "window_size": 8, "upscale": 4, "compress_ratio": 3},
}
X1: dict[str, dict[str, Any]] = {"NAFNet": {"width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1]}}


def _weights(architecture: str, sizes: dict[str, Any]) -> dict[str, Tensor]:
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(importlib.import_module(f"spandrel.architectures.{architecture}"), architecture)(**sizes)
    state: dict[str, Tensor] = made.state_dict()
    return state


def _theirs(path: Path, given: Tensor) -> Tensor:
    """spandrel's own way, face by face."""
    import spandrel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spandrel.ModelLoader().load_from_file(path)
    assert isinstance(found, spandrel.ImageModelDescriptor)
    torch.set_num_threads(1)
    return torch.cat([found(face[None]) for face in given])


@pytest.mark.parametrize("architecture", [*X4, *X1])
def test_an_architecture_is_loaded_and_run_as_spandrel_does(architecture: str, tmp_path: Path) -> None:
    state = _weights(architecture, {**X4, **X1}[architecture])
    torch.save({"params_ema": state}, tmp_path / "net.pth")
    method = Spandrel.from_checkpoint(tmp_path / "net.pth", size=128, scale=8)
    assert method.architecture == architecture
    side = 32 if architecture in X4 else 128
    assert method.side(16) == side
    assert f"enlarged from 16 to {side} pixels (bicubic-matlab)" in method.notes[0]
    images = method.restore(LR, ["a", "b"])
    assert images.shape == (2, 3, 128, 128)
    expected = _theirs(tmp_path / "net.pth", resize(LR, side, "bicubic-matlab").clamp(0, 1))
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    assert torch.equal(method.restore(LR[1:], ["b"]), images[1:])

    for name, changed, far in (
        ("module", {f"module.{key}": value for key, value in state.items()}, 0.0),
        ("half", {key: value.half() if value.is_floating_point() else value for key, value in state.items()}, 5e-2),
    ):
        torch.save({"state_dict": changed, "optimizer": {"state": {0: torch.ones(1)}}}, tmp_path / f"{name}.pth")
        again = Spandrel.from_checkpoint(tmp_path / f"{name}.pth", size=128, scale=8).restore(LR, ["a", "b"])
        assert float((again - images).abs().max()) <= far, name

    key = next(key for key, value in state.items() if value.dim() == 4)
    for changed, said in (
        ({**state, key: torch.full_like(state[key], float("nan"))}, "NaN"),
        ({**state, key: state[key][..., :0]}, "net|" + architecture),
    ):
        torch.save(changed, tmp_path / "bad.pth")
        with pytest.raises(FaceSRError, match=said):
            Spandrel.from_checkpoint(tmp_path / "bad.pth")


def test_a_larger_answer_and_another_input_are_declared(tmp_path: Path) -> None:
    torch.save(_weights("ESRGAN", X4["ESRGAN"]), tmp_path / "net.pth")
    method = Spandrel.from_checkpoint(tmp_path / "net.pth", size=128, scale=8, input_size=64)
    assert method.restore(LR[:1]).shape == (1, 3, 256, 256)
    assert method.notes == (
        "ESRGAN (x4, by spandrel): LR enlarged from 16 to 64 pixels (bicubic-matlab), its 256 pixels reduced to 128",
    )
    with pytest.raises(FaceSRError, match="input_size 16 it does not reach 128"):
        Spandrel.from_checkpoint(tmp_path / "net.pth", input_size=16).restore(LR)
    with pytest.raises(FaceSRError, match=r"input_size -1 is negative|did you mean 'bicubic-matlab'"):
        Spandrel(path="x", input_size=-1, kernel="bicubic-matlap")


def test_other_networks_get_one_sentence(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "esrgan_x4.pth")
    with pytest.raises(FaceSRError, match=r"holds no network that spandrel knows \(.*ESRGAN, .*SwinIR.*\)"):
        Spandrel.from_checkpoint(tmp_path / "esrgan_x4.pth")
    torch.save(_weights("ESRGAN", {"in_nc": 1, "out_nc": 1, "num_filters": 8, "num_blocks": 1}), tmp_path / "grey.pth")
    with pytest.raises(FaceSRError, match="1 to 1 channels"):
        Spandrel.from_checkpoint(tmp_path / "grey.pth")


def test_the_steps_are_in_the_runs_table(tmp_path: Path) -> None:
    """A run reads ``notes`` before anything is loaded."""
    torch.save(_weights("ESRGAN", X4["ESRGAN"]), tmp_path / "net.pth")
    run = facesr.run(
        "demo-x8-128", [f"esr=spandrel:{tmp_path / 'net.pth'}"], tmp_path / "run", metrics=["psnr"], limit=1, workers=1
    )
    assert "esr: ESRGAN (x4, by spandrel): LR enlarged from 16 to 32 pixels (bicubic-matlab)." in run.table().markdown()
    assert Spandrel(path=str(tmp_path / "absent.pth")).notes == ()
    assert Spandrel(path=str(tmp_path / "net.pth"), input_size=16).notes == ()


def test_it_is_a_kind_of_method_by_name(tmp_path: Path) -> None:
    torch.save(_weights("ESRGAN", X4["ESRGAN"]), tmp_path / "net.pth")
    (spec,) = method_specs([f"esr=spandrel:{tmp_path / 'net.pth'}"], ["esr.input_size=32"])
    made = spec.build(size=128, scale=8, seed=0, device="cpu")
    assert isinstance(made, Spandrel) and made.input_size == 32
    assert len(made.weights["net.pth"]) == 64 and "spandrel" in made.weights


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["GFPGAN", "RestoreFormer", "CodeFormer"])
def test_face_restorers_get_512_pixels_and_noise_of_the_face(architecture: str, tmp_path: Path) -> None:
    if architecture == "CodeFormer":
        extra = pytest.importorskip("spandrel_extra_arches.architectures.CodeFormer")
        torch.manual_seed(1)
        state = extra.CodeFormer().state_dict()
    else:
        state = _weights(architecture, {})
    torch.save({"params_ema": state}, tmp_path / "net.pth")
    method = Spandrel.from_checkpoint(tmp_path / "net.pth", size=128, scale=8)
    assert method.architecture == architecture and method.side(16) == 512
    images = method.restore(LR, ["a", "b"])
    assert images.shape == (2, 3, 512, 512)
    assert torch.equal(method.restore(LR[1:], ["b"]), images[1:])
    assert "its 512 pixels reduced to 128" in method.notes[0]
