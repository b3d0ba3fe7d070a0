"""The manifest of prepared faces, ``manifest.json``: every image of the source, used (with its sha256) or rejected (with the reason).

A manifest may come from a stranger: its types are checked, its files must lie in its folder, and no two faces may share a name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from annotated_types import Len

from facesr.bench import config
from facesr.bench.config import BadValue, Count, Natural, Text
from facesr.bench.data.names import same
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.reading import read_json

MANIFEST = "manifest.json"
Point = tuple[float | int, float | int]


@dataclass(frozen=True)
class ManifestRow:
    """A face. ``file``: inside the folder; ``source``: where it came from; ``note``: what was done to it beyond reducing."""

    file: Text
    sha256: Annotated[str, Len(64, 64)]
    source: str = ""
    split: str = "all"
    attributes: Mapping[Text, str | int | float] = field(default_factory=dict)
    landmarks: Annotated[tuple[Point, ...], Len(5, 5)] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.file.startswith("/") or "\0" in self.file or ".." in self.file.split("/") or self.file.endswith("/"):
            raise BadValue(f"{self.file!r} does not lie in the manifest's folder")

    @property
    def name(self) -> str:
        """The face's name: the stem of its file."""
        return PurePosixPath(self.file).stem


@dataclass(frozen=True)
class Rejected:
    """Something in the source that is no face of the set."""

    source: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """``total``: faces in the whole set, by split where there are several; ``not_asked``: images of other splits; ``notes``: what to know."""

    name: Text
    size: Count
    reduce: Text
    faces: tuple[ManifestRow, ...]
    rejected: tuple[Rejected, ...] = ()
    total: Mapping[str, Natural] | Natural = 0
    not_asked: Mapping[str, Natural] = field(default_factory=dict)
    aligned_here: bool = False
    made_by: str = ""
    note: str = ""
    notes: tuple[str, ...] = ()
    dataset: str = ""

    def __post_init__(self) -> None:
        counts = Counter(same(row.name) for row in self.faces)
        if len(counts) < len(self.faces):
            raise BadValue(f"two faces are named {counts.most_common(1)[0][0]!r}")

    def of(self, split: str) -> tuple[ManifestRow, ...]:
        """The faces of a split; a face without one belongs to every split."""
        return tuple(row for row in self.faces if split in ("all", row.split) or row.split == "all")

    def count(self, split: str) -> int:
        """How many faces the split has in all, prepared or not."""
        if isinstance(self.total, int):
            return self.total or len(self.of(split))
        return self.total.get(split, self.total.get("all", len(self.of(split))))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a prepared folder."""
    file = folder / MANIFEST
    if not file.exists():
        raise FaceSRError(f"{folder} has no {MANIFEST}: name a folder that 'facesr data prepare' made")
    try:
        return config.from_table(Manifest, read_json(file), str(file))
    except FaceSRError as error:
        lines = str(error).splitlines()
        listed = "\n".join([*lines[:6], *([f"  - and {len(lines) - 6} more"] if len(lines) > 6 else [])])
        raise FaceSRError(f"{listed}\nprepare the data again with 'facesr data prepare'") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; it appears whole or not at all."""
    content: dict[str, Any] = {k: v for k, v in asdict(manifest).items() if k != "dataset" or v}
    write_whole(folder / MANIFEST, json.dumps(content, indent=1, default=dict))
