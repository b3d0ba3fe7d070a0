"""Make the eight demo faces: ``python -m facesr.methods.generators.demo [FOLDER]``.

They are sampled from MobileStyleGAN at 1024² (seeded, truncated), reduced to 128² by the box average, and belong to nobody. From
fifty samples of the seed eight were chosen by eye to differ in look; samples with a broken face or a second one in the picture
were left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from facesr.bench.imaging import to_uint8, write_png, write_whole
from facesr.methods.generators.mobilestylegan import MobileStyleGAN

FOLDER = Path(__file__).parents[2] / "bench" / "data" / "demo"
SEED, PSI = 128, 0.7
CHOSEN = {
    9: "man, glasses, beard",
    14: "woman, light hair",
    24: "woman, dark curls",
    28: "boy, smiling",
    31: "man, beard, smiling",
    32: "woman, dark skin, smiling",
    38: "woman, headscarf, smiling",
    48: "man, dark hair, smiling",
}


def styles(generator: MobileStyleGAN) -> torch.Tensor:
    """Truncated styles (50, 512) the demo faces are chosen from."""
    z = np.random.RandomState(SEED).randn(50, 512).astype(np.float32)
    with torch.no_grad():
        return generator.truncate(generator.map(torch.from_numpy(z)), PSI)


def main(folder: Path) -> None:
    """Write ``images/*.png`` and ``manifest.json``."""
    generator = MobileStyleGAN.from_checkpoint()
    w = styles(generator)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    faces = []
    for row, look in CHOSEN.items():
        with torch.no_grad():
            small = F.avg_pool2d(generator.synthesize(w[row : row + 1]), 8)
        file = folder / "images" / f"demo-{row:02d}.png"
        write_png(file, to_uint8((small + 1) / 2)[0])
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        source = f"random-face 2021.7.21.1, numpy RandomState({SEED}).randn(50, 512), row {row}, psi {PSI}"
        faces.append(
            {"file": f"images/{file.name}", "sha256": digest, "source": source, "attributes": {"look": look}, "landmarks": None}
        )
    manifest = {
        "name": "demo",
        "dataset": "demo",
        "size": 128,
        "reduce": "box",
        "made_by": "python -m facesr.methods.generators.demo",
        "note": "eight generated faces (MobileStyleGAN, FFHQ), nobody's portrait",
        "total": len(faces),
        "faces": faces,
        "rejected": [],
    }
    write_whole(folder / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
