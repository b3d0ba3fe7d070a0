"""Train FSRNet, pix2pixHD, pSp or the 128-pixel generator from a recipe (TOML). Stops whole at any moment and goes on with --resume.

Without --recipe the default weight's own recipe is taken: methods/NAME/recipes/default.toml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facesr.bench.errors import FaceSRError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("method", help="fsrnet, pix2pixhd, psp or generator")
    parser.add_argument("--recipe", type=Path, help="the recipe file; default: the default weight's own")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, weights, pictures, TensorBoard files")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out, to the same result")
    parser.add_argument("--max-minutes", type=float, help="stop after so long, with a checkpoint")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a recipe value, e.g. --set loop.steps=200"
    )
    parser.add_argument("--best", action="store_true", help="export the weights of the best validation, not of the last step")
    parser.add_argument("--accelerator", default="cpu", help="cpu, cuda, auto (default: cpu)")
    parser.add_argument("--devices", default="auto", help="how many, or 'auto'")
    parser.add_argument("--strategy", default="auto", help="Fabric's strategy, e.g. ddp")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")


def main(args: argparse.Namespace) -> int:
    """Run the training; 0 when the recipe's last step was reached, 1 when it was stopped before."""
    from facesr.methods.training import Machine, read
    from facesr.methods.training.job import TRAINABLE, run

    method: str = args.method
    if method not in TRAINABLE:
        from facesr.bench.errors import suggest

        raise FaceSRError(f"no training for {method!r}: {suggest(method, TRAINABLE)}")
    changes = dict(_pair(text) for text in args.set)
    recipe = read(args.recipe or default_recipe(method), changes)
    if recipe.method != method:
        raise FaceSRError(f"{args.recipe} is a recipe for {recipe.method!r}, not for {method!r}")
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    machine = Machine(args.accelerator, args.devices, args.strategy)
    summary = run(recipe, args.out, resume=args.resume, max_minutes=args.max_minutes, machine=machine, best=args.best)
    if summary["rank"] == 0:
        reached = f"step {summary['step']} of {summary['steps']}, {summary['minutes_this_call']} min"
        print(f"{method}: {reached}; {args.out / 'weights.safetensors'}")
    return 0 if summary["finished"] else 1


def default_recipe(method: str) -> Path:
    """The recipe of a method's default weights."""
    from facesr import methods

    folder = {"generator": "generators"}.get(method, method)
    path = Path(methods.__file__).parent / folder / "recipes" / "default.toml"
    if not path.is_file():
        raise FaceSRError(f"{path}: no default recipe there; give one with --recipe")
    return path


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise FaceSRError(f"--set {text!r} is not KEY=VALUE, e.g. --set loop.steps=200")
    return key.strip(), value.strip()
