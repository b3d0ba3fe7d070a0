"""A Torch7 network (``nn``, ``cudnn``, ``nngraph``) as a PyTorch module, so that FSRNet's official ``.t7`` files can be used as they are.

The official structure could not be inspected: every module class that hourglass networks use is known here, and a file with another
one is refused with its name. Output 4 of the table is the image (test_CelebA_8x.lua); images in and out are in [0, 1].
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, cat, nn

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import reading_sizes
from facesr.methods.fsrnet.net import Output
from facesr.methods.fsrnet.torch7 import Instance, LuaTable, load_torch7

LARGEST = 10_000
"""Modules of a file; the official nets have some hundreds."""
Value = Any  # a tensor, or a list of values (Lua's table)


def _number(module: Instance, name: str, default: float | None = None) -> int:
    value = module.get(name, default)
    if value is None:
        raise FaceSRError(f"a {module.kind} of the Torch7 file has no {name!r}")
    return int(value)


def _pair(module: Instance, name: str, default: float | None = None) -> tuple[int, int]:
    """Torch7 gives width first."""
    return _number(module, f"{name}H", default), _number(module, f"{name}W", default)


def _convolution(m: Instance) -> nn.Module:
    inputs, outputs = _number(m, "nInputPlane"), _number(m, "nOutputPlane")
    bias, groups = isinstance(m.get("bias"), Tensor), _number(m, "groups", 1)
    _check_numbers(m, inputs * outputs // max(groups, 1))
    made = nn.Conv2d(inputs, outputs, _pair(m, "k"), _pair(m, "d", 1), _pair(m, "pad", 0), groups=groups, bias=bias)
    return _filled(made, m, weight=made.weight.shape)


def _deconvolution(m: Instance) -> nn.Module:
    inputs, outputs = _number(m, "nInputPlane"), _number(m, "nOutputPlane")
    bias = isinstance(m.get("bias"), Tensor)
    _check_numbers(m, inputs * outputs)
    made = nn.ConvTranspose2d(inputs, outputs, _pair(m, "k"), _pair(m, "d", 1), _pair(m, "pad", 0), _pair(m, "adj", 0), bias=bias)
    return _filled(made, m, weight=made.weight.shape)


def _check_numbers(m: Instance, planes: int) -> None:
    """Before anything of its size is made: a convolution has as many weights as it says it has."""
    weight, (height, width) = m.get("weight"), _pair(m, "k")
    if not isinstance(weight, Tensor) or weight.numel() != planes * height * width or planes < 1:
        held = weight.numel() if isinstance(weight, Tensor) else "no"
        raise FaceSRError(
            f"the weights of a {m.kind} of the Torch7 file do not fit its sizes ({held} numbers for {planes} planes of {height}x{width})"
        )


def _batch_norm(m: Instance) -> nn.Module:
    mean = m.get("running_mean")
    if not isinstance(mean, Tensor):
        raise FaceSRError(f"a {m.kind} of the Torch7 file has no running_mean")
    if m.get("running_var") is None and isinstance(m.get("running_std"), Tensor):
        raise FaceSRError(
            "the Torch7 file keeps running_std, the inverse deviations of an old release: save it again with a newer Torch7"
        )
    affine = isinstance(m.get("weight"), Tensor)
    made = nn.BatchNorm2d(len(mean), eps=float(m.get("eps", 1e-5)), momentum=float(m.get("momentum", 0.1)), affine=affine)
    made.running_var.copy_(m.get("running_var"))  # type: ignore[union-attr]
    made.running_mean.copy_(mean)  # type: ignore[union-attr]
    return _filled(made, m) if affine else made


def _filled(made: Any, module: Instance, weight: Any = None) -> nn.Module:
    """Copy weight and bias; raises ``FaceSRError`` where their sizes are others."""
    try:
        held = module.get("weight").float()
        made.weight.data.copy_(held.reshape(weight) if weight is not None else held)
        if getattr(made, "bias", None) is not None:
            made.bias.data.copy_(module.get("bias"))
    except (RuntimeError, AttributeError) as error:
        raise FaceSRError(f"the weights of a {module.kind} of the Torch7 file do not fit its sizes ({error})") from None
    return made  # type: ignore[no-any-return]


def _pooling(m: Instance) -> nn.Module:
    return nn.MaxPool2d(_pair(m, "k"), _pair(m, "d"), _pair(m, "pad", 0), ceil_mode=bool(m.get("ceil_mode", False)))


def _padding(m: Instance) -> tuple[int, int, int, int]:
    left, right, top, bottom = (_number(m, f"pad_{side}") for side in "lrtb")
    return left, right, top, bottom


class _Function(nn.Module):
    """A module without parameters."""

    def __init__(self, run: Callable[[Value], Value]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Value) -> Value:
        return self.run(x)


class _Each(nn.Module):
    """ConcatTable (all get the input) and ParallelTable (each gets its element); ``join`` puts the results together."""

    def __init__(self, parts: list[nn.Module], split: bool, join: int | None = None) -> None:
        super().__init__()
        self.parts, self.split, self.join = nn.ModuleList(parts), split, join

    def forward(self, x: Value) -> Value:
        results = [part(x[i] if self.split else x) for i, part in enumerate(self.parts)]
        return results if self.join is None else cat(results, self.join)


def _dimension(m: Instance) -> int:
    """JoinTable's dimension, 1-based, of a sample or of a batch."""
    given = _number(m, "dimension")
    inputs = m.get("nInputDims")
    return given if inputs is not None and int(inputs) == 3 else given - 1


