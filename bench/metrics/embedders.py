"""Networks that turn an aligned 112 x 112 face into a vector, each with its input convention and terms.

A user's own is a few lines: ``OnnxEmbedder("mine", file, order="rgb", mean=127.5, std=127.5)``, or a subclass with ``files`` and ``run``.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facesr.bench.align import Fit
from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.faces import U8
from facesr.bench.metrics import insight
from facesr.bench.metrics.network import batch_slices, exactly, ready, to_network
from facesr.bench.onnxnet import F32, OnnxNet
from facesr.bench.weights import find_weight, load_tensors, user_places

REMEMBERED = 2048
"""Embeddings kept in memory, so that identity, retrieval and verification on one batch share them."""
SIZE = 112
Pixels = U8 | F32
"""RGB, 0..255."""


class Embedder:
    """A face recogniser. Override ``files`` and ``run``."""

    name: str = ""
    """How metrics name it (``sface``)."""
    label: str = ""
    """How tables name it (``SFace``)."""
    fit: Fit = "insightface"
    """Whose alignment it was trained on."""
    input: str = ""
    """The input convention, in a few words."""
    terms: str = ""
    source: str = ""

    def __init__(self) -> None:
        self._memory: OrderedDict[bytes, F32] = OrderedDict()

    def files(self) -> dict[str, Path]:
        """Its weight files, by name. Raises ``WeightsMissing``."""
        raise NotImplementedError

    def run(self, crops: Pixels) -> F32:
        """Embeddings (N, D), of any length, of aligned faces (N, 112, 112, 3), RGB 0..255."""
        raise NotImplementedError

    def embed(self, crops: Pixels) -> F32:
        """Unit vectors (N, D) of aligned faces (N, 112, 112, 3), RGB 0..255. A face seen before is not computed again."""
        keys = [hashlib.blake2b(crop.tobytes(), digest_size=16).digest() for crop in crops]
        new = [i for i, key in enumerate(keys) if key not in self._memory and key not in keys[:i]]
        found = {keys[i]: vector for i, vector in zip(new, self._computed(crops[new]), strict=True)}
        rows = [found[key] if key in found else self._memory[key] for key in keys]
        self._memory.update(found)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return np.stack(rows) if rows else np.zeros((0, 1), np.float32)

    def forget(self) -> None:
        """Drop remembered embeddings (for timings)."""
        self._memory.clear()

    def parts(self, n: int) -> Iterator[slice]:
        """Slices of ``n`` faces that one ``run`` gets."""
        return (slice(i, min(i + 8, n)) for i in range(0, n, 8))

    def _computed(self, crops: Pixels) -> F32:
        if len(crops) == 0:
            return np.zeros((0, 1), np.float32)
        rows = np.concatenate([self.run(crops[part]) for part in self.parts(len(crops))])
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


class OnnxEmbedder(Embedder):
    """A recognition network in an ONNX file with one image input (N, 3, 112, 112) and one output (N, D).

    The input is ``(pixel - mean) / std`` of pixels 0..255 in the channel ``order``; ``mean`` and ``std``: one number, or three in
    that order. ``mean=None``: as insightface infers it from the file, (x - 127.5) / 127.5, or plain pixels where the graph begins with it.
    """

    def __init__(
        self,
        name: str,
        file: str | Path,
        *,
        label: str = "",
        order: Literal["rgb", "bgr"] = "rgb",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] = 127.5,
        terms: str = "",
        source: str = "",
    ) -> None:
        super().__init__()
        if order not in ("rgb", "bgr"):
            raise FaceSRError(f"channel order {order!r} of {name}: use 'rgb' or 'bgr'")
        self.name, self.label, self.terms, self.source = name, label or name, terms, source
        self._file, self._order, self._mean, self._std = file, order, mean, std
        scaling = (
            "as insightface reads the file" if mean is None else f"(x - {mean}) / {std}" if (mean, std) != (0.0, 1.0) else "0..255"
        )
        self.input = f"{order.upper()}, {scaling}"

    def files(self) -> dict[str, Path]:
        if not str(self._file):
            raise WeightsMissing(f"{self.label} needs a recognition network: set weights to an ONNX file")
        return {self.name: find_weight(self._file)}

    def run(self, crops: Pixels) -> F32:
        net, scaled = _onnx(self.files()[self.name])
        shape = net.input_shape
        if len(shape) != 4 or shape[1] not in (3, None) or any(n not in (SIZE, None) for n in shape[2:]):
            raise FaceSRError(f"{net.path} takes {shape}, not faces (N, 3, {SIZE}, {SIZE}): is it a recognition network?")
        mean, std = (self._mean, self._std) if self._mean is not None else ((0.0, 1.0) if scaled else (127.5, 127.5))
        pixels = crops[..., ::-1] if self._order == "bgr" else crops
        x: F32 = np.divide(pixels - np.asarray(mean, np.float32), np.asarray(std, np.float32), dtype=np.float32)
        outputs = net(x.transpose(0, 3, 1, 2))
        if len(outputs) != 1 or outputs[0].shape[0] != len(crops):
            raise FaceSRError(f"{net.path} has {len(outputs)} outputs: a recognition network gives one vector a face")
        return outputs[0].reshape(len(crops), -1)


@cache
def _onnx(path: Path) -> tuple[OnnxNet, bool]:
    """The network, and whether its graph begins by scaling pixels itself (exports from MXNet), inferred as insightface does."""
    import onnx

    net = OnnxNet(path)
    first = [node.name for node in onnx.load(str(path), load_external_data=False).graph.node[:8]]
    return net, any(n.startswith(("Sub", "_minus")) for n in first) and any(n.startswith(("Mul", "_mul")) for n in first)


class SFace(OnnxEmbedder):
    """SFace (Zhong et al. 2021), OpenCV Zoo's release of December 2021: the recogniser that any machine can have."""

    def __init__(self) -> None:
        super().__init__(
            "sface", "sface", label="SFace", order="rgb", mean=0.0, std=1.0, terms="Apache-2.0",
            source="OpenCV FaceRecognizerSF (equal within 1e-4)",
        )  # fmt: skip


