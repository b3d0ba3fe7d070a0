"""Training faces between real ones: codes found for real faces, recombined, and rendered with their true W+ code.

The mapping network's W alone teaches an encoder little about photographs: real faces lie outside it, in W+. So the codes of a few
hundred real faces are searched once (``search``), and from their spread and W's new faces are drawn.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import to_tensor, to_uint8, write_whole
from facesr.methods.generators.base import Generator
from facesr.methods.psp.linear import Descent, LinearLosses
from facesr.methods.training.data import as_8_bit

CHUNK, PART = 256, 128
"""Faces rendered, and real faces searched, together: what is in one file."""
ON_CPU = 8
"""Real faces searched at once on a CPU, where more would take gigabytes; a card takes all of a file."""
PROBED = 640
"""Real faces at most, evenly spread, at which the losses are probed: more would say the same again."""


def recombine(real: Tensor, generator: Generator, n: int, draw: torch.Generator) -> Tensor:
    """``n`` codes (n, n_styles, 512) from those of real faces (N, n_styles, 512) and from W.

    Three tenths: combinations of three real faces' deviations from their mean, of the same variance. A fifth: W, with what differs
    from style to style of real faces. Three in twenty: W alone, one style for all rows. The rest: real faces and W in any proportion.
    A quarter of all then take their finer styles from their neighbour.
    """

    def between(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, 1, 1, generator=draw)).to(real)

    def mixed(deviations: Tensor, of: int) -> Tensor:
        share = (-torch.rand(n, of, generator=draw).log()).to(real) ** 1.5
        share = share / share.square().sum(1, keepdim=True).sqrt()
        return (share[:, :, None, None] * deviations[torch.randint(len(real), (n, of), generator=draw)]).sum(1)

    def from_w() -> Tensor:
        w = generator.map(torch.randn(n, generator.style_dim, generator=draw).to(real)) - generator.mean_style
        return (between(0.5, 1) * w[:, None]).expand(-1, generator.n_styles, -1)

    centre, mean = real.mean(0), generator.mean_style
    apart = real - real.mean(1, keepdim=True)
    among = centre + between(0.7, 1.1) * mixed(real - centre, 3)
    spread = mean + from_w() + between(0.5, 1.1) * mixed(apart - apart.mean(0), 3) + between(0, 1) * apart.mean(0)
    angle = between(0, torch.pi / 2)
    both = centre + angle.cos() * mixed(real - centre, 2) + 0.9 * angle.sin() * from_w()
    kind = torch.rand(n, 1, 1, generator=draw).to(real)
    codes = torch.where(kind < 0.3, among, torch.where(kind < 0.5, spread, torch.where(kind < 0.85, both, mean + from_w())))
    cut = torch.randint(2, generator.n_styles - 2, (n, 1, 1), generator=draw)
    finer = (torch.rand(n, 1, 1, generator=draw) < 0.25) & (torch.arange(generator.n_styles)[:, None] >= cut)
    return torch.where(finer.to(real.device), codes.roll(1, 0), codes)


class Recombined:
    """``count`` rendered faces and their codes in ``folder``, made where they are not there yet; later runs read them.
    With ``count`` 0 nothing is kept: new ones are drawn at every step, by the generator where it is.

    ``real`` (N, n_styles, 512): codes of the real faces. The faces depend on these only, not on what of them was there before.
    """

    def __init__(self, folder: Path, real: Tensor, generator: Generator, count: int) -> None:
        self.real, self.generator = real, generator
        self.images: list[NDArray[np.uint8]] = []
        codes: list[Tensor] = []
        chunks = -(-count // CHUNK)
        for index in range(chunks):

            def make(index: int = index) -> dict[str, Tensor]:
                say(f"rendering training faces {index * CHUNK} to {(index + 1) * CHUNK} of {chunks * CHUNK} into {folder}")
                return render_faces(real, generator, index)

            held = kept(folder / f"faces-{index:03d}.safetensors", make)
            self.images.append(held["images"].numpy())
            codes.append(held["codes"])
        self.codes = torch.cat(codes) if codes else None

    def draw(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` faces (n, 3, S, S) in [0, 1] and their codes (n, n_styles, 512)."""
        if self.codes is None:
            codes = recombine(self.real, self.generator, n, random)
            with torch.no_grad():
                return as_8_bit(self.generator.synthesize(codes) / 2 + 0.5), codes
        rows = torch.randint(len(self.codes), (n,), generator=random).tolist()
        pictures = np.stack([self.images[row // CHUNK][row % CHUNK] for row in rows])
        return to_tensor(pictures).to(self.real), self.codes[rows].to(self.real)


@torch.no_grad()
def render_faces(real: Tensor, generator: Generator, index: int) -> dict[str, Tensor]:
    """``codes`` (256, n_styles, 512) as fp16 and the 8-bit ``images`` (256, S, S, 3) of them."""
    codes = recombine(real, generator, CHUNK, torch.Generator().manual_seed(index)).half()
    parts = [generator.synthesize(codes[i : i + 16].to(real)) for i in range(0, CHUNK, 16)]
    return {"codes": codes, "images": torch.from_numpy(to_uint8(torch.cat(parts) / 2 + 0.5))}


def search_codes(
    folder: Path,
    faces: NDArray[np.uint8],
    start: Callable[[Tensor], Tensor],
    generator: Generator,
    losses: LinearLosses,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Codes (N, n_styles, 512) of real ``faces`` (N, S, S, 3), and B of ``LinearLosses.rows`` at them; kept in ``folder``.

    ``start``: codes to begin with for images in [0, 1]. First one probe per face and loss is taken there (of ``PROBED`` faces at
    most), then the codes move down. It runs where the generator is.
    A folder made for other faces, losses or steps is refused.
    """
    told = {name: losses.weights[name] for name in losses.features}
    _claim(folder, {"faces": hashlib.sha256(faces.tobytes()).hexdigest(), "losses": told, "steps": steps})
    mean = generator.mean_style
    together = ON_CPU if mean.device.type == "cpu" else PART
    probed = faces[:: -(-len(faces) // PROBED)]
    probes: list[dict[str, Tensor]] = []
    for first in range(0, len(probed), PART):
        images = to_tensor(probed[first : first + PART]).to(mean)

        def measure(images: Tensor = images, first: int = first) -> dict[str, Tensor]:
            say(f"probing the losses at real faces {first} to {first + len(images)} of {len(probed)}")
            return losses.probe(generator, start(images), seed=first, together=together)

        probes.append(kept(folder / f"probes-{first:04d}.safetensors", measure))
    rows = losses.rows({name: torch.cat([part[name] for part in probes]).to(mean.device) for name in probes[0]})
    descent = Descent(generator, rows)

    def nearer(images: Tensor) -> Tensor:
        loss = losses.to(images * 2 - 1)
        return descent.invert(start(images), lambda at: loss(generator.synthesize(at)), steps)

    found = []
    for first in range(0, len(faces), PART):

        def descend(first: int = first) -> dict[str, Tensor]:
            images = to_tensor(faces[first : first + PART]).to(mean)
            say(f"searching the codes of real faces {first} to {first + len(images)} of {len(faces)}")
            return {"codes": torch.cat([nearer(some) for some in torch.split(images, together)])}

        found.append(kept(folder / f"real-{first:04d}.safetensors", descend)["codes"].to(mean))
    return torch.cat(found), rows


def _claim(folder: Path, about: dict[str, object]) -> None:
    note = folder / "made-for.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not note.is_file():
        write_whole(note, json.dumps(about, indent=1) + "\n")
    try:
        held = dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FaceSRError(f"{note} cannot be read ({error}): delete {folder}, its faces are made again") from None
    if other := [key for key, value in about.items() if held.get(key) != value]:
        raise FaceSRError(
            f"{folder} holds training faces made for other {other[0]}: name another data.recombined.folder, or delete it"
        )


def kept(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What the file ``path`` holds, made first where it is not there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    if not path.is_file():
        write_whole(path, save({name: tensor.contiguous() for name, tensor in make().items()}))
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise FaceSRError(f"{path} cannot be read ({error}): delete it, it is made again") from None


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(line + "\n")
