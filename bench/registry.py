"""Finding methods and metrics by name.

A specification is ``[label=]what``, where ``what`` is the name of an installed method (entry-point group ``facesr.methods``), a user's own
class (``my_file.py:MyMethod``), or an installed kind of method with the path it works on (group ``facesr.method_kinds``): a folder of
finished images (``folder:path``), an external program (``command:method.toml``). Metrics: names of the group ``facesr.metrics``, or a file.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError, same_name, suggest
from facesr.bench.method import Method
from facesr.bench.metrics.base import Metric
from facesr.bench.parameters import checked
from facesr.bench.plugins import load_file
from facesr.bench.results.names import label_problem


@lru_cache(maxsize=4)
def installed(group: str) -> dict[str, str]:
    """Names and ``module:Class`` targets of an entry-point group; loads nothing."""
    return {e.name: e.value for e in sorted(entry_points(group=group), key=lambda e: e.name)}


@dataclass(frozen=True)
class MethodSpec:
    """A method as asked for: its label in tables and file names, where its class is, and the parameters set by the user.

    ``from_protocol``: those that the protocol sets (see ``under``).
    """

    label: str
    target: str
    params: Mapping[str, Any] = field(default_factory=dict)
    from_protocol: Mapping[str, Any] = field(default_factory=dict)

    def under(self, protocol: Mapping[str, Any]) -> MethodSpec:
        """With the protocol's values (dotted, ``consistency.epsilon``) that its class declares in ``from_protocol``: where none is set, and
        the protocol's is not the constructor's own."""
        try:
            cls = load_class(self.target, Method, "method")
        except FaceSRError:  # reported where the method is made
            return self
        own = inspect.signature(cls).parameters
        wanted = _from_protocol(f"method {self.label}", cls, protocol)
        return replace(
            self, from_protocol={k: v for k, v in wanted.items() if not (k in own and v == own[k].default) and k not in self.params}
        )

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that the constructor gets: the protocol's and the user's."""
        return {**self.from_protocol, **self.params}

    def build(self, *, size: int, scale: float, seed: int, device: str) -> Method:
        """Make the method; an unknown parameter gives one sentence with the known ones."""
        cls = load_class(self.target, Method, "method")
        params = checked(f"method {self.label}", cls, self.given, "parameter", ("size", "scale"))
        made = _make(f"method {self.label}", cls, params, size=size, scale=scale, seed=seed, device=device)
        assert isinstance(made, Method)
        return made


def parse_value(text: str) -> Any:
    """A parameter from the command line: Python's literals (``200``, ``1e-3``, ``True``, ``(1, 2)``), else the text itself."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def parse_metric(text: str) -> tuple[str, dict[str, Any]]:
    """``psnr?border=4&color=y`` as the metric's name and its conventions. Raises ``FaceSRError`` for one that is given twice."""
    name, _, query = text.strip().partition("?")
    known = installed("facesr.metrics")
    name = name if name in known else same_name(name, known) or name  # PSNR is psnr
    pairs = [part.partition("=") for part in filter(None, query.split("&"))]
    if twice := [key for key, n in Counter(key for key, _, _ in pairs).items() if n > 1]:
        raise FaceSRError(f"{text.strip()}: {twice[0]} is given twice")
    return name, {key: parse_value(value) for key, _, value in pairs}


def split_specs(text: str) -> list[str]:
    """Specifications from a comma-separated list; a comma inside a path (``folder:a,b``) belongs to the path.

    Pieces that together name what is there are one specification. Else a piece begins a new one if it is an installed name, has a label
    (``mine=``), or names a kind or a file's class.
    """
    known, kinds = installed("facesr.methods"), installed("facesr.method_kinds")
    found: list[str] = []
    pieces, at = text.split(","), 0
    while at < len(pieces):
        end = next((e for e in range(len(pieces), at + 1, -1) if _is_there(",".join(pieces[at:e]), kinds)), at + 1)
        piece, at = ",".join(pieces[at:end]), end
        what = piece.strip().rpartition("=")[2]
        begins = what in known or "=" in piece or what.partition(":")[0] in kinds or ".py:" in what
        in_path = found and found[-1].rpartition("=")[2].partition(":")[0] in kinds
        if in_path and not begins:
            found[-1] += f",{piece}"
        elif piece.strip():
            found.append(piece)
    return found


