"""The whole panel (PSNR, SSIM, LPIPS-Alex, IR-SE50 identity) over folders of PNG, against the published scripts run in sequence.

Peer: BasicSR's PSNR and SSIM, the ``lpips`` package, and pSp's IR-SE50 after insightface's alignment: one script a metric, one pair a
call, both images decoded and HR's features computed every time. Same weights (pseudo-random: speed does not depend on them).

Twice: on made pictures with the same landmarks given to both, values equal within 1e-5; and on the demo's faces from pixels alone, where
each side finds the faces in its own way. pSp's ``calc_id_loss_parallel.py`` runs MTCNN on both images of every pair (here facenet-pytorch's,
with that script's thresholds and smallest face; the script's network, CurricularFace's IR-101, is twice as large as the IR-SE50 that both
sides have here); the bench runs YuNet once on HR. Identity then differs as the landmarks do; the other values are equal.

On a GPU: images per second, and the share of the bare forward passes' time.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import interleaved, line
from benchmarks.fidelity import basicsr, pair
from facesr.bench.align import similarity, warp
from facesr.bench.faces import Batch, Face
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.metrics.base import Metric

LANDMARKS = np.array([[94.0, 120], [160, 120], [126, 158], [100, 187], [158, 187]])
"""Five points of a face in CelebA-HQ's frame at 256 pixels."""
DEMO = Path(str(files("facesr.bench.data") / "demo" / "images"))
TOLERANCE = 1e-5
Find = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
"""Five points (5, 2) of the face in an image (H, W, 3)."""


def networks() -> tuple[Any, Any, Callable[[], Any]]:
    """The lpips package's LPIPS-Alex and an IR-SE50, with random weights; and the panel's own copies of both networks."""
    import lpips
    import torch

    from facesr.bench.metrics.network import ready
    from facesr.bench.networks.irse import Backbone
    from facesr.bench.networks.lpips import LPIPS

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    trunk = {key.split(".", 1)[1]: value for key, value in peer.net.state_dict().items()}
    face = Backbone(50, "ir_se").eval()

    def own() -> tuple[Any, Any]:
        return ready(LPIPS("alex", trunk)), ready(Backbone.from_state_dict(face.state_dict()))

    return peer, face, own


