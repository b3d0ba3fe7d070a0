"""A data set as a run sees it: faces in order of name, each with the sha256 of its file, and how many there should be."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facesr.bench.data import manifest
from facesr.bench.data.manifest import MANIFEST
from facesr.bench.data.names import same
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.faces import Face
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.reading import file_sha256

DEMO = Path(__file__).parent / "demo"
UNREADABLE = "unreadable"
"""Stands for the sha256 of a file that cannot be read: the face stays in the set, and its cells say why they have no value."""


@dataclass(frozen=True)
class Dataset:
    """``total``: faces in the whole split, so that a table can say "2,790 of 2,824"; ``note``: what a table must say of the data.

    ``unused``: files of the folder that are no faces, by name; who starts a run is shown them. ``left_out``: names of faces of the split
    that this run does not take (``--limit``, another shard). ``said``: what else came up, a sentence each.
    """

    name: str
    faces: tuple[Face, ...]
    total: int
    note: str = ""
    unused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def only(self, faces: Sequence[Face]) -> Dataset:
        """Some of the faces; the others are noted as left out."""
        taken = {f.name for f in faces}
        rest = tuple(f.name for f in self.faces if f.name not in taken)
        return replace(self, faces=tuple(faces), left_out=(*self.left_out, *rest))


def home() -> Path:
    """Where prepared data sets lie: $FACESR_DATA, else ``data`` in the working folder."""
    return Path(os.environ.get("FACESR_DATA", "data"))


def prepared_folder(dataset: str, size: int) -> Path:
    """The folder a named data set is prepared into."""
    return DEMO if dataset == "demo" else home() / f"{dataset}-{size}"


def find_dataset(dataset: str, split: str, size: int) -> Dataset:
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


def prepared_names() -> list[str]:
    """The data sets that were prepared here, as ``--data`` names them; the demo faces come along."""
    return ["demo", *sorted(file.parent.name for file in home().glob(f"*/{MANIFEST}"))]


def chosen(name: str, size: int) -> Dataset:
    """What ``--data`` names: a folder, or a prepared data set, as in ``london`` or ``london-128``."""
    if Path(name).is_dir():
        return from_folder(Path(name))
    folder = next((f for f in (home() / name, prepared_folder(name, size)) if (f / MANIFEST).is_file()), None)
    if folder is None:
        raise FaceSRError(
            f"--data {name}: no such folder, and no prepared data set of that name: {suggest(name, prepared_names())}"
        )
    return from_manifest(folder)


def listing(folder: Path, also: tuple[str, ...] = ()) -> tuple[list[Path], tuple[str, ...]]:
    """The images of a folder in order of name, by their endings (``also``: further ones), and the names of what else lies there."""
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        raise FaceSRError(f"no folder {folder}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FaceSRError(f"{folder} cannot be listed ({getattr(error, 'strerror', None) or error})") from None
    images = [
        file
        for file in entries
        if file.suffix.lower() in (*SUFFIXES, *also) and not file.name.startswith(".") and not _is_folder(file)
    ]
    known = set(images)
    return images, tuple(entry.name for entry in entries if entry not in known)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a loop of links
        return False


def image_files(folder: Path, also: tuple[str, ...] = ()) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The images of a folder by name (its stem), and the names of what else lies there. Two of one name are an error: pairing is by name.
    ``also``: further endings."""
    images, other = listing(folder, also)
    alike: dict[str, list[str]] = defaultdict(list)
    for file in images:
        alike[same(file.stem)].append(file.name)
    if twice := [names for names in alike.values() if len(names) > 1]:
        raise FaceSRError(
            f"{folder} has several images named {Path(twice[0][0]).stem!r} ({', '.join(twice[0])}): faces are distinguished by name"
        )
    return {file.stem: file for file in images}, other


def from_folder(folder: Path, split: str = "all") -> Dataset:
    """All images of a folder (or of its manifest). An image that cannot be read stays in the set; its cells will say so."""
    if (folder / MANIFEST).is_file():
        return from_manifest(folder, split)
    files, unused = image_files(folder)
    if not files:
        raise FaceSRError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    if split != "all":
        raise FaceSRError(f"{folder} has no manifest, and so no split {split!r}: use split 'all', or prepare the data")
    return Dataset(
        folder.name, tuple(_face(name, files[name]) for name in sorted(files)), len(files), f"folder {folder.name}", unused
    )


def _face(name: str, file: Path) -> Face:
    try:
        return Face(name, file.parent.resolve() / file.name, file_sha256(file))
    except FaceSRError:
        return Face(name, file.absolute(), UNREADABLE)


def from_manifest(folder: Path, split: str = "all") -> Dataset:
    """The faces of one split, with attributes and landmarks. Every file is hashed; one that changed since is an error."""
    found = manifest.read_manifest(folder)
    rows = found.of(split)
    if not rows:
        raise FaceSRError(f"{folder} has no faces of split {split!r}")
    faces, changed = [], []
    for row in rows:
        file = folder.resolve() / row.file
        digest = file_sha256(file) if file.is_file() else "missing"
        if digest != row.sha256:
            changed.append(row.file)
        landmarks = tuple((float(x), float(y)) for x, y in row.landmarks) if row.landmarks else None
        faces.append(Face(row.name, file, digest, {k: str(v) for k, v in row.attributes.items()}, landmarks))
    if changed:
        raise FaceSRError(
            f"{folder}: {len(changed)} images are missing or not what was prepared, such as {changed[0]}: see 'facesr data verify {folder}'"
        )
    return Dataset(found.name, tuple(sorted(faces, key=lambda f: f.name)), found.count(split), found.note)
