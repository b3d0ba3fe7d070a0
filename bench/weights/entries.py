"""The list of weight files known by name, read from ``catalogue.toml``."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.errors import FaceSRError, suggest


@dataclass(frozen=True)
class Weight:
    """One named weight file. Empty strings and zeros: not known."""

    name: str
    file: str
    """The name people know the file by."""
    serves: str
    """The adapter, metric or generator that uses it."""
    what: str
    source: str
    """``user`` (a person gets it), an ``https:`` address, ``torch:FILE`` or ``pypi:DIST==VERSION!path/in/wheel``."""
    terms: str
    home: str = ""
    """Where a person finds it, and under what name."""
    sha256: str = ""
    wheel_sha256: str = ""
    wheel_for: str = ""
    """Of a wheel that exists for some systems only: which one is taken, wherever this runs, as ``VERSION IMPLEMENTATION ABI PLATFORM``."""
    size: int = 0
    layout: str = ""
    """The keys it holds, in a few words."""
    keys: tuple[str, ...] = ()
    """Some keys that must be in it, dotted through containers with '/'."""


@functools.cache
def catalogue() -> dict[str, Weight]:
    """All named weight files, by name."""
    text = (Path(__file__).parent / "catalogue.toml").read_text(encoding="utf-8")
    return {name: _weight(name, entry) for name, entry in tomllib.loads(text).items()}


def _weight(name: str, entry: dict[str, object]) -> Weight:
    entry = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Weight(name=name, **entry)  # type: ignore[arg-type]


def named(name: str) -> Weight:
    """The entry of ``name``, which may also be the file's own name."""
    known = catalogue()
    if name in known:
        return known[name]
    for weight in known.values():
        if weight.file == name:
            return weight
    raise FaceSRError(f"no weight file is called {name!r}: {suggest(name, known)}")
