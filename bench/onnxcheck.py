"""What a stranger's ONNX graph may not do: loop, reach into other files, or make tensors far larger than itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from facesr.bench.errors import FaceSRError

LARGEST = 1 << 27
"""Numbers that one constant of a graph may stand for (512 MB of float32): faces are 112 to 1024 pixels a side."""
LOOPS = ("Loop", "Scan")
MAKERS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Upsample": 1, "Resize": 3, "Pad": 1, "OneHot": 1}
"""Nodes whose output is as large as an input says, and which input that is."""


def check_onnx(model: Any) -> None:
    """Raise ``FaceSRError`` (a sentence without its subject) for a graph that could run without end or outgrow memory."""
    constants: dict[str, Any] = {}
    nodes = []
    for graph in _graphs(model):
        for tensor in getattr(graph, "initializer", ()):
            constants[tensor.name] = tensor
        nodes += list(graph.node)
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                constants[node.output[0]] = attribute.t
    for tensor in constants.values():
        if tensor.data_location == tensor.EXTERNAL:
            raise FaceSRError("keeps its weights in another file: save it as one file, so that its sha256 covers them")
        if any(n < 0 for n in tensor.dims) or math.prod(tensor.dims) > LARGEST:
            raise FaceSRError(f"has a tensor {tensor.name!r} of {'x'.join(map(str, tensor.dims))} numbers: is it damaged?")
    for node in nodes:
        if node.op_type in LOOPS:
            raise FaceSRError(f"has a loop ({node.op_type} {node.name!r}): no face network needs one, and it might never end")
        _check_size(node, constants)


def _graphs(model: Any) -> Iterator[Any]:
    """The graph, the graphs inside its nodes, and the model's functions."""
    todo = [model.graph, *model.functions]
    while todo:
        graph = todo.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                todo += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _check_size(node: Any, constants: dict[str, Any]) -> None:
    """Refuse a node whose output a constant makes enormous."""
    from onnx import numpy_helper

    place = MAKERS.get(node.op_type)
    if place is None or len(node.input) <= place or node.input[place] not in constants:
        return
    said = [abs(float(n)) for n in numpy_helper.to_array(constants[node.input[place]]).flatten()[:16]]
    most = max(said, default=0) if node.op_type == "Pad" else math.prod(n for n in said if n >= 1)
    if most > LARGEST:
        raise FaceSRError(f"makes a tensor of {most:.1g} numbers ({node.op_type} {node.name!r}): is it damaged?")
