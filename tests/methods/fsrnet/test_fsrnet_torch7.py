"""Torch7 files: written here by the format's own rules, read back, and run against the same network in PyTorch."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.methods.fsrnet import nngraph
from facesr.methods.fsrnet.method import FSRNet
from facesr.methods.fsrnet.torch7 import Instance, LuaTable, load_torch7


class Writer:
    """Torch7's binary serialisation (File.lua): type, then the value; tables and objects carry a number and are written once."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.numbers: dict[int, int] = {}
        self.keep: list[Any] = []

    def int(self, value: int) -> None:
        self.out += struct.pack("<i", value)

    def string(self, text: str) -> None:
        self.int(len(text))
        self.out += text.encode("latin-1")

    def once(self, thing: Any) -> bool:
        known = id(thing) in self.numbers
        self.int(self.numbers.setdefault(id(thing), len(self.numbers) + 1))
        self.keep.append(thing)
        return not known

    def value(self, value: Any) -> None:
        if value is None:
            self.int(0)
        elif isinstance(value, bool):
            self.int(5)
            self.int(int(value))
        elif isinstance(value, (int, float)):
            self.int(1)
            self.out += struct.pack("<d", value)
        elif isinstance(value, str):
            self.int(2)
            self.string(value)
        elif isinstance(value, Tensor):
            self.tensor(value)
        elif isinstance(value, Instance):
            self.int(4)
            if self.once(value):
                self.string("V 1")
                self.string(value.kind)
                self.value(value.values)
        else:
            self.int(3)
            if self.once(value):
                self.int(len(value.items))
                for key, item in value.items:
                    self.value(key)
                    self.value(item)

    def tensor(self, value: Tensor) -> None:
        self.int(4)
        if self.once(value):
            self.string("V 1")
            self.string("torch.FloatTensor")
            self.int(value.dim())
            self.out += struct.pack(f"<{2 * value.dim()}q", *value.shape, *value.stride())
            self.out += struct.pack("<q", 1)
            self.int(4)
            self.int(10_000 + len(self.numbers))
            self.numbers[-len(self.numbers)] = 0
            self.string("V 1")
            self.string("torch.FloatStorage")
            self.out += struct.pack("<q", value.numel()) + value.contiguous().numpy().astype("<f4").tobytes()


def table(*values: Any, **named: Any) -> LuaTable:
    return LuaTable([(float(i), v) for i, v in enumerate(values, 1)] + list(named.items()))


def module(kind: str, **attributes: Any) -> Instance:
    return Instance(kind, table(**attributes))


def lua(layer: nn.Module) -> Instance:
    """A PyTorch layer as Torch7 keeps it."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        kind = "cudnn.SpatialConvolution" if isinstance(layer, nn.Conv2d) else "nn.SpatialFullConvolution"
        (kh, kw), (dh, dw) = layer.kernel_size, layer.stride
        ph, pw = (int(p) for p in layer.padding)
        sizes: dict[str, Any] = {"kH": kh, "kW": kw, "dH": dh, "dW": dw, "padH": ph, "padW": pw}
        if isinstance(layer, nn.ConvTranspose2d):
            sizes |= {"adjH": layer.output_padding[0], "adjW": layer.output_padding[1]}
        planes = {"nInputPlane": layer.in_channels, "nOutputPlane": layer.out_channels}
        bias = {} if layer.bias is None else {"bias": layer.bias.data}
        return module(kind, weight=layer.weight.data, **planes, **sizes, **bias)
    if isinstance(layer, nn.BatchNorm2d):
        held = {"weight": layer.weight.data, "bias": layer.bias.data, "eps": layer.eps, "momentum": 0.1}
        return module("nn.SpatialBatchNormalization", running_mean=layer.running_mean, running_var=layer.running_var, **held)
    if isinstance(layer, nn.Sequential):
        return module("nn.Sequential", modules=table(*map(lua, layer)), train=True)
    return module({"ReLU": "cudnn.ReLU", "Sigmoid": "nn.Sigmoid"}[type(layer).__name__])


class Node:
    """An nngraph node: data with mapindex (keyed by the parents' data), children."""

    def __init__(self, held: Instance | None, *parents: Node, select: int | None = None) -> None:
        self.data = table(module=held, selectindex=select)
        self.data.items.append(("mapindex", LuaTable([(p.data, float(i)) for i, p in enumerate(parents, 1)])))
        self.children: list[Node] = []
        self.made = Instance("nngraph.Node", table(data=self.data))
        for parent in parents:
            parent.children.append(self)


def graph(first: Node, last: Node, order: list[Node]) -> Instance:
    for node in order:
        node.made.values.items.append(("children", table(*(c.made for c in node.children))))
    return module("nn.gModule", forwardnodes=table(*(n.made for n in order)), innode=first.made, outnode=last.made)


def small() -> tuple[Instance, nn.ModuleDict]:
    """A net with what hourglass networks use: skip, pooling, upsampling, sum, join, and a table of outputs."""
    torch.manual_seed(0)
    parts = nn.ModuleDict(
        {
            "stem": nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU()),
            "low": nn.Conv2d(6, 6, 3, 1, 1, bias=False),
            "up": nn.ConvTranspose2d(12, 3, 3, 2, 1, output_padding=1),
        }
    ).eval()
    norm = parts["stem"].get_submodule("1")
    norm.running_mean.normal_()  # type: ignore[union-attr,operator]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
    first = Node(None)
    stem = Node(lua(parts["stem"]), first)
    pool = Node(module("nn.SpatialMaxPooling", kW=2, kH=2, dW=2, dH=2, padW=0, padH=0), stem)
    low = Node(lua(parts["low"]), pool)
    big = Node(module("nn.SpatialUpSamplingNearest", scale_factor=2), low)
    both = Node(module("nn.CAddTable"), stem, big)
    join = Node(module("nn.JoinTable", dimension=2), both, stem)
    up = Node(lua(parts["up"]), join)
    final = Node(module("nn.Sigmoid"), up)
    last = Node(None, both, low, final)
    return graph(first, last, [first, stem, pool, low, big, both, join, up, final, last]), parts


