"""Verifying prepared faces: which image is changed, missing, extra or there twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.data import manifest
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.reading import file_sha256


@dataclass(frozen=True)
class Comparison:
    """Files by what is wrong with them; ``good`` counts the rest."""

    good: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    duplicate: tuple[tuple[str, ...], ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.changed or self.missing or self.extra or self.duplicate)

    def lines(self) -> list[str]:
        """A line for each problem."""
        found = [f"changed: {f}" for f in self.changed] + [f"missing: {f}" for f in self.missing]
        return found + [f"extra: {f}" for f in self.extra] + [f"the same image: {', '.join(group)}" for group in self.duplicate]


def verify_data(folder: Path) -> Comparison:
    """Compare a prepared folder with its manifest, byte for byte."""
    known = {row.file: row.sha256 for row in manifest.read_manifest(folder).faces}
    changed, missing, good = [], [], 0
    groups: dict[str, list[str]] = defaultdict(list)
    for file, digest in known.items():
        if not (folder / file).is_file():
            missing.append(file)
            continue
        actual = file_sha256(folder / file)
        groups[actual].append(file)
        if actual == digest:
            good += 1
        else:
            changed.append(file)
    places = {(folder / file).parent for file in known}
    present = {
        f.relative_to(folder).as_posix()
        for place in places
        if place.is_dir()
        for f in place.iterdir()
        if f.suffix.lower() in SUFFIXES
    }
    twice = tuple(tuple(sorted(g)) for g in groups.values() if len(g) > 1)
    return Comparison(good, tuple(changed), tuple(missing), tuple(sorted(present - set(known))), twice)
