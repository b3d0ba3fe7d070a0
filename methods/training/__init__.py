"""Training: a method gives an ``Objective``, a recipe says what on and how long, ``Trainer`` does the rest."""

from facesr.methods.training.data import Augment, FaceBatches, Faces, FaceSource, degrade_batch, load_faces
from facesr.methods.training.loop import DivergedError, Machine, Trainer
from facesr.methods.training.objective import OPTIMISERS, Batch, Objective, Phase, grid, make_optimiser, psnr_y, unwrapped
from facesr.methods.training.recipe import Loop, Recipe, read_recipe

__all__ = [
    "OPTIMISERS",
    "Augment",
    "Batch",
    "DivergedError",
    "FaceBatches",
    "FaceSource",
    "Faces",
    "Loop",
    "Machine",
    "Objective",
    "Phase",
    "Recipe",
    "Trainer",
    "degrade_batch",
    "fill",
    "grid",
    "load_faces",
    "make_optimiser",
    "psnr_y",
    "read_recipe",
    "unwrapped",
]
