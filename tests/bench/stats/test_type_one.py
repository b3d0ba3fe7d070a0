"""Simulated type-I error of every test: studies without a true difference, and how often each test finds one.

The bounds are binomial: with N studies a test that holds .05 is found within .05 +- 3 sqrt(.05 x .95 / N). Tests that are known not
to hold a level (the paper's pooled Mann-Whitney once raters or faces interact with methods) are asserted to fail, with their figures
from reference/mos.md, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from facesr.bench.stats.agreement import krippendorff_alpha
from facesr.bench.stats.clustered import clustered_difference, clustered_mean
from facesr.bench.stats.correction import holm
from facesr.bench.stats.correlation import metrics_against_people
from facesr.bench.stats.equivalence import tost
from facesr.bench.stats.intervals import pigeonhole_interval
from facesr.bench.stats.many import mean_intervals
from facesr.bench.stats.paired_comparison import bradley_terry
from facesr.bench.stats.pairwise import compare_methods
from facesr.bench.stats.rank_tests import friedman, mann_whitney, signed_rank

pytestmark = pytest.mark.slow
ALPHA = 0.05


def _band(n: int, level: float = ALPHA) -> float:
    return 3 * float(np.sqrt(level * (1 - level) / n))


def _level(test: str, hits: object) -> float:
    """Share of studies with a false alarm, printed (``pytest -m slow -s``)."""
    level = float(np.mean(np.asarray(hits, dtype=np.float64)))
    print(f"\n  {test}: {level:.3f} of {np.size(hits)}")  # type: ignore[arg-type]
    return level


def _pair(
    rng: np.random.Generator, rater: float = 0.0, face: float = 0.0, main: float = 0.5, size: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Ratings 1 to 5 of two equal conditions: main effects of raters and faces, interactions of sd ``rater`` and ``face``."""
    shape = (size, size, 2)
    x = 3 + main * rng.normal(size=(size, 1, 1)) + main * rng.normal(size=(1, size, 1))
    x = x + rater * rng.normal(size=(size, 1, 2)) + face * rng.normal(size=(1, size, 2)) + 0.9 * rng.normal(size=shape)
    x = np.clip(np.rint(x), 1, 5)
    return x[..., 0], x[..., 1]


def _rate(name: str, test: Callable[[np.ndarray, np.ndarray], float], studies: int, **design: float) -> float:
    rng = np.random.default_rng(0)
    return _level(f"{name} {design or ''}", [test(*_pair(rng, **design)) < ALPHA for _ in range(studies)])  # type: ignore[arg-type]


def _by_rater(a: np.ndarray, b: np.ndarray) -> float:
    return signed_rank((a - b).mean(axis=1)).p


def _by_face(a: np.ndarray, b: np.ndarray) -> float:
    return signed_rank((a - b).mean(axis=0)).p


@pytest.mark.parametrize(("rater", "face"), [(0.0, 0.0), (0.25, 0.0), (0.0, 0.25), (0.25, 0.35), (0.27, 0.36), (0.24, 0.60)])
def test_clustered_t_holds_its_level_whatever_interacts(rater: float, face: float) -> None:
    """Reference: .031, .057, .056, .049, .044, .043. Two-way clustering may be conservative, never much above .05."""
    rate = _rate("two-way clustered t", lambda a, b: clustered_difference(a, b).p, 1000, rater=rater, face=face)
    assert 0.015 < rate < ALPHA + _band(1000)


def test_mann_whitney_holds_its_level_for_independent_ratings_only() -> None:
    """Reference, pooled over 40 x 40: iid .046; main effects .011; both interactions .455."""
    pooled: Callable[[np.ndarray, np.ndarray], float] = lambda a, b: mann_whitney(a, b).p  # noqa: E731
    assert _rate("pooled Mann-Whitney", pooled, 800, main=0.0) == pytest.approx(ALPHA, abs=_band(800))
    assert _rate("pooled Mann-Whitney", pooled, 800) < 0.03
    assert _rate("pooled Mann-Whitney", pooled, 400, rater=0.25, face=0.35) == pytest.approx(0.455, abs=0.09)


def test_small_mann_whitney_by_permutation() -> None:
    rng = np.random.default_rng(1)
    p = [mann_whitney(rng.integers(1, 6, 7), rng.integers(1, 6, 8)).p for _ in range(300)]
    assert _level("small Mann-Whitney, permuted", np.array(p) < ALPHA) < ALPHA + _band(300)


