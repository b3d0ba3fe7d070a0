"""Train FSRNet, pix2pixHD, pSp or the 128-pixel generator from a recipe (TOML). Stops whole at any moment and goes on with --resume.

facesr train fsrnet --out runs/fsrnet                       generated faces alone, drawn as it goes: nothing else is needed
facesr train fsrnet --data FOLDER --out runs/fsrnet         a folder of aligned faces, and generated ones beside them
facesr train pix2pixhd --start default --data celeba-hq --out runs/pix2pixhd         on from the weights that come along
facesr train --all --minutes 12 --accelerator cuda --out runs/card                   the three, larger, on one card
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from facesr import methods
from facesr.bench.errors import FaceSRError, suggest

if TYPE_CHECKING:
    from facesr.methods.training import Machine


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("method", nargs="?", default="", metavar="NAME", help="fsrnet, pix2pixhd, psp or generator")
    parser.add_argument("--recipe", type=Path, help="the recipe file; default: methods/NAME/recipes/default.toml")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="train on these aligned faces too: a folder, a .zip, or a data set of 'facesr data prepare'",
    )
    parser.add_argument("--start", metavar="WEIGHTS", help="go on from a weight file; 'default': the weights that come along")
    parser.add_argument("--all", action="store_true", help="fsrnet, pix2pixhd and psp one after the other, in --minutes")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, weights, pictures, TensorBoard files")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out, to the same result")
    parser.add_argument("--minutes", "--max-minutes", type=float, help="stop after so long, with a checkpoint")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a recipe value, e.g. --set loop.steps=200; with --all also of one method: --set pix2pixhd.net.ngf=32",
    )
    parser.add_argument("--best", action="store_true", help="export the weights of the best validation, not of the last step")
    parser.add_argument("--accelerator", default="cpu", help="cpu, cuda, auto (default: cpu)")
    parser.add_argument("--devices", default="auto", help="how many, or 'auto'")
    parser.add_argument("--strategy", default="auto", help="Fabric's strategy, e.g. ddp")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")


def main(args: argparse.Namespace) -> int:
    """Run the training; 0 when the recipe's last step was reached, 1 when it was stopped before."""
    from facesr.methods.training import Machine, read_recipe
    from facesr.methods.training.job import TRAINABLE, run_training, with_faces

    method: str = args.method
    if args.minutes is not None and args.minutes <= 0:
        raise FaceSRError(f"--minutes is {args.minutes:g}: give more than 0")
    if args.threads is not None:
        import torch

        if not 1 <= args.threads <= 4096:
            raise FaceSRError(f"--threads {args.threads}: give 1 or more, or leave it out")
        torch.set_num_threads(args.threads)
    machine = Machine(args.accelerator, args.devices, args.strategy)
    changes = dict(_pair(text) for text in args.set)
    if args.start:
        changes["net.start"] = args.start
    if args.all:
        return _all(args, machine, changes)
    if method not in TRAINABLE:
        raise FaceSRError(f"no training for {method!r}: {suggest(method, TRAINABLE)}" if method else "name a method, or give --all")
    recipe = read_recipe(args.recipe or default_recipe(method), changes)
    if recipe.method != method:
        raise FaceSRError(f"{args.recipe} is a recipe for {recipe.method!r}, not for {method!r}")
    if args.data:
        recipe = with_faces(recipe, args.data)
    summary = run_training(recipe, args.out, resume=args.resume, max_minutes=args.minutes, machine=machine, best=args.best)
    if summary["rank"] == 0:
        reached = f"step {summary['step']} of {summary['steps']}, {summary['minutes_this_call']} min"
        print(f"{method}: {reached}; {args.out / 'weights.safetensors'}")
    return 0 if summary["finished"] else 1


def _all(args: argparse.Namespace, machine: Machine, changes: dict[str, str]) -> int:
    from facesr.methods.training.everything import train_all

    given = {"NAME": args.method, "--recipe": args.recipe, "--best": args.best, "--start": args.start, "--resume": args.resume}
    if wrong := [name for name, value in given.items() if value]:
        raise FaceSRError(f"--all trains every method by its card recipe: leave out {', '.join(wrong)}")
    if args.minutes is None:
        raise FaceSRError("--all shares out the time it is given: add --minutes, e.g. --minutes 12")
    recipes = {name: recipe_file(name, "card") for name in ("fsrnet", "pix2pixhd", "psp")}
    for name, summary in train_all(recipes, args.out, args.minutes, args.data, machine, changes).items():
        print(f"{name}: {summary['step']} steps, {summary['faces_seen']} faces; {args.out / name / 'weights.safetensors'}")
    return 0


def default_recipe(method: str) -> Path:
    """The recipe that runs on what anybody has."""
    return recipe_file(method, "default")


def recipe_file(method: str, name: str) -> Path:
    """A recipe that comes with a method."""
    folder = {"generator": "generators"}.get(method, method)
    path = Path(methods.__file__).parent / folder / "recipes" / f"{name}.toml"
    if not path.is_file():
        raise FaceSRError(f"{path}: no recipe there; give one with --recipe")
    return path


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise FaceSRError(f"--set {text!r} is not KEY=VALUE, e.g. --set loop.steps=200")
    return key.strip(), value.strip()
