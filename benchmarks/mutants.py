"""Do the tests notice when the code is wrong? ``make mutants``: cosmic-ray's small changes, drawn with a seed, each under the tests of its lines.

python -m benchmarks.mutants                        all groups; writes their table into docs/conformance.md
python -m benchmarks.mutants stats --count 20       one, with fewer changes
python -m benchmarks.mutants --again                only those that survived the last time

cosmic-ray's own runner changes files in place and starts Python (torch, pandas) for every change, and mutmut 3 does not follow the links in
``src/facesr``. So its operators are used on a copy of the tree, in processes forked from one that has the libraries loaded. The copy has no
private fixtures. Annotations are not changed: nothing evaluates them.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import cpu_seconds, survivors

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "mutants"
QUIET = ("-p", "pytest_timeout", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""pytest in a process that has libraries loaded already, without the plugins that nothing here needs."""
MEMORY = 3 << 30
"""Bytes that a changed program may take."""


@dataclass(frozen=True)
class Group:
    """Modules that are changed, the tests that should notice, and how many changes are drawn."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    count: int


GROUPS = {
    "metrics": Group(
        ("bench/metrics/*.py",),
        ("tests/bench/metrics", "tests/bench/networks/test_networks_lpips.py", "tests/bench/test_registry.py"),
        40,
    ),
    "resampling": Group(
        ("bench/imaging/resample.py", "bench/imaging/lowres.py", "bench/imaging/color.py"),
        ("tests/bench/imaging/test_resample.py", "tests/bench/imaging/test_unrounded_lr.py", "tests/bench/data/test_own_lr.py"),
        45,
    ),
    "stats": Group(("bench/stats/*.py",), ("tests/bench/stats", "tests/facesr/test_stats_and_studies.py"), 50),
    "study order": Group(
        ("bench/study/order.py", "bench/study/adaptive.py", "bench/study/pairs.py"),
        (
            "tests/bench/study/test_study_order.py",
            "tests/bench/study/test_study_pairs.py",
            "tests/bench/study/test_study_adaptive.py",
        ),
        40,
    ),
}
NEEDS_EXTRA = {
    "bench/metrics/pyiqa_plugin.py": "pyiqa",
    "bench/metrics/dlibfaces.py": "dlib",
    "bench/metrics/insight.py": "insightface",
}
"""Left out where the library is not installed: their tests would be skipped."""


@dataclass(frozen=True)
class Mutant:
    """One change: where, by which operator, and the line before and after."""

    file: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """Stays as long as the line does."""
        return f"{self.file}: {self.before} → {self.after}"


def annotations(code: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in found if n is not None]


def places(file: Path) -> Iterator[tuple[tuple[int, int], str, int]]:
    """Position, operator and occurrence of everything that can be changed in a file."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    code = file.read_text(encoding="utf-8")
    tree, skipped = get_ast(code), annotations(code)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue
        at = (start for node in ast_nodes(tree) for start, _ in operator().mutation_positions(node))
        for occurrence, start in enumerate(at):
            if not any(a <= start < b for a, b in skipped):
                yield start, name, occurrence


def changed(file: Path, operator: str, occurrence: int) -> str:
    """The file's text with that change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text: str = mutate_code(file.read_text(encoding="utf-8"), get_operator(operator)(), occurrence)
    return text


def draw(root: Path, group: Group, count: int, seed: int) -> list[Mutant]:
    """Positions drawn evenly from the group's modules, and one change of each."""
    drawn = random.Random(seed)
    files = sorted(f for pattern in group.modules for f in root.glob(pattern) if not lacks(f.relative_to(root).as_posix()))
    every: dict[tuple[Path, tuple[int, int]], list[tuple[str, int]]] = {}
    for file in files:
        for start, operator, occurrence in places(file):
            every.setdefault((file, start), []).append((operator, occurrence))
    mutants = []
    for file, start in drawn.sample(sorted(every), min(len(every), 2 * count)):
        operator, occurrence = drawn.choice(every[file, start])
        old, new = file.read_text(encoding="utf-8"), changed(file, operator, occurrence)
        apart = [i for i, pair in enumerate(zip(old.split("\n"), new.split("\n"), strict=False)) if pair[0] != pair[1]]
        if not apart or not compiles(new):
            continue
        before, after = (text.split("\n")[apart[0]].strip() for text in (old, new))
        mutants.append(Mutant(file.relative_to(root).as_posix(), start[0], operator, occurrence, before, after))
    return mutants[:count]


def lacks(file: str) -> bool:
    """Whether the library that a module is for is not here."""
    from importlib.util import find_spec

    return file in NEEDS_EXTRA and find_spec(NEEDS_EXTRA[file]) is None


