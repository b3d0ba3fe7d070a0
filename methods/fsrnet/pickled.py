"""The tensors of a module that was pickled whole (cydiachen's checkpoints), without running any code that the file names.

Every class the pickle asks for, but torch's own tensor rebuilders, becomes an inert stand-in that only remembers its attributes; the
modules' ``_parameters``, ``_buffers`` and ``_modules`` are then walked.
"""

from __future__ import annotations

import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.weights.tensors import check_tensors, check_zip

_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
_STORAGES = ("FloatStorage", "DoubleStorage", "HalfStorage", "LongStorage", "IntStorage", "ByteStorage", "BoolStorage")


class _Inert:
    """Stands for any class; calling, building and setting state only store values."""

    dump_patches = False  # torch asks for it when it reads a module of the old file format

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.held: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> _Inert:
        return _Inert()

    def __setstate__(self, state: Any) -> None:
        self.held = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        """A stand-in for a dictionary's subclass is filled item by item; the items are of no use here."""

    def append(self, value: Any) -> None:
        """As for items: of no use here."""


class _Unpickler(pickle._Unpickler):
    """The one in Python: the one in C makes room for as many remembered values as a number in the file says, 16 bytes each."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return getattr(torch, name)
        return _Inert


def load_module_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict of the module in ``path``: the file's own, or under ``model`` or ``state_dict``."""
    # torch reads the container, this unpickler the content; nothing but stand-ins is made of what it names.
    reader = SimpleNamespace(Unpickler=_Unpickler, load=lambda file, **_: _Unpickler(file).load(), __name__="facesr_inert")
    check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the sources of the stand-ins differ from the file's, of course
            held = torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
        if isinstance(held, dict):
            held = next((held[k] for k in ("model", "state_dict", "net") if k in held), None)
        tensors = dict(_walk(held, "")) if isinstance(held, _Inert) else {}
    except Exception as error:  # a stranger's file: whatever its reader says of it is one sentence
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise FaceSRError(f"{path} cannot be read as a pickled module ({reason}): save its state_dict and give that") from None
    check_tensors(tensors, path)
    if not tensors:
        raise FaceSRError(f"{path} holds no module with tensors: save the network's state_dict and give that file")
    return tensors


def _walk(module: _Inert, prefix: str) -> list[tuple[str, Tensor]]:
    found = []
    for kind in ("_parameters", "_buffers"):
        items = module.held.get(kind)
        found += [(prefix + k, v.detach()) for k, v in (items or {}).items() if isinstance(v, Tensor)]
    for name, child in (module.held.get("_modules") or {}).items():
        if isinstance(child, _Inert):
            found += _walk(child, f"{prefix}{name}.")
    return found
