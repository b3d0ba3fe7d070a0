"""Verification, retrieval and both by attribute: counted by hand, against scipy, and on made embeddings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import Batch, Face
from facesr.bench.metrics import recognition
from facesr.bench.metrics.base import NoScore, SetScore
from facesr.bench.metrics.embedders import Embedder
from facesr.bench.metrics.recognition import (
    Retrieval,
    Tar3,
    Verification,
    auc,
    hits,
    pair_similarities,
    retrieval,
    tar_at,
    verification,
)
from facesr.bench.registry import build_metric


def unit(rows: Any) -> np.ndarray:
    table = np.asarray(rows, np.float32)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def people(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Embeddings of n persons' HR faces, and SR faces that lie ``noise`` off."""
    rng = np.random.default_rng(seed)
    gallery = unit(rng.normal(size=(n, 32)))
    return unit(gallery + noise * rng.normal(size=(n, 32))), gallery, [f"p{i}" for i in range(n)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_auc_is_mann_whitneys_u(same: list[int], different: list[int]) -> None:
    """scipy's U, which counts ties half."""
    assert auc(same, different) == pytest.approx(mannwhitneyu(same, different).statistic / len(same) / len(different))


def test_tar_by_hand() -> None:
    """1,000 impostors 0, .001 ... .999: at FAR 1e-2 ten may pass, those from .99 up, so the threshold is the eleventh, .989."""
    impostor = np.arange(1000) / 1000
    assert tar_at([0.989, 0.9895, 0.5, 1.0], impostor, 1e-2) == 0.5
    assert tar_at([2.0], np.zeros(1000), 1e-2) == 1.0
    assert tar_at([0.0], np.zeros(1000), 1e-2) == 0.0
    with pytest.raises(FaceSRError, match="at least 10,000 different-person pairs, these faces give 1,000"):
        tar_at([1.0], impostor, 1e-3)
    with pytest.raises(FaceSRError, match="between 0 and 1"):
        tar_at([1.0], impostor, 1.5)
    with pytest.raises(FaceSRError, match="both kinds"):
        auc([], [1.0])


def test_pairs_leave_out_the_same_person() -> None:
    gallery = unit([[1, 0], [0, 1], [1, 1]])
    genuine, impostor = pair_similarities(gallery, gallery, ["a", "b", "a"])
    assert genuine == pytest.approx([1, 1, 1], abs=1e-6)
    assert [len(row) for row in impostor] == [1, 2, 1]
    assert sorted(impostor[1]) == pytest.approx([0, np.sqrt(0.5)], abs=1e-6)


def test_many_faces_meet_a_thousand_others_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "MOST", 5)
    probes, gallery, persons = people(40, 0.1)
    _, impostor = pair_similarities(probes, gallery, persons)
    assert {len(row) for row in impostor} == {5}
    monkeypatch.setattr(recognition, "MOST", 14)
    assert {len(row) for row in pair_similarities(probes, gallery, persons)[1]} == {39}


def test_rank_1_by_hand() -> None:
    gallery = unit([[1, 0], [0, 1], [1, 1]])
    probes = unit([[1, 0.1], [1, 0.9], [0.9, 1]])
    assert hits(probes, gallery, ["a", "b", "c"]).tolist() == [True, False, True]
    assert hits(probes, gallery, ["a", "b", "b"]).tolist() == [True, True, True]
    assert hits(gallery[[0, 0]], gallery[[0, 0]], ["a", "b"]).tolist() == [False, False]  # a tie is no success
    rate = retrieval(probes, gallery, ["a", "b", "c"])
    assert (rate.value, rate.n) == (pytest.approx(2 / 3), 3)
    assert (rate.low, rate.high) == (pytest.approx(0.2077, abs=1e-4), pytest.approx(0.9385, abs=1e-4))  # Wilson 1927 for 2 of 3


@pytest.mark.parametrize("far", [None, 1e-2])
def test_worse_faces_are_recognised_less(far: float | None) -> None:
    rates = [verification(*people(60, noise), far=far) for noise in (0.0, 0.5, 1.2, 3.0)]
    assert rates[0].value == 1.0
    assert rates[0].low == pytest.approx(0.94, abs=0.005)  # Wilson for 60 of 60: perfect on 60 faces is not perfect
    assert (np.diff([r.value for r in rates]) <= 0).all()
    assert rates[-1].value < 0.95
    for rate in rates:
        assert rate.low <= rate.value + 0.005
        assert rate.high >= rate.value - 0.005
        assert rate.n == 60


def test_the_histograms_interval_covers() -> None:
    """95 % intervals over 60 sets of SR faces hold the mean of all sets' AUC in at least 85 %: binned, not exact, but honest."""
    found = [verification(*people(40, 1.5, seed)) for seed in range(60)]
    truth = np.mean([rate.value for rate in found])
    assert np.mean([rate.low <= truth <= rate.high for rate in found]) >= 0.85


