"""The one loader of configuration: a table (TOML, JSON, options) becomes a frozen dataclass, or one error that lists every problem.

A configuration is an ordinary frozen dataclass. Its annotations are the rules: ``int``, ``float``, ``bool``, ``str``, ``Literal``,
``tuple[X, ...]``, nested dataclasses, ``X | None``, and ``Annotated`` with the limits below. ``__post_init__`` may raise ``BadValue`` for what
concerns several fields; it is listed with the rest. pydantic does the checking, strictly (``"3"`` is no number, ``true`` is no ``1``), and is
imported only when something is read.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Interval, Len

from facesr.bench.errors import FaceSRError, suggest

T = TypeVar("T")

Text = Annotated[str, Len(1)]
Count = Annotated[int, Ge(1)]
"""A whole number of at least 1."""
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Probability = Annotated[float, Interval(gt=0, lt=1)]
"""A level such as alpha: strictly between 0 and 1."""


class BadValue(FaceSRError, ValueError):
    """A rule that ``__post_init__`` of a configuration found broken."""


@dataclass(frozen=True)
class OneOf:
    """``Annotated[str, OneOf(names)]``: one of the names that ``names()`` gives when the value is read (kernels, installed metrics)."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def check(value: str) -> str:
            known = list(self.names())
            if value not in known:
                raise BadValue(suggest(value, known))
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


def from_table(kind: type[T], table: Mapping[str, Any], source: str, also: Iterable[str] = ()) -> T:
    """Make ``kind``, a dataclass, from ``table``.

    Raises one ``FaceSRError`` that starts with ``source`` and lists every unknown key (with the nearest known one), every missing key and
    every value of the wrong type or outside its limits, and ``also``: problems that the caller found.
    """
    from pydantic import ValidationError

    problems: list[str] = []
    made: T
    try:
        # as JSON: arrays fit tuples there although nothing else is converted; the list carries the settings of _checker
        made = _checker(typing.cast(Hashable, kind)).validate_json(json.dumps([dict(table)], default=str))[0]
    except ValidationError as error:
        # a key that is wrong in several branches of a union is one problem
        problems = list(dict.fromkeys(_sentence(kind, problem) for problem in error.errors(include_url=False)))
    except (ValueError, RecursionError) as error:
        problems = [str(error)]
    problems += also
    if not problems:
        return made
    if len(problems) == 1:
        raise FaceSRError(f"{source}: {problems[0]}")
    raise FaceSRError(f"{source}: {len(problems)} problems:" + "".join(f"\n  - {p}" for p in problems))


@lru_cache(maxsize=64)
def _checker(kind: type) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(list[kind], config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))  # type: ignore[valid-type]


def _sentence(kind: type, problem: Mapping[str, Any]) -> str:
    place = [part for part in problem["loc"][1:] if not _is_branch(part)]
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    value, context, rule = problem["input"], problem.get("ctx", {}), problem["type"]
    if rule == "missing":
        return f"'{name}' is missing"
    if rule == "unexpected_keyword_argument":
        known = _fields(kind, place[:-1])
        return f"unknown key '{name}': {suggest(str(place[-1]), known) if known else 'it takes none'}"
    if rule == "value_error":
        reason = str(context["error"])
    elif rule == "literal_error":
        choices = [str(choice) for choice in _literals(kind, place)]
        reason = suggest(str(value), choices) if choices else f"must be {context['expected']}"
    else:
        reason = _RULES.get(rule, problem["msg"][:1].lower() + problem["msg"][1:]).format(**context)
    if not name or isinstance(value, dict):
        return f"'{name}': {reason}" if name else reason
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"'{name}' is {shown if len(shown) < 80 else shown[:77] + '...'}: {reason}"


_RULES = {
    "int_type": "must be a whole number", "int_from_float": "must be a whole number", "float_type": "must be a number",
    "finite_number": "must be a finite number", "bool_type": "must be true or false", "string_type": "must be text in quotes",
    "tuple_type": "must be a list", "list_type": "must be a list", "dict_type": "must be a table", "dataclass_type": "must be a table",
    "greater_than": "must be above {gt}", "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}", "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty", "too_short": "needs at least {min_length}", "too_long": "takes at most {max_length}",
}  # fmt: skip


def _is_branch(part: object) -> bool:
    """Whether pydantic put the name of a union's branch into a place: ``int``, ``list[int]``, ``Table``."""
    return isinstance(part, str) and (part.split("[", maxsplit=1)[0] in _BRANCHES or "[" in part)


_BRANCHES = {
    "int",
    "float",
    "str",
    "bool",
    "constrained-int",
    "constrained-float",
    "constrained-str",
    "literal",
    "tuple",
    "list",
    "dict",
}


def _inner(hint: Any) -> list[Any]:
    """The types that ``hint`` may be, without ``Annotated``, unions and containers."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _inner(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType, tuple, list):
        return [kind for argument in typing.get_args(hint) for kind in _inner(argument)]
    if origin in (dict, Mapping):
        return _inner(typing.get_args(hint)[1])
    return [hint]


def _kinds(kind: type, place: list[Any]) -> list[Any]:
    """The types at a place of a configuration."""
    here = [kind]
    for part in place:
        if isinstance(part, int):
            continue
        tables = [k for k in here if dataclasses.is_dataclass(k)]
        hints = [typing.get_type_hints(k, include_extras=True).get(part) for k in tables]
        here = [k for hint in hints if hint is not None for k in _inner(hint)]
    return here


def _fields(kind: type, place: list[Any]) -> list[str]:
    return [f.name for k in _kinds(kind, place) if dataclasses.is_dataclass(k) for f in dataclasses.fields(k) if f.init]


def _literals(kind: type, place: list[Any]) -> list[Any]:
    return [choice for k in _kinds(kind, place) if typing.get_origin(k) is typing.Literal for choice in typing.get_args(k)]
