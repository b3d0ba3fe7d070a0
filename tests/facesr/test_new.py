"""Beginnings that work as written, and a contract whose faults name file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facesr.bench.conformance import method_faults, metric_faults
from facesr.cli import main


def test_what_new_writes_works_and_passes_its_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(["new", "method", "my-soft"]) == 0
        and main(["new", "metric", "my-mae"]) == 0
        and main(["new", "protocol", "mine"]) == 0
    )
    assert method_faults("my_soft.py:MySoft", settings=("mysoft.strength=0.5",)) == [] and metric_faults("my_mae.py:MyMae") == []
    for test in ("test_my_soft.py", "test_my_mae.py"):
        scope: dict[str, object] = {"__file__": str(tmp_path / test)}
        exec(compile((tmp_path / test).read_text(), test, "exec"), scope)
        (check,) = (v for k, v in scope.items() if k.startswith("test_"))
        check()  # type: ignore[operator]
    capsys.readouterr()
    run = [
        "run",
        "mine.toml",
        "--methods",
        "bicubic,mine=my_soft.py:MySoft",
        "--metrics",
        "psnr,my_mae.py:MyMae",
        "--out",
        "r",
        "-q",
    ]
    assert main([*run, "--limit", "2"]) == 0 and "my-mae" in (tmp_path / "r" / "run.json").read_text()
    assert main(["new", "method", "my-soft"]) == 2 and "is there already" in capsys.readouterr().err
    assert main(["new", "protocol", "other", "--like", "demo-x8"]) == 2 and "did you mean 'demo-x8-128'" in capsys.readouterr().err
    assert main(["new", "method", "../x"]) == 2


BAD = {
    "return lr": (10, r"returns the shape \(3, 3, 16, 16\)"),
    "return enlarged * 255": (10, r"from .* to 25\d|values run from"),
    "return enlarged / enlarged.mean() / 9": (10, "depends on its batch"),
    "return enlarged.rand": (12, "AttributeError in restore"),
    "lr.mul_(0.5); return enlarged": (10, "changes its input"),
}


@pytest.mark.parametrize("line", BAD)
def test_a_fault_names_file_and_line(line: str, tmp_path: Path) -> None:
    at, words = BAD[line]
    text = f'''from facesr.bench.imaging import resize
from facesr.bench.method import Method


class Mine(Method):
    """A method."""

    # a comment

    def restore(self, lr, names=()):
        enlarged = resize(lr, self.size, "bicubic-matlab")
        {line}
'''
    file = tmp_path / "mine.py"
    file.write_text(text)
    faults = method_faults(f"{file}:Mine")
    assert faults and any(f.startswith(f"{file}:{at}: ") and re.search(words, f) for f in faults), faults


def test_a_metrics_faults_are_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    head = "import numpy as np\nfrom facesr.bench.metrics import Metric\n\n\nclass Bad(Metric):\n    name, label, conventions = 'bad', 'Bad', 'own'\n"
    file.write_text(
        head
        + "    def score(self, sr, batch, reference):\n        return list(np.abs(sr / 255. - batch.hr / 255.).mean((1, 2, 3)))\n"
    )
    (fault,) = metric_faults(f"{file}:Bad")
    assert fault.startswith(f"{file}:5: noise scores better than HR itself")
    file.write_text(head + "    higher_is_better = False\n    def score(self, sr, batch, reference):\n        return [1 / 0]\n")
    (fault,) = metric_faults(f"{file}:Bad")
    assert fault.startswith(f"{file}:9: ZeroDivisionError in score")
    assert (
        "cannot be loaded" in metric_faults(f"{tmp_path}/nothing.py:Bad")[0]
        or "nothing.py" in metric_faults(f"{tmp_path}/nothing.py:Bad")[0]
    )
