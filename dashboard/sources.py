"""Which runs and studies there are to show: opened, grouped by digest, and what is wrong with the others, a sentence each.

The folders come from the environment, so that ``facesr dashboard`` and ``facesr study serve`` hand them over alike:
``FACESR_RUNS`` and ``FACESR_STUDIES``, separated by ``os.pathsep``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.dashboard.memo import memo
from facesr.reports.scores import Scores, from_runs

Stamp = tuple[tuple[str, int, int], ...]
FILES = ("run.json", "scores.parquet", "cells.sqlite", "cells.sqlite-wal")


@dataclass(frozen=True)
class Group:
    """Runs that may meet in one table. ``stamp`` changes with their files."""

    key: str
    runs: tuple[Run, ...]
    stamp: Stamp

    @property
    def title(self) -> str:
        """Protocol, split, faces and digest."""
        run = self.runs[0]
        data = run.protocol.get("data", {})
        split = str(data.get("split", "all"))
        name = run.info.title or str(run.protocol.get("name", "run"))
        parts = [name, *([split] if split != "all" else []), f"{len(run.faces):,} faces", self.key]
        return " · ".join(parts)

    @property
    def name(self) -> str:
        """The names of its folders, as they stand in an address: ``demo``, ``paper+newcomer``."""
        return "+".join(dict.fromkeys(run.path.name for run in self.runs))

    @property
    def running(self) -> bool:
        """Whether any of its runs is not finished."""
        return any(run.running for run in self.runs)

    def scores(self) -> Scores:
        """All cells, read once for each state of the files."""
        return memo.get(("scores", self.key, self.stamp), lambda: from_runs(self.runs))


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be shown, and the problems with what cannot."""

    groups: tuple[Group, ...]
    problems: tuple[str, ...]

    @property
    def named(self) -> dict[str, Group]:
        """The groups by the name that an address gives them; where two have the same, by their digest too."""
        names = [group.name for group in self.groups]
        return {n if names.count(n) == 1 else f"{n}-{g.key[:12]}": g for n, g in zip(names, self.groups, strict=True)}

    def group(self, key: str) -> Group | None:
        """The group of a key."""
        return next((g for g in self.groups if g.key == key), None)


def named_folders(variable: str) -> list[Path]:
    """The folders an environment variable names."""
    return [Path(p) for p in os.environ.get(variable, "").split(os.pathsep) if p]


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """Run folders themselves, and those directly inside a folder of runs."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p.parent for p in path.glob("*/run.json")) if path.is_dir() and not (path / "run.json").exists() else []
        found += inside or [path]
    return list(dict.fromkeys(found))


def distinct(paths: Iterable[Path]) -> dict[str, Path]:
    """Folders by name; where two have the same name, with the folder they lie in."""
    listed = list(dict.fromkeys(paths))
    names = [path.name for path in listed]
    return {p.name if names.count(p.name) == 1 else f"{p.parent.name}/{p.name}": p for p in listed}


def run_key(path: Path) -> str:
    """A run's name in addresses: it shows no path of this machine."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def stamp(path: Path) -> Stamp:
    """Sizes and times of the files that scores are read from."""
    made = []
    for name in FILES:
        try:
            status = (path / name).stat()
        except OSError:
            continue
        made.append((f"{path}/{name}", status.st_mtime_ns, status.st_size))
    return tuple(made)


def open_run(path: Path) -> Run:
    """A run, read once for each state of its files. Anything wrong with it is one sentence."""
    return memo.get(("run", path, stamp(path)[:1]), lambda: _open(path))


def _open(path: Path) -> Run:
    try:
        run = facesr.load(path).folder
    except FaceSRError:
        raise
    except Exception as error:
        raise FaceSRError(f"{path} is not a run this facesr can read ({type(error).__name__}: {error}): run it again") from None
    if not run.faces or not run.methods or not run.metrics:
        raise FaceSRError(f"{path} is empty: it has {len(run.faces)} faces, {len(run.methods)} methods, {len(run.metrics)} metrics")
    return run


def open_sources(paths: Iterable[Path] | None = None) -> Catalogue:
    """Open what is named (by default, in ``FACESR_RUNS``) and group it: different digests never meet."""
    by_digest: dict[str, list[Run]] = {}
    problems: list[str] = []
    for path in run_folders(named_folders("FACESR_RUNS") if paths is None else paths):
        try:
            run = open_run(path)
            by_digest.setdefault(run.digest, []).append(run)
        except FaceSRError as error:
            problems.append(str(error))
    groups: list[Group] = []
    for digest, runs in by_digest.items():
        groups += _groups(digest, runs, problems)
    return Catalogue(tuple(groups), tuple(problems))


def _groups(digest: str, runs: list[Run], problems: list[str]) -> list[Group]:
    """One group of all runs of a digest; one for each where they cannot be read together."""
    whole = Group(digest[:12], tuple(runs), tuple(s for run in runs for s in stamp(run.path)))
    try:
        _readable(whole)
        return [whole]
    except FaceSRError as error:
        problems.append(str(error))
    if len(runs) == 1:
        return []
    made = []
    for run in runs:
        one = Group(f"{digest[:12]}-{run.path.name}", (run,), stamp(run.path))
        try:
            _readable(one)
            made.append(one)
        except FaceSRError as error:
            problems.append(str(error))
    return made


def _readable(group: Group) -> None:
    """Raise one sentence where a group's tables cannot be read."""
    try:
        group.scores()
    except FaceSRError:
        raise
    except Exception as error:
        names = ", ".join(str(r.path) for r in group.runs)
        raise FaceSRError(f"{names} cannot be read ({type(error).__name__}: {error}): run it again") from None
