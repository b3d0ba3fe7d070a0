"""What a weight file on disk is: its sha256 (remembered while size and time stay), and whether it is the right file, and whole."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import zipfile
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.weights.entries import Weight


class WeightsBroken(FaceSRError):
    """A weight file that is there, but is not what it should be."""


def cache_folder() -> Path:
    """``$FACESR_CACHE``, else ``~/.cache/facesr``; made when first written to."""
    return Path(os.environ.get("FACESR_CACHE") or Path.home() / ".cache" / "facesr").expanduser()


def weight_sha256(path: str | Path, *, fresh: bool = False) -> str:
    """The file's sha256 in hex; remembered by path, size and times of change, so that a warm start reads nothing.

    The time of the last change of its entry counts too, which no copying program can set back.

    ``fresh``: read the bytes again whatever is remembered.
    """
    path = Path(path).resolve()
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise WeightsBroken(f"{path} is not a regular file: a pipe or device is never read as weights")
        key = f"{path}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"
        note = cache_folder() / "sha256" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        if not fresh and (known := _remembered(note, key)):
            return known
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsBroken(f"cannot read {path}: {error.strerror or error}") from error
    _remember(note, key, digest)
    return digest


def _remembered(note: Path, key: str) -> str | None:
    try:
        held = json.loads(note.read_text())
        return str(held["sha256"]) if held["file"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(note: Path, key: str, digest: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, json.dumps({"file": key, "sha256": digest}).encode())
    except OSError:
        pass  # a cache that cannot be written only costs the next start its time


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside ``path``, then rename: another process sees the whole file or none."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def sniff(path: Path) -> None:
    """Refuse what downloads leave behind instead of weights (an HTML page, a Git LFS pointer, an empty or cut-off file), and pipes."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise WeightsBroken(f"{path} is not a regular file: a pipe or device is never read as weights")
        size = state.st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsBroken(f"cannot read {path}: {error.strerror or error}") from error
    start = head.lstrip().lower()
    if not size:
        raise WeightsBroken(f"{path} is empty: download it again")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        raise WeightsBroken(f"{path} is a web page, not weights (a quota or log-in page?): download it again in a browser")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsBroken(f"{path} is a Git LFS pointer of {size} bytes, not the file itself: run 'git lfs pull'")
    if head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        raise WeightsBroken(f"{path} is cut off after {size:,} bytes (its index at the end is missing): download it again")


def check_weight(weight: Weight, path: Path, *, fresh: bool = False) -> None:
    """Raise ``WeightsBroken`` unless ``path`` has the size and sha256 that the catalogue knows of ``weight``."""
    sniff(path)
    size = path.stat().st_size
    if weight.size and size != weight.size:
        kind = "cut off" if size < weight.size else "another file"
        raise WeightsBroken(f"{path} has {size:,} bytes, {weight.file} has {weight.size:,}: it is {kind}; download it again")
    if weight.sha256 and not (found := weight_sha256(path, fresh=fresh)).startswith(weight.sha256):
        raise WeightsBroken(
            f"{path} is not {weight.file}: its sha256 begins {found[:12]}, not {weight.sha256[:12]}; download it again"
        )