def _total(parts: list[Tensor]) -> Tensor:
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


_PLAIN: dict[str, Callable[[Instance], nn.Module]] = {
    "Identity": lambda m: nn.Identity(),
    "Dropout": lambda m: nn.Identity(),
    "SpatialDropout": lambda m: nn.Identity(),
    "ReLU": lambda m: nn.ReLU(),
    "Tanh": lambda m: nn.Tanh(),
    "Sigmoid": lambda m: nn.Sigmoid(),
    "LeakyReLU": lambda m: nn.LeakyReLU(float(m.get("negval", 0.01))),
    "SpatialConvolution": _convolution,
    "SpatialConvolutionMM": _convolution,
    "SpatialFullConvolution": _deconvolution,
    "SpatialBatchNormalization": _batch_norm,
    "SpatialMaxPooling": _pooling,
    "SpatialUpSamplingNearest": lambda m: nn.Upsample(scale_factor=_number(m, "scale_factor"), mode="nearest"),
    "SpatialReflectionPadding": lambda m: nn.ReflectionPad2d(_padding(m)),
    "SpatialReplicationPadding": lambda m: nn.ReplicationPad2d(_padding(m)),
    "SpatialZeroPadding": lambda m: nn.ZeroPad2d(_padding(m)),
    "CAddTable": lambda m: _Function(_total),
    "JoinTable": lambda m: _Function(partial(cat, dim=_dimension(m))),
    "SelectTable": lambda m: _Function(operator.itemgetter(_number(m, "index") - (_number(m, "index") > 0))),
    "MulConstant": lambda m: _Function(partial(operator.mul, float(m.get("constant_scalar")))),
    "AddConstant": lambda m: _Function(partial(operator.add, float(m.get("constant_scalar")))),
}


def build_graph(module: Instance) -> nn.Module:
    """The PyTorch module of a Torch7 one; raises ``FaceSRError`` with the name of a class that is not known."""
    name = module.kind.split(".")[-1]
    if name == "gModule":
        return Graph(module)
    if name in _PLAIN:
        return _PLAIN[name](module)
    held = module.get("modules")
    parts = [build_graph(part) for part in held.array()] if isinstance(held, LuaTable) else []
    if name == "Sequential":
        return nn.Sequential(*parts)
    if name == "DataParallelTable" and parts:
        return parts[0]
    if name in ("ConcatTable", "ParallelTable"):
        return _Each(parts, split=name == "ParallelTable")
    if name in ("Concat", "DepthConcat"):
        return _Each(parts, split=False, join=_number(module, "dimension") - 1)
    raise FaceSRError(
        f"the Torch7 file uses {module.kind}, which is not known here: convert the network to PyTorch yourself and give its state_dict"
    )


