"""The command as people know others: completion, doctor, quiet, JSON, names in any capitals."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facesr.bench.errors import same_name, suggest
from facesr.bench.imaging import write_png
from facesr.bench.registry import method_specs, parse_metric
from facesr.cli import COMMANDS, main, whole_parser
from facesr.cli.options import names
from helpers import faces


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


WRONG = {
    "run": "--out is missing",
    "run demo-x8-128 --limit x --out r": "--limit x: give a whole number",
    "run demo-x8-128 --methdos bicubic --out r": "--methdos bicubic: no such option: did you mean '--methods'?",
    "run demo-x8-128 --methods bicubic --device gpu --out r": "--device gpu: did you mean",
    "run demo-x8-128 --methods bicubic --data demp --out r": "no prepared data set of that name: did you mean 'demo'?",
    "table r --format tex": "--format tex: did you mean 'text'?",
    "new method bicubic": "'bicubic' is the name of the method bicubic that comes along",
    "completion bsh": "shell bsh: did you mean 'bash'?",
    "study nosuch": "ACT nosuch: choose from",
    "data verify nosuch": "nosuch has no manifest.json: name a folder that 'facesr data prepare' made",
    "score sr --hr nosuch": "sr: cannot be read (No such file or directory)",
    "doctor --jsno": "--jsno: no such option: did you mean '--json'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_one_sentence(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(line.split())
    except SystemExit as ended:
        status = int(str(ended.code))
    said = capsys.readouterr().err.strip()
    assert status == 2 and WRONG[line] in said
    assert len(said.splitlines()) == 1 and "usage:" not in said, said
    assert list(tmp_path.iterdir()) == []


def test_a_prepared_data_set_is_found_by_its_name_and_the_run_says_how_to_make_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESR_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(2):
        write_png(tmp_path / "photos" / f"{i}.png", np.full((128, 128, 3), 60 * i + 40, np.uint8))
    assert main(["data", "prepare", "mine", "--from", "photos", "-q"]) == 0
    command = ["--methods", "bicubic,nearest", "--metrics", "PSNR,lpips-alex", "-q", "--out"]
    capsys.readouterr()
    main(["run", "demo-x8-128", "--data", "mine", *command, "runs/a"])
    said = capsys.readouterr().out
    assert said.count("lpips-alex") <= 1  # one cause, one line, whatever the number of methods
    info = json.loads((tmp_path / "runs/a/run.json").read_text())
    assert [f["name"] for f in info["faces"]] == ["0", "1"] and list(info["metrics"]) == ["psnr", "lpips-alex"]
    again = shlex.split(info["command"])
    assert again[-1] == "runs/demo-x8-128" and again[again.index("--data") + 1].startswith("mine")
    assert main([*again[1:-1], "runs/b", "-q"]) in (0, 1)
    digests = {json.loads((tmp_path / f"runs/{run}/run.json").read_text())["digest"] for run in "ab"}
    assert len(digests) == 1
    assert main(["data", "list", "--json"]) == 0


def test_scores_come_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for folder, value in (("sr", 110), ("hr", 100)):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "a.png", np.full((32, 32, 3), value, np.uint8))
    write_png(tmp_path / "sr" / "b.png", np.zeros((32, 32, 3), np.uint8))
    assert main(["score", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--metrics", "psnr", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"][0]["mean"] == pytest.approx(20 * math.log10(255 / 10), rel=1e-12)
    assert found["failed"] == [] and found["unused"] == ["sr/b"]


def test_the_table_of_an_unfinished_run_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = tmp_path / "half"
    assert main(["run", "demo-x8-128", "--methods", "bicubic,nearest", "--metrics", "psnr", "--out", str(run), "-q"]) == 0
    whole = dict(json_means(run, capsys).items())
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, "state": "running"}))
    (run / "scores.parquet").unlink()
    with closing(sqlite3.connect(run / "cells.sqlite")) as cells, cells:
        cells.execute("DELETE FROM score WHERE method = 'nearest' AND image > 'demo-30'")
        left = cells.execute("SELECT count(*) FROM score WHERE method = 'nearest'").fetchone()[0]
    half = json_means(run, capsys)
    assert half["bicubic"] == whole["bicubic"] and half["nearest"][1] == left < 8
    assert main(["table", str(run)]) == 0
    assert "half is not finished: cells without a row yet count as missing" in capsys.readouterr().out
    with closing(sqlite3.connect(run / "cells.sqlite")) as cells, cells:
        cells.execute("DELETE FROM score")
    assert main(["table", str(run)]) == 1  # not a number in it yet


def json_means(run: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[float, int]]:
    """Mean and n by method, as a program reads them."""
    capsys.readouterr()
    assert main(["table", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {cell["method"]: (cell["mean"], cell["n"]) for cell in found["cells"]}


def test_every_act_of_a_study_is_there() -> None:
    """Acts are found by their name when they are called: each leads to a function."""
    from facesr.cli.study import ACTS, OTHERS, function_of

    assert set(OTHERS) <= set(ACTS)
    assert all(callable(function_of(act)) for act in ACTS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "demo-x8-128", "--out", "a", "--out", "b"), "--out is given twice, as a and as b"),
        (
            ("run", "demo-x8-128", "--out", "a", "--metrics", "psnr", "--metrics=ssim"),
            "--metrics is given twice, as psnr and as ssim",
        ),
        (("score", "sr", "--hr", "hr", "--suffix", "_a", "--suffix", "_b"), "--suffix is given twice"),
        (("data", "prepare", "mine", "--from", "a", "--size", "64", "--size", "128"), "--size is given twice, as 64 and as 128"),
        (
            ("run", "demo-x8-128", "--methods", "nearest", "--set", "nearest.seed=1", "--set", "nearest.seed=2", "--out", "a"),
            "is set twice",
        ),
        (
            ("run", "demo-x8-128", "--methods", "nearest", "--metrics", "psnr?border=4&border=8", "--out", "a"),
            "border is given twice",
        ),
    ],
)
def test_what_is_given_twice_is_refused(
    words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first would be accepted and do nothing; the same value twice, and options that may be repeated, are no fault."""
    monkeypatch.chdir(tmp_path)
    try:
        status = main(list(words))
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_names_that_a_run_cannot_keep_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    faces(tmp_path / "hr", 1, 128)
    for name in ("a\tb", "x" * 240):
        shutil.copy(tmp_path / "hr/000.png", tmp_path / f"hr/{name}.png")
    assert main(["run", "demo-x8-128", "--data", "hr", "--methods", "nearest", "--metrics", "psnr", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert "control characters" in said
    assert "has 240 bytes, more than 200: rename the files" in said
    assert not (tmp_path / "run").exists()


def test_commas_between_brackets_belong_to_a_value() -> None:
    text = "psnr, identity-onnx?mean=[123.7,116.3,103.5]&std=[58.4,57.1,57.4] ,ssim,"
    assert names(text) == ["psnr", "identity-onnx?mean=[123.7,116.3,103.5]&std=[58.4,57.1,57.4]", "ssim"]
    assert parse_metric("identity-onnx?mean=[123.7,116.3,103.5]")[1] == {"mean": [123.7, 116.3, 103.5]}
