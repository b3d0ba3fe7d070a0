"""Finding methods and metrics by name.

A specification is ``[label=]what``, where ``what`` is the name of an installed method (entry-point group ``facesr.methods``), a user's own
class (``my_file.py:MyMethod``), a folder of finished images (``folder:path``) or an external program (``command:method.toml``).
Metrics: the same, in the group ``facesr.metrics``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.method import Method
from facesr.bench.metrics.base import Metric

PREFIXES = {"folder": "facesr.methods.folder:Folder", "command": "facesr.methods.command:Command"}
"""Method kinds that are named with what they work on; found by the same path as an entry point."""
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@lru_cache(maxsize=4)
def installed(group: str) -> dict[str, str]:
    """Names and ``module:Class`` targets of an entry-point group; loads nothing."""
    return {e.name: e.value for e in sorted(entry_points(group=group), key=lambda e: e.name)}


@dataclass(frozen=True)
class MethodSpec:
    """A method as asked for: its label in tables and file names, where its class is, and the parameters set by the user."""

    label: str
    target: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, size: int, scale: int, seed: int, device: str) -> Method:
        """Make the method; an unknown parameter gives one sentence with the known ones."""
        cls = load_class(self.target, Method, "method")
        known = set(inspect.signature(cls.__init__).parameters) - {"self"}
        for name in self.params:
            if name not in known or name in ("size", "scale"):
                own = known - {"size", "scale", "seed", "device"}
                raise FaceSRError(
                    f"method {self.label} has no parameter {name!r}: {suggest(name, own) if own else 'it takes none'}"
                )
        made = _make(f"method {self.label}", cls, self.params, size=size, scale=scale, seed=seed, device=device)
        assert isinstance(made, Method)
        return made


def parse_value(text: str) -> Any:
    """A parameter from the command line: Python's literals (``200``, ``1e-3``, ``True``, ``(1, 2)``), else the text itself."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def method_specs(wanted: Iterable[str], settings: Iterable[str] = ()) -> list[MethodSpec]:
    """Read specifications and ``--set label.name=value`` settings; every problem is reported together."""
    problems: list[str] = []
    found: dict[str, MethodSpec] = {}
    for text in wanted:
        try:
            spec = _method_spec(text)
        except FaceSRError as error:
            problems.append(str(error))
            continue
        if spec.label in found:
            problems.append(f"two methods are labelled {spec.label!r}: name one of them, as in mine=folder:path")
        found[spec.label] = spec
    for setting in settings:
        place, equals, value = setting.partition("=")
        label, dot, name = place.rpartition(".")
        if not (equals and dot and name):
            problems.append(f"--set {setting}: write it as method.parameter=value")
        elif label not in found:
            problems.append(f"--set {setting}: no method {label!r} in this run: {suggest(label, found)}")
        else:
            spec = found[label]
            found[label] = MethodSpec(spec.label, spec.target, {**spec.params, name: parse_value(value)})
    if problems:
        raise FaceSRError("; ".join(problems))
    return list(found.values())


def _method_spec(text: str) -> MethodSpec:
    label, _, what = text.strip().rpartition("=")
    kind, colon, rest = what.partition(":")
    params: dict[str, Any] = {}
    known = installed("facesr.methods")
    if colon and kind in PREFIXES:
        target, params = PREFIXES[kind], {"path": rest}
        default = Path(rest).stem if kind == "command" else Path(rest).name
    elif colon and kind.endswith(".py"):
        target, default = what, rest.lower()
    elif what in known:
        target, default = known[what], what
    else:
        raise FaceSRError(f"no method {what!r}: {suggest(what, known)} (or folder:PATH, command:FILE.toml, my_file.py:MyMethod)")
    label = label or default
    if not LABEL.fullmatch(label):
        raise FaceSRError(
            f"{label!r} cannot name a method's folder: give a label of letters, digits, '.', '_', '+', '-', as in mine={what}"
        )
    return MethodSpec(label, target, params)


