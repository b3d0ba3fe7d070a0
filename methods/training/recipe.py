"""Recipes: a TOML file says everything a training run depends on; a mistyped key is told, none is ignored."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from facesr.bench.errors import FaceSRError, suggest

T = TypeVar("T")


@dataclass(frozen=True)
class Loop:
    """The table ``[loop]``."""

    steps: int
    batch: int = 8
    seed: int = 0
    precision: str = "32-true"
    """``32-true`` or ``bf16-mixed``."""
    channels_last: bool = True
    average: float = 0.0
    """Decay of the moving average of the weights; 0 for none."""
    clip: float = 0.0
    """Largest gradient norm; 0 for no limit."""
    warmup: int = 0
    decay: int = 0
    """Over so many last steps the learning rate falls to zero."""
    decay_shape: str = "linear"
    """``linear`` or ``cosine``."""
    validate_every: int = 500
    preview_every: int = 500
    log_every: int = 50
    save_minutes: float = 2.0

    def __post_init__(self) -> None:
        problems = []
        if self.precision not in ("32-true", "bf16-mixed"):
            # fp16 would need a loss scaler whose state is one more thing to resume; bf16 needs none.
            problems.append(f"precision {self.precision!r} (use '32-true' or 'bf16-mixed')")
        if self.decay_shape not in ("linear", "cosine"):
            problems.append(f"decay_shape {self.decay_shape!r} (use 'linear' or 'cosine')")
        if self.steps < 1 or self.batch < 1:
            problems.append(f"steps {self.steps}, batch {self.batch} (both at least 1)")
        if not 0 <= self.average < 1:
            problems.append(f"average {self.average} (from 0 to below 1)")
        if problems:
            raise FaceSRError(f"the recipe's [loop] has {', '.join(problems)}")

    def factor(self, step: int) -> float:
        """What the learning rates are multiplied by at ``step`` (0-based)."""
        import math

        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        left = (self.steps - step) / self.decay if self.decay else 1.0
        if left >= 1:
            return rise
        return rise * (left if self.decay_shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


@dataclass(frozen=True)
class Recipe:
    """A read recipe: ``method``, the tables ``net``, ``loss``, ``optimiser``, ``data`` as nested dicts, and ``loop``."""

    method: str
    loop: Loop
    net: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    about: str = ""
    text: str = ""
    """The file as it was."""


def fill(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Make a dataclass from a recipe's table; unknown keys and wrong types get one sentence."""
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [k for k in table if k not in known]
    if unknown:
        raise FaceSRError(f"{where}: no option {unknown[0]!r}: {suggest(unknown[0], known)}")
    for key, value in table.items():
        want = str(known[key].type)
        kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
        good = kinds.get(want)
        if good and (not isinstance(value, good) or (want in ("int", "float") and isinstance(value, bool))):
            raise FaceSRError(f"{where}: {key} is {value!r}, it must be of type {want}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
    except TypeError as error:
        raise FaceSRError(f"{where}: {error}") from None


def read(path: Path, changes: dict[str, str] | None = None) -> Recipe:
    """Read a recipe; ``changes`` are ``loop.steps=200``-like settings from the command line (TOML values)."""
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaceSRError(f"{path} is not TOML: {error}") from None
    for key, value in (changes or {}).items():
        _change(tables, key, value)
    if "method" not in tables or "loop" not in tables:
        raise FaceSRError(f"{path}: a recipe needs 'method' and a [loop] table with 'steps'")
    tables["loop"] = fill(Loop, tables["loop"], f"{path} [loop]")
    return dataclasses.replace(fill(Recipe, tables, str(path)), text=text)


def _change(tables: dict[str, Any], key: str, value: str) -> None:
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, last = key.split(".")
    table = tables
    for name in parents:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise FaceSRError(f"--set {key}: {name} is not a table of the recipe")
    table[last] = parsed
