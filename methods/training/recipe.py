"""Recipes: a TOML file says everything a training run depends on; a mistyped key is reported, none is ignored."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from facesr.bench.config import Count, Natural, from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import MAX_TOML, parse_toml, read_text


@dataclass(frozen=True)
class Loop:
    """The table ``[loop]``."""

    steps: Count
    batch: Count = 8
    seed: Natural = 0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """fp16 would need a loss scaler, whose state is one more thing to resume; bf16 needs none."""
    channels_last: bool = True
    average: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights; 0 for none."""
    clip: Annotated[float, Interval(ge=0)] = 0.0
    """Largest gradient norm; 0 for no limit."""
    warmup: Natural = 0
    decay: Natural = 0
    """Over so many last steps the learning rate falls to zero."""
    decay_shape: Literal["linear", "cosine"] = "linear"
    validate_every: Count = 500
    preview_every: Count = 500
    log_every: Count = 50
    save_minutes: Annotated[float, Interval(ge=0)] = 2.0

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
    """What the training is; it goes into the weight file with the rest of the recipe."""
    text: str = field(default="", init=False)
    """The file as it was, and under it, as comments, the settings of the command line."""


def read_recipe(path: Path, changes: dict[str, str] | None = None) -> Recipe:
    """Read a recipe; ``changes`` are ``loop.steps=200``-like settings from the command line (TOML values)."""
    text = read_text(path, MAX_TOML)
    tables = parse_toml(text, str(path))
    for key, value in (changes or {}).items():
        _change(tables, key, value)
    said = "".join(f"# --set {key}={' '.join(value.split())}\n" for key, value in (changes or {}).items())
    recipe = from_table(Recipe, tables, str(path))
    object.__setattr__(recipe, "text", text.rstrip("\n") + "\n" + said)  # not a key of the file, so no argument either
    return recipe


def changed(recipe: Recipe, **parts: Any) -> Recipe:
    """The recipe with some of its tables replaced; the text stays the file's."""
    other = dataclasses.replace(recipe, **parts)
    object.__setattr__(other, "text", recipe.text)
    return other


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
