"""A data set as a run sees it: faces in order of name, each with the sha256 of its file, and how many there should be."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Face
from facesr.bench.imaging.files import SUFFIXES

DEMO = Path(__file__).parent / "demo"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dataset:
    """``total``: faces in the whole split, so that a table can say "2,790 of 2,824"; ``note``: what a table must say of the data."""

    name: str
    faces: tuple[Face, ...]
    total: int
    note: str = ""


def sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror or error})") from None


def home() -> Path:
    """Where prepared data sets lie: $FACESR_DATA, else ``data`` in the working folder."""
    return Path(os.environ.get("FACESR_DATA", "data"))


def prepared_folder(dataset: str, size: int) -> Path:
    """The folder a named data set is prepared into."""
    return DEMO if dataset == "demo" else home() / f"{dataset}-{size}"


def find(dataset: str, split: str, size: int) -> Dataset:
    """A named data set that was prepared, or, for anything that is a folder, the folder itself."""
    folder = prepared_folder(dataset, size)
    if (folder / MANIFEST).is_file():
        return from_manifest(folder, split)
    if Path(dataset).is_dir():
        return from_folder(Path(dataset), split)
    raise FaceSRError(
        f"data set {dataset!r} is not prepared at {size} px in {folder}: "
        f"run 'facesr data prepare {dataset} --from FOLDER', or name a folder with --data"
    )


def from_folder(folder: Path, split: str = "all") -> Dataset:
    """All images of a folder (or of its manifest); pairing is by stem, so two files of one stem are an error."""
    if not folder.is_dir():
        raise FaceSRError(f"no folder {folder}")
    if (folder / MANIFEST).is_file():
        return from_manifest(folder, split)
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if not files:
        raise FaceSRError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    twice = [stem for stem, count in Counter(f.stem for f in files).items() if count > 1]
    if twice:
        raise FaceSRError(f"{folder} has several images named {twice[0]!r}: faces are told apart by name")
    faces = tuple(Face(f.stem, f.resolve(), sha256(f)) for f in files)
    return Dataset(folder.name, faces, len(faces), f"folder {folder.name}")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder."""
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceSRError(f"{file}: cannot be read ({error}); prepare the data again") from None
    return manifest


def from_manifest(folder: Path, split: str = "all") -> Dataset:
    """The faces of one split, with attributes and landmarks. Every file is hashed; one that changed since is an error."""
    manifest = read_manifest(folder)
    rows = [row for row in manifest["faces"] if split == "all" or row.get("split", split) == split]
    if not rows:
        raise FaceSRError(f"{folder} has no faces of split {split!r}")
    faces, changed = [], []
    for row in rows:
        file = (folder / row["file"]).resolve()
        digest = sha256(file) if file.is_file() else "missing"
        if digest != row["sha256"]:
            changed.append(row["file"])
        marks = row.get("landmarks")
        landmarks = tuple((float(x), float(y)) for x, y in marks) if marks else None
        faces.append(Face(file.stem, file, digest, {k: str(v) for k, v in row.get("attributes", {}).items()}, landmarks))
    if changed:
        raise FaceSRError(
            f"{folder}: {len(changed)} images are missing or not what was prepared, such as {changed[0]}: see 'facesr data verify {folder}'"
        )
    total = manifest.get("total", len(rows))
    count = total.get(split, len(rows)) if isinstance(total, dict) else total
    return Dataset(str(manifest["name"]), tuple(sorted(faces, key=lambda f: f.name)), int(count), str(manifest.get("note", "")))
