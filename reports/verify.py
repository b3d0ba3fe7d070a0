"""Is a run still what was measured? Every file that has a known sha256, hashed again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.bench.weights import catalogue, find, sha256, where

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Verdict:
    """``good`` files are as they were; ``changed`` are not; ``missing`` are not there; ``unknown`` have no sha256 to compare with, or are
    weights that this machine does not have."""

    good: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether every file is there and as it was."""
        return not (self.changed or self.missing)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        parts = [f"{self.good:,} files are as they were measured"]
        parts += [f"{len(self.changed):,} have changed"] if self.changed else []
        parts += [f"{len(self.missing):,} are not there"] if self.missing else []
        parts += (
            [f"{len(self.unknown):,} cannot be compared (no sha256 known, or weights not on this machine)"] if self.unknown else []
        )
        return "; ".join(parts) + "."


def verify(run: Run, tick: Tick = lambda done, total: None) -> Verdict:
    """Hash HR, LR, SR and weight files again. ``tick(done, total)`` is called now and then."""
    due = list(_known(run))
    good, changed, missing, unknown = 0, [], [], []
    for i, (name, path, digest) in enumerate(due):
        if i % 50 == 0:
            tick(i, len(due))
        if not digest or path is None:
            unknown.append(name)
        elif not path.is_file():
            missing.append(name)
        elif sha256(path) == digest:
            good += 1
        else:
            changed.append(name)
    tick(len(due), len(due))
    return Verdict(good, tuple(changed), tuple(missing), tuple(unknown))


def _known(run: Run) -> Iterator[tuple[str, Path | None, str]]:
    """What it is, where it lies, its sha256 when it was measured."""
    for face in run.faces:
        yield f"HR {face['name']}", Path(str(face["path"])), str(face.get("sha256") or "")
    for scale, face_name, digest in _rows(run, "SELECT scale, image, sha256 FROM degraded"):
        yield f"LR {face_name} ×{scale}", run.lr_path(str(face_name), int(scale)), str(digest or "")
    methods = set(run.methods)
    for method, scale, face_name, digest in _rows(
        run, "SELECT method, scale, image, sha256 FROM restored WHERE status IN ('ok', 'not_converged')"
    ):
        if method in methods:
            yield f"SR {method} {face_name} ×{scale}", run.sr_path(str(method), str(face_name), int(scale)), str(digest or "")
    for owner, files in [(m["label"], m.get("weights") or {}) for m in run.info["methods"]] + [
        (name, fact.get("weights") or {}) for name, fact in run.metrics.items()
    ]:
        for file, digest in files.items():
            yield f"weights of {owner}: {file}", _weights(str(file), str(digest)), str(digest)


def _weights(name: str, digest: str) -> Path | None:
    """A weight file by its path or name, or by its sha256 in the catalogue; None where this machine cannot tell."""
    try:
        return find(name)
    except FaceSRError:
        entry = next((w for w in catalogue().values() if w.sha256 and w.sha256 == digest), None)
    return where(entry.name) if entry is not None else None


def _rows(run: Run, query: str) -> list[tuple[Any, ...]]:
    file = run.path / "cells.sqlite"
    if not file.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as db:
            return list(db.execute(query))
    except sqlite3.Error as error:
        raise FaceSRError(f"{file} cannot be read ({error}): call the run again to rewrite it") from None


def as_json(verdict: Verdict) -> str:
    """The verdict, to keep beside a paper."""
    return json.dumps(
        {"good": verdict.good, "changed": verdict.changed, "missing": verdict.missing, "unknown": verdict.unknown}, indent=1
    )