def test_signed_rank_holds_over_the_unit_that_is_drawn() -> None:
    """Reference: over raters .065 with rater x method, over faces .057 with face x method; the other way round .355 and .375."""
    assert _rate("signed rank, rater means", _by_rater, 800, rater=0.25) == pytest.approx(ALPHA, abs=_band(800) + 0.01)
    assert _rate("signed rank, face means", _by_face, 800, face=0.25) == pytest.approx(ALPHA, abs=_band(800) + 0.01)
    assert _rate("signed rank, face means", _by_face, 300, rater=0.25) > 0.2
    assert _rate("signed rank, rater means", _by_rater, 300, face=0.25) > 0.2


def test_signed_rank_of_few_pairs() -> None:
    rng = np.random.default_rng(2)
    p = np.array([signed_rank(rng.integers(-2, 3, 9)).p for _ in range(3000)])
    assert _level("signed rank, 9 pairs", p < ALPHA) < ALPHA + _band(3000)


def test_friedman_and_nemenyi_hold_over_raters() -> None:
    rng = np.random.default_rng(3)
    any_pair, omnibus = [], []
    for _ in range(1500):
        x = rng.normal(size=(30, 1)) + rng.normal(size=(30, 5))
        found = friedman(x, list("abcde"))
        omnibus.append(found.p < ALPHA)
        any_pair.append(found.nemenyi[np.triu_indices(5, 1)].min() < ALPHA)
    assert _level("Friedman", omnibus) == pytest.approx(ALPHA, abs=_band(1500))
    assert 0.02 < _level("Nemenyi, any of 10 pairs", any_pair) < ALPHA + _band(1500)


def test_holm_keeps_any_false_alarm_below_alpha() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(size=(4000, 15))
    assert _level("Holm, any of 15 pairs", [holm(row).min() < ALPHA for row in p]) == pytest.approx(ALPHA, abs=_band(4000))


def test_tost_at_the_margin_itself() -> None:
    """A true difference of exactly the margin is called equivalent in at most .05 of studies."""
    rng = np.random.default_rng(5)
    said = []
    for _ in range(1500):
        d = 0.3 + 0.2 * rng.normal(size=(30, 1)) + 0.2 * rng.normal(size=(1, 30)) + 0.8 * rng.normal(size=(30, 30))
        said.append(tost(clustered_mean(d), 0.3).equivalent)
    assert _level("TOST at the margin", said) < ALPHA + _band(1500)


def test_metric_pairs_over_faces() -> None:
    rng = np.random.default_rng(6)
    p, covered = [], []
    for _ in range(800):
        base = rng.normal(25, 3, 60)
        pair = compare_methods(np.stack([base + rng.normal(0, 1, 60), base + rng.normal(0, 1, 60)], axis=1), ["a", "b"])[0]
        p.append(pair.p < ALPHA)
        covered.append(pair.low <= 0 <= pair.high)
    assert _level("signed rank, metric over 60 faces", p) == pytest.approx(ALPHA, abs=_band(800))
    assert _level("its interval covers", covered) > 0.95 - _band(800)


def test_two_way_bootstrap_covers() -> None:
    rng = np.random.default_rng(7)
    both = []
    for k in range(400):
        x = 0.5 * rng.normal(size=(30, 1)) + 0.4 * rng.normal(size=(1, 30)) + 0.9 * rng.normal(size=(30, 30))
        found = pigeonhole_interval(x[:, :, None], draws=800, seed=k)[0]
        both.append(found.low <= 0 <= found.high)
    assert _level("two-way pigeonhole, 30 x 30, covers", both) > 0.95 - _band(400)


def test_bradley_terry_wald_and_clustered() -> None:
    rng = np.random.default_rng(8)
    plain, clustered, naive = [], [], []
    for _ in range(800):
        by_rater = np.zeros((40, 2, 2))
        n = 20
        liking = 1 / (1 + np.exp(-0.8 * rng.normal(size=40)))  # raters differ in which they prefer; on average neither
        chosen = rng.binomial(n, liking)
        by_rater[:, 0, 1], by_rater[:, 1, 0] = chosen, n - chosen
        clustered.append(bradley_terry(by_rater.sum(axis=0), ["a", "b"], by_rater=by_rater).p[0, 1] < ALPHA)
        naive.append(bradley_terry(by_rater.sum(axis=0), ["a", "b"]).p[0, 1] < ALPHA)
        flips = rng.binomial(300, 0.5)
        plain.append(bradley_terry([[0, flips], [300 - flips, 0]], ["a", "b"]).p[0, 1] < ALPHA)
    assert _level("Bradley-Terry, independent choices", plain) == pytest.approx(ALPHA, abs=_band(800) + 0.01)
    assert _level("Bradley-Terry, clustered by rater", clustered) == pytest.approx(ALPHA, abs=_band(800) + 0.01)
    assert _level("Bradley-Terry, raters ignored", naive) > 0.15  # ignoring raters is the paired-comparison form of pooling


