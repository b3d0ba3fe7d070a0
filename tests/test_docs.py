"""README and docs do what they say: every block of commands is run here, or is marked with why it is not.

A comment before the block decides: ``<!-- executed -->`` or ``<!-- not executed: WHY -->``. All ``facesr`` lines are parsed by their command's own
parser, whether the block is run or not, so an option that is gone is found in any case.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from browser import CHROMIUM, found_by_axe
from facesr.bench.imaging import write_png
from facesr.bench.registry import installed
from facesr.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- (?P<mark>executed|not executed: [^>]+?) -->\n)?```(?P<kind>[a-z]*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, how it is marked, what is in it."""

    page: Path
    line: int
    mark: str
    kind: str
    body: str

    @property
    def where(self) -> str:
        """Page and line, for a message."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Its command lines, without comments; continued lines are one."""
        joined = self.body.replace("\\\n", " ")
        return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            yield Block(page, text.count("\n", 0, found.start()) + 1, found["mark"] or "", found["kind"], found["body"])


SHELL = [
    b for b in blocks() if b.kind in ("", "sh", "bash", "console") and re.search(r"^(facesr|make|pip|python|export) ", b.body, re.M)
]


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    assert [b.where for b in SHELL if not b.mark] == []
    assert [b.where for b in SHELL if b.mark.startswith("not executed:") and len(b.mark) < 25] == []


@pytest.mark.parametrize("block", SHELL, ids=lambda b: b.where)
def test_every_line_is_one_its_command_understands(block: Block) -> None:
    for words in block.commands:
        words = words[next((i for i, w in enumerate(words) if "=" not in w), 0) :]  # NAME=value before a command
        if words[:1] != ["facesr"] or "..." in words:
            continue
        name, *rest = words[1:]
        assert name in COMMANDS, f"{block.where}: no command {name}"
        module = importlib.import_module(f"facesr.cli.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(prog=f"{block.where}: facesr {name}")
        module.arguments(parser)
        parser.parse_args([word for word in rest if word not in (">", "links.tsv")])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: a finished run of the demo faces, somebody's images, a program, the files that the pages show."""
    folder = tmp_path_factory.mktemp("desk")
    quick = ["--methods", "bicubic,nearest", "--metrics", "psnr,ssim,consistency"]
    assert main(["run", "demo-x8-128", *quick, "--out", str(folder / "runs" / "demo")]) == 0
    (folder / "their_pngs").mkdir()
    for file in (folder / "runs" / "demo" / "sr" / "nearest").iterdir():
        shutil.copy(file, folder / "their_pngs" / file.name)
    rng = np.random.default_rng(0)
    for part in ("sr", "hr"):
        (folder / part).mkdir()
        for i in range(3):
            write_png(folder / part / f"{i}.png", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for block in blocks():
        name = re.match(r"# ([\w-]+\.(?:py|toml))", block.body)
        if name:
            (folder / name[1]).write_text(block.body, encoding="utf-8")
    enlarge = """import sys, pathlib
from PIL import Image
for file in pathlib.Path(sys.argv[1]).glob("*.png"):
    Image.open(file).resize((128, 128)).save(pathlib.Path(sys.argv[2]) / file.name)
"""
    (folder / "infer.py").write_text(enlarge, encoding="utf-8")
    (folder / "other.toml").write_text(f'command = "{sys.executable} {folder}/infer.py {{input}} {{output}}"\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("block", [b for b in SHELL if b.mark == "executed"], ids=lambda b: b.where)
def test_the_commands_work_as_written(block: Block, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(desk, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    for words in block.commands:
        assert words[0] == "facesr", f"{block.where}: only facesr commands are run here"
        status = main(words[1:])
        assert status in (0, 1), f"{block.where}: {' '.join(words)} ended with {status}"  # 1: done, and some judgement was negative


PYTHON = [b for b in blocks() if b.kind == "python" and re.search(r"^import facesr$", b.body, re.M)]


@pytest.mark.parametrize("block", PYTHON, ids=lambda b: b.where)
def test_the_python_works_as_written(block: Block, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert block.mark, f"{block.where}: say whether it is executed"
    if block.mark == "executed":
        shutil.copytree(desk, tmp_path / "desk")
        monkeypatch.chdir(tmp_path / "desk")
        exec(compile(block.body, block.where, "exec"), {"__name__": "page"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: the extra 'docs'")
    made = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(made)]
    settings = {**os.environ, "FACESR_DOCS_METHODS": "bicubic", "FACESR_DOCS_METRICS": "psnr", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False, env=settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return made


def test_the_site_builds_without_a_warning(site: Path) -> None:
    page = (site / "reference" / "metrics" / "psnr.html").read_text(encoding="utf-8")
    assert "When it misleads" in page and not re.search(r'(?:src|url\()["\']?https?://', page)  # nothing is fetched from anywhere
    assert "reference/metrics/psnr.html" in (site / "llms.txt").read_text(encoding="utf-8")
    assert "Reference value: <strong>" in page and (site / "demo" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
def test_axe_finds_nothing_serious_in_the_site(site: Path) -> None:
    assert found_by_axe(site, ("index.html", "plugins.html", "reference/metrics.html", "statistics.html")) == []


def test_reference_values_of_the_pages_are_what_the_metrics_give() -> None:
    spec = importlib.util.spec_from_file_location("values", ROOT / "docs" / "values.py")
    assert spec and spec.loader
    values = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(values)
    known = tomllib.loads((ROOT / "docs" / "values.toml").read_text(encoding="utf-8"))["values"]
    for name in ("psnr", "psnr-y", "ssim", "consistency"):
        assert f"{values.value(name):.6g}" == known[name], f"{name}: run docs/values.py"


def test_every_metric_and_method_that_comes_along_has_its_facts() -> None:
    facts = tomllib.loads((ROOT / "docs" / "facts.toml").read_text(encoding="utf-8"))
    assert [m for m in installed("facesr.methods") if m not in facts["methods"]] == []
    dull = {
        "dss",
        "haarpsi",
        "iw-ssim",
        "mdsi",
        "srsim",
        "vsi",
        "pyiqa",
    }  # full-reference measures without a fault of their own kind
    assert [m for m in installed("facesr.metrics") if m not in dull and not any(m.startswith(k) for k in facts["metrics"])] == []