def expected(parts: nn.ModuleDict, x: Tensor) -> Tensor:
    stem = parts["stem"](x)
    low = parts["low"](nn.functional.max_pool2d(stem, 2))
    both = stem + nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")
    result: Tensor = parts["up"](torch.cat([both, stem], 1)).sigmoid()
    return result


def save(thing: Any, path: Path) -> Path:
    writer = Writer()
    writer.value(thing)
    path.write_bytes(bytes(writer.out))
    return path


def test_values_come_back(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    inner = table(1.5, "two", True, x=shared)
    held = load_torch7(save(table(inner, inner, t=shared.t(), n=None), tmp_path / "a.t7"))
    assert held.array()[0] is held.array()[1]
    assert held.array()[0].array() == [1.5, "two", True]
    assert torch.equal(held.array()[0].get("x"), shared)
    assert held.get("t").shape == (3, 2)
    assert held.get("n") is None


def test_a_graph_gives_what_pytorch_gives(tmp_path: Path) -> None:
    net, parts = small()
    path = save(net, tmp_path / "CelebA_8x.t7")
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        found = nngraph.read_graph(path)(x)
        torch.testing.assert_close(found.image, expected(parts, x), atol=1e-6, rtol=0)
        assert found.prior.shape == (2, 6, 4, 4)  # the table's last but one


def test_the_adapter_takes_the_official_file_in_unit_range(tmp_path: Path) -> None:
    net, parts = small()
    method = FSRNet.from_checkpoint(save(net, tmp_path / "CelebA_8x.t7"), size=16, scale=2)
    image = method.restore(torch.full((1, 3, 8, 8), 0.25))
    assert isinstance(image, Tensor)
    with torch.no_grad():
        torch.testing.assert_close(image, expected(parts, torch.full((1, 3, 16, 16), 0.25)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (module("nn.SpatialGravity"), "nn.SpatialGravity, which is not known"),
        (module("nn.gModule"), "no forwardnodes"),
        (module("nn.SpatialConvolution", nInputPlane=3, nOutputPlane=4, kW=3, kH=3, weight=torch.zeros(5)), "do not fit"),
        (table(1.0, 2.0), "no Torch7 network"),
    ],
)
def test_unknown_structures_get_one_sentence(tmp_path: Path, thing: Any, words: str) -> None:
    with pytest.raises(FaceSRError, match=words) as told:
        nngraph.read_graph(save(thing, tmp_path / "x.t7"))
    assert "\n" not in str(told.value)


def test_other_and_cut_files_get_one_sentence(tmp_path: Path) -> None:
    whole = save(small()[0], tmp_path / "whole.t7").read_bytes()
    for name, data in (
        ("cut", whole[: len(whole) // 2]),
        ("html", b"<!DOCTYPE html><html>"),
        ("random", np.random.default_rng(0).bytes(64)),
    ):
        path = tmp_path / f"{name}.t7"
        path.write_bytes(data)
        with pytest.raises(FaceSRError, match="not a whole Torch7 file"):
            load_torch7(path)


def _tensor_file(path: Path, size: list[int], stride: list[int], offset: int, held: int = 4) -> Path:
    out = Writer()
    out.int(4)
    out.int(1)
    out.string("V 1")
    out.string("torch.FloatTensor")
    out.int(len(size))
    out.out += struct.pack(f"<{2 * len(size) + 1}q", *size, *stride, offset)
    out.int(4)
    out.int(2)
    out.string("V 1")
    out.string("torch.FloatStorage")
    out.out += struct.pack("<q", held) + bytes(4 * held)
    path.write_bytes(out.out)
    return path


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [([4], [-1], 1), ([2, 2], [1 << 40, 1], 1), ([4], [1], 0), ([4], [1], 3), ([-4], [1], 1), ([1 << 40], [0], 1), ([4], [1], -9)],
)
def test_a_tensor_that_reaches_outside_of_its_storage_is_refused(
    tmp_path: Path, size: list[int], stride: list[int], offset: int
) -> None:
    assert torch.equal(load_torch7(_tensor_file(tmp_path / "good.t7", [2, 2], [2, 1], 1)), torch.zeros(2, 2))
    with pytest.raises(FaceSRError, match="not a whole Torch7 file"):
        load_torch7(_tensor_file(tmp_path / "bad.t7", size, stride, offset))


def test_modules_inside_themselves_and_parts_without_end_are_refused(tmp_path: Path) -> None:
    inside = module("nn.Sequential", modules=table())
    inside.values.items[0][1].items.append((1.0, inside))
    double = module("nn.Identity")
    for _ in range(40):
        double = module("nn.Sequential", modules=table(double, double))
    huge = module("nn.SpatialConvolution", nInputPlane=10**6, nOutputPlane=10**6, kW=3, kH=3, weight=torch.zeros(5))
    for thing, words in ((inside, "inside itself"), (double, "more than 10,000 modules"), (huge, "do not fit its sizes")):
        with pytest.raises(FaceSRError, match=words):
            nngraph.read_graph(save(thing, tmp_path / "x.t7"))
