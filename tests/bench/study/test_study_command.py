"""``facesr study``: from a run to an analysed study on the command line, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facesr.bench.study import load_study, store
from facesr.cli import main
from fake_study import fake_run


def study(*arguments: object) -> int:
    """Run ``facesr study ...``."""
    return main(["study", *map(str, arguments)])


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A study of three raters, made by the command."""
    fake_run(tmp_path / "run", faces=12)
    assert study("create", tmp_path / "run", "--raters", 3, "--images", 4, "--anchors", 2, "--out", tmp_path / "study") == 0
    out = capsys.readouterr().out
    assert "3 raters x 16 items, 4 faces" in out
    assert "at least 3 trials" in out
    assert "fewer than 12, because a rater sees only 4 faces" in out
    assert load_study(tmp_path / "study").digest in out
    return tmp_path / "study"


def test_from_design_to_analysis(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invite, status, simulate, check, export, analyse: each says what it did."""
    assert study("invite", made, "--url", "https://study.example.org/") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["r001", "r002", "r003"]
    token = lines[0].split("https://study.example.org/rate/#")[1]
    opened = load_study(made)
    assert store.by_token(opened.engine, token) is not None
    assert study("invite", made) == 2
    assert "--count N invites more" in capsys.readouterr().err
    assert study("simulate", made, "--mos", "psp=4.2,bicubic=1.8") == 0
    assert study("status", made) == 0
    out = capsys.readouterr().out
    assert "3 simulated raters added: s001 to s003" in out
    assert "0 of 3 raters finished" in out
    assert "hidden until 3 raters have finished" in out
    assert study("status", made, "--json", "--peek", "a test") == 0
    assert json.loads(capsys.readouterr().out)["needed"] == 3
    assert [p["reason"] for p in opened.peeks()] == ["a test"]
    assert study("check", made) == 0
    assert "no double, missing or impossible ratings" in capsys.readouterr().out
    assert study("export", made, "--out", tmp_path / "people") == 2
    assert "--peek REASON" in capsys.readouterr().err
    assert study("export", made, "--out", tmp_path / "export", "--simulated") == 0
    assert study("check", tmp_path / "export") == 0
    assert study("analyse", made) == 2
    capsys.readouterr()
    assert study("analyse", made, "--simulated") == 0
    out = capsys.readouterr().out
    assert out.startswith("# SIMULATED RATERS")
    assert "Krippendorff" in out
    assert "Ratings drift per 100 ratings given by" in out
    opened.close()


def test_paired_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bradley-Terry scores in the order of the simulated qualities, HR above both; the label stays."""
    fake_run(tmp_path / "run", faces=16)
    options = ["--method", "pair", "--images", 16, "--raters", 12, "--pairs-per-image", 3, "--out", tmp_path / "study"]
    assert study("create", tmp_path / "run", *options) == 0
    assert study("simulate", tmp_path / "study", "--mos", "hr=4.2,psp=3.5,bicubic=1.5") == 0
    capsys.readouterr()
    assert study("analyse", tmp_path / "study", "--simulated") == 0
    out = capsys.readouterr().out
    assert out.startswith("# SIMULATED RATERS")
    assert "12 raters, 576 comparisons" in out
    rows = [line.split("|")[1].strip() for line in out.partition("## Scores")[2].splitlines() if line.startswith("| ")][1:]
    assert rows == ["HR", "pSp", "Bicubic"]


def test_adaptive_pairs_are_made_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have no order before the first rater comes, which is said; the items a rater has are counted all the same."""
    fake_run(tmp_path / "run", faces=8)
    options = ["--method", "pair", "--pairs", "adaptive", "--images", 6, "--raters", 8, "--pairs-per-image", 2, "--attention", 1]
    assert study("create", tmp_path / "run", *options, "--out", tmp_path / "study") == 0
    out = capsys.readouterr().out
    assert "8 raters x 13 items, 6 faces" in out and "pairs are chosen when a rater begins" in out
    assert study("simulate", tmp_path / "study", "--raters", 1) == 0
    made = load_study(tmp_path / "study")
    assert len(made.ratings(simulated=True)) == 13
    made.close()


def test_import_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long CSV becomes a study; one with an impossible score makes check end with 1."""
    lines = ["rater,face,condition,score", *(f"{r},{f},{c},{s}" for r in "AB" for f in "xy" for c, s in (("psp", 4), ("hr", 5)))]
    (tmp_path / "good.csv").write_text("\n".join(lines))
    (tmp_path / "bad.csv").write_text("\n".join([*lines, "C,x,psp,44"]))
    assert study("import", tmp_path / "good.csv", "--out", tmp_path / "imported") == 0
    assert "ratings" in capsys.readouterr().out
    assert study("check", tmp_path / "imported") == 0
    assert study("check", tmp_path / "bad.csv") == 1
    out = capsys.readouterr().out
    assert "impossible" in out and "bad.csv: long table" in out and "scale 1 to 5" in out  # what it took the file for
    assert study("invite", tmp_path / "imported") == 2
    assert "there is nobody to invite" in capsys.readouterr().err


def test_power_says_what_a_design_can_find(capsys: pytest.CaptureFixture[str]) -> None:
    """40 raters x 40 faces with typical components: .31 with 80 % power at .05, new raters and faces (mos.md, 3.4)."""
    assert study("power", "--raters", 40, "--images", 40, "--alpha", 0.05) == 0
    row = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][-1].split("|")
    assert float(row[4]) == pytest.approx(0.31, abs=0.015)


def test_mistakes(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence each, exit status 2."""
    for arguments, message in (
        (
            ("create", tmp_path / "run", "--conditions", "hr,fsrnet,pulse", "--out", tmp_path / "x"),
            "no method 'fsrnet', 'pulse': choose --conditions from",
        ),
        (("create", tmp_path / "nothing"), "is not a run"),
        (("status", tmp_path), "is not a study"),
        (("simulate", made, "--mos", "psp"), "write NAME=MEAN"),
        (("simulate", made, "--mos", "pspp=3"), "did you mean 'psp'?"),
        (("check", tmp_path / "none.csv"), "there is no file"),
        (("check", made, "--reverse"), "is read as it was frozen: leave out the options"),
        (("payments", made, "--settled", "--out", tmp_path / "pay", "--bonus", "1"), "leave out --out and --bonus"),
        (("returned", made, "r001"), "use 'facesr study replace'"),
        (("preregister", made, "--simulated"), "--simulated needs --pilot"),
        (("power", "--simulated"), "--simulated needs --study"),
    ):
        assert study(*arguments) == 2
        assert message in capsys.readouterr().err