def test_order_does_not_matter() -> None:
    probes, gallery, persons = people(50, 1.0)
    order = np.random.default_rng(1).permutation(50)
    shuffled = (probes[order], gallery[order], [persons[i] for i in order])
    for measure in (retrieval, verification, partial(verification, far=1e-2)):
        assert measure(probes, gallery, persons).value == pytest.approx(measure(*shuffled).value, abs=1e-9)


def test_groups_split_the_whole() -> None:
    probes, gallery, persons = people(30, 1.0)
    probes[20:] = people(30, 6.0, 1)[0][20:]
    young = np.arange(30) < 20
    found = [retrieval(probes, gallery, persons, among=among) for among in (young, ~young)]
    assert [rate.n for rate in found] == [20, 10]
    assert sum(rate.value * rate.n for rate in found) == pytest.approx(retrieval(probes, gallery, persons).value * 30)
    assert found[0].value > found[1].value
    assert verification(probes, gallery, persons, among=young).value > verification(probes, gallery, persons, among=~young).value


class Corner(Embedder):
    """Reads an embedding from the pixels of the crop."""

    name, label, input = "corner", "Corner", "pixels"

    def files(self) -> dict[str, Path]:
        return {}

    def run(self, crops: Any) -> Any:
        return crops.reshape(len(crops), -1)[:, 6000:6300:3].astype(np.float32) - 128


def made(n: int) -> Batch:
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (n, 128, 128, 3), np.uint8)
    points = ((47, 60), (80, 60), (63, 79), (50, 93), (79, 93))
    genders = ["female", "male"]
    faces = tuple(Face(f"f{i}", Path("f.png"), "", {"gender": genders[i % 2]}, points) for i in range(n))
    return Batch(faces, hr)


def run(metric: Any, sr: np.ndarray, batch: Batch) -> SetScore | NoScore:
    hr = metric.reference(batch)
    return metric.compare(metric.features(sr, batch, hr), metric.hr_features(batch, hr), batch.faces)  # type: ignore[no-any-return]


def test_as_set_metrics() -> None:
    batch = made(12)
    assert run(Retrieval(Corner()), batch.hr, batch) == SetScore(1.0, 12, pytest.approx(0.7575, abs=1e-3), 1.0)
    whole = run(Verification(Corner()), batch.hr, batch)
    assert isinstance(whole, SetScore)
    assert (whole.value, whole.n) == (1.0, 12)
    noise = np.random.default_rng(1).integers(0, 256, batch.hr.shape, np.uint8)
    lost = run(Retrieval(Corner()), noise, batch)
    assert isinstance(lost, SetScore)
    assert lost.value < 0.5
    women = Retrieval(Corner(), where="gender=female")
    assert women.name == "retrieval-corner[gender=female]"
    found = run(women, batch.hr, batch)
    assert isinstance(found, SetScore)
    assert found.n == 6
    assert run(Retrieval(Corner(), where="gender=other"), batch.hr, batch) == NoScore("skipped", "no face has gender=other")
    few = run(Tar3(Corner()), batch.hr, batch)
    assert isinstance(few, NoScore)
    assert "needs at least 10,000 different-person pairs, these faces give 132" in few.reason
    with pytest.raises(FaceSRError, match="attribute=value"):
        Retrieval(Corner(), where="female")


@pytest.mark.parametrize("kind", ["retrieval", "verification", "tar-1e-2", "tar-1e-3"])
@pytest.mark.parametrize("network", ["sface", "arcface"])
def test_each_is_found_by_name(kind: str, network: str) -> None:
    metric = build_metric(f"{kind}-{network}")
    assert metric.name == f"{kind}-{network}"
    assert metric.higher_is_better


def test_likeness_is_the_share_of_true_pairs_that_are_less_alike() -> None:
    """By hand, on a circle: photos of person i lie at angles 0 and a_i from their own axis, so the true pairs' cosines are cos(a_i)."""
    n = 40
    angles = np.linspace(0.02, 1.5, n)
    gallery, persons = [], []
    for i, angle in enumerate(angles):
        for turn in (0.0, angle):
            vector = np.zeros(2 * n, np.float32)
            vector[2 * i], vector[2 * i + 1] = np.cos(turn), np.sin(turn)
            gallery.append(vector)
            persons.append(f"p{i}")
    hr = np.stack(gallery)

    def turned(by: float) -> np.ndarray:
        sr = np.zeros_like(hr)
        for k, (i, turn) in enumerate((k // 2, (0.0, angles[k // 2])[k % 2]) for k in range(2 * n)):
            sr[k, 2 * i], sr[k, 2 * i + 1] = np.cos(turn + by), np.sin(turn + by)
        return sr

    for by in (0.3, 0.8, 1.2):
        want = float((angles > by).mean())  # less alike: a larger angle
        found = recognition.likeness(turned(by), hr, persons)
        assert found.value == pytest.approx(want, abs=1e-6)
        assert found.n == 2 * n
    assert recognition.likeness(hr, hr, persons).value == 1.0
    assert recognition.likeness(turned(1.55), hr, persons).value == 0.0
    with pytest.raises(FaceSRError, match=r"needs 20 pairs of two photos of one person, these faces give 0"):
        recognition.likeness(hr, hr, [str(i) for i in range(len(hr))])
