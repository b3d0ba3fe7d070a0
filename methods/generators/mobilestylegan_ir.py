"""Read the constants of MobileStyleGAN's published graph: an OpenVINO IR of two files, ``.xml`` (graph) and ``.bin`` (numbers).

Only the graph's wiring and its stored arrays are read; nothing of openvino is needed. What the arrays mean is inferred from their
names and by which operation consumes them (see ``read_ir``).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError

F32 = NDArray[np.float32]

Array = NDArray[Any]
_TYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "i64": np.dtype("<i8"), "i32": np.dtype("<i4")}


_RENAMED = ((r"^conv1\.conv$", "first"), (r"^layers\.6\.to_img\.conv$", "to_rgb"), (r"\.conv$", ""))
"""Names of modulated parts in the graph, and ours."""


@dataclass(frozen=True)
class Node:
    """One operation: its kind, its name, and the ids of the operations whose results it takes, in order of its ports."""

    kind: str
    name: str
    inputs: tuple[str, ...]


class IRGraph:
    """An IR v10 graph: operations by id in the file's order (which is topological), and the arrays of its ``Const`` nodes."""

    def __init__(self, xml: Path, binary: Path) -> None:
        self.path = xml
        text = _text(xml)
        try:
            root = ET.fromstring(text)
            numbers = binary.read_bytes()
        except (ET.ParseError, OSError) as error:
            raise FaceSRError(f"{xml} and {binary.name} cannot be read as an OpenVINO IR ({error}): fetch them again") from None
        wires: dict[str, list[tuple[int, str]]] = {}
        for edge in root.iter("edge"):
            wires.setdefault(edge.attrib["to-layer"], []).append((int(edge.attrib["to-port"]), edge.attrib["from-layer"]))
        self.nodes: dict[str, Node] = {}
        self.arrays: dict[str, Array] = {}
        for layer in root.iter("layer"):
            key = layer.attrib["id"]
            inputs = tuple(source for _, source in sorted(wires.get(key, [])))
            self.nodes[key] = Node(layer.attrib["type"], layer.attrib["name"], inputs)
            data = layer.find("data")
            if layer.attrib["type"] == "Const" and data is not None:
                self.arrays[key] = _array(data.attrib, numbers, binary)
        self.users: dict[str, list[str]] = {}
        for key, node in self.nodes.items():
            for source in node.inputs:
                self.users.setdefault(source, []).append(key)

    def of_kind(self, *kinds: str) -> Iterator[str]:
        """Ids of the operations of these kinds, in the graph's order."""
        return (key for key, node in self.nodes.items() if node.kind in kinds)

    def constant(self, key: str) -> F32 | None:
        """The array that operation ``key`` takes as one of its inputs (None where it takes none)."""
        for source in self.nodes[key].inputs:
            if source in self.arrays:
                return np.asarray(self.arrays[source], dtype=np.float32)
        return None

    def follow(self, key: str, kind: str) -> str | None:
        """The only user of ``key``'s result if it is of ``kind``, else None."""
        users = [user for user in self.users.get(key, []) if self.nodes[user].kind != "ShapeOf"]
        return users[0] if len(users) == 1 and self.nodes[users[0]].kind == kind else None

    def named(self, name: str) -> F32:
        """The array of the ``Const`` called ``name``."""
        for key, array in self.arrays.items():
            if self.nodes[key].name == name:
                return np.asarray(array, dtype=np.float32)
        raise FaceSRError(f"{self.path} has no constant {name!r}: it is not the graph of random-face 2021.7.21.1")


def _text(xml: Path) -> str:
    try:
        text = xml.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FaceSRError(f"{xml} cannot be read ({error}): fetch it again") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FaceSRError(f"{xml} declares a document type, which no OpenVINO IR does: fetch it again")
    return text


