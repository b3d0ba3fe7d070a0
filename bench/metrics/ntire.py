"""The score of the NTIRE 2025 challenge on real-world face restoration (Chen et al. 2025, arXiv 2504.14600), with its identity gate.

Every constant is the challenge's, from its repository zhengchen1999/NTIRE2025_RealWorld_Face_Restoration: the weighting from README.md
("Weighted score") and ``eval.py`` at commit 3b1903d, the thresholds and the counts of the test sets from ``eval.py``, "more than ten faces"
from the README's "Identity Validation".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.metrics.base import Metric, NoScore, SetMetric, SetScore
from facesr.bench.metrics.embedders import embedder
from facesr.bench.metrics.identity import Recogniser
from facesr.bench.metrics.naturalness import FID, feature_moments, frechet_of
from facesr.bench.metrics.pyiqa_plugin import panel
from facesr.bench.results.status import Status
from facesr.bench.weights import find_weight

THRESHOLDS = {"CelebA": 0.5, "LFW-Test": 0.6, "CelebChild-Test": 0.6, "Wider-Test": 0.3, "WebPhoto-Test": 0.3}
"""AdaFace similarity of SR and LQ, by test set, below which a face has lost its identity (``eval.py``: thresholds)."""
COUNTS = {"CelebA": 100, "LFW-Test": 100, "CelebChild-Test": 50, "WebPhoto-Test": 100, "Wider-Test": 100}
"""Faces of each test set, by which its means are weighted (``eval.py``: dataset_counts)."""
MOST_LOST = 10
"""Faces below their threshold that a submission may have (README: it fails if more than ten do)."""
QUALITY = ("clip-iqa", "maniqa", "musiq", "q-align", "niqe-pyiqa")
ATTRIBUTE = "dataset"
"""The attribute that says which test set a face is of: the challenge's own test_face.csv serves as --attributes."""


def weighted(clip_iqa: float, maniqa: float, musiq: float, q_align: float, niqe: float, fid: float) -> float:
    """The challenge's total of the six means: CLIPIQA + MANIQA + MUSIQ/100 + max(0, (10 - NIQE)/10) + QALIGN/5 + max(0, (100 - FID)/100)."""
    return clip_iqa + maniqa + musiq / 100 + max(0.0, (10 - niqe) / 10) + q_align / 5 + max(0.0, (100 - fid) / 100)


