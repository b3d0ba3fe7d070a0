"""What the command lines of the walk name: faces, finished images, runs, studies, tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from people import one_person

from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.imaging.lowres import degrade
from facesr.cli import main
from helpers import faces

P = """
name = "tiny-x4"
version = 1
[data]
dataset = "nowhere"
split = "all"
size = 32
[degradation]
kernel = "bicubic-matlab"
scale = 4
[[metric]]
name = "psnr"
[[metric]]
name = "consistency"
"""
NOISY = '''
import numpy as np, torch
from facesr.bench.imaging import resize
from facesr.bench.method import Method
class Noisy(Method):
    """Draws noise by the seed."""
    def __init__(self, *, share=0.1, **common):
        super().__init__(**common)
        self.share = float(share)
    def restore(self, lr, names=()):
        torch.manual_seed(self.seed)
        return (resize(lr, self.size, "bicubic-matlab") + self.share * torch.rand(1, 3, self.size, self.size, device=lr.device)).clamp(0, 1)
'''


def make_faces(home: Path, count: int = 4) -> None:
    """HR, LR and finished images."""
    faces(home / "hr", count, 32)
    faces(home / "hr2", 3, 32)
    faces(home / "photos", 2, 64)
    for name, side in (("lr", 8), ("lr16", 16), ("sr", 32), ("sr2", 32), ("suffixed", 32), ("named", 8)):
        (home / name).mkdir()
        for file in sorted((home / "hr").iterdir()):
            small = degrade(read_rgb(file), 8 if side == 32 else side, "box", True)
            image = small if side < 32 else np.kron(small, np.ones((4, 4, 1), np.uint8))
            image = image // 2 if name == "sr2" else image
            suffix = {"suffixed": "_sr", "named": "x4"}.get(name, "")
            write_png(home / name / f"{file.stem}{suffix}.png", image)
    shutil.copytree(home / "named", home / "mixed")
    shutil.copy(home / "lr/000.png", home / "mixed/000.png")


def make_world(home: Path) -> None:
    """Faces, finished images, runs, studies and tables."""
    make_faces(home)
    (home / "P.toml").write_text(P)
    (home / "Q.toml").write_text(P.replace('name = "tiny-x4"', 'name = "other"').replace("scale = 4", "scale = 2"))
    (home / "S.toml").write_text(P.replace("scale = 4", "scale = [2, 4]"))
    (home / "noisy.py").write_text(NOISY)
    (home / "attributes.csv").write_text("image,gender,person\n000,f,a\n001,f,a\n002,m,b\n003,m,b\n")
    (home / "pairs.csv").write_text("name,file\n" + "".join(f"{i:03d},{(i + 1) % 4:03d}.png\n" for i in range(4)))
    (home / "points.csv").write_text(
        "file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n" + "".join(f"{i:03d}.png,10,12,22,12,16,18,11,24,21,24\n" for i in range(4))
    )
    base = ["run", str(home / "P.toml"), "--data", str(home / "hr"), "--methods", "bicubic,nearest", "-q"]
    base += ["--attributes", str(home / "attributes.csv")]
    assert main([*base, "--out", str(home / "run")]) == 0
    assert main(["run", str(home / "S.toml"), *base[2:], "--out", str(home / "scales")]) == 0
    for i in (1, 2):
        assert main([*base, "--shard", f"{i}/2", "--out", str(home / f"shard{i}")]) == 0
    shutil.copytree(home / "run", home / "growing")
    shutil.copytree(home / "run", home / "touched-run")
    write_png(home / "touched-run/sr/nearest/001.png", np.zeros((32, 32, 3), np.uint8))
    assert main([*base[:4], "--methods", f"noisy={home / 'noisy.py'}:Noisy", "-q", "--out", str(home / "noisy-run")]) == 0
    info = (home / "growing/run.json").read_text()
    (home / "growing/run.json").write_text(info.replace('"state": "finished"', '"state": "running"'))
    create = ["study", "create", str(home / "run"), "--raters", "3", "--images", "3", "--anchors", "0", "--gap", "1"]
    for name in ("rated", "half"):
        assert main([*create, "--outside-epsilon", "flag", "--out", str(home / name)]) == 0
    assert main(["study", "simulate", str(home / "rated")]) == 0
    for name in ("prepared", "touched"):
        assert main(["data", "prepare", "mine", "--from", str(home / "hr"), "--size", "16", "--out", str(home / name)]) == 0
    write_png(home / "touched/images/000.png", np.zeros((16, 16, 3), np.uint8))
    one_person(home / "half")
    tables(home)


def tables(home: Path) -> None:
    """Ratings of six people and scores of three methods, in several dialects."""
    rng = np.random.default_rng(0)
    words = {1: "awful", 2: "poor", 3: "fair", 4: "good", 5: "great"}
    lines: dict[str, list[str]] = {name: [] for name in ("ratings", "ratings9", "named", "words", "files", "kinds")}
    scores, odd = ["face,method,psnr"], ["face,method,odd"]
    for f in range(8):
        for c, method in enumerate(("bicubic", "psp", "pulse")):
            scores.append(f"f{f},{method},{20 + c + rng.normal():.3f}")
            odd.append(f"f{f},{method},{rng.random():.3f}")
            for r in range(6):
                g = int(np.clip(round(2 + c + rng.normal()), 1, 5))
                lines["ratings"].append(f"r{r},f{f},{method},{g}")
                lines["ratings9"].append(f"r{r},f{f},{method},{6 - g}")
                lines["named"].append(f"r{r},f{f},{method},{g},{6 - g}")
                lines["words"].append(f"r{r},f{f},{method},{words[g]}")
                lines["files"].append(f"r{r},out/{method}-f{f}-x.png,{g}")
                lines["kinds"] += [f"r{r},f{f},{method},{kind},{s}" for kind, s in (("beauty", g), ("likeness", 6 - g))]
    (home / "scores.csv").write_text("\n".join(scores))
    (home / "odd.csv").write_text("\n".join(odd))
    heads = {
        "named": "rater,face,condition,score,second",
        "files": "rater,file,score",
        "kinds": "rater,face,condition,rating_type,score",
    }
    for name, rows in lines.items():
        (home / f"{name}.csv").write_text("\n".join([heads.get(name, "rater,face,condition,score"), *rows]))
