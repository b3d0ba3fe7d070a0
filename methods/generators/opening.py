"""Opening a generator by name or file, for the methods that need one: PULSE searches it, pSp decodes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.weights import catalogue, find_weight, read_tensors, tensors_in
from facesr.methods.generators.files import IR_FILES, IR_WEIGHTS, SMALL

if TYPE_CHECKING:
    from facesr.methods.generators.base import Generator

NAMES = {
    "mobilestylegan128": "MobileStyleGAN cut at 128x128, its weights come with the project",
    "mobilestylegan": "MobileStyleGAN at 1024x1024, from the random-face wheel",
}


def files(name_or_path: str | Path) -> list[Path]:
    """The weight files of a generator: a name of ``NAMES``, a name of the weights catalogue, or a path.

    Raises ``WeightsMissing`` where a file is not to be had, ``FaceSRError`` for a mistyped name.
    """
    if name_or_path == "mobilestylegan128":
        return [find_weight(SMALL)]
    if name_or_path == "mobilestylegan":
        return [find_weight(name) for name in IR_WEIGHTS]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return [find_weight(path / name) for name in IR_FILES]
    known = catalogue()
    if (
        isinstance(name_or_path, str)
        and not path.exists()
        and path.parent == Path()
        and not path.suffix
        and name_or_path not in known
    ):
        raise FaceSRError(f"No generator is called {name_or_path!r}: {suggest(name_or_path, [*NAMES, *known])} Or give a path.")
    return [find_weight(name_or_path)]


def open_generator(name_or_path: str | Path, mapping: str | Path | None = None) -> Generator:
    """The generator, frozen, in eval mode, on the CPU; a file's architecture and layout are read off its keys.

    ``mapping``: PULSE's ``mapping.pt``, where it is not beside its ``synthesis.pt``.
    """
    from facesr.methods.generators.mobilestylegan import MobileStyleGAN
    from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128

    paths = files(name_or_path)
    if name_or_path == "mobilestylegan128":
        return MobileStyleGAN128.from_checkpoint(paths[0])
    if len(paths) > 1 or paths[0].suffix in (".xml", ".bin"):
        return MobileStyleGAN.from_checkpoint(paths[0].parent)
    return _by_keys(paths[0], mapping)


def _by_keys(path: Path, mapping: str | Path | None) -> Generator:
    from facesr.methods.generators.mobilestylegan import MobileStyleGAN
    from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128
    from facesr.methods.generators.stylegan1 import StyleGAN1
    from facesr.methods.generators.stylegan2 import StyleGAN2

    keys = {key for key, _ in tensors_in(read_tensors(path))}
    if any(key.endswith("first.weight") for key in keys) and any(key.endswith("constant") for key in keys):
        small = any("head.rgb." in key for key in keys)
        return (MobileStyleGAN128 if small else MobileStyleGAN).from_checkpoint(path)
    if any("blocks.4x4." in key for key in keys):
        return StyleGAN1.from_checkpoint(path, **({} if mapping is None else {"mapping": mapping}))
    return StyleGAN2.from_checkpoint(path)
