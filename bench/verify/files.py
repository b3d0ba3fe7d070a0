"""Is a run still what was measured? Every file that has a known sha256, hashed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.bench.weights import catalogue, find_weight, weight_sha256, where

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class FilesVerdict:
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


def verify_files(run: Run, tick: Tick = lambda done, total: None) -> FilesVerdict:
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
        elif weight_sha256(path) == digest:
            good += 1
        else:
            changed.append(name)
    tick(len(due), len(due))
    return FilesVerdict(good, tuple(changed), tuple(missing), tuple(unknown))


def _known(run: Run) -> Iterator[tuple[str, Path | None, str]]:
    """What it is, where it lies, its sha256 when it was measured."""
    for face in run.faces:
        if face.sha256 or run.has_hr:
            yield f"{'HR' if run.has_hr else 'photo'} {face.name}", run.hr_path(face.name, checked=False), face.sha256
    yield from run.hashes()
    owners = [(m.label, m.weights) for m in run.info.methods] + [(name, fact.weights) for name, fact in run.metrics.items()]
    for owner, files in owners:
        for file, digest in files.items():
            yield f"weights of {owner}: {file}", _weights(file, digest), digest


def _weights(name: str, digest: str) -> Path | None:
    """A weight file by its path or name, or by its sha256 in the catalogue; None where this machine cannot tell."""
    try:
        return find_weight(name)
    except FaceSRError:
        entry = next((w for w in catalogue().values() if w.sha256 and w.sha256 == digest), None)
    return where(entry.name) if entry is not None else None


def as_json(verdict: FilesVerdict) -> str:
    """The verdict, to keep beside a paper."""
    return json.dumps(
        {"good": verdict.good, "changed": verdict.changed, "missing": verdict.missing, "unknown": verdict.unknown}, indent=1
    )
