"""A published run, as a folder or as an archive that is unpacked for as long as it is read. It may come from anyone."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import MAX_FILE, MIB, open_zip, read_member
from facesr.bench.results import Run, load_run

MAX_MEMBERS = 2_000_000
MAX_WHOLE = 200_000 * MIB
"""Unpacked bytes of all members together."""


@contextmanager
def open_bundle(path: Path) -> Iterator[Run]:
    """The run in a folder, or in an archive (``.zip``) that holds one run folder; unpacked files are gone afterwards."""
    if path.is_dir():
        yield load_run(path)
        return
    if not path.is_file():
        raise FaceSRError(f"no bundle {path}: name the folder or archive that 'facesr export' wrote")
    with tempfile.TemporaryDirectory(prefix="facesr-bundle-") as place:
        yield load_run(_unpacked(path, Path(place)))


def _unpacked(path: Path, place: Path) -> Path:
    """Every member written below ``place``; names that lead out of it, links and more bytes than announced are refused."""
    with open_zip(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        runs = [PurePosixPath(m.filename).parent for m in members if PurePosixPath(m.filename).name == "run.json"]
        if len(runs) != 1:
            raise FaceSRError(
                f"{path} holds {len(runs)} runs, where one is expected: make it with 'facesr export RUN --out BUNDLE.zip'"
            )
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_WHOLE:
            raise FaceSRError(
                f"{path} is too large to be a bundle ({len(members):,} files): unpack it yourself and name the folder"
            )
        for member in members:
            _unpack(path, archive, member, place)
    return place / runs[0]


def _unpack(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in member.filename or "\0" in member.filename:
        raise FaceSRError(f"{path}: a file in it is named {member.filename!r}, which leads out of it: it is refused")
    target = place / name
    if target.exists():
        raise FaceSRError(f"{path}: two files in it are named {member.filename!r}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_member(archive, member, MAX_FILE))
    except FaceSRError as error:
        raise FaceSRError(f"{path}: {member.filename}: {error}") from None
    except OSError as error:
        raise FaceSRError(f"{path}: {member.filename!r} cannot be unpacked ({error.strerror or error})") from None
