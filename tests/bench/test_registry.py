"""Names of methods and metrics: found, or told what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesr.bench.code import code_digest
from facesr.bench.errors import FaceSRError
from facesr.bench.method import Method
from facesr.bench.registry import build_metric, load_class, method_specs, parse_value

MAE = '''
import numpy as np
from facesr.bench.metrics import Metric

class MAE(Metric):
    """Mean absolute error, RGB in [0, 1]."""
    name, label, higher_is_better, conventions, source = "mae", "MAE", False, "RGB in [0, 1]", "own"
    def score(self, sr, batch, reference):
        return list(np.abs(sr / 255 - batch.hr / 255).mean((1, 2, 3)))
'''


def test_specs_and_labels() -> None:
    specs = method_specs(
        ["bicubic", "again=bicubic", "mine=folder:some/where", "command:a/theirs.toml"],
        ["again.x=1", "mine.reduce=nearest"],
    )
    assert [s.label for s in specs] == ["bicubic", "again", "mine", "theirs"]
    assert specs[1].params == {"x": 1}
    assert specs[2].params == {"path": "some/where", "reduce": "nearest"}


def test_problems_come_together() -> None:
    with pytest.raises(FaceSRError) as caught:
        method_specs(["bicubc", "nearest", "nearest", "a b=nearest"], ["psp.x=1", "nonsense"])
    for part in (
        "did you mean 'bicubic'",
        "labelled 'nearest'",
        "'a b' cannot name",
        "no method 'psp'",
        "--set nonsense",
    ):
        assert part in str(caught.value)


def test_unknown_parameter_suggests(tmp_path: Path) -> None:
    spec = method_specs([f"x=folder:{tmp_path}"], ["x.reduc=box"])[0]
    with pytest.raises(FaceSRError, match="did you mean 'reduce'"):
        spec.build(size=64, scale=8, seed=0, device="cpu")


def test_a_word_where_a_number_belongs_gets_one_sentence() -> None:
    (spec,) = method_specs(["psp"], ["psp.refine_steps=many"])
    with pytest.raises(FaceSRError, match="method psp: 'refine_steps' is 'many': must be a whole number"):
        spec.build(size=128, scale=8, seed=0, device="cpu")
    with pytest.raises(FaceSRError, match="metric psnr: 'border' is 'wide': must be a whole number"):
        build_metric("psnr", {"border": "wide"})


def test_user_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MAE)
    metric = build_metric(f"{file}:MAE")
    assert metric.name == "mae"
    with pytest.raises(FaceSRError, match="did you mean 'MAE'"):
        build_metric(f"{file}:MAEE")
    with pytest.raises(FaceSRError, match="not a method"):
        load_class(f"{file}:MAE", Method, "method")
    with pytest.raises(FaceSRError, match="no file"):
        load_class(f"{tmp_path / 'absent.py'}:X", Method, "method")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(FaceSRError, match="cannot be loaded: ModuleNotFoundError"):
        load_class(f"{tmp_path / 'broken.py'}:X", Method, "method")


def test_code_digest_follows_the_source(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MAE)
    first = code_digest(f"{file}:MAE")
    assert code_digest(f"{file}:MAE") == first
    file.write_text(MAE + "\n# a word\n")
    assert code_digest(f"{file}:MAE") != first
    assert code_digest("facesr.methods.bicubic:Bicubic") != code_digest("facesr.methods.nearest:Nearest")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200", 200),
        ("1e-3", 1e-3),
        ("true", True),
        ("none", None),
        ("linear1cycledrop", "linear1cycledrop"),
        ("a/b.pt", "a/b.pt"),
    ],
)
def test_values_of_set(text: str, value: object) -> None:
    assert parse_value(text) == value