class Graph(nn.Module):
    """An ``nngraph`` module: its nodes in the stored forward order."""

    def __init__(self, module: Instance) -> None:
        super().__init__()
        nodes = module.get("forwardnodes")
        if not isinstance(nodes, LuaTable):
            raise FaceSRError("the Torch7 graph has no forwardnodes: it is of a version of nngraph that is not known here")
        self.data = [node.get("data") for node in nodes.array()]
        self.children_of = [[child.get("data") for child in (node.get("children") or LuaTable()).array()] for node in nodes.array()]
        self.first, self.last = module.get("innode").get("data"), module.get("outnode").get("data")
        self.parts = nn.ModuleList()
        self.part_of: dict[int, int] = {}
        for i, data in enumerate(self.data):
            if isinstance(data.get("module"), Instance):
                self.part_of[i] = len(self.parts)
                self.parts.append(build_graph(data.get("module")))

    def forward(self, x: Value) -> Value:
        """Run the nodes; each hands its result to its children, at the place their ``mapindex`` gives it."""
        inputs: dict[int, dict[int, Value]] = {id(self.first): {1: x}}
        for i, data in enumerate(self.data):
            given = inputs.get(id(data), {})
            values = [given[k] for k in sorted(given)]
            value = values[0] if len(values) == 1 else values
            if data is self.last:
                return value
            if data.get("selectindex") is not None:
                value = values[0][int(data.get("selectindex")) - 1]
            elif i in self.part_of:
                value = self.parts[self.part_of[i]](value)
            for child in self.children_of[i]:
                place = child.get("mapindex").get(data)
                inputs.setdefault(id(child), {})[int(place)] = value
        given = inputs.get(id(self.last), {})
        values = [given[k] for k in sorted(given)]
        return values[0] if len(values) == 1 else values


class Torch7FSRNet(nn.Module):
    """The official network: (B, 3, H, W) in [0, 1] to ``Output``; ``image`` is the table's last element."""

    def __init__(self, module: Instance) -> None:
        super().__init__()
        self.graph = build_graph(module)

    def forward(self, x: Tensor) -> Output:
        """All table elements but the first and last are taken for priors (their order is unverified): the last of them is given."""
        outputs = self.graph(x)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return Output(outputs[0], outputs[-2] if len(outputs) > 1 else outputs[0], outputs[-1])


def read_graph(path: Path) -> Torch7FSRNet:
    """The network in a ``.t7`` file: the object itself, or the first network in a table."""
    held = load_torch7(path)
    if isinstance(held, LuaTable):
        held = next((v for _, v in held.items if isinstance(v, Instance)), None)
    if not isinstance(held, Instance):
        raise FaceSRError(f"{path} holds no Torch7 network")
    _check_count(held, path)
    with reading_sizes(f"{path}, as a Torch7 network"):
        net = Torch7FSRNet(held).eval().requires_grad_(False)
        broken = [key for key, value in net.state_dict().items() if not bool(value.isfinite().all())]
    if broken:
        raise FaceSRError(f"{path} holds NaN or infinity (first: {broken[0]!r}): is it whole?")
    return net


def _check_count(held: Instance, path: Path) -> None:
    """Refuse a module that holds itself, or parts used again and again until there is no end of them."""
    count, todo = 0, [held]
    while todo:
        module = todo.pop()
        count += 1
        if count > LARGEST:
            raise FaceSRError(f"{path} describes more than {LARGEST:,} modules, or a module inside itself: it is no FSRNet")
        parts, nodes = module.get("modules"), module.get("forwardnodes")
        todo += [part for part in parts.array() if isinstance(part, Instance)] if isinstance(parts, LuaTable) else []
        for node in nodes.array() if isinstance(nodes, LuaTable) else ():
            data = node.get("data") if isinstance(node, (Instance, LuaTable)) else None
            inner = data.get("module") if isinstance(data, (Instance, LuaTable)) else None
            todo += [inner] if isinstance(inner, Instance) else []
