"""What can be known of a request before its first face: whether the run folder can be written and holds what will come, whether methods
can be made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from facesr.bench.data.dataset import Dataset
from facesr.bench.errors import FaceSRError, sentence
from facesr.bench.protocol import Protocol
from facesr.bench.registry import MethodSpec

ROW = 1000
"""Bytes of cells and table that an image takes, all metrics together."""


def bytes_of(size: int, images: int) -> int:
    """At most so many bytes of ``images`` PNG files of side ``size`` and their rows: pixels that cannot be compressed at all."""
    return images * (3 * size * size + ROW)


def check_place(out: Path, size: int, images: int) -> None:
    """Raise ``FaceSRError`` where ``out`` cannot be made or written, or its disk has no room for ``images`` new images."""
    there = out
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise FaceSRError(f"{out} cannot be written: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise FaceSRError(f"{out} cannot be written: {there} is not yours to write into; choose another --out")
    held = sum(1 for _ in out.glob("sr/**/*.png")) if out.exists() else 0
    needed, free = bytes_of(size, max(0, images - held)), shutil.disk_usage(there).free
    if needed > free:
        raise FaceSRError(
            f"{out} needs up to {in_words(needed)}, and its disk has {in_words(free)} free: choose another --out, or --limit"
        )


def in_words(count: float) -> str:
    """Bytes for people: ``1.4 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def checked_method(spec: MethodSpec, protocol: Protocol, data: Dataset | None, seed: int, device: str) -> list[str]:
    """Which weights of it are missing; raises ``FaceSRError`` for a method that cannot be made at some scale, or of which nothing can come
    with these faces."""
    missing: dict[str, None] = {}
    if (path := spec.params.get("path")) and not Path(str(path)).exists():
        raise FaceSRError(f"method {spec.label}: no folder or file {path}")
    for scale in protocol.degradation.scale or (8,):
        try:
            method = spec.build(size=protocol.data.size, scale=scale, seed=seed, device=device)
            if data is not None:
                method.check((*(f.name for f in data.faces), *data.left_out))
            if not method.skip() and (why := method.missing()):
                missing[f"{spec.label}: {why}"] = None
        except FaceSRError:
            raise
        except Exception as error:  # a user's class may raise anything
            raise FaceSRError(f"method {spec.label}: {sentence(error)}") from None
    return list(missing)
