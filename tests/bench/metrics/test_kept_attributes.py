"""Attribute agreement: right shares on made-up embeddings, people never in the fit that reads them, and what is no attribute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Face
from facesr.bench.metrics.base import NoScore, SetScore
from facesr.bench.metrics.kept_attributes import AttributeAgreement, kept_share, probed

N = 60
VALUES = ["female" if i % 3 else "male" for i in range(N)]
PEOPLE = [f"p{i}" for i in range(N)]


def embeddings(seed: int, values: list[str]) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(len(values), 16))
    x[:, 3] += [6.0 if v == "female" else -6.0 for v in values]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_share_is_that_of_faces_that_kept_it() -> None:
    hr = embeddings(0, VALUES)
    assert kept_share(hr, hr, VALUES, PEOPLE).value == 1.0
    swapped = [{"male": "female", "female": "male"}[v] for v in VALUES]
    assert kept_share(embeddings(1, swapped), hr, VALUES, PEOPLE).value == 0.0
    partly = [s if i < 15 else v for i, (v, s) in enumerate(zip(VALUES, swapped, strict=True))]
    found = kept_share(embeddings(1, partly), hr, VALUES, PEOPLE)
    assert (found.value, found.n) == (0.75, 60)
    assert (found.low, found.high) == pytest.approx((0.6277, 0.8422), abs=1e-4)  # Wilson, 45 of 60
    assert probed(hr, VALUES, hr[:3]) == VALUES[:3]


def test_nobody_is_read_by_a_fit_that_knows_him() -> None:
    """Two equal photos of each person, and values drawn by lot: whoever fits on one photo reads the other right, and so must not."""
    rng = np.random.default_rng(2)
    one = rng.normal(size=(60, 128))
    values = list(rng.choice(["a", "b"], 60))
    with pytest.raises(FaceSRError, match=r"reads it right in \d+% of HR faces"):
        kept_share(np.r_[one, one], np.r_[one, one], values * 2, [f"p{i}" for i in range(60)] * 2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([""] * N, "attribute gender: no face has it: give it with --attributes"),
        (["female"] * N, "a probe needs two values of 10 people each, these faces have female 60"),
        (["female"] * (N - 1) + ["male"], "these faces have female 59, male 1"),
        ([str(i) for i in range(N)], "it has 60 values here, more than 8: give it in bands"),
    ],
)
def test_what_is_no_attribute_gets_one_sentence(values: list[str], said: str) -> None:
    metric = AttributeAgreement()
    assert metric.name == "attribute-agreement-sface[gender]"
    faces = [Face(f"f{i}", Path(), "", {"gender": v} if v else {}) for i, v in enumerate(values)]
    hr = list(embeddings(0, VALUES))
    found = metric.compare(hr, hr, faces)
    assert isinstance(found, NoScore) and said in found.reason
    good = metric.compare(hr, hr, [Face(f"f{i}", Path(), "", {"gender": v}) for i, v in enumerate(VALUES)])
    assert isinstance(good, SetScore) and good.value == 1.0
