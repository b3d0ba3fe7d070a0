"""Reading tensors from weight files without running anything that is in them, and without believing what they claim of their size."""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facesr.bench.weights.files import WeightsBroken, sniff

HEADER = 16 << 20
"""Bytes of a safetensors header that are read; the largest published ones have some hundred kilobytes."""
SLACK = 64 << 20
"""Bytes that the tensors of a file may have together beyond the file's own: expanded buffers (a blur kernel of every channel) are stored once."""
DEPTH = 16
"""Levels of nesting within which tensors are counted and looked for."""


def read_tensors(path: Path) -> dict[str, Any]:
    """What a weight file holds, on the CPU: tensors by key, nested as the file nests them (``.pt .pth .bin .ckpt .safetensors``).

    The kind of a file is read off its content, not its name. Only tensors, numbers, strings, containers and argparse's plain
    ``Namespace`` are built: code in it is never run. Raises ``WeightsBroken`` with one sentence for anything else, and for a file whose
    tensors would take far more memory than the file itself has bytes.
    """
    path = Path(path)
    sniff(path)
    with path.open("rb") as file:
        head = file.read(9)
    named = path.suffix == ".safetensors" and not head.startswith((b"PK", b"\x80"))
    held = _safetensors(path) if named or head[8:] == b"{" else _pickle(path)
    check_tensors(held, path)
    return held


def metadata(path: Path) -> dict[str, str]:
    """The text metadata of a safetensors file, what a training noted in it (the JSON under ``facesr``) among them; {} for other files.

    Raises ``WeightsBroken`` where the header or the note is not what it should be.
    """
    path = Path(path)
    sniff(path)
    with path.open("rb") as file:
        head = file.read(8)
        size = int.from_bytes(head, "little")
        if len(head) < 8 or file.read(1) != b"{":
            return {}
        if size > HEADER:
            raise WeightsBroken(f"{path} has a safetensors header of {size:,} bytes: it is damaged; download it again")
        header = b"{" + file.read(size - 1)
    try:
        noted = dict(json.loads(header).get("__metadata__") or {})
        told = noted | dict(json.loads(noted.pop("facesr", "{}")))
        if not all(isinstance(value, str) for value in told.values()):
            raise ValueError("its values are not all texts")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsBroken(f"{path} has damaged metadata ({_first_line(error)}): download it again") from error
    return {key: value for key, value in told.items() if key != "facesr"}


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:
        raise WeightsBroken(f"{path} cannot be read as safetensors ({_first_line(error)}): download it again") from error


def _pickle(path: Path) -> dict[str, Any]:
    import torch

    check_zip(path)
    try:
        # Training scripts keep their options beside the tensors: a Namespace is a bag of values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # what cannot be read fails below, in a sentence
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsBroken(_reason(path, str(error))) from error
    except Exception as error:
        raise WeightsBroken(
            f"{path} cannot be read as PyTorch weights ({_first_line(error)}): cut off or not a weight file"
        ) from error
    if not isinstance(held, dict):
        raise WeightsBroken(f"{path} holds a {type(held).__name__}, not a dictionary of tensors")
    return held


def check_zip(path: Path) -> None:
    """PyTorch stores its records uncompressed: a compressed one could unfold to any size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsBroken(f"{path} has a damaged index ({_first_line(error)}): download it again") from error
    if total > path.stat().st_size:
        raise WeightsBroken(f"{path} unpacks to {total:,} bytes, more than it has: it is not a file that PyTorch wrote")


def tensors_in(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor in a nest of containers with the key it stands under, containers that hold themselves included (once)."""
    import torch

    seen: set[int] = set()
    todo: list[tuple[str, Any, int]] = [("", tree, 0)]
    while todo:
        key, node, depth = todo.pop()
        if isinstance(node, torch.Tensor):
            yield key, node
        elif isinstance(node, (Mapping, list, tuple, argparse.Namespace)) and id(node) not in seen and depth < DEPTH:
            seen.add(id(node))
            if isinstance(node, argparse.Namespace):
                node = vars(node)
            items = node.items() if isinstance(node, Mapping) else enumerate(node)
            todo += [(str(k) if isinstance(k, (str, int)) else "", value, depth + 1) for k, value in items]


def check_tensors(held: Mapping[str, Any], path: Path) -> None:
    """Raise ``WeightsBroken`` for tensors that are not plain, or that together take far more memory than the file has bytes."""
    import torch

    sizes: dict[tuple[int, int, tuple[int, ...]], int] = {}  # tied weights, stored once, count once
    for key, tensor in tensors_in(held):
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_complex():
            kind = "complex" if tensor.is_complex() else "sparse, quantised or without values"
            raise WeightsBroken(f"{path}: the tensor {key!r} is {kind}: save the network's plain weights and give that file")
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape))
        sizes[place] = tensor.numel() * tensor.element_size()
    if (total := sum(sizes.values())) > path.stat().st_size + SLACK:
        raise WeightsBroken(
            f"{path} claims tensors of {total:,} bytes and has {path.stat().st_size:,}: save contiguous tensors and give that file"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _reason(path: Path, text: str) -> str:
    blamed = [word for line in text.splitlines() if "GLOBAL" in line for word in line.split() if "." in word and word[0].isalpha()]
    if blamed:
        return f"{path} holds code ({blamed[0]}), which is never run: save its tensors alone (state_dict) and give that file"
    return f"{path} cannot be read as PyTorch weights: it is cut off or not a weight file"