PACKS = {
    "buffalo_l": "w600k_r50.onnx", "antelopev2": "glintr100.onnx", "buffalo_m": "w600k_r50.onnx",
    "antelope": "glintr100.onnx", "buffalo_s": "w600k_mbf.onnx", "buffalo_sc": "w600k_mbf.onnx",
}  # fmt: skip
"""insightface's model packs and the recognition network in each, best known first."""


def arcface_file(wanted: str = "") -> Path:
    """An insightface recognition file: a path, a pack's name (``buffalo_l``), or the first pack that lies where insightface keeps them.

    Searched: the folders of FACESR_WEIGHTS and ``~/.insightface/models``; nothing is downloaded. Raises ``WeightsMissing``.
    """
    if wanted and wanted not in PACKS:
        path = Path(wanted).expanduser()
        if not path.is_file():
            hint = suggest(wanted, PACKS) if path.parent == Path() and not path.suffix else "check the path"
            raise WeightsMissing(f"no ArcFace network at {wanted}: {hint}")
        return path
    roots = [*user_places(), Path("~/.insightface/models").expanduser()]
    for pack in [wanted] if wanted else PACKS:
        for root in roots:
            for path in (root / pack / PACKS[pack], root / PACKS[pack]):
                if path.is_file():
                    return path
    raise WeightsMissing(
        f"no insightface model {wanted or 'pack'} on this machine: put {PACKS[wanted or 'buffalo_l']} (or another recognition file) "
        "in a folder named by FACESR_WEIGHTS or in ~/.insightface/models, or set weights to its path"
    )


