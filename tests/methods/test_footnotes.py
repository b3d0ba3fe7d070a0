"""What the methods declare of themselves for tables: whose weights, what they were trained on, what is not the paper's."""

from __future__ import annotations

from facesr.bench.registry import installed, method_specs
from facesr.methods.fsrnet import FSRGAN, FSRNet
from facesr.methods.network import SMALL_WEIGHTS
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.psp import PSP, PSPRefined
from facesr.methods.pulse import PULSE


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
    assert Pix2PixHD().training_losses == ("st-lpips-vgg", "identity-onnx:mobilefacenet")
    assert Pix2PixHD(checkpoint="mine.pth").training_losses == ()


def test_psp_refined_is_psp_with_a_search() -> None:
    """Installed by that name, 100 steps unless asked otherwise, and said to be no part of the paper."""
    (spec,) = method_specs(["psp-refined"], ["psp-refined.eps=2e-3"])
    made = spec.build(size=128, scale=8, seed=0, device="cpu")
    assert isinstance(made, PSPRefined)
    assert (made.refine_steps, made.eps) == (100, 2e-3)
    assert PSPRefined(refine_steps=7).refine_steps == 7
    assert PSP().refine_steps == 0
    assert any("not in the paper" in note for note in made.notes)
    assert not any("not in the paper" in note for note in PSP().notes)
    assert any("not in the paper" in note for note in PSP(refine_steps=3).notes)
