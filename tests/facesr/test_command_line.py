"""The command as people know others: completion, doctor, quiet, JSON, names in any capitals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facesr.bench.errors import same_name, suggest
from facesr.bench.registry import method_specs
from facesr.cli import COMMANDS, main, whole_parser


def test_a_name_in_other_capitals_is_found_or_suggested() -> None:
    assert (
        suggest("PSNR", ["psnr", "ssim"]) == "did you mean 'psnr'?"
        and suggest("Pslue", ["pulse", "psp"]) == "did you mean 'pulse'?"
    )
    assert same_name("PULSE", ["pulse", "psp"]) == "pulse" and same_name("A", ["a", "á"]) == "a" and same_name("x", ["y"]) is None
    assert same_name("Ab", ["ab", "AB"]) is None  # two of them: nobody knows which
    (spec,) = method_specs(["PULSE"], ["pulse.steps=3"])
    assert spec.label == "pulse" and spec.target == "facesr.methods.pulse:PULSE" and spec.params == {"steps": 3}


def test_completion_knows_every_command_and_option(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "tcsh"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(name in script for name in COMMANDS) and ("--intervals" in script or shell == "tcsh")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "facesr.bash").write_text(capsys.readouterr().out)
    if bash := shutil.which("bash"):
        ask = 'COMP_WORDS=(facesr ta); COMP_CWORD=1; _shtab_facesr; echo "${COMPREPLY[@]}"'
        done = subprocess.run([bash, "-c", f"source {tmp_path}/facesr.bash; {ask}"], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["table"], done.stderr
    parsed = whole_parser().parse_args(["table", "runs/demo", "-q"])
    assert parsed.command == "table" and parsed.quiet


def test_doctor_says_what_is_missing_what_it_costs_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FACESR_CACHE", str(tmp_path))
    monkeypatch.delenv("FACESR_WEIGHTS", raising=False)
    assert main(["doctor", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["Python"]["found"] == ".".join(map(str, sys.version_info[:3])) and found["torch"]["here"]
    assert not found["Chromium"]["here"] and "apt-get install chromium" in found["Chromium"]["remedy"]
    assert not found["SFace"]["here"] and "facesr weights fetch sface" in found["SFace"]["remedy"]
    assert "FACESR_WEIGHTS" in found["ArcFace (buffalo_l)"]["remedy"]
    assert all(one["here"] or (one["lost"] and one["remedy"]) for one in found.values())
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("without it:" in line for line in lines) == sum(not one["here"] for one in found.values())


def test_lists_come_as_json_where_a_program_asks(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["methods"], ["metrics", "psnr"], ["protocols"], ["weights", "list"]):
        assert main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out), command
    assert main(["weights", "list"]) == 0
    assert "psp-128" in capsys.readouterr().out.partition("files known by name")[0]


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["run", "demo-x8-128", "--methods", "Bicubic", "--metrics", "psnr", "--limit", "2", "--out", str(tmp_path / "r")]
    assert main([*options, "-q"]) == 0
    quiet = capsys.readouterr()
    assert "facesr table" not in quiet.out and quiet.err == "" and "2 of 8 faces" in quiet.out
    assert main(options) == 0
    assert "facesr table" in capsys.readouterr().out
    assert main(["table", str(tmp_path), "-v"]) == 2
    loud = capsys.readouterr().err
    assert "Traceback" in loud and loud.splitlines()[-1].startswith("facesr table:")
    assert main(["table", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
