"""ncnn's pair of files read as data: a graph of layers as text (``.param``) and their numbers (``.bin``), without ncnn.

Formats: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Of the layers with numbers, ``Convolution`` is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.reading import read_text
from facesr.bench.weights.files import WeightsBroken, sniff

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = "7767517"
HALF, SINGLE, RAW = 0x01306B47, 0, 0x0002C056
"""Tags before a layer's weights: 16-bit floats, 32-bit floats, 32-bit floats as they are."""
WEIGHTLESS = frozenset({"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle", "ReLU"})
MOST = 1 << 31
"""Numbers of one layer, at most."""


@dataclass(frozen=True)
class NcnnLayer:
    """One line of the graph. ``inputs``: the layers (by place in the list) whose output it takes, ``Split`` looked through."""

    kind: str
    name: str
    inputs: tuple[int, ...]
    settings: dict[int, tuple[float, ...]]
    weight: Tensor | None = None
    bias: Tensor | None = None


def pair(path: Path) -> tuple[Path, Path] | None:
    """The ``.param`` and ``.bin`` that ``path``, either of them, belongs to; None where it is no file of ncnn's (PyTorch's may end in ``.bin``)."""
    graph, numbers = path.with_suffix(".param"), path.with_suffix(".bin")
    return (graph, numbers) if path.suffix == ".param" or (path.suffix == ".bin" and graph.is_file()) else None


def read_ncnn(graph: Path, numbers: Path) -> list[NcnnLayer]:
    """The layers in the graph's order, ``Split`` left out, convolutions with their weights as float32 (out, in, height, width).

    Raises ``WeightsBroken`` where the text is no such graph, a layer of another kind would hold numbers, or the numbers do not fit it exactly.
    """
    if not numbers.is_file():
        raise WeightsBroken(f"{graph.name} has no {numbers.name} beside it: ncnn keeps a network's numbers there")
    sniff(numbers)
    lines = read_text(graph).split("\n")
    if lines[0].strip() != MAGIC:
        raise WeightsBroken(f"{graph} is no graph of ncnn's: its first line is not {MAGIC}")
    data = _Numbers(numbers)
    made: dict[str, int] = {}  # blob -> layer that made it
    layers: list[NcnnLayer] = []
    for number, words in enumerate((line.split() for line in lines[2:] if line.strip()), 3):
        try:
            kind, name, takes, gives = words[0], words[1], int(words[2]), int(words[3])
            blobs, rest = words[4 : 4 + takes + gives], words[4 + takes + gives :]
            inputs = tuple(made[blob] for blob in blobs[:takes])
            settings = dict(_setting(word) for word in rest if "=" in word)
        except (ValueError, IndexError, KeyError) as error:
            raise WeightsBroken(f"{graph}, line {number}: not a layer of ncnn's graph ({error or 'cut off'})") from None
        if kind == "Split":
            made |= dict.fromkeys(blobs[takes:], inputs[0] if inputs else -1)
            continue
        made |= dict.fromkeys(blobs[takes:], len(layers))
        weight, bias = data.convolution(settings, name) if kind == "Convolution" else (None, None)
        if kind != "Convolution" and kind not in WEIGHTLESS:
            raise WeightsBroken(f"{graph}, line {number}: layers of kind {kind} are not read here")
        layers.append(NcnnLayer(kind, name, inputs, settings, weight, bias))
    if lines[1].split()[:1] != [str(sum(bool(line.strip()) for line in lines[2:]))]:
        raise WeightsBroken(f"{graph} is cut off: it announces {lines[1].split()[:1]} layers and has {len(lines) - 2}")
    data.finish()
    return layers


def _setting(word: str) -> tuple[int, tuple[float, ...]]:
    """``0=64``; a list is ``-23310=1,0.2``: its key below -23300, its length, its values."""
    key, _, value = word.partition("=")
    if int(key) <= -23300:
        return -int(key) - 23300, tuple(float(v) for v in value.split(",")[1:])
    return int(key), (float(value),)


class _Numbers:
    """The ``.bin`` file, read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def convolution(self, settings: dict[int, tuple[float, ...]], name: str) -> tuple[Tensor, Tensor | None]:
        """Weights and bias by the layer's settings: 0 outputs, 1 and 11 kernel, 5 whether there is a bias, 6 numbers of the weight."""
        out, width, count = (int(settings.get(key, (0,))[0]) for key in (0, 1, 6))
        height = int(settings.get(11, (width,))[0])
        if min(out, width, height, count) < 1 or count > MOST or count % (out * width * height):
            raise WeightsBroken(f"{self.path}: layer {name} asks for {count} numbers of {out} outputs, {height} x {width}")
        shape = (out, count // (out * width * height), height, width)
        tag = int.from_bytes(self._take(4, name), "little")
        if tag not in (HALF, SINGLE, RAW):
            raise WeightsBroken(f"{self.path}: layer {name} has weights in a form that is not read here (tag {tag:#010x}, 8-bit?)")
        weight = self._floats(count, name, half=tag == HALF).reshape(shape)
        return weight, self._floats(out, name) if settings.get(5, (0,))[0] else None

    def _floats(self, count: int, name: str, half: bool = False) -> Tensor:
        import torch

        size = count * (2 if half else 4)
        held = torch.frombuffer(bytearray(self._take(size, name)), dtype=torch.float16 if half else torch.float32)
        self._take(-size % 4, name)  # 16-bit numbers are filled up to four bytes
        return held.float()

    def _take(self, size: int, name: str) -> bytes:
        if self.at + size > len(self.data):
            raise WeightsBroken(f"{self.path} is cut off in layer {name}: it has {len(self.data):,} bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def finish(self) -> None:
        """Raise ``WeightsBroken`` unless every byte was used."""
        if self.at != len(self.data):
            raise WeightsBroken(f"{self.path} has {len(self.data):,} bytes, the graph beside it describes {self.at:,}")


def settings_of(layer: NcnnLayer, *keys: int) -> Iterator[tuple[int, ...]]:
    """The values of ``keys``, rounded to thousandths so that they compare: ``(200,)`` is 0.2."""
    for key in keys:
        yield tuple(round(v * 1000) if math.isfinite(v) else -1 for v in layer.settings.get(key, ()))