def _cells(rng: np.random.Generator, raters: int, faces: int, n: int, rater: float, face: float, per_cell: int) -> np.ndarray:
    """Choices between ``n`` equal conditions, (raters, faces, n, n): raters and faces differ in what they prefer (logits)."""
    liking = rater * rng.normal(size=(raters, 1, n)) + face * rng.normal(size=(1, faces, n))
    chance = 1 / (1 + np.exp(liking[..., None, :] - liking[..., :, None]))
    first = rng.binomial(per_cell, chance)
    upper = np.triu(np.ones((n, n), dtype=bool), 1)
    return np.where(upper, first, np.where(upper.T, per_cell - first.swapaxes(-1, -2), 0)).astype(float)


@pytest.mark.parametrize(
    ("raters", "faces", "n", "rater", "face", "per_cell"),
    [(2, 20, 3, 0.5, 0.0, 1), (3, 20, 3, 0.5, 0.0, 1), (5, 20, 3, 0.5, 0.0, 1), (24, 40, 3, 0.0, 0.6, 1), (20, 20, 3, 0.0, 0.0, 1)],
)
def test_bradley_terry_of_raters_and_faces(raters: int, faces: int, n: int, rater: float, face: float, per_cell: int) -> None:
    """Any pair, after Holm. Ignoring faces gives .63 for 24 raters and 40 faces; normal tests of 2, 3, 5 raters .27, .18, .085."""
    rng = np.random.default_rng(20)
    over_raters, over_both = [], []
    for _ in range(2000):
        cells = _cells(rng, raters, faces, n, rater, face, per_cell)
        wins, names = cells.sum(axis=(0, 1)), list("abcdef"[:n])
        both, one = bradley_terry(wins, names, by_cell=cells), bradley_terry(wins, names, by_rater=cells.sum(axis=1))
        over_both.append(np.nanmin(both.p, initial=1.0) < ALPHA)
        over_raters.append(np.nanmin(one.p, initial=1.0) < ALPHA)
    said = f"Bradley-Terry {raters} raters x {faces} faces, sd {rater} and {face}"
    assert _level(f"{said}: raters and faces", over_both) < ALPHA + _band(2000)
    level = _level(f"{said}: raters only", over_raters)
    assert level > 0.2 if face else level < ALPHA + _band(2000)


def _seen(design: str, rng: np.random.Generator) -> np.ndarray:
    if design in ("3 of 40 raters do everything", "3 of 40 faces seen by all"):
        seen = np.zeros((40, 40), dtype=bool)
        seen[:3] = True
        seen[np.arange(3, 40), rng.integers(0, 40, 37)] = True
        return seen if "raters" in design else seen.T
    if design == "30 % missing":
        return rng.random((20, 20)) > 0.3
    if design == "each rater sees 8 of 40 faces":
        seen = np.zeros((20, 40), dtype=bool)
        seen[np.arange(20)[:, None], (8 * np.arange(20)[:, None] + np.arange(8)) % 40] = True
        return seen
    return np.ones((int(design.split(maxsplit=1)[0]), 20), dtype=bool)


@pytest.mark.parametrize("design", [
    "3 of 40 raters do everything", "3 of 40 faces seen by all", "30 % missing", "each rater sees 8 of 40 faces", "2 raters", "3 raters", "5 raters",
])  # fmt: skip
@pytest.mark.parametrize(("rater", "face"), [(0.25, 0.35), (0.5, 0.0)])
def test_clustered_t_of_uneven_ratings(design: str, rater: float, face: float) -> None:
    """With min(raters, faces) - 1 degrees of freedom 3 of 40 raters doing everything gave .125 to .181."""
    rng = np.random.default_rng(21)
    found = []
    for _ in range(2000):
        seen = _seen(design, rng)
        x = 3 + 0.5 * rng.normal(size=(len(seen), 1, 1)) + 0.5 * rng.normal(size=(1, seen.shape[1], 1))
        x = x + rater * rng.normal(size=(len(seen), 1, 2)) + face * rng.normal(size=(1, seen.shape[1], 2))
        x = np.where(seen[..., None], np.clip(np.rint(x + 0.9 * rng.normal(size=(*seen.shape, 2))), 1, 5), np.nan)
        found.append(clustered_difference(x[..., 0], x[..., 1]).p < ALPHA)
    assert _level(f"clustered t, {design}, sd {rater} and {face}", found) < ALPHA + _band(2000)


