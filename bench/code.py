"""Which source a method's or metric's numbers depend on, and its digest; found by reading imports, nothing is loaded.

Counted are the module itself and, through its imports, the modules of the same package or beside the same file, modules on the path that
are no installed package (``PYTHONPATH``), and the parts of FaceSR-Bench that compute. Installed packages are not: ``run.json`` names
their versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from facesr.bench.errors import FaceSRError

OWN = "facesr"
ROOT = Path(__file__).parents[1]
COMPUTING = tuple(
    f"{OWN}.{part}"
    for part in ("methods", *(f"bench.{m}" for m in ("imaging", "networks", "metrics", "align", "detect", "onnxnet")))
)
"""Packages and modules of ours that enter a digest where they are imported."""


def code_digest(target: str) -> str:
    """sha256 over the sources of ``module:Class`` or ``file.py:Class``, whatever they are called and wherever they lie."""
    whole = hashlib.sha256()
    for digest in sorted(hashlib.sha256(f.read_bytes().replace(b"\r\n", b"\n")).hexdigest() for f in sources(target)):
        whole.update(digest.encode())
    return whole.hexdigest()


def sources(target: str) -> list[Path]:
    """The source files behind a target, its own first. Raises ``FaceSRError`` where it is not there."""
    name = target.rpartition(":")[0]
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise FaceSRError(f"no file {name}")
        start = Path(name)
        folder, package = start.parent, ""
    else:
        found = _installed(name)
        if not found:
            raise FaceSRError(f"module {name} is not installed")
        start, package = found[-1], name if found[-1].name == "__init__.py" else name.rpartition(".")[0]
        top = name.partition(".")[0]
        folder = (
            ROOT.parent
            if top == OWN
            else found[0].parent.parent
            if "." in name or found[0].name == "__init__.py"
            else found[0].parent
        )
    seen: dict[Path, None] = {start: None}
    todo = [(start, package)]
    while todo:
        file, package = todo.pop()
        for wanted in _imports(file, package):
            for path, inside in _found(wanted, folder, file.parent):
                if path not in seen:
                    seen[path] = None
                    todo.append((path, inside))
    return list(seen)


def _found(name: str, folder: Path, beside: Path) -> Iterator[tuple[Path, str]]:
    """Files of an imported module that count, each with its package: of ours, beside, or loose on the path."""
    top = name.partition(".")[0]
    if top == OWN:
        if name.startswith(COMPUTING):
            yield from _along(ROOT.parent, name, COMPUTING)
        return
    for place in dict.fromkeys((folder, beside)):
        if (place / f"{top}.py").is_file() or (place / top).is_dir():
            yield from _along(place, name)
            return
    if top not in sys.stdlib_module_names and (loose := _loose(top)) is not None:
        yield from _along(loose, name)


def _along(place: Path, name: str, only: tuple[str, ...] = ("",)) -> Iterator[tuple[Path, str]]:
    """The ``__init__`` files on the way to a module, and its own file."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        base, here = place.joinpath(*parts[:n]), ".".join(parts[:n])
        if not here.startswith(only):
            continue
        if (base / "__init__.py").is_file():
            yield base / "__init__.py", here
        elif base.with_suffix(".py").is_file():
            yield base.with_suffix(".py"), here.rpartition(".")[0]


@lru_cache(maxsize=1024)
def _loose(top: str) -> Path | None:
    """The folder of a module that is on the path without being installed (the working folder, ``PYTHONPATH``)."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    file = Path(spec.origin)
    if {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sys.base_prefix):
        return None
    return file.parent.parent if file.name == "__init__.py" else file.parent


def _installed(module: str) -> list[Path]:
    """The files from a module's top-level package down to its own."""
    top = module.partition(".")[0]
    if top == OWN:
        return [f for f, _ in _along(ROOT.parent, module)][1:]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return []
    file = Path(spec.origin)
    found = [f for f, _ in _along(file.parent.parent if file.name == "__init__.py" else file.parent, module)]
    return (
        found
        if found and (found[-1].stem == module.rpartition(".")[2] or found[-1].parent.name == module.rpartition(".")[2])
        else []
    )


def _imports(file: Path, package: str) -> set[str]:
    """Full names of the modules a file imports anywhere in it; none of a file that is not valid Python."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            names |= {base} if base else set()
            names |= {f"{base}.{a.name}" if base else a.name for a in node.names if a.name != "*"}
    return names


def _statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Every statement of a file, however deep; expressions, which are most of a tree, hold none."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, ()))
