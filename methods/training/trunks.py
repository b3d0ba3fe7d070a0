"""The frozen networks that losses look through: a recipe names a file, or a weight of the catalogue, which is fetched where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.lpips import LPIPS
from facesr.bench.networks.stlpips import ShiftTolerantLPIPS
from facesr.bench.weights import load_tensors, with_fetch
from facesr.methods.network import LOSSES, NetworkMethod
from facesr.methods.training.data import expand

if TYPE_CHECKING:
    from facesr.bench.networks.lpips import LPIPS


def tensors(name: str, option: str) -> dict[str, Any]:
    """What the weight file ``name`` holds: a path (``$NAME`` and ``~`` expanded), or a name that ``facesr weights list`` shows.

    ``option``: the recipe's entry, for the sentence where it is empty.
    """
    if not name:
        raise FaceSRError(
            f"{option} names no file: give one, or a name that 'facesr weights list' shows, or set the term's weight to 0"
        )
    if any(mark in name for mark in "/$~\\") or expand(name).is_file():
        return load_tensors(expand(name))
    return with_fetch(lambda: load_tensors(name))


def lpips(trunk: str, name: str, option: str = "[loss] trunk_weights") -> LPIPS:
    """LPIPS on ``alex``, ``vgg`` or ``squeeze``, or shift-tolerant on ``st-alex`` or ``st-vgg``, from the weight file ``name``."""
    kind = trunk.removeprefix("st-")
    if kind == trunk:
        return LPIPS(kind, tensors(name, option))  # type: ignore[arg-type]
    return ShiftTolerantLPIPS(kind, tensors(name, option))  # type: ignore[arg-type]


def losses_noted(trunk: str, used: Mapping[str, float], method: type[NetworkMethod[Any]], start: str) -> dict[str, str]:
    """What a weight file says of the metrics it was trained on (``NetworkMethod.training_losses``).

    ``used``: the weights of the terms ``lpips``, ``consistency`` and ``identity``; ``start``: the file that training began with, whose losses
    count too.
    """
    kind = trunk.removeprefix("st-")
    named = {"lpips": f"{'' if kind == trunk else 'st-'}lpips-{kind}", "identity": "identity-onnx:mobilefacenet"}
    before = method(checkpoint="" if start == "default" else str(expand(start))).training_losses if start else ()
    found = dict.fromkeys([*before, *(named.get(term, term) for term, weight in used.items() if weight)])
    return {LOSSES: ",".join(found)} if found else {}
