"""Parameters of methods and conventions of metrics: the annotations of a constructor are the rules, checked by the configuration loader."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError, suggest

PLAIN = (int, float, bool, str, type(None))


def checked(
    what: str, made: Callable[..., Any], given: Mapping[str, Any], kind: str, reserved: Collection[str] = ()
) -> dict[str, Any]:
    """``given`` for the constructor ``made``; ``kind``: the word for one of them (parameter, convention); ``reserved``: set by the bench.

    Raises one ``FaceSRError`` that begins with ``what`` and lists every unknown name and every value of the wrong type. What is not
    annotated with plain types is left to the constructor. A whole number where text belongs is that text (a folder named 2024).
    """
    known = {n: p for n, p in inspect.signature(made).parameters.items() if n not in reserved}
    named = {n: p for n, p in known.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    problems = []
    own = sorted(set(named) - {"seed", "device"})
    problems += [f"{what} has no {kind} {n!r}: {suggest(n, own) if own else 'it takes none'}" for n in given if n not in named]
    hints = _hints(made)
    plain = {n: hint for n, v in given.items() if n in named and (hint := _plain_part(hints.get(n, Any), v)) is not None}
    values = {n: str(v) if plain.get(n) is str and type(v) is int else v for n, v in given.items()}
    table = dataclasses.make_dataclass("Given", [(n, plain[n]) for n in plain])
    try:
        if plain:
            from_table(table, {n: values[n] for n in plain}, what)
    except FaceSRError as error:
        problems.append(str(error))
    if problems:
        raise FaceSRError("; ".join(problems))
    return values


def _hints(made: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by parameter; none of a class whose annotations cannot be evaluated here."""
    target: Any = getattr(made, "func", made)
    maker = vars(target).get("__init__", getattr(target, "__init__", None)) if isinstance(target, type) else target
    try:
        return typing.get_type_hints(maker, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _plain_part(hint: Any, value: Any) -> Any:
    """The part of a type that ``value`` can be checked against: of ``str | Embedder`` the text, where it is no object; None where there is none."""
    if _is_plain(hint):
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and type(value) in (*PLAIN, list, tuple):
        members = [a for a in typing.get_args(hint) if _is_plain(a)]
        return typing.Union[tuple(members)] if members else None  # noqa: UP007 - made of what there is
    return None


def _is_plain(hint: Any) -> bool:
    """Whether a type is made of numbers, texts, truth values, choices and lists of them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _is_plain(arguments[0])
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, tuple, list, Sequence):
        return all(_is_plain(a) for a in arguments if a is not Ellipsis)
    return hint in PLAIN
