"""An external program in its own environment: LR folder in, SR folder out."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import to_uint8, write_png
from facesr.bench.method import Method, Outcome, Restored
from facesr.methods.folder import gather, index_folder

if TYPE_CHECKING:
    from torch import Tensor

KEYS: dict[str, type | tuple[type, ...]] = {
    "command": (str, list),
    "timeout": (int, float),
    "cwd": str,
    "env": dict,
    "upsample": str,
    "batch": int,
    "files": list,
    "reduce": str,
}
TAIL = 2000
"""Characters of the program's standard error that are kept with a failure."""


class Command(Method):
    """Runs a program described by a TOML file.

    ``command``: with ``{input}``, ``{output}``, ``{scale}``, ``{size}``, ``{seed}`` filled in; run without a shell.
    ``timeout``: seconds for one call (3600). ``cwd``, ``env``: where and with what it runs. ``batch``: faces a call (all that are due).
    ``upsample``: a kernel by which LR is enlarged to the target size first, for programs that want that. ``files``: files whose
    content is part of the cache key (weights, the script). The program reads PNG files from ``{input}`` and writes an image of the same
    stem into ``{output}``; what it leaves out becomes ``missing``, what is broken ``failed``, and a crash fails the faces it left.
    """

    def __init__(self, *, path: str, size: int = 128, scale: int = 8, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        self.path = Path(path)
        self.spec = _read_spec(self.path)
        self.batch_size = int(self.spec.get("batch", 100_000))

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the description and of the files it names."""
        files = [self.path, *(self.path.parent / f for f in self.spec.get("files", []))]
        absent = [str(f) for f in files if not f.is_file()]
        if absent:
            raise FaceSRError(f"{self.path}: 'files' names what is not there: {', '.join(absent)}")
        return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Restored:
        """Write the LR files, run the program once, gather what it wrote."""
        from facesr.bench.imaging import resize

        if "upsample" in self.spec:
            lr = resize(lr, self.size, self.spec["upsample"])
        with tempfile.TemporaryDirectory(prefix="facesr-") as folder:
            inside, outside = Path(folder) / "lr", Path(folder) / "sr"
            inside.mkdir()
            outside.mkdir()
            for name, image in zip(names, to_uint8(lr), strict=True):
                write_png(inside / f"{name}.png", image)
            trouble = self._call(inside, outside)
            try:
                files = index_folder(outside)
            except FaceSRError as error:
                files, trouble = {}, f"{trouble}; {error}".lstrip("; ")
            restored = gather(files, names, self.size, self.spec.get("reduce", "box"))
        extra = sorted(set(files) - set(names))
        note = f" (it wrote {len(extra)} other files, such as {extra[0]})" if extra else ""
        outcomes = restored.outcomes or []
        restored.outcomes = [
            Outcome("failed", trouble)
            if o.status == "missing" and trouble
            else Outcome(o.status, o.reason + note)
            if o.status == "missing"
            else o
            for o in outcomes
        ]
        return restored

    def _call(self, inside: Path, outside: Path) -> str:
        """Run the program; returns what went wrong in one sentence, or ''."""
        values = {"input": inside, "output": outside, "scale": self.scale, "size": self.size, "seed": self.seed}
        command = self.spec["command"]
        parts = shlex.split(command) if isinstance(command, str) else command
        try:
            arguments = [part.format(**values) for part in parts]
        except (KeyError, IndexError, ValueError) as error:
            raise FaceSRError(
                f"{self.path}: command has an unknown field {error}: use {', '.join('{' + v + '}' for v in values)}"
            ) from None
        cwd = self.path.parent / self.spec.get("cwd", ".")
        limit = float(self.spec.get("timeout", 3600))
        try:
            # its own process group: a timeout must also end what the program started
            process = subprocess.Popen(
                arguments, cwd=cwd, env={**os.environ, **self.spec.get("env", {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"{arguments[0]!r} cannot be started ({error.strerror})"
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"{arguments[0]!r} was stopped after {limit:g} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode == 0:
            return ""
        last = " | ".join(errors.strip().splitlines()[-3:])[-TAIL:]
        return f"{arguments[0]!r} ended with status {process.returncode}: {last or 'nothing on its standard error'}"


def _read_spec(path: Path) -> dict[str, Any]:
    try:
        spec = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaceSRError(f"{path}: not valid TOML: {error}") from None
    problems = [f"unknown key {key!r}: {suggest(key, KEYS)}" for key in spec if key not in KEYS]
    problems += [f"{key!r} has the wrong type" for key, kind in KEYS.items() if key in spec and not isinstance(spec[key], kind)]
    if not spec.get("command"):
        problems.append("'command' is missing")
    if problems:
        raise FaceSRError(f"{path}: {'; '.join(problems)}")
    return spec