class NtireScore(SetMetric):
    """Weighted quality of restored faces; none where more than ten have lost their identity, as the challenge rules.

    ``reference``: what FID is taken against, in place of the challenge's inception_FFHQ_512.pth; ``gate``: false for the score alone;
    ``identity``: a file in place of AdaFace's.
    """

    name, label, higher_is_better, digits, range = "ntire-score", "NTIRE 2025", True, 3, (0.0, 6.0)
    needs_lr, compares_with = True, "nothing"
    source = "zhengchen1999/NTIRE2025_RealWorld_Face_Restoration, eval.py at 3b1903d"

    def __init__(self, *, reference: str = "", gate: bool = True, identity: str = "") -> None:
        self._reference, self.gate, self._identity = reference, gate, identity
        named = self._fid.against.words if reference and self._fid.against else "the challenge's statistics of FFHQ at 512 pixels"
        self.label += "" if gate else " (no identity gate)"
        self.name += "" if gate else "?gate=false"
        rule = ", ".join(f"{k} {v}" for k, v in THRESHOLDS.items())
        self.conventions = (
            "CLIPIQA + MANIQA + MUSIQ/100 + (10 - NIQE)/10 + QALIGN/5 + (100 - FID)/100, NIQE's and FID's terms at least 0; means of test sets "
            f"weighted {', '.join(f'{k} {v}' for k, v in COUNTS.items())}; FID against {named}, of however few images, TensorFlow's bilinear "
            "where the challenge has PyTorch's; "
        )
        self.conventions += (
            f"identity gate: at most {MOST_LOST} faces whose AdaFace similarity to LQ is below {rule}; points known of a face, else YuNet's in LQ"
            if gate
            else "without the identity gate"
        )

    @cached_property
    def _fid(self) -> FID:
        return FID(reference=self._reference or str(find_weight("inception-ffhq-512")))

    @cached_property
    def _panel(self) -> dict[str, Metric]:
        return {name: panel(name) for name in QUALITY}

    @cached_property
    def _recogniser(self) -> Recogniser:
        return Recogniser(embedder("adaface", self._identity))

    @property
    def weights(self) -> dict[str, str]:
        if self._fid.against is None:
            raise FaceSRError(
                "ntire-score needs the set that FID is taken against: reference=inception_FFHQ_512.pth, or a folder of FFHQ"
            )
        held = {f"{name} {key}": value for name, metric in self._panel.items() for key, value in metric.weights.items()}
        return held | self._fid.weights | (self._recogniser.weights if self.gate else {})

    def reference(self, batch: Batch) -> Any:
        """LQ's landmarks and embeddings, where the gate asks for them."""
        if not self.gate:
            return None
        if batch.lr is None or batch.lr.dtype != np.uint8:
            raise FaceSRError("the identity gate compares with 8-bit LQ images, and there are none")
        lq = np.asarray(batch.lr, np.uint8)
        return lq.shape[1:3], self._recogniser.hr(Batch(batch.faces, lq)) if len(lq) else None

    def hr_features(self, batch: Batch, reference: Any) -> Sequence[Any]:
        return [0.0] * len(batch)

    def features(self, sr: U8, batch: Batch, reference: Any) -> Sequence[Any]:
        """One row per face: five qualities, similarity (NaN without the gate), Inception's features."""
        qualities = [metric.score(sr, batch, None) for metric in self._panel.values()]
        similar = self._similar(sr, batch, reference) if self.gate else [np.nan] * len(sr)
        inception = self._fid.features(sr, batch, None)
        rows: list[Any] = []
        for *quality, same, features in zip(*qualities, similar, inception, strict=True):
            lost = next((v for v in (*quality, same) if isinstance(v, NoScore)), None)
            rows.append(lost or np.concatenate([[*map(float, quality), float(same)], np.asarray(features, np.float64)]))
        return rows

    def _similar(self, sr: U8, batch: Batch, reference: Any) -> list[float | NoScore]:
        side, lq = reference
        if side != sr.shape[1:3]:
            why = f"the identity gate compares SR with LQ of its own size: LQ has {side[0]} pixels, SR {sr.shape[1]}"
            return [NoScore(Status.SKIPPED, why)] * len(sr)
        found = self._recogniser.sr(sr, batch, lq.points)
        pairs = zip(found, lq.vectors, strict=True)
        return [one if isinstance(one, NoScore) else float(np.dot(one.astype(np.float64), other)) for one, other in pairs]

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        rows = np.stack(sr)
        sets = np.array([face.attributes.get(ATTRIBUTE, "") for face in faces])
        strange = sorted(set(sets) - set(THRESHOLDS))
        if self.gate and strange:
            return NoScore(
                Status.SKIPPED,
                f"the identity gate has a threshold for each test set ({', '.join(THRESHOLDS)}), and {int(np.isin(sets, strange).sum())} faces "
                f"are of {strange[0] or 'none'}: say which with --attributes (column '{ATTRIBUTE}'), or set gate=false",
            )
        if self.gate:
            lost = int((rows[:, 5] < np.array([THRESHOLDS[s] for s in sets])).sum())
            if lost > MOST_LOST:
                return NoScore(
                    Status.FAILED, f"{lost} of {len(rows)} faces have lost their identity: the challenge takes at most {MOST_LOST}"
                )
        if len(rows) < 2:
            return NoScore(Status.SKIPPED, f"FID needs at least two images, these are {len(rows)}")
        clip_iqa, maniqa, musiq, q_align, niqe = _means(rows[:, :5], sets)
        return SetScore(weighted(clip_iqa, maniqa, musiq, q_align, niqe, self._distance(rows[:, 6:])), len(rows))

    def _distance(self, features: Any) -> float:
        assert self._fid.against is not None
        known = self._fid.against.moments or feature_moments(self._fid.known_features(features.shape[1]))
        return frechet_of(feature_moments(features), known)


def _means(values: Any, sets: Any) -> list[float]:
    """Means of the columns: of each test set, weighted by its count in the challenge, where all faces are of one; else of all faces."""
    if not set(sets) <= set(COUNTS):
        return [float(v) for v in values.mean(0)]
    there = sorted(set(sets))
    counts = [COUNTS[s] for s in there]
    return [float(v) for v in np.average([values[sets == s].mean(0) for s in there], axis=0, weights=counts)]
