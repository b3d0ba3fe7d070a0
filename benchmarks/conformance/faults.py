"""Where a peer is wrong, or not what its name says: the smallest example of each, run in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass

from benchmarks.conformance import installed


@dataclass(frozen=True)
class Fault:
    """What goes wrong, an example, and what its output holds as long as it does."""

    peer: str
    title: str
    example: str
    sign: str


MARK = "<!-- not executed: a fault of a peer, which make conformance runs -->"
"""The tests of the documentation run every other block."""

SUREAL = """
import types
from sureal import MosModel
from sureal.dataset_reader import RawDatasetReader


def reader(table):
    videos = [{"asset_id": i, "content_id": 0, "path": str(i), "os": row} for i, row in enumerate(table)]
    return RawDatasetReader(types.SimpleNamespace(dataset_name="d", ref_videos=[{"content_id": 0, "path": "0"}], dis_videos=videos))
"""

FAULTS = [
    Fault(
        "basicsr",
        "BasicSR cannot be imported beside torchvision 0.17 or later",
        "import basicsr.metrics",
        "No module named 'torchvision.transforms.functional_tensor'",
    ),
    Fault(
        "sureal",
        "sureal under numpy 2 writes a data set file that it cannot read again (`np.float64(…)` without `np`)",
        f"""{SUREAL}

model = MosModel(reader([[4, 5], [2, 3]]))
model.run_modeling()
model.to_aggregated_dataset_file("aggregated.py")
exec(open("aggregated.py").read())""",
        "name 'np' is not defined",
    ),
    Fault(
        "piq",
        "piq's `srsim` scores a picture by the company it is in (`srsim` and `iw-ssim` of ours hand piq one picture at a time)",
        """
import piq, torch

torch.manual_seed(0)
x = torch.rand(2, 3, 192, 192) * torch.tensor([1.0, 0.3])[:, None, None, None]
y = (x + 0.1 * torch.rand(2, 3, 192, 192)).clamp(0, 1)
alone, together = (piq.srsim(a, b, chromatic=True, reduction="none")[-1].item() for a, b in ((x[1:], y[1:]), (x, y)))
print(f"alone {alone:.4f}, in a batch of two {together:.4f}")""",
        "alone 0.9787, in a batch of two 0.9799",
    ),
    Fault(
        "piq",
        "piq's `ssim` halves large pictures unless told not to, and in float32 loses digits on bright flat ones",
        """
import piq, torch

torch.manual_seed(0)
x = torch.rand(1, 3, 512, 512)
y = (x + 0.2 * torch.rand(1, 3, 512, 512)).clamp(0, 1)
print(f"512 px: {piq.ssim(x, y).item():.4f}; downsample=False: {piq.ssim(x, y, downsample=False).item():.4f}")
white, near = torch.ones(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
near[..., ::2] = 254 / 255
single, double = (piq.ssim(near.to(t), white.to(t), downsample=False).item() for t in (torch.float32, torch.float64))
print(f"near white: {single:.6f}; in float64 {double:.6f}")""",
        "downsample=False",
    ),
    Fault(
        "torchmetrics",
        "torchmetrics' SSIM counts a border of mirrored pixels, which Wang 2004 and BasicSR leave out",
        """
import torch
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

torch.manual_seed(0)
x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
y = x.clone()
y[..., :4, :] = 0
value, whole = ssim(x, y, data_range=1.0, return_full_image=True)
print(f"its value {value.item():.4f}; where the window fits {whole[..., 5:-5, 5:-5].mean().item():.4f}")""",
        "its value",
    ),
    Fault(
        "pyiqa",
        "pyiqa's PSNR adds 1e-8 to the squared error: identical pictures get 80 dB, nearly identical ones too little",
        """
import pyiqa, torch

x = torch.zeros(1, 3, 16, 16)
y = x.clone()
y[..., 0, 0] = 1 / 255
psnr = pyiqa.create_metric("psnr", device="cpu")
print(f"identical: {psnr(x, x).item():.2f} dB; one pixel of 256 off by one level: {psnr(x, y).item():.2f} dB, true 72.21 dB")""",
        "identical: 80.00 dB",
    ),
    Fault(
        "opencv-python-headless",
        "OpenCV 5.0's FaceRecognizerSF cannot run the SFace file that OpenCV publishes (4.x does)",
        """
import cv2, numpy as np
from facesr.bench import weights

net = cv2.FaceRecognizerSF.create(str(weights.fetch("sface")), "")
print(cv2.__version__, net.feature(np.zeros((112, 112, 3), np.uint8)).shape)""",
        "ninputs == 1",
    ),
    Fault(
        "stlpips-pytorch",
        "stlpips-pytorch imports IPython and torchsummary without asking for them",
        "from stlpips_pytorch import stlpips",
        "No module named",
    ),
]  # fmt: skip


def shown(fault: Fault) -> str:
    """The fault as Markdown: its example, what it printed here, and whether it is still there."""
    version = installed(fault.peer)
    lines = [f"### {fault.title}", ""]
    if not version:
        return "\n".join([*lines, f"Not run: {fault.peer} is not installed."])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", fault.example], cwd=folder, capture_output=True, text=True, check=False
        )
    said = done.stdout.strip().splitlines() if not done.returncode else done.stderr.strip().splitlines()[-1:]
    while done.returncode and said and ":" not in said[0]:  # OpenCV ends its message with an empty line
        said = [line for line in done.stderr.splitlines() if "rror" in line][-1:]
        break
    said = [line.rpartition("\r")[2][:160] for line in said]
    verdict = "" if fault.sign in "\n".join([*said, done.stderr]) else " **No longer so in this version.**"
    return "\n".join(
        [
            *lines,
            f"{fault.peer} {version}.{verdict}",
            "",
            MARK,
            "```python",
            fault.example.strip(),
            "```",
            "",
            "```text",
            *said,
            "```",
        ]
    )
