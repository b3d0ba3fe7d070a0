"""A metric is its name and its conventions; a value of the wrong type is one sentence in the user's words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facesr
from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb
from facesr.cli import main
from helpers import TINY, faces, picture

PYTHONS_WORDS = (
    "instances of",
    "unexpected keyword",
    "NoneType",
    "must be real number",
    "unsupported operand",
    "Traceback",
    "TypeError",
)


def _psnr(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    cut = slice(border, -border or None)
    error = np.mean((sr[cut, cut].astype(float) - hr[cut, cut]) ** 2)
    return float(10 * np.log10(255**2 / error))


def test_two_conventions_of_one_metric_are_two_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces(tmp_path / "hr", 3)
    text = TINY + '[[metric]]\nname = "psnr"\nborder = 4\n'
    (tmp_path / "p.toml").write_text(text)
    run = facesr.run(tmp_path / "p.toml", ["bicubic"], tmp_path / "run", data=tmp_path / "hr")
    assert list(run.folder.metrics) == ["psnr", "ssim", "consistency", "consistency-pass", "psnr?border=4"]
    scores = run.scores.set_index(["metric", "image"])["value"].sort_index()
    sr = read_rgb(run.folder.sr_path("bicubic", "001", 8))
    for name, border in (("psnr", 0), ("psnr?border=4", 4)):
        assert scores[name, "001"] == pytest.approx(_psnr(sr, picture(1), border), abs=1e-9)
    assert "PSNR (border=4)" in run.table().markdown()
    assert (
        main(
            ["table", str(tmp_path / "run"), "--metrics", "psnr?border=4", "--format", "latex", "--macros", str(tmp_path / "m.tex")]
        )
        == 0
    )
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")]) == 0
    # by the command line, in a run that had one of them; the same twice is refused
    common = [
        "run",
        str(tmp_path / "p.toml"),
        "--data",
        str(tmp_path / "hr"),
        "--methods",
        "bicubic",
        "--out",
        str(tmp_path / "cli"),
    ]
    assert main([*common, "--metrics", "psnr"]) == 0
    assert main([*common, "--metrics", "psnr,psnr?border=4,psnr?border=8&color=y"]) == 0
    again = facesr.load(tmp_path / "cli")
    assert list(again.folder.metrics) == ["psnr", "psnr?border=4", "psnr?border=8&color=y"]
    assert len(again.scores) == 9
    capsys.readouterr()
    assert main([*common, "--metrics", "psnr?border=4,psnr?border=4"]) == 2
    assert "named twice with the same conventions" in capsys.readouterr().err
    from facesr.bench.results.again import command

    assert "psnr?border=8&color=y" in command(again.folder.info)


@pytest.mark.parametrize("kind", ["metric", "method"])
def test_wrong_types_never_leak_pythons_words(kind: str) -> None:
    """Every parameter of everything that is installed, with a value of each wrong type: made, or refused in one sentence."""
    import inspect

    seen = 0
    for name, target in registry.installed(f"facesr.{kind}s").items():
        if "pyiqa" in target or "dlib" in target:
            continue
        made = registry.load_class(target, object, kind)
        for parameter in inspect.signature(made).parameters.values():
            if parameter.name in ("size", "scale") or parameter.kind is parameter.VAR_KEYWORD:
                continue
            for value in ("two", 1.5, -3, True, [1], None):
                try:
                    if kind == "metric":
                        registry.build_metric(name, {parameter.name: value})
                    else:
                        registry.MethodSpec(name, target, {parameter.name: value}).build(size=128, scale=8, seed=0, device="cpu")
                except FaceSRError as error:
                    assert not any(words in str(error) for words in PYTHONS_WORDS), f"{name}.{parameter.name}={value!r}: {error}"
                    assert parameter.name in str(error) or str(value) in str(error), f"{name}.{parameter.name}={value!r}: {error}"
                seen += 1
    assert seen > 50


def test_all_wrong_parameters_are_reported_together() -> None:
    with pytest.raises(FaceSRError) as found:
        registry.build_metric("psnr", {"border": "two", "color": "cmyk", "bordr": 1})
    for part in ("no convention 'bordr': did you mean 'border'?", "'border' is 'two': must be a whole number", "'color' is 'cmyk'"):
        assert part in str(found.value)
    with pytest.raises(FaceSRError, match="named twice with the same conventions"):
        protocol.parse_protocol(TINY + '[[metric]]\nname = "psnr"\n')
