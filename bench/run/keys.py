"""What a cell's value depends on, as a short key: content only. No path, time or host enters it, so a run can be copied anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from facesr.bench.reading import file_sha256


def digest(*parts: Any) -> str:
    """sha256 of plain values, as a short key (128 bits)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def content(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Parameters by name; in place of a path, the sha256 of the file it names, or the folder's last name.

    A method that reads files of such a folder declares them in ``weights`` or ``inputs``.
    """
    return [(name, _content(values[name])) for name in sorted(values)]


def _content(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_content(v) for v in value]
    path = Path(value).expanduser() if isinstance(value, str | Path) and is_path(str(value)) else None
    if path is not None and path.is_file():
        return ("file", file_sha256(path))
    if path is not None and path.is_dir():
        return ("folder", path.resolve().name)
    return value if isinstance(value, int | float | bool | type(None)) else str(value)


def is_path(value: str) -> bool:
    """Whether a text looks like a path: a plain word (a kernel's name) stays one, whatever lies in the working folder."""
    return bool(value) and len(value) < 4096 and "\0" not in value and (os.sep in value or "/" in value or bool(Path(value).suffix))


def contents(hashes: Mapping[str, str] | Iterable[str]) -> list[str]:
    """sha256 values without the names they go by on this machine."""
    return sorted(hashes.values() if isinstance(hashes, Mapping) else hashes)
