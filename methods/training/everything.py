"""All default weights in a given time, on one card: each recipe is timed, then given the steps that its share of the minutes holds."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.methods.training.job import prepare, run_training, with_faces
from facesr.methods.training.loop import Machine, Trainer
from facesr.methods.training.recipe import Recipe, changed, read_recipe

SHARES = {"fsrnet": 0.3, "pix2pixhd": 0.45, "psp": 0.25}
"""Of the time; pix2pixHD comes after FSRNet, on whose image it works."""
TIMED = 6
"""Steps that are timed, the first two left out: they compile and allocate."""


def seconds_per_step(recipe: Recipe, folder: Path, machine: Machine) -> float:
    """Measured on a few steps of a training that is thrown away."""
    short = replace(recipe.loop, steps=TIMED, validate_every=10 * TIMED, preview_every=10 * TIMED)
    job = prepare(recipe)
    trainer = Trainer(job.objective, job.source, short, folder, machine=machine)
    ends: list[float] = []
    advance = trainer._advance

    def timed(batch: Any, progress: Any) -> None:
        advance(batch, progress)
        ends.append(time.monotonic())

    trainer._advance = timed  # type: ignore[method-assign]
    trainer.fit()
    return (ends[-1] - ends[1]) / (len(ends) - 2)


def _of(method: str, changes: Mapping[str, str]) -> dict[str, str]:
    """The changes that concern one method's recipe: those for all, then its own, without its name."""
    own = {key.removeprefix(f"{method}."): value for key, value in changes.items() if key.startswith(f"{method}.")}
    return {key: value for key, value in changes.items() if key.partition(".")[0] not in SHARES} | own


def _here(recipe: Recipe, data: str | None, machine: Machine, out: Path) -> Recipe:
    """The recipe on a person's faces (pSp: and on faces between them, half of each batch), drawn ones on the card where there is one."""
    recipe = with_faces(recipe, data) if data else recipe
    if data and recipe.method == "psp":
        batch = recipe.loop.batch
        between = {"folder": str(out / "psp-codes"), "faces": 0, "steps": 5, "batch": batch // 2, "found": batch // 24}
        recipe = changed(recipe, data={**recipe.data, "recombined": between})
    if machine.accelerator not in ("cuda", "gpu"):
        return recipe
    if recipe.method == "psp":
        return changed(recipe, data={**recipe.data, "device": "cuda"})
    return changed(recipe, data={**recipe.data, "generated": {**recipe.data["generated"], "device": "cuda"}})


def train_all(
    recipes: Mapping[str, Path], out: Path, minutes: float, data: str | None, machine: Machine, changes: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Train each of ``recipes`` (by method) into ``out``/method within ``minutes`` together; returns their summaries.

    ``changes`` are settings for all recipes, or for one: ``pix2pixhd.net.ngf``.

    The steps, and the part of them over which the rate falls, follow from the measured speed; a tenth of the time is left for
    validation and files. What is in ``out`` already is not trained again.
    """
    if minutes <= 0:
        raise FaceSRError(f"--minutes is {minutes:g}: give more than 0")
    ends = time.monotonic() + 60 * minutes
    held = {name: _here(read_recipe(path, _of(name, changes)), data, machine, out) for name, path in recipes.items()}
    if begun := [str(out / name) for name in recipes if (out / name / "last.pt").exists()]:
        raise FaceSRError(f"{', '.join(begun)}: already a training run: name another --out")
    for recipe in held.values():
        prepare(recipe)  # what is wrong with the last recipe is said before the first one trains
    summaries = {}
    for k, (name, recipe) in enumerate(held.items()):
        folder = out / name
        if name == "pix2pixhd":
            recipe = changed(recipe, net={**recipe.net, "first": str(out / "fsrnet" / "weights.safetensors")})
        share = SHARES[name] / sum(SHARES[other] for other in list(held)[k:])
        until = time.monotonic() + share * (ends - time.monotonic())
        pace = seconds_per_step(recipe, out / f".{name}.timing", machine)
        shutil.rmtree(out / f".{name}.timing", ignore_errors=True)
        left = 0.9 * (until - time.monotonic())
        steps = max(1, math.floor(left / pace))
        loop = replace(
            recipe.loop, steps=steps, decay=steps // 2, warmup=min(recipe.loop.warmup, steps // 10),
            validate_every=max(1, steps // 4), preview_every=max(1, steps // 4),
        )  # fmt: skip
        summaries[name] = run_training(changed(recipe, loop=loop), folder, machine=machine, max_minutes=max(left / 60, 0.01))
    return summaries
