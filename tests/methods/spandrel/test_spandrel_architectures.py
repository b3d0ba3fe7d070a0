"""Strict loading of every architecture of spandrel and spandrel-extra-arches, on generated weights as small as each allows."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.methods.spandrel import describe, registry

pytest.importorskip("spandrel", reason="the extra 'spandrel' is not installed")
pytest.importorskip("spandrel_extra_arches", reason="the extra 'spandrel-extra' is not installed")

X4 = {"upscale": 4, "upsampler": "pixelshuffle"}
SMALL: dict[str, dict[str, Any]] = {
    "ATD": {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "num_tokens": 8, "reducted_dim": 4, "category_size": 16, **X4},
    "AdaCode": {"codebook_params": [[32, 16, 16]]},
    "CRAFT": {"depths": [1], "num_heads": [6]},
    "DAT": {"embed_dim": 32, "depth": [2], "num_heads": [2], "split_size": [8, 8], "upscale": 4},
    "DCTLSA": {"nf": 10, "num_modules": 2},
    "DITN": {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1},
    "DRCT": {"embed_dim": 24, "depths": (6,), "num_heads": (6,), "window_size": 8, "gc": 8, **X4},
    "DRUNet": {"in_nc": 4, "out_nc": 3, "nc": [4, 8, 16, 32]},
    "DnCNN": {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 4},
    "ESRGAN": {"num_filters": 8, "num_blocks": 2},
    "FBCNN": {"nc": [4, 8, 16, 32]},
    "FDAT": {"embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2},
    "FFTformer": {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1},
    "FeMaSR": {"codebook_params": [[32, 16, 16]]},
    "GRL": {"embed_dim": 24, "depths": [2], "num_heads_window": [3], "num_heads_stripe": [3], **X4},
    "HAT": {"embed_dim": 36, "depths": (2,), "num_heads": (2,), "window_size": 8, "upscale": 4},
    "HVI-CIDNet": {"channels": [8, 8, 16, 32]},
    "IPT": {"n_feats": 16, "patch_size": 12, "num_layers": 1, "num_heads": 2, "scale": [4]},
    "KBNet": {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 1], "dec_blk_nums": [1, 1, 1, 1]},
    "M3SNet": {"width": 8, "enc_blk_nums": [1, 1, 1, 1]},
    "MIRNet2": {"n_feat": 16, "n_MRB": 1},
    "MMRealSR": {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4, "num_feats": [8] * 4},
    "MPRNet": {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 1},
    "MixDehazeNet": {},
    "MoESR": {"dim": 16, "n_blocks": 1, "n_block": 1},
    "MoSR": {"n_block": 2, "dim": 16},
    "NAFNet": {"width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    "OmniSR": {"num_feat": 16},
    "PLKSR": {"dim": 16, "n_blocks": 2},
    "RCAN": {"n_resgroups": 1, "n_resblocks": 2, "n_feats": 16},
    "RGT": {"embed_dim": 24, "depth": [2], "num_heads": [2], "upscale": 4},
    "RealCUGAN": {},
    "RealESRGAN Compact": {"num_feat": 8, "num_conv": 2},
    "Restormer": {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1},
    "RetinexFormer": {"n_feat": 8, "stage": 1},
    "SAFMN": {"dim": 12, "n_blocks": 2},
    "SAFMN BCIE": {"dim": 12, "n_blocks": 2, "num_layers": 2},
    "SCUNet": {"config": [1] * 7, "dim": 16},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 12},
    "SRFormer": {"embed_dim": 24, "depths": (2,), "num_heads": (2,), "window_size": 8, **X4},
    "SeemoRe": {"num_layers": 2, "embedding_dim": 12},
    "Swift-SRGAN": {"num_channels": 8, "num_blocks": 2},
    "Swin2SR": {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, **X4},
    "SwinIR": {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, **X4},
    "Uformer": {"img_size": 128, "embed_dim": 8},
}
"""Each architecture by spandrel's name, and the arguments that make it small."""
MODULES = {"HVI-CIDNet": "HVICIDNet", "RealESRGAN Compact": "Compact", "SAFMN BCIE": "SAFMNBCIE", "Swift-SRGAN": "SwiftSRGAN"}
CLASSES = {"KBNet": "KBNet_s", "RealCUGAN": "UpCunet4x"}
LARGE = {"AuraSR", "CodeFormer", "DDColor", "GFPGAN", "LaMa", "MAT", "RestoreFormer"}
"""Of one size only. GFPGAN, RestoreFormer and CodeFormer: test_spandrel.py (slow); LaMa, MAT, DDColor do not restore; AuraSR is not tried."""

HEAVY = ("AdaCode", "FeMaSR")
"""Millions of numbers at their smallest: seconds each."""


def _made(name: str) -> dict[str, Tensor]:
    folder = MODULES.get(name, name)
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module(f"spandrel.architectures.{folder}")
        except ImportError:
            module = importlib.import_module(f"spandrel_extra_arches.architectures.{folder}")
        state: dict[str, Tensor] = getattr(module, CLASSES.get(name, folder))(**SMALL[name]).state_dict()
    return state


def test_no_architecture_is_forgotten() -> None:
    assert {s.architecture.name for s in registry().architectures()} == {*SMALL, *LARGE}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in SMALL])
def test_loading_is_strict(name: str, tmp_path: Path) -> None:
    state = _made(name)
    torch.save(state, tmp_path / "net.pth")
    found = describe(tmp_path / "net.pth")
    assert found.architecture.name == name
    loaded = list(found.model.state_dict().values())
    assert sum(v.numel() for v in loaded) >= sum(v.numel() for v in state.values() if v.is_floating_point()) * 0.99

    floats = [key for key, value in state.items() if value.dim() and value.is_floating_point()]
    middle, last = floats[len(floats) // 2], floats[-1]
    wrong = {
        "a key is missing": {key: value for key, value in state.items() if key != middle},
        "a key too many": {**state, "nonsense.weight": torch.zeros(2)},
        "another shape": {**state, last: torch.zeros([n + 1 for n in state[last].shape])},
        "not finite": {**state, last: torch.full_like(state[last], float("inf"))},
    }
    for what, changed in wrong.items():
        torch.save(changed, tmp_path / "wrong.pth")
        with pytest.raises(FaceSRError, match=r"wrong\.pth"):
            describe(tmp_path / "wrong.pth")
            pytest.fail(f"{name} was loaded though {what}")


@pytest.mark.slow
def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    from spandrel.architectures.LaMa import LaMa

    torch.save(LaMa().state_dict(), tmp_path / "lama.pth")
    with pytest.raises(FaceSRError, match="is a network for Inpainting, not for restoring images"):
        describe(tmp_path / "lama.pth")
