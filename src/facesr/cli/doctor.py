"""What works on this machine, what each missing thing costs, and how to get it.

Looks at torch and GPUs, the default weights, the networks of LPIPS, ST-LPIPS and ArcFace, FID's Inception, prepared faces, Chromium, pdflatex
and PostgreSQL. Nothing is downloaded and nothing is run beyond asking each for its version.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from facesr.bench import weights
from facesr.bench.weights.files import cache_folder
from facesr.bench.weights.places import defaults


@dataclass(frozen=True)
class Piece:
    """One thing: whether it is here, what was found, what is lost without it and how to get it ('' where it is here)."""

    name: str
    here: bool
    found: str
    lost: str = ""
    remedy: str = ""
    needed: bool = False
    """Nothing works without it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print the findings; 1 where something is missing that nothing works without."""
    found = list(findings())
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            print(f"{'ok     ' if one.here else 'MISSING' if one.needed else 'absent '}  {one.name:<{width}}  {one.found}")
            if not one.here:
                print(f"{'':<9}{'':<{width}}  without it: {one.lost}\n{'':<9}{'':<{width}}  to have it: {one.remedy}")
    return 1 if any(one.needed and not one.here for one in found) else 0


def findings() -> Iterator[Piece]:
    """Everything that is looked at, the needed things first."""
    version = platform.python_version()
    yield Piece("Python", sys.version_info >= (3, 11), version, "everything", "install Python 3.11 or newer", needed=True)
    yield from (_package(name, needed=True) for name in ("torch", "torchvision", "onnxruntime"))
    yield _gpu()
    yield _default_weights()
    yield from (_weight(*row) for row in WEIGHTS)
    yield _prepared()
    extras = {"insightface": "insightface's own detector for identity-arcface-detected", "psycopg": "studies in PostgreSQL"}
    extras |= {"lightning_fabric": "facesr train", "shtab": "facesr completion"}
    how = {"insightface": "insightface", "psycopg": "postgresql", "lightning_fabric": "train"}
    for module, lost in extras.items():
        way = f"pip install 'facesr-bench[{how[module]}]'" if module in how else f"pip install {module}"
        yield _package(module, lost=lost, remedy=way)
    yield from (_program(*row) for row in PROGRAMS)
    yield _writable()


WEIGHTS = (
    ("LPIPS (AlexNet)", "alexnet", "the metric lpips-alex; st-lpips-alex stands in where a number of its kind is enough"),
    ("ST-LPIPS", "stlpips-alex", "the metric st-lpips-alex"),
    ("SFace", "sface", "identity-sface, retrieval-sface, verification-sface"),
    ("YuNet", "yunet", "finding faces: identity metrics without known landmarks, data prepare --align"),
    ("ArcFace (buffalo_l)", "buffalo-l", "identity-arcface and its retrieval and verification; identity-sface is there without it"),
    ("Inception (FID, KID)", "inception-fid", "fid and kid; fd-sface and kd-sface are there without it"),
)
"""Name, entry of the catalogue, what is lost without it."""
PROGRAMS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "Chromium",
        ("chromium", "chromium-browser", "google-chrome"),
        "nothing but this project's own browser tests",
        "apt-get install chromium",
    ),
    (
        "pdflatex",
        ("pdflatex",),
        "facesr report --pdf; the .tex files are written all the same",
        "apt-get install texlive-latex-recommended",
    ),
    (
        "PostgreSQL",
        ("postgres", "psql"),
        "nothing: studies use SQLite unless --database names a server",
        "apt-get install postgresql",
    ),
)
"""Name, commands, what is lost without it, how to get it."""


def _package(module: str, *, lost: str = "everything", remedy: str = "", needed: bool = False) -> Piece:
    if importlib.util.find_spec(module) is None:
        return Piece(module, False, "not installed", lost, remedy or f"pip install {module}", needed)
    try:
        found = importlib.metadata.version(module.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        found = "installed"
    return Piece(module, True, found, needed=needed)


def _gpu() -> Piece:
    if importlib.util.find_spec("torch") is None:
        return Piece("GPU", False, "unknown without torch", "speed", "install torch")
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Piece("GPU", True, f"{', '.join(names)}: use --device cuda")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"none that torch {torch.__version__} can use; {cores} CPU cores"
    return Piece(
        "GPU", False, found, "speed: PULSE and training take hours on large sets", "a machine with CUDA, and --device cuda"
    )


def _default_weights() -> Piece:
    files = defaults()
    size = sum(file.stat().st_size for file in files) / 1e6
    remedy = "reinstall the project: they come along in its wheel and its repository"
    return Piece("default weights", bool(files), f"{len(files)} files, {size:.0f} MB", "every learned method", remedy, needed=True)


def _weight(name: str, entry: str, lost: str) -> Piece:
    path = weights.where(entry)
    if path:
        return Piece(name, True, str(path))
    given = weights.named(entry).source.startswith("user")
    file = weights.named(entry).file
    remedy = (
        f"put {file} into a folder named by FACESR_WEIGHTS"
        if given
        else f"facesr weights fetch {entry}, or {file} in a folder of FACESR_WEIGHTS"
    )
    return Piece(name, False, "not on this machine", lost, remedy)


def _prepared() -> Piece:
    from facesr.bench.data.dataset import home

    folders = sorted(p.parent.name for p in home().glob("*/manifest.json")) if home().is_dir() else []
    found = ", ".join(folders) or f"none in {home()}"
    return Piece(
        "prepared faces",
        bool(folders),
        found,
        "protocols of real photographs; the demo faces come along",
        "facesr data prepare --help",
    )


def _program(name: str, commands: tuple[str, ...], lost: str, remedy: str) -> Piece:
    path = next(filter(None, map(shutil.which, commands)), None)
    return Piece(name, path is not None, path or "not found on PATH", lost, remedy)


def _writable() -> Piece:
    folder = cache_folder()
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    good = os.access(nearest, os.W_OK)
    free = shutil.disk_usage(nearest).free / 1e9
    return Piece(
        "cache", good, f"{folder}, {free:.0f} GB free", "fetched weights are not kept", "export FACESR_CACHE=FOLDER", needed=False
    )
