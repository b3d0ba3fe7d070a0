"""The house itself: start-up, imports that run one way, versions that agree, documents that run."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

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


DOORS = {
    "results.load_run", "study.load_study", "study.create.create", "study.analysis.analyse_study", "study.simulate.simulate",
    "study.export.export", "run.make_plan", "run.start", "run.forecast.look_ahead", "run.merge.merge_shards", "run.workers.make_workers",
    "run.clusters.workers_on", "run.shared.SharedStore", "verify.check.verify_run", "verify.reproduce.reproduce_run", "verify.bundle.open_bundle",
}  # fmt: skip
"""What of ``facesr.bench`` the public API stands before."""


def test_commands_and_pages_use_the_public_api() -> None:
    """Runs and studies are made and opened through it, so that a notebook can do what a command does."""
    for file in [*(ROOT / "src/facesr/cli").glob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in [f"{node.module}.{a.name}" for a in node.names] if isinstance(node, ast.ImportFrom) else []:
                passed = [door for door in DOORS if f"facesr.bench.{door}.".startswith(f"{name}.")]
                assert not passed, f"{file.relative_to(ROOT)} imports {name}: 'import facesr' has it"


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


@pytest.mark.parametrize(
    ("address", "link"), [("", "maps: docs/weights.md."), ("https://x.org/f/", "[docs/a b](https://x.org/f/docs/a.md)")]
)
def test_the_readme_works_on_a_package_index(monkeypatch: pytest.MonkeyPatch, address: str, link: str) -> None:
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", SimpleNamespace(MetadataHookInterface=object))
    on_an_index = runpy.run_path(str(ROOT / "hatch_build.py"))["on_an_index"]
    own = "![a picture](docs/p.png)\n\nmaps: [docs/weights.md](docs/weights.md). [docs/a b](docs/a.md) [there](https://y.org) [here](#top)\n"
    for text in (own, (ROOT / "README.md").read_text(encoding="utf-8")):
        shown = on_an_index(text, address)
        assert all(to.startswith(("https://", "#")) for to in re.findall(r"\]\(([^)]*)", shown))
    assert link in on_an_index(own, address)
    assert on_an_index(own, address).endswith("[there](https://y.org) [here](#top)\n")


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


def _module(file: Path) -> str:
    rel = file.relative_to(ROOT / "src" if "src" in file.relative_to(ROOT).parts[:1] else ROOT).with_suffix("")
    parts = rel.parts if rel.parts[0] == "facesr" else ("facesr", *rel.parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imports() -> list[tuple[str, set[str], bool]]:
    """Every import statement: its module, what it loads, and whether inside a function. What only type checkers import is left out."""
    files = {_module(f): f for room in ORDER for f in (ROOT / room).rglob("*.py") if not f.parent.is_symlink()}
    found: list[tuple[str, set[str], bool]] = [(name, set(), False) for name in files]
    for name, file in files.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        checked = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
        hidden = {id(node) for block in checked for node in ast.walk(block)}
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and id(node) not in hidden:
                found.append((name, {a.name for a in node.names}, id(node) in inside))
            elif isinstance(node, ast.ImportFrom) and id(node) not in hidden:
                whole = {f"{node.module}.{a.name}" for a in node.names}
                known = {module if module in files else str(node.module) for module in whole}
                found.append((name, known, id(node) in inside))
    return found


def _graph() -> dict[str, set[str]]:
    """Who imports whom among our own modules, imports inside functions included."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, loads, _ in _imports():
        graph[name] |= loads - {name}
    return {name: {other for other in known if other in graph} for name, known in graph.items()}


