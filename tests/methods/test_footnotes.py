"""What the methods declare of themselves for tables: whose weights, what they were trained on, what is not the paper's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from facesr.bench.registry import installed, method_specs
from facesr.methods.fsrnet import FSRGAN, FSRNet
from facesr.methods.network import SMALL_WEIGHTS, NetworkMethod
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.psp import PSP, PSPRefined
from facesr.methods.psp.method import SMALL_GENERATOR
from facesr.methods.pulse import PULSE
from facesr.methods.training.export import write_weights
from facesr.methods.training.trunks import losses_noted


def test_default_weights_are_declared_and_a_persons_own_are_not() -> None:
    """The note goes with the weights that come along, and with no file of a user's; FSRGAN has none that come along."""
    for cls in (FSRNet, Pix2PixHD, PSP, PULSE):
        assert SMALL_WEIGHTS in cls().notes, cls
        assert SMALL_WEIGHTS not in cls(**{cls.source: "mine.pth"}).notes, cls
    assert not FSRGAN().notes


def test_training_losses_are_metrics_by_name() -> None:
    """A name that is no metric would never be printed."""
    known = installed("facesr.metrics")
    for method in (Pix2PixHD(), PSP(), FSRNet(), PULSE()):
        assert {loss.partition(":")[0] for loss in method.training_losses} <= set(known)
    assert Pix2PixHD().training_losses == ("st-lpips-vgg", "identity-onnx:mobilefacenet", "consistency")
    assert Pix2PixHD(checkpoint="mine.pth").training_losses == ()


def test_psp_refined_is_psp_with_a_search() -> None:
    """Installed by that name, 100 steps unless asked otherwise, and said to be no part of the paper."""
    (spec,) = method_specs(["psp-refined"], ["psp-refined.eps=2e-3"])
    made = spec.build(size=128, scale=8, seed=0, device="cpu")
    assert isinstance(made, PSPRefined)
    assert (made.refine_steps, made.eps) == (130, 2e-3)
    assert PSPRefined(refine_steps=7).refine_steps == 7
    assert PSP().refine_steps == 0
    assert any("not in the paper" in note for note in made.notes)
    assert not any("not in the paper" in note for note in PSP().notes)
    assert any("not in the paper" in note for note in PSP(refine_steps=3).notes)


@pytest.mark.parametrize("cls", [FSRNet, Pix2PixHD, PSP, PULSE])
def test_a_copy_of_the_default_weights_is_the_default_weights(cls: type[NetworkMethod[Any]], tmp_path: Path) -> None:
    """Named by path, or copied elsewhere: the file decides, not how it is asked for. One byte more and it is somebody's own."""
    (own,) = [path for path in cls().files().values() if path.parent.name == "weights"][:1]
    copy = tmp_path / "mine.safetensors"
    shutil.copy(own, copy)
    for path in (own, copy):
        made = cls(**{cls.source: str(path)})
        assert made.notes == cls().notes
        assert made.training_losses == cls().training_losses
    with copy.open("ab") as file:
        file.write(b"\0")
    assert SMALL_WEIGHTS not in cls(**{cls.source: str(copy)}).notes


def test_weights_trained_here_say_what_they_were_trained_on(tmp_path: Path) -> None:
    """By the terms of their recipe, and of the weights that training began with; a stranger's file of other metadata says nothing."""
    terms = {"lpips": 4.0, "consistency": 0.0, "identity": 0.0}
    told = losses_noted("st-vgg", terms, Pix2PixHD, "")
    assert told == {"losses": "st-lpips-vgg"}
    assert losses_noted("squeeze", {"lpips": 0.0}, PSP, "") == {}
    write_weights(tmp_path / "mine.safetensors", {"a": torch.zeros(1)}, told)
    assert Pix2PixHD(checkpoint=str(tmp_path / "mine.safetensors")).training_losses == ("st-lpips-vgg",)
    again = losses_noted("alex", {"lpips": 1.0, "consistency": 2.0}, PSP, str(tmp_path / "mine.safetensors"))
    assert again == {"losses": "st-lpips-vgg,lpips-alex,consistency"}
    assert losses_noted("squeeze", {"lpips": 1.0}, PSP, "default") == {"losses": ",".join(PSP().training_losses)}
    write_weights(tmp_path / "plain.safetensors", {"a": torch.zeros(1)}, {})
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    for name in ("plain", "broken", "missing"):
        assert Pix2PixHD(checkpoint=str(tmp_path / f"{name}.safetensors")).training_losses == ()


def test_an_encoder_of_ones_own_names_the_small_generator_it_draws_with(tmp_path: Path) -> None:
    """The generator is half of what a reader sees of pSp."""
    write_weights(tmp_path / "mine.safetensors", {"a": torch.zeros(1)}, {"psp_encoder": "{}", "generator": "mobilestylegan128"})
    write_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"psp_encoder": "{}", "generator": "stylegan2-ffhq"})
    assert PSP(checkpoint=str(tmp_path / "mine.safetensors")).notes == (SMALL_GENERATOR,)
    assert PSP(checkpoint=str(tmp_path / "other.safetensors")).notes == ()