class ArcFace(OnnxEmbedder):
    """An ArcFace network of insightface: the user's ``buffalo_l``, ``antelopev2`` ..., or any recognition ONNX or iresnet file.

    Where insightface is installed its own code runs the ONNX files; the numbers are equal.
    """

    def __init__(self, weights: str = "") -> None:
        super().__init__("arcface", weights, label="ArcFace", terms="insightface's models: non-commercial research")
        self.source = "insightface ArcFaceONNX.get_feat (equal within 1e-5)"

    def files(self) -> dict[str, Path]:
        return {"arcface": arcface_file(str(self._file))}

    def run(self, crops: Pixels) -> F32:
        file = self.files()["arcface"]
        if file.suffix != ".onnx":
            return _through(_iresnet(file), crops)
        return insight.insight_embeddings(file, crops) if insight.insight_installed() else super().run(crops)


class IRSE50(Embedder):
    """The IR-SE50 of pSp's identity loss. Trained on BGR by InsightFace_Pytorch, fed RGB by pSp: so here."""

    name, label, input = "irse50", "IR-SE50", "RGB, [-1, 1], as pSp feeds it"
    fit: Fit = "treb1en"
    terms, source = "trained on MS1M: research", "pSp criteria/id_loss.py (equal within 1e-4)"
    weight = "ir-se50"

    def __init__(self, weights: str = "") -> None:
        super().__init__()
        self._weights = weights or self.weight

    def files(self) -> dict[str, Path]:
        return {self.name: find_weight(self._weights)}

    def parts(self, n: int) -> Iterator[slice]:
        return batch_slices(n)

    def network(self) -> Any:
        """The frozen torch module on the metrics' device, built once a process."""
        return _ir(self.files()[self.name])

    def run(self, crops: Pixels) -> F32:
        return _through(self.network(), crops)


class CurricularFace(IRSE50):
    """The CurricularFace IR-101 of pSp's identity metric."""

    name, label, weight = "curricularface", "CurricularFace IR-101", "curricularface"
    input, source = "RGB, [-1, 1]", "pSp scripts/calc_id_loss_parallel.py (its network; alignment is named apart)"


class AdaFace(IRSE50):
    """AdaFace's IR-50 (Kim et al. 2022), the judge of identity in the NTIRE challenges of real-world face restoration."""

    name, label, input, weight = "adaface", "AdaFace IR-50", "BGR, [-1, 1]", "adaface-ir50"
    fit: Fit = "insightface"
    terms, source = "MIT code; trained on MS1MV2: research", "mk-minchul/AdaFace, inference.py (to_input, build_model)"

    def run(self, crops: Pixels) -> F32:
        return super().run(crops[..., ::-1])


@cache
def _ir(file: Path) -> Any:
    from facesr.bench.networks.irse import Backbone

    return ready(Backbone.from_state_dict(load_tensors(file)))


@cache
def _iresnet(file: Path) -> Any:
    from facesr.bench.networks.iresnet import IResNet

    return ready(IResNet.from_state_dict(load_tensors(file)))


def _through(net: Any, crops: Pixels) -> F32:
    """A torch network on crops in [-1, 1]."""
    with exactly():
        rows: F32 = net(to_network(crops)).float().cpu().numpy()
    return rows


EMBEDDERS: dict[str, Callable[..., Embedder]] = {
    "sface": SFace,
    "arcface": ArcFace,
    "irse50": IRSE50,
    "curricularface": CurricularFace,
    "adaface": AdaFace,
}


@cache
def embedder(name: str, weights: str = "") -> Embedder:
    """The embedder of that name, one per process so that metrics share its network and embeddings; ``weights``: a file in place of its own."""
    if name not in EMBEDDERS:
        raise FaceSRError(f"no face embedder {name!r}: {suggest(name, EMBEDDERS)}")
    if name != "sface":
        return EMBEDDERS[name](weights)
    if weights:
        raise FaceSRError(f"SFace has one weight file; give {weights} to identity-onnx or identity-arcface")
    return SFace()