DRAWN: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "lognormal": (lambda rng, size: rng.lognormal(size=size), float(np.exp(0.5))),
    "uniform": (lambda rng, size: rng.uniform(size=size), 0.5),
    "t, 3 df": (lambda rng, size: rng.standard_t(3, size), 0.0),
    "0/1, .2": (lambda rng, size: (rng.random(size) < 0.2).astype(float), 0.2),
    "five-point": (lambda rng, size: rng.choice([1.0, 2, 3, 4, 5], p=[0.05, 0.1, 0.2, 0.4, 0.25], size=size), 3.7),
}


@pytest.mark.parametrize("n", [3, 5, 8, 12, 20, 40, 41, 60, 100, 250, 500])
def test_intervals_of_a_mean_cover(n: int) -> None:
    """The percentile bootstrap covered .73 at n = 3 and .88 at 8 of normal values, BCa .89 to .93 of 41 to 250 lognormal ones.

    Values that are all alike (0/1, few of them) tell nothing of the rest and are not counted: a share has Wilson's interval.
    """
    rng = np.random.default_rng(22)
    for name, (draw, mean) in DRAWN.items():
        x = draw(rng, (n, 4000))
        found = mean_intervals(x[:, np.ptp(x, axis=0) > 0])
        covered = _level(f"interval of {n} {name} values covers", [i.low <= mean + 1e-9 and mean - 1e-9 <= i.high for i in found])
        assert covered >= 0.925  # .93 less the simulation's own error
    for level in (0.9, 0.99):
        found = mean_intervals(rng.lognormal(size=(n, 4000)), level)
        assert (
            _level(f"{level:.0%} interval of {n} lognormal values covers", [i.low <= np.exp(0.5) <= i.high for i in found])
            > level - 0.02
        )


@pytest.mark.parametrize("faces", [3, 5, 8, 12, 20])
def test_correlations_of_few_faces_cover(faces: int) -> None:
    rng = np.random.default_rng(23)

    def draw(k: int) -> tuple[np.ndarray, np.ndarray]:
        base, face = np.linspace(0, 2, 4), 0.5 * rng.normal(size=(k, 1))
        mos = 3 + base + face + 0.4 * rng.normal(size=(k, 4))
        return (base + 0.5 * face + 0.7 * rng.normal(size=(k, 4)) + 0.4 * rng.normal(size=(k, 1))).ravel(), mos.ravel()

    x, y = draw(50_000)
    truth = float(np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1])
    covered = []
    for _ in range(2000):
        x, y = draw(faces)
        found = metrics_against_people({"m": x}, y, np.full(len(y), 0.3), list(np.repeat(np.arange(faces), 4)), draws=1)
        covered.append(found.agreements[0].srocc.low <= truth <= found.agreements[0].srocc.high)
    assert _level(f"SROCC of {faces} faces x 4 conditions covers", covered) >= 0.93 - 0.01


def test_equally_good_metrics_are_not_ranked() -> None:
    rng = np.random.default_rng(9)
    split = []
    for k in range(150):
        mos = rng.uniform(1, 5, 80)
        metrics = {"a": mos + rng.normal(0, 1, 80), "b": mos + rng.normal(0, 1, 80)}
        found = metrics_against_people(metrics, mos, np.full(80, 0.3), draws=200, seed=k)
        split.append(len(found.as_good) < 2)
    # "best" is chosen by looking, so its test against the other is two-sided: .05
    assert _level("best metric set apart from an equal one", split) < ALPHA + _band(150)


def test_alpha_of_noise_covers_zero() -> None:
    rng = np.random.default_rng(10)
    found = [krippendorff_alpha(rng.integers(1, 6, (40, 12)).astype(float), draws=200, seed=k) for k in range(150)]
    assert _level("alpha of noise: interval covers 0", [a.low <= 0 <= a.high for a in found]) > 0.85
