"""LR that people give: unrounded in folders and in memory, named otherwise than HR; and what a study can be made of without HR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_lr, read_rgb
from facesr.bench.imaging.lowres import degrade, encode_lr
from facesr.bench.results import load_run
from facesr.bench.study.create import create
from facesr.cli import main
from helpers import TINY, faces

FLAT = 'name = "own"\nversion = 1\n[data]\ndataset = "hr"\nsplit = "all"\nsize = 64\n[degradation]\nkernel = "box"\n[lr]\nfolder = "lr"\n'


def _lr(home: Path, folder: str, name: str, rounded: bool = True) -> None:
    (home / folder).mkdir()
    for file in sorted((home / "hr").iterdir()):
        lr = degrade(read_rgb(file), 8, "box", rounded)
        (home / folder / name.replace("{name}", file.stem)).write_bytes(encode_lr(lr))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three faces and finished images of them: HR itself, whose LR is known."""
    faces(tmp_path / "hr", 3)
    faces(tmp_path / "sr", 3)
    return tmp_path


def test_unrounded_lr_is_compared_as_it_is(home: Path) -> None:
    """ε of HR against its own LR by the box filter: 0 unrounded; rounded it is the rounding error, about 1/12 of a level squared."""
    _lr(home, "exact", "{name}.npy", rounded=False)
    _lr(home, "eight", "{name}.png")
    metric = "consistency?kernel=box"
    exact = facesr.score(home / "sr", home / "hr", [metric], lr=home / "exact").frame["value"]
    eight = facesr.score(home / "sr", home / "hr", [metric], lr=home / "eight").frame["value"]
    assert exact.max() < 1e-12
    assert eight.min() > 1e-7 and eight.max() < 1 / 255**2
    hr = np.stack([read_rgb(f) for f in sorted((home / "hr").iterdir())])
    lr = np.stack([read_lr(f) for f in sorted((home / "exact").iterdir())])
    assert facesr.metric("consistency", kernel="box")(hr, hr, lr=lr).max() < 1e-12
    assert facesr.score(hr, hr, [metric], lr=lr).frame["value"].max() < 1e-12
    import torch

    tensor = torch.from_numpy(lr).permute(0, 3, 1, 2)
    assert facesr.metric("consistency", kernel="box")(hr, hr, lr=tensor).max() < 1e-12
    # a method is given what the caller gave: 0.501 levels above 100 is not 101
    flat = np.full((1, 8, 8, 3), 100.501 / 255, np.float32)
    assert facesr.method("nearest")(np.repeat(flat, 2, 0)).shape == (2, 64, 64, 3)
    seen: list[float] = []
    (home / "spy.py").write_text(
        "from facesr.bench.imaging import resize\nfrom facesr.bench.method import Method\nSEEN = []\nclass Spy(Method):\n"
        "    def restore(self, lr, names=()):\n        self.seen.append(float(lr.max()))\n        return resize(lr, self.size, 'box')\n"
        "    def __init__(self, *, seen=None, **common):\n        super().__init__(**common)\n        self.seen = seen\n"
    )
    facesr.method(f"{home / 'spy.py'}:Spy", seen=seen)(flat)
    assert seen == [pytest.approx(100.501 / 255, abs=1e-7)]


@pytest.mark.parametrize(
    ("form", "rule"),
    [("{name}x8.png", "x8"), ("lr_{name}.png", "lr_{name}"), ("{name}-a.npy", "{name}-?"), ("a{name}b.png", "list.csv")],
)
def test_lr_is_paired_by_the_one_rule(form: str, rule: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _lr(home, "lr", form, rounded=form.endswith(".png"))
    if rule == "list.csv":
        rule = str(home / rule)
        Path(rule).write_text("face,file\n" + "".join(f"{n:03d},{form.replace('{name}', f'{n:03d}')}\n" for n in range(3)))
    rule = rule.replace("?", "*")
    metric = ["consistency?kernel=box"]
    with pytest.raises(FaceSRError, match="is named as a face is"):
        facesr.score(home / "sr", home / "hr", metric, lr=home / "lr")
    found = facesr.score(home / "sr", home / "hr", metric, lr=home / "lr", lr_names=rule)
    assert list(found.frame["status"]) == ["ok"] * 3 and found.frame["value"].max() < 1 / 255**2 and not found.unused
    words = [
        "score",
        str(home / "sr"),
        "--hr",
        str(home / "hr"),
        "--metrics",
        metric[0],
        "--lr",
        str(home / "lr"),
        "--lr-names",
        rule,
    ]
    assert main([*words, "-q"]) == 0
    (home / "P.toml").write_text(
        FLAT + f'names = "{Path(rule).name}"\n[[metric]]\nname = "psnr"\n[[metric]]\nname = "consistency"\n'
    )
    asked = {"data": home / "hr", "metrics": ["psnr", "consistency"]}
    by_protocol = facesr.run(home / "P.toml", ["nearest"], home / "a", **asked)  # type: ignore[arg-type]
    by_option = facesr.run(None, ["nearest"], home / "b", lr=home / "lr", lr_names=rule, size=64, **asked)  # type: ignore[arg-type]
    alone = facesr.run(None, ["nearest"], home / "c", lr=home / "lr", lr_names=rule, size=64, metrics=["consistency"])
    for run in (by_protocol, by_option, alone):
        assert [f.name for f in run.folder.faces] == ["000", "001", "002"] and run.failures.empty
    assert "--lr-names" in by_option.folder.info.command
    capsys.readouterr()
    assert (
        main(
            [
                "run",
                str(home / "P.toml"),
                "--lr",
                str(home / "lr"),
                "--data",
                str(home / "hr"),
                "--methods",
                "nearest",
                "--out",
                str(home / "d"),
            ]
        )
        == 2
    )
    assert "--lr-names" in capsys.readouterr().err


def test_names_for_lr_that_is_not_there_are_refused(home: Path) -> None:
    (home / "P.toml").write_text(TINY)
    for call in (
        lambda: facesr.score(home / "sr", home / "hr", ["psnr"], lr_names="x8"),
        lambda: facesr.run(home / "P.toml", ["nearest"], home / "run", data=home / "hr", lr_names="x8"),
    ):
        with pytest.raises(FaceSRError, match=r"give (--)?lr"):
            call()


def test_a_study_of_a_run_without_hr_compares_the_methods_or_says_why_not(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _lr(home, "lr", "{name}.png")
    facesr.run(None, ["nearest", "bicubic"], home / "run", lr=home / "lr", size=64, metrics=["consistency"])
    create_ = ["study", "create", str(home / "run"), "--raters", "2", "--images", "3", "--gap", "1", "--outside-epsilon", "flag"]
    for words, says in (
        (["--method", "acr-hr"], "hr"),
        (["--anchors", "2"], "anchors"),
        (["--conditions", "hr,nearest"], "hr"),
        (["--anchors", "0", "--gold", "1"], "gold"),
        (["--anchors", "0", "--practice", "1"], "practice"),
    ):
        assert main([*create_, *words, "--out", str(home / "study")]) == 2, words
        said = capsys.readouterr().err
        assert says in said and "Traceback" not in said, said
        assert not (home / "study").exists()
    assert main([*create_, "--anchors", "0", "--out", str(home / "study")]) == 0
    assert "conditions   nearest, bicubic" in capsys.readouterr().out
    study = create(
        load_run(home / "run"),
        home / "pairs",
        options={"method": "pair", "raters": 2, "images": 3, "gap": 1, "outside_epsilon": "flag", "pairs_per_face": 1},
    )
    assert study.design.conditions == ["nearest", "bicubic"]
