"""Reading Torch7's binary serialisation (``.t7``), in which FSRNet's official weights are: numbers, strings, tables, tensors, objects.

Written from the format (torch7's ``File.lua`` and ``Tensor.c``); little-endian, 32-bit int, 64-bit long. Functions in a file are skipped
over, never run.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import MAX_CHUNK, read_bytes

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN = 0, 1, 2, 3, 4, 5
FUNCTIONS = (6, 7, 8)
STORAGES = {
    "Double": np.float64,
    "Float": np.float32,
    "Cuda": np.float32,
    "CudaDouble": np.float64,
    "Long": np.int64,
    "CudaLong": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Byte": np.uint8,
    "Char": np.int8,
}


@dataclass(eq=False)
class LuaTable:
    """A Lua table: items in the file's order (keys may be tables themselves)."""

    items: list[tuple[Any, Any]] = field(default_factory=list)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a plain key, or of the very table ``key``."""
        return next((v for k, v in self.items if k is key or (isinstance(k, (str, float)) and k == key)), default)

    def array(self) -> list[Any]:
        """The values of 1, 2, 3, ... up to the first gap."""
        numbered = {int(k): v for k, v in self.items if isinstance(k, float) and k == int(k)}
        return [numbered[i] for i in range(1, len(numbered) + 1) if i in numbered]


@dataclass(eq=False)
class Instance:
    """An object of a Torch class: its name and its attributes."""

    kind: str
    values: LuaTable = field(default_factory=LuaTable)

    def get(self, key: Any, default: Any = None) -> Any:
        """An attribute."""
        return self.values.get(key, default)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.seen: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise EOFError(f"the file ends at byte {len(self.data)}, {count} more are announced at {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def whole(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def longs(self, count: int) -> list[int]:
        return list(struct.unpack(f"<{count}q", self.take(8 * count)))

    def string(self) -> str:
        return self.take(self.whole()).decode("latin-1")

    def value(self) -> Any:
        kind = self.whole()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return float(struct.unpack("<d", self.take(8))[0])
        if kind == BOOLEAN:
            return bool(self.whole())
        if kind == STRING:
            return self.string()
        if kind not in (TABLE, OBJECT, *FUNCTIONS):
            raise ValueError(f"type {kind} at byte {self.at - 4} is none of Torch7's")
        number = self.whole()
        if number in self.seen:
            return self.seen[number]
        if kind == TABLE:
            return self.table(number)
        return self.instance(number) if kind == OBJECT else self.function(number)

    def table(self, number: int) -> LuaTable:
        result = self.seen[number] = LuaTable()
        for _ in range(self.whole()):
            key = self.value()
            result.items.append((key, self.value()))
        return result

    def function(self, number: int) -> None:
        self.seen[number] = None
        self.string()
        self.value()

    def instance(self, number: int) -> Any:
        name = self.string()
        if name.startswith("V "):
            name = self.string()
        kind = name.removeprefix("torch.").removesuffix("Tensor").removesuffix("Storage")
        if name.startswith("torch.") and kind in STORAGES:
            result: Any = self.tensor() if name.endswith("Tensor") else self.storage(kind)
            self.seen[number] = result
            return result
        made = self.seen[number] = Instance(name)
        held = self.value()
        made.values = held if isinstance(held, LuaTable) else LuaTable([("value", held)])
        return made

    def storage(self, kind: str) -> np.ndarray[Any, Any]:
        kind_of = np.dtype(STORAGES[kind]).newbyteorder("<")
        (count,) = self.longs(1)
        return np.frombuffer(self.take(count * kind_of.itemsize), kind_of)

    def tensor(self) -> Tensor:
        dims = self.whole()
        size, stride = self.longs(dims), self.longs(dims)
        (offset,) = self.longs(1)
        storage = self.value()
        if storage is None or not dims:
            return torch.zeros(0)
        if not isinstance(storage, np.ndarray):
            raise ValueError("a tensor without a storage")
        if min(size) < 0 or min(stride) < 0 or offset < 1 or math.prod(size) > len(storage):
            raise ValueError(f"a tensor of size {size}, strides {stride}, offset {offset} in a storage of {len(storage)}")
        if len(storage) < offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True) if n):
            raise ValueError("a tensor reaches beyond its storage")
        return torch.from_numpy(storage.copy()).as_strided(size, stride, offset - 1).clone()


def load_torch7(path: Path) -> Any:
    """The object a ``.t7`` file holds. Raises ``FaceSRError`` for a file of another kind or one that is cut off."""
    data = read_bytes(path, MAX_CHUNK)
    try:
        return _Reader(data).value()
    except (EOFError, LookupError, TypeError, ValueError, struct.error, OverflowError, RuntimeError, MemoryError) as error:
        raise FaceSRError(f"{path} is not a whole Torch7 file ({error}); ASCII files and big-endian ones are not read") from None
