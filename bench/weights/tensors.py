"""Reading tensors from weight files without running anything that is in them."""

from __future__ import annotations

import argparse
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.weights.files import WeightsBroken, sniff
from facesr.bench.weights.store import checked

if TYPE_CHECKING:
    from torch import Tensor


def load_tensors(name_or_path: str | Path, *, check: bool = True) -> dict[str, Any]:
    """What a weight file holds, on the CPU: tensors by key, nested as the file nests them (``.pt .pth .safetensors``).

    ``check``: compare size and sha256 with the catalogue where it knows the file. Never unpickles code: only tensors, numbers,
    strings, containers and argparse's plain ``Namespace``. Raises ``WeightsMissing`` or ``WeightsBroken``.
    """
    path = checked(name_or_path) if check else Path(name_or_path)
    sniff(path)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return _pickle(path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise WeightsBroken(f"{path} cannot be read as safetensors ({error}): download it again") from error


def _pickle(path: Path) -> dict[str, Any]:
    import torch

    try:
        # Training scripts keep their options beside the tensors: a Namespace is a bag of values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # what cannot be read fails below, in a sentence
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsBroken(_reason(path, str(error))) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsBroken(f"{path} cannot be read as PyTorch weights ({first}): cut off or not a weight file") from error
    if not isinstance(held, dict):
        raise WeightsBroken(f"{path} holds a {type(held).__name__}, not a dictionary of tensors")
    return held


def _reason(path: Path, text: str) -> str:
    blamed = [word for line in text.splitlines() if "GLOBAL" in line for word in line.split() if "." in word and word[0].isalpha()]
    if blamed:
        return f"{path} holds code ({blamed[0]}), which is never run: save its tensors alone (state_dict) and give that file"
    return f"{path} cannot be read as PyTorch weights: it is cut off or not a weight file"