def _is_there(text: str, kinds: Iterable[str]) -> bool:
    """Whether ``[label=]kind:PATH`` or ``[label=]FILE.py:Class`` names something that exists."""
    label, equals, what = text.strip().partition("=")
    for spec in (text.strip(), *([what] if equals and not label_problem(label) else [])):
        kind, colon, rest = spec.partition(":")
        file, _, name = spec.rpartition(":")
        place = rest if colon and kind in kinds else file if file.endswith(".py") and name.isidentifier() else ""
        if place and "\0" not in place and os.path.exists(place):  # noqa: PTH110 (a name too long is no path, not an error)
            return True
    return False


def method_specs(wanted: Iterable[str], settings: Iterable[str] = ()) -> list[MethodSpec]:
    """Read specifications and ``--set label.name=value`` settings; every problem is reported together."""
    problems: list[str] = []
    found: dict[str, MethodSpec] = {}
    given: set[tuple[str, str]] = set()
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
        elif (label, name) in given:
            problems.append(f"--set {setting}: {label}.{name} is set twice")
        else:
            given.add((label, name))
            spec = found[label]
            found[label] = MethodSpec(spec.label, spec.target, {**spec.params, name: parse_value(value)})
    if problems:
        raise FaceSRError("; ".join(problems))
    return list(found.values())


def _method_spec(text: str) -> MethodSpec:
    known, kinds = installed("facesr.methods"), installed("facesr.method_kinds")
    label, equals, what = text.strip().partition("=")
    if not equals or "/" in label or label.partition(":")[0] in kinds:  # no label: the equals sign is in a path
        label, what = "", text.strip()
    kind, colon, rest = what.partition(":")
    params: dict[str, Any] = {}
    what = what if what in known else same_name(what, known) or what  # PULSE is pulse
    if colon and kind in kinds:
        target, params = kinds[kind], {"path": rest}
        default = Path(rest).name if Path(rest).is_dir() else Path(rest).stem
    elif colon and kind.endswith(".py"):
        target, default = what, rest.lower()
    elif what in known:
        target, default = known[what], what
    else:
        others = ", ".join(f"{k}:PATH" for k in kinds)
        raise FaceSRError(f"no method {what!r}: {suggest(what, known)} (or {others}, my_file.py:MyMethod)")
    label = label or default
    if label_problem(label):
        if "path" in params and not Path(rest).exists():
            raise FaceSRError(f"no folder or file {rest}")
        raise FaceSRError(
            f"{label!r} cannot name a method's folder: give a label of letters, digits, '.', '_', '+', '-', as in mine={what} (score: --label mine)"
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
        module = load_file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
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


def _from_protocol(what: str, made: Any, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol's values that a class declares in ``from_protocol``."""
    declared = dict(getattr(getattr(made, "func", made), "from_protocol", {}))
    if unknown := [place for place in declared.values() if place not in protocol]:
        raise FaceSRError(f"{what}: from_protocol names {unknown[0]!r}: {suggest(str(unknown[0]), protocol)}")
    return {name: protocol[place] for name, place in declared.items()}


def metric_target(name: str) -> str:
    """Where the class of a metric is (``module:Class``), from its name or ``my_file.py:MyMetric``."""
    known = installed("facesr.metrics")
    if name not in known and ".py:" not in name:
        raise FaceSRError(f"no metric {name!r}: {suggest(name, known)} (or my_file.py:MyMetric)")
    return known.get(name, name)


def build_metric(name: str, conventions: Mapping[str, Any] | None = None, protocol: Mapping[str, Any] | None = None) -> Metric:
    """Make a metric by name (or ``my_file.py:MyMetric``) with the conventions a protocol sets.

    ``protocol``: the protocol's values, dotted (``degradation.kernel``); a metric gets those it declares in ``from_protocol``.
    """
    made = load_class(metric_target(name), Metric, "metric")
    wanted = _from_protocol(f"metric {name}", made, protocol) if protocol else {}
    given = wanted | dict(conventions or {})
    given = checked(f"metric {name}", made, given, "convention")
    metric = _make(f"metric {name}", made, given)
    assert isinstance(metric, Metric)
    return metric
