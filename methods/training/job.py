"""From a recipe to a training run: what ``facesr train`` does, callable from Python.

A method that can be trained has a module with ``prepare(recipe) -> Job``; its name is in ``TRAINABLE``.
"""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from facesr.bench.config import BadValue, Count, from_table
from facesr.bench.data.dataset import find_dataset
from facesr.bench.errors import FaceSRError, Problems, suggest
from facesr.methods.training import data as faces
from facesr.methods.training import export
from facesr.methods.training.generated import Generated, GeneratedBatches
from facesr.methods.training.loop import Machine, Trainer
from facesr.methods.training.objective import Batch, Objective
from facesr.methods.training.recipe import Recipe, changed

TRAINABLE: dict[str, str] = {
    "fsrnet": "facesr.methods.fsrnet.training",
    "pix2pixhd": "facesr.methods.pix2pixhd.training",
    "psp": "facesr.methods.psp.training",
    "generator": "facesr.methods.generators.training",
}


@dataclass
class Job:
    """What a method's ``prepare`` gives: losses and networks, batches, and fixed validation batches."""

    objective: Objective
    source: faces.FaceSource
    validation: list[Batch]


def prepare(recipe: Recipe) -> Job:
    """Build the networks and read the data of a recipe."""
    if recipe.method not in TRAINABLE:
        raise FaceSRError(f"no training for {recipe.method!r}: {suggest(recipe.method, TRAINABLE)}")
    torch.manual_seed(recipe.loop.seed)  # the initial weights
    job: Job = importlib.import_module(TRAINABLE[recipe.method]).prepare(recipe)
    return job


@dataclass(frozen=True)
class FaceData:
    """The table ``[data]`` of a method that learns from pairs."""

    size: Count = 128
    scale: Count = 8
    train: list[dict[str, Any]] = field(default_factory=list)
    """Photographs: see ``facesr.methods.training.data.FaceTable``."""
    validation: list[dict[str, Any]] = field(default_factory=list)
    augment: faces.Augment = field(default_factory=faces.Augment)
    generated: Generated | None = None

    def __post_init__(self) -> None:
        if any("repeat" in table for table in self.validation):
            raise BadValue("'repeat' is for training: every face of 'validation' counts once")


def face_batches(recipe: Recipe) -> tuple[faces.FaceBatches | GeneratedBatches, list[Batch]]:
    """Batches of the recipe's ``[data]``: ``size``, ``scale``, tables ``train`` and ``validation``, ``augment``, ``generated``."""
    table = from_table(FaceData, recipe.data, "[data]")
    size, scale, augment, generated = table.size, table.scale, table.augment, table.generated
    problems = Problems()
    held_out = problems.step(lambda: faces.load_faces(table.validation, size)) if table.validation else None
    batch, seed = recipe.loop.batch, recipe.loop.seed
    source: faces.FaceBatches | GeneratedBatches
    real = None
    if table.train or generated is None:
        train = problems.step(lambda: faces.load_faces(table.train, size))
        problems.report()
        assert train is not None
        if held_out is not None:
            faces.check_apart(train, held_out)
        photographs = batch - round(generated.share * batch) if generated else batch
        real = faces.FaceBatches(train, photographs, scale, augment, seed) if photographs else None
    problems.report()
    if generated is None:
        assert real is not None
        source = real
    else:
        source = GeneratedBatches(generated, real, batch, size, scale, augment, seed)
        if held_out is None and generated.held_out:
            held_out = source.faces(generated.held_out, torch.Generator().manual_seed(seed + 2))
    return source, [] if held_out is None else fixed_batches(held_out, scale)


def fixed_batches(held_out: faces.Faces, scale: int, batch: int = 16) -> list[Batch]:
    """Every face once, in order, unchanged."""
    plain = faces.FaceBatches(held_out, batch, scale)
    result = []
    for start in range(0, len(held_out.names), batch):
        rows = list(range(start, min(start + batch, len(held_out.names))))
        hr, placement = plain.augment.placed(held_out.pixels[rows], torch.Generator())
        names = [held_out.names[i] for i in rows]
        result.append({"hr": hr, "lr": faces.degrade_batch(hr, scale), "names": names, "rows": rows, **placement._asdict()})
    return result


def with_faces(recipe: Recipe, data: str) -> Recipe:
    """``recipe`` on a person's faces in place of its own photographs: a folder of aligned ones, a .zip
    or .parquet of them, or the name of a prepared data set.

    Of a folder or archive one face in twenty (the first 1 to 64) is kept for validation; a data set has a split ``val``.
    """
    if recipe.method == "generator":
        raise FaceSRError("the generator learns from the faces of its own teacher: --data is for fsrnet, pix2pixhd and psp")
    size = int(recipe.data.get("size", 128))
    tables: dict[str, Any]
    place = Path(data).expanduser()
    if place.is_dir() or (place.is_file() and place.suffix.lower() in (".zip", ".parquet")):
        folder = str(place.resolve())
        found = len(faces.training_images({"folder": folder}, size, read=False))
        if found < 2:
            raise FaceSRError(f"{data} has {found} face: training needs at least one, and one to validate on")
        kept = min(64, max(1, found // 20))
        tables = {"train": [{"folder": folder, "first": kept}], "validation": [{"folder": folder, "last": kept}]}
    else:
        find_dataset(data, "train", size)  # the sentence, where there is no such folder and no such data set
        tables = {
            "train": [{"dataset": data, "split": "train"}],
            "validation": [{"dataset": data, "split": "val", "last": 256}],
        }
    if recipe.method == "psp" and not recipe.data.get("real"):
        tables["real"] = max(1, recipe.loop.batch // 4)
    return changed(recipe, data={**recipe.data, **tables})


def run_training(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    machine: Machine | None = None,
    best: bool = False,
) -> dict[str, Any]:
    """Train a recipe into ``out``; returns what ``summary.json`` there says. ``weights.safetensors`` is written at every end."""
    last = out / "last.pt"
    if last.exists() and not resume:
        raise FaceSRError(f"{out} already holds a training run: add --resume to go on with it, or name another --out")
    out.mkdir(parents=True, exist_ok=True)
    job = prepare(recipe)
    if best and not job.validation:
        raise FaceSRError(
            "--best takes the weights of the best validation, and this recipe has no faces to validate on: add [[data.validation]]"
        )
    trainer = Trainer(job.objective, job.source, recipe.loop, out, validation=job.validation, machine=machine)
    if resume and not trainer.resume():
        raise FaceSRError(f"{last}: no checkpoint to resume from; start without --resume")
    if trainer.fabric.is_global_zero:
        (out / "recipe.toml").write_text(recipe.text, encoding="utf-8")
    started, first = time.monotonic(), trainer.step
    step = trainer.fit(max_minutes)
    tensors, metadata = trainer.export(best)
    summary = {
        "method": recipe.method,
        "step": step,
        "steps": recipe.loop.steps,
        "finished": step >= recipe.loop.steps,
        "faces_seen": step * recipe.loop.batch * trainer.fabric.world_size,
        "minutes_this_call": round((time.monotonic() - started) / 60, 1),
        "steps_this_call": step - first,
        "device": str(trainer.fabric.device),
        "processes": trainer.fabric.world_size,
        "rank": trainer.fabric.global_rank,
        "threads": torch.get_num_threads(),
        "best": trainer.best,
    }
    if trainer.fabric.is_global_zero:
        export.write_weights(out / "weights.safetensors", tensors, {**metadata, "recipe": recipe.text, "step": str(step)})
        (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary
