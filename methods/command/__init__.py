"""An external program in its own environment: LR folder in, SR folder out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from facesr.bench.code import along, behind, file_digest, is_interpreter
from facesr.bench.config import OneOf, Text, from_table
from facesr.bench.data.names import same
from facesr.bench.data.pairing import Partners
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize, to_uint8, write_png, write_whole
from facesr.bench.imaging.lowres import encode_lr
from facesr.bench.imaging.resample import KERNELS
from facesr.bench.method import Method, Outcome, Restored
from facesr.bench.reading import read_toml
from facesr.bench.results.status import Status
from facesr.methods.command.program import run_program
from facesr.methods.folder import gather_images

if TYPE_CHECKING:
    from torch import Tensor

FIELDS = ("input", "output", "scale", "size", "seed")
MONTH = 30 * 86400.0


def kernels() -> Iterable[str]:
    """The resampling kernels by name."""
    return KERNELS


@dataclass(frozen=True)
class Spec:
    """The TOML file."""

    command: Text | tuple[Text, ...]
    """With ``{input}``, ``{output}``, ``{scale}``, ``{size}``, ``{seed}`` filled in (a brace itself: ``{{`` or ``}}``); run without a shell."""
    timeout: Annotated[float, Interval(gt=0, le=MONTH)] = 3600.0
    """Seconds for one call, at most 30 days."""
    cwd: str = "."
    """Where it runs, from the TOML file's folder."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables it gets beside those of this process."""
    upsample: Annotated[str, OneOf(lambda: ["", *kernels()])] = ""
    """A kernel by which LR is enlarged to the target size first, for programs that want that."""
    batch: Annotated[int, Interval(ge=1, le=100_000)] = 100_000
    """Faces per call."""
    files: tuple[Text, ...] = ()
    """Files whose content is part of the cache key (weights, modules), beside those that ``command`` itself names."""
    input: Literal["png", "npy"] = "png"
    """How LR is handed over: 8-bit PNG, or ``.npy`` (float32 RGB in [0, 1], rows x columns x 3), which an unrounded LR needs."""
    reduce: Annotated[str, OneOf(kernels)] = "box"
    """The filter for images larger than the target size."""


class Command(Method):
    """Runs a program described by a TOML file, whose keys are those of ``Spec``.

    The program reads PNG files (or ``.npy``, see ``Spec.input``) from ``{input}`` and writes an image of the same stem into ``{output}``; what
    it leaves out becomes ``missing``,
    what is broken or no regular file ``failed``, and a crash fails the faces it left. It is given a session of its own and ends whole:
    nothing it started outlives the call. Files that ``command`` names, Python modules beside a script, and ``files`` are part of the cache key.
    """

    fixed_batch = False

    def __init__(self, *, path: str, size: int = 128, scale: float = 8, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(size=size, scale=scale, seed=seed, device=device)
        self.path = Path(path)
        self.spec = from_table(Spec, read_toml(self.path), str(self.path))
        self.parts = self._parts()
        self.batch_size = self.spec.batch

    def _parts(self) -> list[str]:
        """The program and its arguments, fields unfilled; raises ``FaceSRError`` for an unknown field or an unfinished quote."""
        given = self.spec.command
        try:
            parts = shlex.split(given) if isinstance(given, str) else list(given)
        except ValueError as error:
            raise FaceSRError(f"{self.path}: command {given!r} is not words of a command line ({error})") from None
        for part in parts:
            for name in re.findall(r"\{([^{}]*)\}", part.replace("{{", "").replace("}}", "")):
                if name not in FIELDS:
                    known = ", ".join("{" + v + "}" for v in FIELDS)
                    raise FaceSRError(f"{self.path}: command has an unknown field {{{name}}}: use {known}")
        if not parts:
            raise FaceSRError(f"{self.path}: command names no program")
        return parts

    @property
    def folder(self) -> Path:
        """Where the program runs."""
        return self.path.parent / self.spec.cwd

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the description, of the files it lists, and of those its command names with the modules beside them."""
        listed = [self.path.parent / name for name in self.spec.files]
        absent = [str(file) for file in listed if not file.is_file()]
        if absent:
            raise FaceSRError(f"{self.path}: 'files' names what is not there: {', '.join(absent)}")
        found = [self.path, *listed, *self._named()]
        return {os.path.relpath(file, self.path.parent): file_digest(file) for file in dict.fromkeys(found)}

    def _named(self) -> list[Path]:
        """The files that the command names, also as ``--config=FILE`` and ``-m MODULE``, and those they come to; not the interpreter."""
        places = [self.folder, *(self.folder / part for part in self.spec.env.get("PYTHONPATH", "").split(os.pathsep) if part)]
        words = [word for part in self.parts if "{" not in part for word in (part, *part.split("=")[1:])]
        named = [self.folder / word for word in words if word and len(word) < 1024 and "\0" not in word]
        starts = [file for file in named if file.is_file() and not is_interpreter(file)]
        starts += [module for file in starts if file.suffix == ".py" for module in sorted(file.parent.glob("*.py"))]
        packages: dict[Path, str] = {}
        for flag, module in pairwise(self.parts):
            if flag == "-m" and all(map(str.isidentifier, module.split("."))):
                on_the_way = list(along(self.folder, module)) + list(along(self.folder, f"{module}.__main__"))
                packages |= dict(on_the_way)
        return behind([*starts, *packages], packages, places, self.folder)

    def restore(self, lr: Tensor, names: Sequence[str] = ()) -> Restored:
        """Write the LR files, run the program once, gather what it wrote."""
        if self.spec.input == "png" and ((levels := lr * 255) - levels.round()).abs().max() > 1e-3:
            raise FaceSRError(f'{self.path}: LR is unrounded here and 8-bit PNG cannot hold it: set input = "npy"')
        if self.spec.upsample:
            lr = resize(lr, self.size, self.spec.upsample)
        place = Path(tempfile.mkdtemp(prefix="facesr-"))
        try:
            inside, outside = place / "lr", place / "sr"
            inside.mkdir()
            outside.mkdir()
            self._hand_over(lr, names, inside)
            trouble = run_program(
                [self._filled(part, inside, outside) for part in self.parts], self.folder, self.spec.env, self.spec.timeout
            )
            written, links = Partners(outside), set[Path]()
            try:
                if outside.is_symlink():
                    raise FaceSRError("it put a link in place of its output folder")
                # A link could pass off any file of this machine as the program's answer.
                links = {file for file in written.images if file.is_symlink()}
                extra = written.unused(names)
            except FaceSRError as error:
                trouble, extra = f"{trouble}; {error}".lstrip("; "), ()
                written.images = []
            linked = {same(file.stem) for file in links}
            written.images = [file for file in written.images if file not in links]
            restored = gather_images(written, names, self.size, self.spec.reduce)
        finally:
            shutil.rmtree(place, ignore_errors=True)  # a program may leave what cannot be removed
        note = f" (it wrote {len(extra)} other files, such as {extra[0]})" if extra else ""
        restored.outcomes = [
            self._outcome(outcome, same(name) in linked, trouble, note)
            for name, outcome in zip(names, restored.outcomes or [], strict=True)
        ]
        return restored

    def _hand_over(self, lr: Tensor, names: Sequence[str], folder: Path) -> None:
        if self.spec.input == "png":
            for name, image in zip(names, to_uint8(lr), strict=True):
                write_png(folder / f"{name}.png", image)
            return
        for name, values in zip(names, lr.float().permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            write_whole(folder / f"{name}.npy", encode_lr(values), sync=False)

    @staticmethod
    def _outcome(found: Outcome, linked: bool, trouble: str, note: str) -> Outcome:
        if linked:
            return Outcome(Status.FAILED, "it wrote a link, not an image")
        if found.status != Status.MISSING:
            return found
        return Outcome(Status.FAILED, trouble) if trouble else Outcome(found.status, found.reason + note)

    def _filled(self, part: str, inside: Path, outside: Path) -> str:
        """``part`` with its fields filled in, and nothing else of Python's format language (``{input:99999999}``)."""
        values = {"input": inside, "output": outside, "scale": self.scale, "size": self.size, "seed": self.seed}
        return re.sub(r"\{\{|\}\}|\{(\w+)\}", lambda m: str(values[m[1]]) if m[1] else m[0][0], part)
