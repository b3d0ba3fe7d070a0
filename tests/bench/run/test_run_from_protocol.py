"""A method that takes the protocol's values searches for what its faces are judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesr.bench.errors import FaceSRError
from facesr.bench.protocol import load_protocol, parse_protocol
from facesr.bench.registry import build_metric, method_specs
from facesr.bench.results import load_run
from facesr.bench.run import make_plan, start
from facesr.bench.verify.material import runnable_methods
from small_runs import PROTOCOL

GREY = """
import torch
from facesr import Method
class Grey(Method):
    from_protocol = {"level": "consistency.epsilon", "kernel": "degradation.kernel"}
    def __init__(self, *, level: float = 0.2, kernel: str = "box", **rest):
        super().__init__(**rest)
        self.level, self.kernel = level, kernel
    def restore(self, lr, names=()):
        return torch.full((len(lr), 3, 128, 128), self.level if self.kernel == "nearest" else 1.0)
"""


def _grey(run: Path) -> int:
    pixels = np.asarray(Image.open(min((run / "sr" / "Grey").iterdir())))
    assert pixels.min() == pixels.max()
    return int(pixels[0, 0, 0])


def _make(run: Path, protocol: str, epsilon: float, methods: list[str], *settings: str) -> int:
    text = protocol.replace("epsilon = 1e-3", f"epsilon = {epsilon}").replace("bicubic-matlab", "nearest")
    start(make_plan(parse_protocol(text), method_specs(methods, settings), run))
    return _grey(run)


def test_the_protocol_s_values_reach_a_method_unless_set(tmp_path: Path) -> None:
    """Grey of the protocol's level: .4 x 255 = 102, .6 x 255 = 153; another epsilon in the same folder makes the images again."""
    (tmp_path / "grey.py").write_text(GREY)
    mine = [f"Grey={tmp_path / 'grey.py'}:Grey"]
    protocol = PROTOCOL.format(scale=8)
    assert _make(tmp_path / "run", protocol, 0.4, mine) == 102
    assert _make(tmp_path / "run", protocol, 0.6, mine) == 153
    assert _make(tmp_path / "run", protocol, 0.6, mine, "Grey.level=0.8") == 204
    assert _make(tmp_path / "run", protocol, 0.6, mine) == 153


def test_pulse_and_psp_search_for_the_protocol_s_epsilon_and_psp_through_its_kernel() -> None:
    """A refined face 'that stays outside epsilon counts as not converged': that epsilon is the protocol's. PULSE's kernel is the release's."""
    london = load_protocol("london-x8-128").values
    other = london | {"consistency.epsilon": 5e-4, "degradation.kernel": "box"}
    for name in ("psp", "psp-refined", "pulse"):
        (spec,) = method_specs([name])
        assert not spec.under(london).given  # the protocols that come along have the methods' own values: keys stay as they were
        found = {"eps": 5e-4} if name == "pulse" else {"eps": 5e-4, "kernel": "box"}
        assert spec.under(other).given == found
        made = spec.under(other).build(size=128, scale=8, seed=0, device="cpu")
        assert getattr(made, "eps") == 5e-4  # noqa: B009
        (own,) = method_specs([name], [f"{name}.eps=2e-3"])
        assert own.under(other).given == found | {"eps": 2e-3}
        assert own.under(other).params == {"eps": 2e-3}  # what run.json says was set


def test_methods_of_a_finished_run_are_made_again_under_its_protocol(tmp_path: Path) -> None:
    """``facesr verify`` and ``reproduce`` build a method as the run did."""
    text = PROTOCOL.format(scale=8).replace("epsilon = 1e-3", "epsilon = 5e-4")
    run = start(make_plan(parse_protocol(text), method_specs(["refined=bicubic"]), tmp_path / "run", limit=1)).path
    written = (run / "run.json").read_text()
    (run / "run.json").write_text(written.replace("facesr.methods.bicubic:Bicubic", "facesr.methods.psp:PSPRefined"))
    assert runnable_methods(load_run(run))[0]["refined"].given == {"eps": 5e-4}
    assert runnable_methods(load_run(run), method_specs(["refined=pulse"]))[0]["refined"].given == {"eps": 5e-4}


def test_a_place_that_protocols_do_not_have_is_one_sentence(tmp_path: Path) -> None:
    """In a plug-in's method and metric alike."""
    (tmp_path / "grey.py").write_text(GREY.replace("consistency.epsilon", "consistency.epsilom"))
    values = load_protocol("london-x8-128").values
    for wrong in (
        lambda: method_specs([f"{tmp_path / 'grey.py'}:Grey"])[0].under(values),
        lambda: build_metric(f"{tmp_path / 'mine.py'}:Mine", protocol=values),
    ):
        (tmp_path / "mine.py").write_text(
            "from facesr import Metric\nclass Mine(Metric):\n    from_protocol = {'border': 'consistency.epsilom'}\n"
        )
        with pytest.raises(FaceSRError, match=r"from_protocol names 'consistency.epsilom': did you mean 'consistency.epsilon'"):
            wrong()
