"""The house itself: start-up, imports that run one way, versions that agree, documents that run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import facesr
from facesr.cli import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "pandas", "streamlit", "matplotlib", "scipy", "fastapi", "sqlalchemy")
ORDER = {"bench": 0, "methods": 1, "reports": 1, "dashboard": 2, "src": 3}


@pytest.mark.parametrize(
    "code", ["import facesr.bench", "from facesr.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"]
)
def test_start_up_loads_nothing_heavy(code: str) -> None:
    script = f"import sys\n{code}\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stdout[-300:]


@pytest.mark.parametrize("room", sorted(ORDER))
def test_imports_run_one_way(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                package, _, rest = name.partition(".")
                other = rest.split(".", maxsplit=1)[0]
                assert package not in ("bench", "methods", "reports", "dashboard", "protocols"), (
                    f"{file.relative_to(ROOT)} imports {name}"
                )
                if package == "facesr" and other in ORDER and other != room:
                    assert ORDER[other] < ORDER[room], f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = subprocess.run([sys.executable, "-m", "facesr", name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"facesr {name}" in done.stdout


def test_unknown_commands_suggest_one() -> None:
    done = subprocess.run([sys.executable, "-m", "facesr", "tabel"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'table'" in done.stderr


def test_versions_agree() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert first
    assert first[1] == facesr.__version__
    assert f"version: {facesr.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_no_file_is_too_long() -> None:
    long = {
        str(f.relative_to(ROOT)): n
        for room in ORDER
        for f in (ROOT / room).rglob("*.py")
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def _blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)


def test_the_plugins_page_runs(tmp_path: Path) -> None:
    page = ROOT / "docs/plugins.md"
    for block in _blocks(page, "python"):
        name = re.match(r"# (\w+\.py)", block)
        assert name
        (tmp_path / name[1]).write_text(block)
        assert len([line for line in block.splitlines() if line and not line.startswith("#")]) <= 15
    for methods, metrics in (("bicubic,my_method.py:Soft", "psnr"), ("bicubic", "psnr,my_metric.py:MAE")):
        command = [
            sys.executable,
            "-m",
            "facesr",
            "run",
            "demo-x8-128",
            "--methods",
            methods,
            "--metrics",
            metrics,
            "--out",
            f"runs/{len(metrics)}",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "8 of 8 faces" in done.stdout