def mtcnn() -> Find:
    """MTCNN as pSp's script runs it."""
    from facenet_pytorch.models.mtcnn import MTCNN
    from PIL import Image

    net = MTCNN(min_face_size=20, thresholds=[0.15, 0.25, 0.35], factor=0.707, select_largest=False, device="cpu")

    def found(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        _, _, points = net.detect(Image.fromarray(image), landmarks=True)
        return np.asarray(points[0])

    return found


def scripts(
    folders: Sequence[Path], hr: Path, distance: Any, face: Any, find: Find = lambda image: LANDMARKS
) -> np.ndarray[Any, Any]:
    """What a user of the published scripts runs: for each method, each metric's own pass over the two folders. (methods, faces, 4)."""
    import torch

    reference = basicsr()
    names = sorted(path.name for path in hr.iterdir())
    values = np.zeros((len(folders), len(names), 4))

    def embedded(path: Path) -> Any:
        image = read_rgb(path)
        crop = warp(image, similarity(find(image)))
        return face(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]

    def tensor(path: Path) -> Any:
        return torch.from_numpy(read_rgb(path)).permute(2, 0, 1)[None].float() / 127.5 - 1

    with torch.no_grad():
        for m, folder in enumerate(folders):
            for i, name in enumerate(names):
                a, b = (cv2.imread(str(place / name), cv2.IMREAD_UNCHANGED) for place in (folder, hr))
                values[m, i, 0] = reference.calculate_psnr(a, b, 0)
                values[m, i, 1] = reference.calculate_ssim(a, b, 0)
            for i, name in enumerate(names):
                values[m, i, 2] = float(distance(tensor(folder / name), tensor(hr / name)))
            for i, name in enumerate(names):
                values[m, i, 3] = float(embedded(folder / name) @ embedded(hr / name))
    return values


def panel(own: Callable[[], tuple[Any, Any]]) -> list[Metric]:
    """The four metrics, on the given networks."""
    from facesr.bench.metrics.embedders import IRSE50
    from facesr.bench.metrics.fidelity import PSNR, SSIM
    from facesr.bench.metrics.identity import Identity
    from facesr.bench.metrics.perceptual import LpipsAlex

    distance, face = own()

    class Distance(LpipsAlex):
        def network(self) -> Any:
            return distance

    class Given(IRSE50):
        fit = "insightface"

        def network(self) -> Any:
            return face

    return [PSNR(), SSIM(), Distance(), Identity(Given())]


def measured(
    folders: Sequence[Path], hr: Path, metrics: Sequence[Metric], chunk: int = 16, known: bool = True
) -> np.ndarray[Any, Any]:
    """The same by the bench: every file decoded once, HR's features computed once. (methods, faces, 4). ``known``: its landmarks are."""
    metrics[3].recogniser.network.forget()  # type: ignore[attr-defined]
    names = sorted(path.name for path in hr.iterdir())
    values = np.zeros((len(folders), len(names), len(metrics)))
    points = tuple(map(tuple, LANDMARKS)) if known else None
    for start in range(0, len(names), chunk):
        part = names[start : start + chunk]
        faces = tuple(Face(name, hr / name, "", landmarks=points) for name in part)  # type: ignore[arg-type]
        batch = Batch(faces, np.stack([read_rgb(hr / name) for name in part]))
        kept = [metric.reference(batch) for metric in metrics]
        for m, folder in enumerate(folders):
            sr = np.stack([read_rgb(folder / name) for name in part])
            for k, (metric, of_hr) in enumerate(zip(metrics, kept, strict=True)):
                values[m, start : start + len(part), k] = metric.score(sr, batch, of_hr)
    return values


def made(root: Path, methods: int, count: int, side: int) -> tuple[list[Path], Path]:
    """Folders of made images."""
    folders = [root / f"sr{m}" for m in range(methods)]
    for folder in (*folders, root / "hr"):
        folder.mkdir()
    for i in range(count):
        blurred, sharp = pair(side, i)
        write_png(root / "hr" / f"{i:03d}.png", sharp)
        for m, folder in enumerate(folders):
            write_png(folder / f"{i:03d}.png", cv2.GaussianBlur(blurred, (0, 0), 0.5 + m))
    return folders, root / "hr"


def faces(root: Path, methods: int, side: int) -> tuple[list[Path], Path]:
    """Folders of the demo's faces, enlarged, and of the same ever more blurred."""
    folders = [root / f"sr{m}" for m in range(methods)]
    for folder in (*folders, root / "hr"):
        folder.mkdir()
    for path in sorted(DEMO.iterdir()):
        sharp = cv2.resize(read_rgb(path), (side, side), interpolation=cv2.INTER_CUBIC)
        write_png(root / "hr" / path.name, sharp)
        for m, folder in enumerate(folders):
            write_png(folder / path.name, cv2.GaussianBlur(sharp, (0, 0), 0.5 + m / 2))
    return folders, root / "hr"


def processor(methods: int, goal: float, given: bool, count: int = 8, side: int = 256, repeats: int = 2) -> bool:
    """One core; ``given``: landmarks are, to both sides."""
    import torch

    torch.set_num_threads(1)
    peer, face, own = networks()
    metrics = panel(own)
    find = (lambda image: LANDMARKS) if given else mtcnn()
    with tempfile.TemporaryDirectory() as place:
        folders, hr = made(Path(place), methods, count, side) if given else faces(Path(place), methods, side)
        found: dict[str, np.ndarray[Any, Any]] = {}

        def ours() -> None:
            found["ours"] = measured(folders, hr, metrics, known=given)

        def theirs() -> None:
            found["theirs"] = scripts(folders, hr, peer, face, find)

        mine, other = interleaved([ours, theirs], repeats)
    apart = np.abs(found["ours"] - found["theirs"]).reshape(-1, 4).max(axis=0)
    if not (apart[: 4 if given else 3].max() <= TOLERANCE):  # not: a value may be missing
        raise SystemExit(
            f"values differ from the scripts': PSNR {apart[0]:g} dB, SSIM {apart[1]:g}, LPIPS {apart[2]:g}, ID {apart[3]:g}"
        )
    each = methods * found["ours"].shape[1]
    how = f"per image (apart {apart.max():.0e})" if given else "per image, faces found by each side"
    return line(f"panel of 4, {methods} methods, {side} px, {how}", mine / each, other / each, goal)


def gpu(methods: int = 3, count: int = 256, side: int = 128, goal: float = 0.8) -> bool:
    """Images a second of the whole panel, and the bare forward passes' share of its time."""
    import time

    import torch

    from facesr.bench.metrics.network import exactly

    _, _, own = networks()
    metrics = panel(own)
    distance, face = own()
    with tempfile.TemporaryDirectory() as place:
        folders, hr = made(Path(place), methods, count, side)
        measured(folders, hr, metrics, 64)
        start = time.perf_counter()
        measured(folders, hr, metrics, 64)
        torch.cuda.synchronize()
        whole = time.perf_counter() - start
    x, y = torch.zeros(64, 3, side, side, device="cuda"), torch.zeros(64, 3, 112, 112, device="cuda")
    with exactly():
        for warm in (True, False):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(1 if warm else (methods + 1) * count // 64):
                distance.maps(x), face(y)
            torch.cuda.synchronize()
            bare = time.perf_counter() - start
    share = bare / whole
    print(f"{methods * count / whole:.0f} images per second, forward passes {share:.0%} of the time, goal {goal:.0%}")
    return share >= goal


def main(argv: Sequence[str] = ()) -> int:
    """Run; 0 when every goal is reached."""
    import torch

    cv2.setNumThreads(1)
    good = [processor(5, 1.75, given=True), processor(5, 3.0, given=False)]
    if torch.cuda.is_available():
        good.append(gpu())
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
