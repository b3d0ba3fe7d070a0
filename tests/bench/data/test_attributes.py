"""``--attributes CSV``: attributes for any data, and sets that are measured by them follow."""

from __future__ import annotations

from pathlib import Path

import pytest

import facesr
from facesr.cli import main
from helpers import TINY, faces


@pytest.mark.parametrize(
    "form", ["image,gender,age\n000.png,female,31\n001,male,\n002,female,44\n", "name;gender\r\n000;female\r\n001.PNG;male\r\n"]
)
def test_attributes_of_any_data(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    faces(tmp_path / "hr", 3)
    (tmp_path / "p.toml").write_text(TINY)
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + form.encode())
    command = ["run", str(tmp_path / "p.toml"), "--data", str(tmp_path / "hr"), "--methods", "bicubic", "--metrics", "psnr"]
    command += ["--attributes", str(tmp_path / "a.csv"), "--out", str(tmp_path / "run")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert ("of 3 faces have no row in a.csv: " in said) == any(
        not f.attributes for f in facesr.load(tmp_path / "run").folder.faces
    )
    run = facesr.load(tmp_path / "run")
    assert [f.attributes.get("gender") for f in run.folder.faces][:2] == ["female", "male"]
    assert run.folder.faces[1].attributes == {"gender": "male"}
    assert main(["table", str(tmp_path / "run"), "--where", "gender=male", "--format", "md"]) == 0
    assert "| 1 |" in capsys.readouterr().out
    for wrong, says in (
        ("image\n000\n", "one for each attribute"),
        ("image,a,a\n000,1,2\n", "'a' is there twice"),
        ("image,a\n000,1\n000,2\n", "face '000' is there twice"),
        ("image,a\n000,1,2\n", "row 2 has 3 cells"),
        ("image,a\nzzz,1\n", "none of its faces is in the data"),
        (f"image,a\n000,{'x' * 200_000}\n", "cannot be read as CSV (field larger than field limit"),
    ):
        (tmp_path / "a.csv").write_text(wrong)
        assert main(command) == 2
        assert says in capsys.readouterr().err
