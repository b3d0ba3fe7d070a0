"""Where a named weight file is on this machine, and whether it is the right one. Finding never downloads; ``fetch`` does."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.weights import sources
from facesr.bench.weights.entries import Weight, named
from facesr.bench.weights.files import WeightsBroken, check_weight, sniff
from facesr.bench.weights.tensors import read_tensors

T = TypeVar("T")


def user_places() -> list[Path]:
    """What ``FACESR_WEIGHTS`` names: folders or single files, first wins."""
    return [Path(part).expanduser() for part in os.environ.get("FACESR_WEIGHTS", "").split(os.pathsep) if part]


def candidates(weight: Weight) -> Iterator[Path]:
    """Every place the file may lie in, in the order they are asked."""
    for place in user_places():
        if place.name == weight.file:
            yield place
        if place.is_dir():
            yield place / weight.file
            yield from sorted(place.glob(f"*/{weight.file}"))
    if weight.source.startswith("torch:"):
        yield sources.torch_cache() / weight.file
    yield sources.cached(weight)


def where(name: str) -> Path | None:
    """The file of catalogue entry ``name`` on this machine, unchecked, or None."""
    return next((path for path in candidates(named(name)) if path.is_file()), None)


def find_weight(name_or_path: str | Path) -> Path:
    """Path of a weight file: a path that exists, or a name of the catalogue found on this machine and checked.

    Raises ``WeightsMissing`` with the way to get it, ``WeightsBroken`` where what lies there is not it.

    A path is not compared with the catalogue, whatever its name: people give their own checkpoints the published names.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        sniff(path)
        return path
    if isinstance(name_or_path, Path) or path.parent != Path() or (path.suffix and not _is_named(str(name_or_path))):
        raise WeightsMissing(f"no weight file at {path}: give the path of a file, or a name that 'facesr weights list' shows")
    weight = named(str(name_or_path))
    found = where(weight.name)
    if found is None:
        raise WeightsMissing(how_to_get(weight), "" if weight.source == "user" else weight.name)
    check_weight(weight, found)
    return found


def load_tensors(name_or_path: str | Path) -> dict[str, Any]:
    """The tensors of a weight file given by path or catalogue name; see ``find`` and ``read_tensors``."""
    return read_tensors(find_weight(name_or_path))


def with_fetch(get: Callable[[], T]) -> T:
    """What ``get`` gives, after fetching the files it misses that a machine can fetch by itself (pinned, checked, nothing run)."""
    tried: set[str] = set()
    while True:
        try:
            return get()
        except WeightsMissing as error:
            if not error.name or error.name in tried or _held_back.get():
                raise
            tried.add(error.name)
            fetch(error.name)


_held_back = ContextVar("held_back", default=False)


@contextmanager
def without_fetch() -> Iterator[None]:
    """Within it ``with_fetch`` downloads nothing: what is only asked about is not brought here."""
    token = _held_back.set(True)
    try:
        yield
    finally:
        _held_back.reset(token)


def _is_named(name: str) -> bool:
    try:
        named(name)
    except FaceSRError:
        return False
    return True


def how_to_get(weight: Weight) -> str:
    """One sentence for a file that is not here."""
    lead = f"{weight.file} ({weight.what}) is not on this machine"
    if weight.source == "user":
        return f"{lead}: get it from {weight.home} and put it in a folder named by FACESR_WEIGHTS"
    return f"{lead}: run 'facesr weights fetch {weight.name}', or put it in a folder named by FACESR_WEIGHTS"


def fetch(name: str) -> Path:
    """The file of catalogue entry ``name``, downloaded into the cache where it is not here yet; checked. Returns its path.

    Raises ``WeightsMissing`` where it cannot be downloaded (no network, or a file only a person can get).
    """
    weight = named(name)
    found = where(weight.name)
    if found is None:
        if weight.source == "user":
            raise WeightsMissing(how_to_get(weight))
        found = sources.download(weight)
    check_weight(weight, found)
    return found


def verify_weight(name: str) -> Path:
    """Read the whole file again, compare it with the catalogue; returns its path."""
    weight = named(name)
    found = where(weight.name)
    if found is None:
        raise WeightsMissing(how_to_get(weight))
    check_weight(weight, found, fresh=True)
    if weight.keys and len(weight.sha256) < 64:
        _check_keys(weight, found)
    return found


def _check_keys(weight: Weight, path: Path) -> None:
    """Where no full sha256 is known, the keys tell whether it is the file; '/' goes into containers."""
    held = read_tensors(path)
    for key in weight.keys:
        node: object = held
        for part in key.split("/"):
            node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            raise WeightsBroken(f"{path} is not {weight.file}: it has no {key} ({weight.layout})")


def defaults() -> list[Path]:
    """The weight files that come with the project: small ones of its own, which methods use unless others are given."""
    return sorted(Path(__file__).parents[2].glob("methods/*/weights/*.safetensors"))


def heads_file(trunk: str) -> Path:
    """The linear heads of ``trunk`` that lie in the installed ``lpips`` package; the package itself is not imported."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise FaceSRError("LPIPS needs the linear heads of the package 'lpips': pip install lpips")
    return Path(spec.origin).parent / "weights" / "v0.1" / f"{trunk}.pth"
