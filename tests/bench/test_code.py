"""Which files enter a key: all whose content the numbers depend on, however they are reached; and each plug-in's modules are its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facesr.bench.code import behind, code_digest, sources
from facesr.bench.plugins import load_file
from facesr.bench.weights import weight_sha256
from facesr.methods.command import Command

HERE = "from pathlib import Path\nHERE = Path(__file__).parent\n"


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("from a.b.c import X", {"a/__init__.py", "a/b/__init__.py", "a/b/c.py"}),
        ("import plain.part", {"plain/part.py"}),
        ("import importlib\nm = importlib.import_module('helper')", {"helper.py", "deeper.py"}),
        ("def load():\n    from helper import G", {"helper.py", "deeper.py"}),
        (HERE + "T = (HERE / 'table.npy').read_bytes()", {"table.npy"}),
        (HERE + "T = (HERE / 'data' / 'gain.txt').read_text()", {"data/gain.txt"}),
        (HERE + "T = open(f'{HERE}/data/gain.txt')", {"data/gain.txt"}),
        (HERE + "T = sorted((HERE / 'data').glob('*.pth'))", {"data/1.pth", "data/2.pth"}),
        (HERE + "import sys\nsys.path.insert(0, str(HERE / 'vendor'))\nimport vgain", {"vendor/vgain.py"}),
        (HERE + "C = HERE / 'conf.yaml'", {"conf.yaml", "data/net.pt"}),
        ("T = 'table.npy and more'\nimport json, torch\n'''table.npy'''", set()),
        ("x = open('run.log', 'a')", set()),
    ],
)
def test_what_a_users_file_comes_to(tmp_path: Path, text: str, files: set[str]) -> None:
    _tree(tmp_path, {
        "mine.py": text, "a/__init__.py": "", "a/b/__init__.py": "", "a/b/c.py": "X = 1", "plain/part.py": "", "helper.py": "from deeper import G",
        "deeper.py": "G = 1", "table.npy": "1", "data/gain.txt": "1", "data/1.pth": "", "data/2.pth": "", "data/net.pt": "", "vendor/vgain.py": "",
        "conf.yaml": "model: data/net.pt\nsize: 128\n", "run.log": "",
    })  # fmt: skip
    assert {f.relative_to(tmp_path).as_posix() for f in sources(f"{tmp_path / 'mine.py'}:M")} == {"mine.py"} | files
    before = code_digest(f"{tmp_path / 'mine.py'}:M")
    for name in files:
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# another\n")
        after = code_digest(f"{tmp_path / 'mine.py'}:M")
        assert after != before, name
        before = after


@pytest.mark.parametrize(
    ("command", "more", "files"),
    [
        (["python", "sr.py"], "", {"sr.py", "net/gain.py", "weights.pth", "beside.py"}),
        (["python", "-u", "-m", "tool.sr"], "", {"tool/__init__.py", "tool/sr.py", "tool/gain.py"}),
        (["python", "-m", "tool"], "", {"tool/__init__.py", "tool/__main__.py", "tool/gain.py"}),
        (["bash", "run.sh"], "", {"run.sh", "sr.py", "net/gain.py", "weights.pth"}),
        (["./run.sh"], "", {"run.sh", "sr.py", "net/gain.py", "weights.pth"}),
        (["prog", "--config=conf.json"], "", {"conf.json", "data/net.pt"}),
        (["python", "other.py"], 'env = { PYTHONPATH = "lib" }\n', {"other.py", "lib/far.py", "sr.py", "beside.py", "net/gain.py", "weights.pth"}),
    ],
)  # fmt: skip
def test_what_a_command_comes_to(tmp_path: Path, command: list[str], more: str, files: set[str]) -> None:
    _tree(tmp_path, {
        "sr.py": "from net.gain import G\nW = open('weights.pth')", "net/gain.py": "G = 1", "weights.pth": "w", "beside.py": "", "lib/far.py": "",
        "tool/__init__.py": "", "tool/sr.py": "from .gain import G", "tool/gain.py": "", "tool/__main__.py": "from . import gain",
        "run.sh": "#!/bin/bash\nexec python sr.py \"$@\"\n", "conf.json": '{"weights": "data/net.pt"}', "data/net.pt": "", "unused/x.py": "",
        "other.py": "import far", "t.toml": f"command = {[*command, '{input}', '{output}']}\n{more}",
    })  # fmt: skip
    found = set(Command(path=str(tmp_path / "t.toml")).weights) - {"t.toml"}
    assert files <= found
    assert not {"unused/x.py"} & found
    assert all((tmp_path / name).is_file() for name in found)


def test_a_file_replaced_with_its_size_and_time_is_another(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    hashes = []
    for text in ("one", "two"):
        file.write_text(text)
        os.utime(file, ns=(10**18, 10**18))
        hashes.append(weight_sha256(file))
    assert hashes[0] != hashes[1]


MINE = """
def load():
    from helper import gain
    import pk.part
    return gain() * pk.part.G
"""


def test_modules_of_two_plugins_are_never_mixed_up_nor_old(tmp_path: Path) -> None:
    """Imported when the file is, inside a function, by a helper inside a function, as a package without __init__: each folder has its own."""

    def write(folder: str, helper: float, again: float, part: float) -> Path:
        return _tree(tmp_path / folder, {
            "mine.py": MINE, "pk/part.py": f"G = {part}", "again.py": f"A = {again}",
            "helper.py": f"def gain():\n    from again import A\n    return {helper} * A",
        }) / "mine.py"  # fmt: skip

    one, other = load_file(write("a", 1, 1, 1)), load_file(write("b", 2, 3, 5))
    assert (one.load(), other.load(), one.load()) == (1, 30, 1)
    edited = load_file(write("a", 1, 7, 1))
    assert (edited.load(), one.load(), other.load()) == (7, 1, 30)  # what was loaded before stays what it was
    assert load_file(tmp_path / "a/mine.py") is edited
    assert not {"helper", "again", "pk", "pk.part"} & set(sys.modules)


def test_a_compiled_module_of_older_code_is_not_trusted(tmp_path: Path) -> None:
    file = _tree(tmp_path, {"mine.py": "from helper import G\ndef load():\n    import late\n    return G, late.G"}) / "mine.py"
    for gain in ("1.0", "0.5"):
        for name in ("helper.py", "late.py"):
            (tmp_path / name).write_text(f"G = {gain}\n")
            os.utime(tmp_path / name, (1e9, 1e9))
        assert load_file(file).load() == (float(gain), float(gain))
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([sys.executable, "-c", "import helper, late"], cwd=tmp_path, env=env, check=True)
    assert len(list(tmp_path.glob("__pycache__/*.pyc"))) == 2


def test_a_package_of_the_same_name_as_an_installed_one_stays_the_folders(tmp_path: Path) -> None:
    import yaml  # loaded before, and loaded after

    file = (
        _tree(
            tmp_path, {"mine.py": "import yaml, json\nwhere = yaml.WHERE", "yaml/__init__.py": "WHERE = 'mine'", "json.py": "1/0"}
        )
        / "mine.py"
    )
    assert load_file(file).where == "mine"
    assert sys.modules["yaml"] is yaml
    assert {f.name for f in behind([file])} == {"mine.py", "__init__.py", "json.py"}