def _array(attributes: Mapping[str, str], numbers: bytes, binary: Path) -> Array:
    kind = _TYPES.get(attributes["element_type"])
    shape = tuple(int(n) for n in attributes["shape"].split(",") if n.strip())
    offset, size = int(attributes["offset"]), int(attributes["size"])
    if kind is None or size != kind.itemsize * int(np.prod(shape, dtype=np.int64)) or offset + size > len(numbers):
        raise FaceSRError(f"{binary} is cut short or not of its graph ({len(numbers)} bytes): fetch it again")
    return np.frombuffer(numbers, kind, size // kind.itemsize, offset).reshape(shape)


def read_ir(files: Sequence[Path]) -> dict[str, F32]:
    """The parameters of ``MobileStyleGAN`` (its own names, fp32) from the four ``IR_FILES``, in that order.

    Every affine map of w has the scalar that follows it in the graph multiplied in, and the four bands of every wavelet picture
    lie in blocks, so that the inverse Haar transform reads whole slices.
    """
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FaceSRError(
            f"{files[0].parent} lacks {', '.join(missing)}: give the folder random_face/data of the random-face wheel"
        )
    state = _mapping(IRGraph(files[0], files[1]))
    state.update(_synthesis(IRGraph(files[2], files[3])))
    for before, up in zip(("first", *(f"layers.{i}.conv2" for i in range(6))), range(7), strict=True):
        for name in (f"{before}.weight", f"{before}.bias", f"layers.{up}.up.style.weight", f"layers.{up}.up.style.bias"):
            state[name] = _bands(state[name])
    for name in ("to_rgb.weight", "to_rgb.bias"):
        state[name] = _bands(state[name])
    return state


def _bands(rows: F32) -> F32:
    """Channels of a wavelet picture from the graph's order (LL, then a, b, c of each channel in turn) to blocks LL, a, b, c."""
    n = rows.shape[0] // 4
    return np.concatenate([rows[:n], rows[n::3], rows[n + 1 :: 3], rows[n + 2 :: 3]])


def _mapping(graph: IRGraph) -> dict[str, F32]:
    state: dict[str, F32] = {}
    for i, key in enumerate(graph.of_kind("MatMul")):
        weight = graph.constant(key)
        add = graph.follow(key, "Add") or _first(graph, key, "Add")
        # the bias passes through a Reshape on its way to the Add
        bias = next(graph.constant(source) for source in graph.nodes[add].inputs if graph.nodes[source].kind == "Reshape")
        assert weight is not None and bias is not None
        state[f"mapping.{i}.weight"], state[f"mapping.{i}.bias"] = weight, bias
    return state


def _first(graph: IRGraph, key: str, kind: str) -> str:
    for user in graph.users.get(key, []):
        if graph.nodes[user].kind == kind:
            return user
    raise FaceSRError(f"{graph.path}: no {kind} follows {graph.nodes[key].name}: it is not the graph of random-face 2021.7.21.1")


def _synthesis(graph: IRGraph) -> dict[str, F32]:
    state: dict[str, F32] = {"constant": graph.named("m.input.input")}
    state.update(_modulations(graph))
    convolutions = iter(list(graph.of_kind("Convolution")))
    state.update(_convolution(graph, next(convolutions), "first"))
    for layer in range(7):
        for name in ("conv1", "conv2"):
            state.update(_convolution(graph, next(convolutions), f"layers.{layer}.{name}"))
            state[f"layers.{layer}.{name}.depthwise"] = graph.named(f"m.layers.{layer}.{name}.conv.weight_dw")[:, 0]
    state["to_rgb.weight"] = graph.named("m.layers.6.to_img.conv.weight")
    state["to_rgb.bias"] = graph.named("m.layers.6.to_img.bias").reshape(-1)
    return state


def _modulations(graph: IRGraph) -> dict[str, F32]:
    state: dict[str, F32] = {}
    for key in graph.of_kind("MatMul"):
        source = next(s for s in graph.nodes[key].inputs if s in graph.arrays)
        name = graph.nodes[source].name.removeprefix("m.").removesuffix(".modulation.weight")
        for old, new in _RENAMED:
            name = re.sub(old, new, name)
        add = _first(graph, key, "Add")
        reshape = _first(graph, add, "Reshape")
        scale = 1.0
        for user in graph.users[reshape]:
            factor = graph.constant(user)
            if graph.nodes[user].kind == "Multiply" and factor is not None and factor.size == 1:
                scale = float(factor.reshape(()))
        weight, bias = graph.constant(key), graph.constant(add)
        assert weight is not None and bias is not None
        state[f"{name}.style.weight"] = weight * np.float32(scale)
        state[f"{name}.style.bias"] = bias.reshape(-1) * np.float32(scale)
    return state


def _convolution(graph: IRGraph, key: str, name: str) -> dict[str, F32]:
    kernel = graph.constant(key)
    noisy = _first(graph, key, "Add")
    biased = _first(graph, noisy, "Add")
    noise, bias = graph.constant(noisy), graph.constant(biased)
    assert kernel is not None and noise is not None and bias is not None
    return {f"{name}.weight": kernel, f"{name}.noise": noise, f"{name}.bias": bias.reshape(-1)}
