"""``SHA256SUMS``: the sha256 of every file of a bundle, as ``sha256sum -c`` reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_bytes, read_text

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def sums_of(folder: Path) -> str:
    """The text of ``SHA256SUMS`` for what lies in ``folder`` (itself and hidden files left out), in order of name."""
    return "".join(f"{hashlib.sha256(read_bytes(path)).hexdigest()}  {name}\n" for name, path in _files(folder))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS and not any(part.startswith(".") for part in name.split("/")):
            yield name, path


def sums_problems(folder: Path) -> list[str]:
    """What of a bundle is not as ``SHA256SUMS`` says: files changed, missing, or not named in it; nothing where there is no such file."""
    if not (folder / SUMS).is_file():
        return []
    found = []
    noted: dict[str, str] = {}
    for line in read_text(folder / SUMS).splitlines():
        if match := LINE.fullmatch(line):
            noted[match[2]] = match[1]
        else:
            found.append(f"{SUMS} has a line that is no sum: {line[:80]!r}")
    there = dict(_files(folder))
    for name in sorted(noted.keys() | there.keys()):
        if name not in there:
            found.append(f"{name} is named in {SUMS} and not there")
        elif name not in noted:
            found.append(f"{name} is not named in {SUMS}")
        else:
            try:
                same = hashlib.sha256(read_bytes(there[name])).hexdigest() == noted[name]
            except FaceSRError as error:
                found.append(str(error))
                continue
            found += [] if same else [f"{name} is not what {SUMS} says"]
    return found