def compiles(code: str) -> bool:
    """Whether it is Python; what is not would be noticed by anything."""
    try:
        compile(code, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def copy(place: Path) -> None:
    """The tracked and new files of the tree."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name, follow_symlinks=False)


def forked(place: Path, work: Callable[[], int], log: Path, cpu: float | None = None) -> int:
    """Exit status of ``work`` in a child that stands in ``place`` and imports from there; -1 where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        with log.open("wb") as out:
            for stream in (1, 2):
                os.dup2(out.fileno(), stream)
        os.chdir(place)
        sys.path[:0] = [str(place / "src"), str(place)]
        os.environ["PYTHONPATH"] = str(place / "src")
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        os.environ.pop("FACESR_FIXTURES", None)
        for name in [n for n in sys.modules if n.split(".")[0] in ("benchmarks", "facesr", "cosmic_ray")]:
            del sys.modules[name]
        if cpu:
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        status = work()
    except BaseException:  # into the log: this process ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def preload() -> None:
    """What every test loads, once: a changed copy of ours is imported by each child for itself."""
    import cv2
    import pandas
    import PIL.Image
    import pyarrow
    import pydantic
    import pytest
    import scipy.stats
    import sqlalchemy.orm
    import torch
    import torchvision

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    assert all((PIL, pandas, pyarrow, pydantic, pytest, scipy, sqlalchemy, torchvision))


class Watch:
    """A pytest plugin: which test runs which line, how long it takes, which fail or are skipped."""

    def __init__(self, coverage: Any) -> None:
        self.coverage, self.seconds, self.bad = coverage, dict[str, float](), set[str]()

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        """The lines from here on are this test's."""
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add its parts up."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if not report.passed:
            self.bad.add(report.nodeid)


def baseline(place: Path, tests: Sequence[str]) -> dict[str, Any]:
    """The unchanged tree's run: seconds of each test that passes, and for each file which tests run which line."""

    def work() -> int:
        import coverage
        import pytest

        measured = coverage.Coverage(data_file=None, include=[f"{place}/bench/*"])
        watch = Watch(measured)
        measured.start()
        pytest.main([*tests, *QUIET], plugins=[watch])
        measured.stop()
        data = measured.get_data()
        lines = {str(Path(f).relative_to(place)): data.contexts_by_lineno(f) for f in data.measured_files()}
        passed = {k: v for k, v in watch.seconds.items() if k not in watch.bad}
        (place / "baseline.json").write_text(json.dumps({"seconds": passed, "bad": sorted(watch.bad), "lines": lines}))
        return 0

    forked(place, work, PLACE / "baseline.log")
    found: dict[str, Any] = json.loads((place / "baseline.json").read_text())
    return found


def judge(place: Path, mutant: Mutant, known: dict[str, Any], log: Path) -> str:
    """'killed', 'no test', or 'survived' all tests of its line and of their files."""
    seconds: dict[str, float] = known["seconds"]
    lines = known["lines"].get(mutant.file, {})
    of_line = {test for test in lines.get(str(mutant.line), []) if test in seconds}
    if "" in lines.get(str(mutant.line), []) or not of_line:  # run by an import, or the middle of a statement
        of_line = {test for tests in lines.values() for test in tests if test in seconds}
    if not of_line:
        return "no test"
    touched = {test.split("::")[0] for test in of_line}
    rest = sorted(test for test in seconds if test.split("::")[0] in touched and test not in of_line)
    file = place / mutant.file
    kept = file.read_text(encoding="utf-8")
    file.write_text(changed(file, mutant.operator, mutant.occurrence), encoding="utf-8")
    for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
        compiled.unlink()
    try:
        for chosen in (sorted(of_line, key=seconds.__getitem__), rest):  # the rest too: a fixture's lines count as its first test's
            if chosen and run(place, chosen, 20 + 5 * sum(seconds[t] for t in chosen), log) != 0:
                return "killed"
    finally:
        file.write_text(kept, encoding="utf-8")
    return "survived"


def run(place: Path, tests: Sequence[str], cpu: float, log: Path) -> int:
    """pytest's exit status over these tests, up to the first that fails."""

    def work() -> int:
        import pytest

        sys.dont_write_bytecode = True
        return int(pytest.main(["-x", *QUIET, *tests]))

    return forked(place, work, log, cpu)


def go(name: str, count: int, seed: int, again: bool) -> dict[str, Any]:
    """One group, written into ``build/mutants``."""
    kept = PLACE / f"{name.replace(' ', '-')}.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {"results": []}
    ended = {Mutant(**r["mutant"]).name: r["how"] for r in before["results"]} if again else {}
    results, start = [], cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        copy(place)
        known = baseline(place, GROUPS[name].tests)
        print(
            f"== {name}: {len(known['seconds'])} tests, {sum(known['seconds'].values()):.0f} s; {len(known['bad'])} skipped",
            flush=True,
        )
        for i, mutant in enumerate(draw(place, GROUPS[name], count, seed)):
            how = ended.get(mutant.name, "")
            if how != "killed":
                how = judge(place, mutant, known, PLACE / f"{name.replace(' ', '-')}-{i}.log")
            results.append({"mutant": asdict(mutant), "how": how})
            print(f"{how:<9}{mutant.file}:{mutant.line} {mutant.before} → {mutant.after}", flush=True)
            made = {"date": time.strftime("%Y-%m-%d"), "seed": seed, "cpu": round(cpu_seconds() - start), "results": results}
            kept.write_text(json.dumps(made, indent=1, ensure_ascii=False))
    return made


def main(argv: Sequence[str] = ()) -> int:
    """0 when every group has 85 % killed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="default: all")
    parser.add_argument("--count", type=int, help="changes per group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="only what was not killed the last time")
    args = parser.parse_args(argv)
    PLACE.mkdir(parents=True, exist_ok=True)
    preload()
    short = []
    for name in args.groups or list(GROUPS):
        made = go(name, args.count or GROUPS[name].count, args.seed, args.again)
        killed = sum(r["how"] == "killed" for r in made["results"])
        print(f"{name}: {killed} of {len(made['results'])} killed ({killed / len(made['results']):.0%})", flush=True)
        short += [name] if killed < 0.85 * len(made["results"]) else []
    if not args.groups:
        survivors.write(PLACE)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
