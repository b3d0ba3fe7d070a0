"""``facesr.run`` and ``facesr.load``: the ten lines of the public API, as a caller writes them."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import facesr


def test_a_run_is_made_opened_and_shown(tmp_path: Path) -> None:
    said: list[str] = []
    run = facesr.run(
        "demo-x8-128", ["bicubic", facesr.method("nearest", label="mine")], tmp_path / "r", metrics=["psnr", "ssim"], limit=3,
        progress=lambda what, done, total: said.append(what),
    )  # fmt: skip
    assert len(run.scores) == 2 * 2 * 3
    assert set(run.scores["method"]) == {"bicubic", "mine"}
    assert run.failures.empty
    assert "metrics" in said
    again = facesr.load(tmp_path / "r")
    table = again.table(metrics=["ssim"])
    mean = run.scores.query("method == 'mine' and metric == 'ssim'")["value"].mean()
    assert f"{mean:.3f}" in table.latex()
    assert f"{mean:.3f}" in table._repr_html_()
    assert "psnr" not in table.csv()
    assert "<table" in again._repr_html_()
    page = again.report(tmp_path / "out", count=1)
    assert page == tmp_path / "out/report.html"
    assert (tmp_path / "out/paper/paper.tex").is_file()


def test_the_lines_of_the_packages_docstring_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = doctest.DocTestParser().get_doctest(facesr.__doc__ or "", {"facesr": facesr}, "facesr", None, None)
    assert len(lines.examples) >= 8
    assert doctest.DocTestRunner().run(lines).failed == 0


def test_wrong_requests_get_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(facesr.FaceSRError, match="did you mean 'demo-x8-128'"):
        facesr.run("demo-x8-12", ["bicubic"], tmp_path / "r")
    with pytest.raises(facesr.FaceSRError, match="give a list"):
        facesr.run("demo-x8-128", "bicubic", tmp_path / "r")
    with pytest.raises(facesr.FaceSRError, match="two methods are labelled 'bicubic'"):
        facesr.run("demo-x8-128", ["bicubic", facesr.method("bicubic")], tmp_path / "r")
    with pytest.raises(facesr.FaceSRError, match="is not a run"):
        facesr.load(tmp_path)


def test_the_public_names_are_there_and_documented() -> None:
    for name in facesr.__all__:
        assert getattr(facesr, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        facesr.nothing  # noqa: B018
