"""Names of prepared faces: one per image of a source, safe as a file's name anywhere, and never two alike."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

MAX_BYTES = 100
FORBIDDEN = set('/\\:*?"<>|')
"""Characters that some file system, or a run's own markers, give a meaning."""


def same(name: str) -> str:
    """What two names have in common when a file system may take them for one: composed (NFC) and without case."""
    return unicodedata.normalize("NFC", name).casefold()


def safe(name: str) -> str:
    """``name`` as a file's stem: composed characters, no control or forbidden ones, not hidden, of at most ``MAX_BYTES``."""
    text = unicodedata.normalize("NFC", name)
    text = "".join("_" if c in FORBIDDEN or unicodedata.category(c) in ("Cc", "Cs", "Cn", "Co") else c for c in text).strip()
    text = text.lstrip(".") or "unnamed"
    if len(text.encode()) > MAX_BYTES:
        mark = hashlib.sha256(text.encode()).hexdigest()[:8]
        text = text.encode()[: MAX_BYTES - 9].decode(errors="ignore") + "-" + mark
    return text


def unique_names(sources: Sequence[str]) -> list[str]:
    """A name per path of a source: its stem where that is unique; else with its folders, then its suffix, then a number."""
    forms: list[Callable[[PurePosixPath], str]] = [
        lambda path: path.stem,
        lambda path: "-".join((*_folders(path), path.stem)),
        lambda path: "-".join((*_folders(path), path.stem, path.suffix.lstrip("."))).rstrip("-"),
    ]
    paths = [PurePosixPath(s) for s in sources]
    names = [safe(forms[0](path)) for path in paths]
    for form in forms[1:]:
        counts = Counter(map(same, names))
        names = [name if counts[same(name)] == 1 else safe(form(path)) for name, path in zip(names, paths, strict=True)]
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while same(names[i]) in taken:
            number += 1
            names[i] = f"{name}-{number}"
        taken.add(same(names[i]))
    return names


def _folders(path: PurePosixPath) -> list[str]:
    return [part for part in path.parts[:-1] if part not in ("/", "..", ".")]
