"""Training: a method gives an ``Objective``, a recipe says what on and how long, ``Trainer`` does the rest."""

from facesr.methods.training.data import Augment, FaceBatches, Faces, Source, degrade, load
from facesr.methods.training.loop import DivergedError, Machine, Trainer
from facesr.methods.training.objective import OPTIMISERS, Batch, Objective, Phase, grid, make_optimiser, plain, psnr_y
from facesr.methods.training.recipe import Loop, Recipe, read

__all__ = [
    "OPTIMISERS",
    "Augment",
    "Batch",
    "DivergedError",
    "FaceBatches",
    "Faces",
    "Loop",
    "Machine",
    "Objective",
    "Phase",
    "Recipe",
    "Source",
    "Trainer",
    "degrade",
    "fill",
    "grid",
    "load",
    "make_optimiser",
    "plain",
    "psnr_y",
    "read",
]