def _circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of more than one module: who reaches whom and back."""
    reach: dict[str, set[str]] = {}
    for start, known in graph.items():
        seen, todo = set(), list(known)
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += graph[name]
        reach[start] = seen
    found = {frozenset({a, *(b for b in reach[a] if a in reach[b])}) for a in graph if a in reach[a]}
    return [set(circle) for circle in found]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not [sorted(circle) for circle in _circles(_graph())]


def test_a_circle_would_be_found() -> None:
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]


def test_an_import_inside_a_function_spares_a_library() -> None:
    """Our own modules are imported at the top of a file, unless that would load a library that the file does without so far."""
    top: dict[str, set[str]] = defaultdict(set)
    for name, loads, inside in _imports():
        top[name] |= set() if inside else {*loads, name.rpartition(".")[0]} - {""}

    @cache
    def loaded(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            if (module := todo.pop()) not in seen:
                seen.add(module)
                todo += top.get(module, ())
        return seen

    def spared(name: str, loads: set[str]) -> set[str]:
        """Libraries; or parts of a package, which its own ``__init__`` may leave until they are used."""
        libraries, own = ({m.partition(".")[0] for m in some} for some in (set().union(*map(loaded, loads)), loaded(name)))
        return (libraries - own - sys.stdlib_module_names) | {m for m in loads if m.startswith(f"{name}.")}

    free = [f"{name}: {loads}" for name, loads, inside in _imports() if inside and loads <= set(top) and not spared(name, loads)]
    assert not free


def test_the_statuses_of_a_cell_are_spelt_once() -> None:
    distinct = {"no_face", "not_converged", "weights_missing", "skipped"}  # the others are words of other things too
    files = [f for room in ORDER for f in (ROOT / room).rglob("*.py") if f.name != "status.py"]
    texts = {f: [n.value for n in ast.walk(ast.parse(f.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)] for f in files}
    assert [f for f, said in texts.items() if distinct & {text for text in said if isinstance(text, str)}] == []


INTERFACES = {
    "main", "arguments",  # a command
    "page", "warm",  # a view of the dashboard
    "prepare",  # a method that can be trained
    "upgrade", "downgrade",  # a migration
    "Run", "Study",  # the public classes, and what they stand before
}  # fmt: skip


def test_a_public_name_has_one_owner() -> None:
    """Nobody needs an alias to tell two functions or classes apart."""
    owners = defaultdict[str, list[str]](list)
    for room in (*ORDER, "protocols"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    owners[node.name].append(str(file.relative_to(ROOT)))
    assert len(owners) > 1000
    assert {name: files for name, files in owners.items() if len(files) > 1 and name not in INTERFACES} == {}


def test_a_users_packages_of_our_names_change_nothing(tmp_path: Path) -> None:
    for room in ("bench", "methods", "reports", "dashboard", "protocols", "tests"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('imported by facesr')\n")
    (tmp_path / "methods" / "__init__.py").write_text("")
    (tmp_path / "methods" / "mynet.py").write_text("FACTOR = 8\n")
    (tmp_path / "mine.py").write_text(
        "from facesr import Method\nfrom methods.mynet import FACTOR\n\n\nclass Mine(Method):\n    def restore(self, lr, names=()):\n"
        "        return lr.repeat_interleave(FACTOR, 2).repeat_interleave(FACTOR, 3)\n"
    )
    for words in (["methods"], ["run", "demo-x8-128", "--methods", "nearest,mine.py:Mine", "--metrics", "psnr", "--out", "run"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("facesr"), *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    for face in (tmp_path / "run/sr/nearest").glob("*.png"):  # the plug-in ran with its own methods.mynet
        assert (tmp_path / "run/sr/mine" / face.name).read_bytes() == face.read_bytes()


def test_every_recorded_figure_says_where_it_comes_from() -> None:
    origin = (ROOT / "tests/conformance/ORIGIN.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in origin.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == sorted(f.stem for f in (ROOT / "tests/conformance/vectors").glob("*.npz"))
    for name, repository, commit, function, tolerance, _, tested in rows:
        assert repository and commit and function and re.search(r"\de-\d|equal", tolerance), name
        asked_for = re.sub(r"_(32|64|128|256)$", "", name.strip("`"))  # a size may be a test's parameter
        for file in re.findall(r"`([^`]+)`", tested):
            assert f'"{asked_for}' in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file} does not ask for {name}"
    assert sum(file.stat().st_size for file in (ROOT / "tests/conformance/vectors").iterdir()) <= 4e6, "a clone carries them"