def _make(what: str, made: Any, given: Mapping[str, Any], **rest: Any) -> Any:
    """``made(**rest, **given)``, ``given`` being the user's: a word where a number belongs gets one sentence."""
    try:
        return made(**{**rest, **given})
    except TypeError as error:
        if not given:  # no value of the user's can be to blame
            raise
        raise FaceSRError(f"{what} cannot take {', '.join(f'{k}={v!r}' for k, v in given.items())}: {error}") from error


def load_class(target: str, base: type, kind: str) -> Any:
    """Import ``module:Class`` or ``file.py:Class``; anything wrong with it gives one sentence."""
    module_name, _, class_name = target.rpartition(":")
    try:
        module = _load_file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
    except FaceSRError:
        raise
    except Exception as error:  # a user's file may do anything
        raise FaceSRError(f"{kind} {target} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if found is None:
        here = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, base) and v is not base]
        raise FaceSRError(f"{module_name} has no {class_name!r}: {suggest(class_name, here) if here else f'it defines no {kind}'}")
    if isinstance(found, type) and not issubclass(found, base):
        raise FaceSRError(f"{target} is not a {kind}: derive it from {base.__module__}.{base.__name__}")
    return found


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FaceSRError(f"no file {path}")
    # by content: a file that changed since is another module
    name = f"facesr_plugin_{hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def build_metric(name: str, conventions: Mapping[str, Any] | None = None) -> Metric:
    """Make a metric by name (or ``my_file.py:MyMetric``) with the conventions a protocol sets."""
    known = installed("facesr.metrics")
    if name not in known and ".py:" not in name:
        raise FaceSRError(f"no metric {name!r}: {suggest(name, known)} (or my_file.py:MyMetric)")
    made = load_class(known.get(name, name), Metric, "metric")
    given = dict(conventions or {})
    accepted = set(inspect.signature(made).parameters)
    for key in given:
        if key not in accepted:
            raise FaceSRError(f"metric {name} has no convention {key!r}: {suggest(key, accepted) if accepted else 'it takes none'}")
    metric = _make(f"metric {name}", made, given)
    assert isinstance(metric, Metric)
    return metric


COUNTED = ("facesr.methods", "facesr.bench.imaging", "facesr.bench.networks")
"""Packages whose source is part of a method's code hash, beside the method's own file."""


def code_digest(target: str) -> str:
    """sha256 over the source that a method's answers depend on: its own module, and what that imports of ``COUNTED``. Loads nothing."""
    module_name = target.rpartition(":")[0]
    if module_name.endswith(".py"):
        if not Path(module_name).is_file():
            raise FaceSRError(f"no file {module_name}")
        start = [Path(module_name)]
    else:
        start = _sources(module_name)
    seen: dict[Path, bytes] = {}
    todo = list(start)
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        text = file.read_bytes()
        seen[file] = text
        for name in _imports(text, file):
            if name.startswith(COUNTED):
                todo += _sources(name)
    whole = hashlib.sha256()
    for digest in sorted(hashlib.sha256(text).hexdigest() for text in seen.values()):
        whole.update(digest.encode())
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _sources(module: str) -> list[Path]:
    """Files of a module: its own, and all of its folder when it is a package; the parent's for ``from package import name``."""
    package = Path(__file__).parents[1]
    base = package.parent.joinpath(*module.split("."))
    if (base / "__init__.py").is_file():
        return sorted(base.glob("*.py")) if base.parent != package else [base / "__init__.py"]
    if base.with_suffix(".py").is_file():
        return [base.with_suffix(".py")]
    if module.split(".", maxsplit=1)[0] != "facesr":  # somebody's installed package
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise FaceSRError(f"module {module} is not installed")
        file = Path(spec.origin)
        return sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
    return []


def _imports(text: bytes, file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(text, str(file))):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names
