"""Real-ESRGAN's network out of ncnn's files: weights by PyTorch's keys, and only where the graph is RRDBNet's, edge by edge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.weights.files import WeightsBroken
from facesr.bench.weights.ncnn import NcnnLayer, read_ncnn, settings_of

if TYPE_CHECKING:
    from torch import Tensor

Step = tuple[str, tuple[int, ...]]
LEAKY, SUM, SCALED, TWICE = "Convolution, leaky 0.2", "sum", "sum, first times 0.2", "enlarged twice, nearest"


def rrdbnet(graph: Path, numbers: Path) -> dict[str, Tensor]:
    """The state dict (``conv_first.weight``, ``body.0.rdb1.conv1.weight`` ...) of the RRDBNet in ncnn's two files.

    Raises ``WeightsBroken`` for any other network. Source of the graph: BasicSR's ``rrdbnet_arch`` (Wang et al. 2018, 2021).
    """
    layers = read_ncnn(graph, numbers)
    found = [(_kind(layer), layer.inputs) for layer in layers]
    blocks = sum(kind == SCALED for kind, _ in found) // 4
    steps, names = _graph(blocks, sum(kind == TWICE for kind, _ in found))
    if found != steps:
        at = next((i for i, (a, b) in enumerate(zip(found, steps, strict=False)) if a != b), min(len(found), len(steps)))
        what = f"layer {layers[at].name}" if at < len(layers) else "its end"
        raise WeightsBroken(f"{graph} is not Real-ESRGAN's network (RRDBNet), the only one of ncnn's read here: {what} differs")
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    state: dict[str, Tensor] = {}
    for name, layer in zip(names, convolutions, strict=True):
        if layer.weight is None or layer.bias is None:
            raise WeightsBroken(f"{graph}: layer {layer.name} has no bias, Real-ESRGAN's {name} has one")
        state |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return state


def _kind(layer: NcnnLayer) -> str:
    """What a layer does, in the words of ``_graph``; its own kind where it is nothing of RRDBNet."""
    if layer.kind == "Convolution" and tuple(settings_of(layer, 1, 4)) == ((3000,), (1000,)) and _plain(layer):
        activation, slope = settings_of(layer, 9, 10)
        return {((), ()): "Convolution", ((2000,), (200,)): LEAKY}.get((activation, slope), "Convolution, otherwise activated")
    if layer.kind == "Eltwise" and tuple(settings_of(layer, 0, 1)) == ((1000,), (200, 1000)):
        return SCALED
    if layer.kind == "BinaryOp" and tuple(settings_of(layer, 0)) in (((0,),), ((),)):
        return SUM
    if layer.kind == "Interp" and tuple(settings_of(layer, 0, 1, 2)) == ((1000,), (2000,), (2000,)):
        return TWICE
    return layer.kind if layer.kind in ("Input", "Concat") else f"{layer.kind}, other settings"


def _plain(layer: NcnnLayer) -> bool:
    """No dilation, no stride, no other padding than the first."""
    return all(value in ((), (1000,)) for value in settings_of(layer, 2, 3, 11, 12, 13, 14, 15, 16))


def _graph(blocks: int, doublings: int) -> tuple[list[Step], Sequence[str]]:
    """RRDBNet's steps with the steps that each takes, and the names of its convolutions in that order."""
    steps: list[Step] = [("Input", ())]
    names: list[str] = []

    def add(kind: str, *inputs: int, name: str = "") -> int:
        steps.append((kind, inputs))
        names.extend([name] if name else [])
        return len(steps) - 1

    first = x = add("Convolution", 0, name="conv_first")
    for block in range(blocks):
        start = x
        for dense in (1, 2, 3):
            parts = [x]
            for conv in (1, 2, 3, 4):
                given = add("Concat", *parts) if len(parts) > 1 else x
                parts.append(add(LEAKY, given, name=f"body.{block}.rdb{dense}.conv{conv}"))
            last = add("Convolution", add("Concat", *parts), name=f"body.{block}.rdb{dense}.conv5")
            x = add(SCALED, last, x)
        x = add(SCALED, x, start)
    x = add(SUM, first, add("Convolution", x, name="conv_body"))
    for doubling in range(doublings):
        x = add(LEAKY, add(TWICE, x), name=f"conv_up{doubling + 1}")
    add("Convolution", add(LEAKY, x, name="conv_hr"), name="conv_last")
    return steps, names
