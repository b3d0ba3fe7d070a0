"""A whole study at once, and the sentences that guard its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.analysis import analyse_mos
from facesr.bench.stats.guards import (
    equality_guards,
    guard_pair,
    noise_guard,
    ordinal_guard,
    precision_guard,
    screening_guard,
)
from facesr.bench.stats.mos import condition_mos, difference_scores
from facesr.bench.stats.pairwise import compare_conditions


def _ratings(effects: dict[str, float], raters: int = 16, faces: int = 12, interaction: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shape = (raters, faces, len(effects))
    x = (
        3
        + rng.normal(0, 0.4, (raters, 1, 1))
        + np.array(list(effects.values()))
        + rng.normal(0, interaction, (1, faces, len(effects)))
    )
    x = np.clip(np.rint(x + rng.normal(0, 0.7, shape)), 1, 5)
    index = np.stack(np.meshgrid(range(raters), range(faces), list(effects), indexing="ij"), axis=-1).reshape(-1, 3)
    frame = pd.DataFrame(index, columns=["rater", "face", "condition"]).astype(str)
    return frame.assign(score=x.ravel(), kind="main", simulated=True)


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    main = _ratings({"hr": 1.0, "psp": 0.8, "bicubic": -1.0})
    repeats = main.sample(30, random_state=0).assign(kind="repeat")
    return pd.concat([main, repeats])


def test_everything_a_report_needs(ratings: pd.DataFrame) -> None:
    found = analyse_mos(ratings, reference="hr", screening="bt500", declared="bt500", claimed_equal=[("psp", "hr")], draws=100)
    assert found.ratings == 16 * 12 * 3
    assert found.simulated == len(ratings)
    by_name = {m.condition: m for m in found.conditions}
    one = by_name["psp"]
    assert (one.n, one.raters, one.faces, sum(one.histogram)) == (192, 16, 12, 192)
    rows = ratings[(ratings["condition"] == "psp") & (ratings["kind"] == "main")]["score"]
    assert [one.mean, one.sd, one.top_two] == pytest.approx([rows.mean(), rows.std(), (rows >= 4).mean()])
    assert one.over_raters.high - one.over_raters.low > one.naive.high - one.naive.low
    assert [m.condition for m in found.dmos] == ["psp", "bicubic"]
    assert found.dmos[0].mean == pytest.approx(5 + by_name["psp"].mean - by_name["hr"].mean)
    assert sum(found.dmos[0].histogram) == 192
    assert found.bias_removed[0].mean == pytest.approx(by_name["hr"].mean)
    assert found.recovered_mos["bicubic"] == pytest.approx(by_name["bicubic"].mean, abs=0.1)
    assert found.intra is not None
    assert found.intra.pairs == 30
    assert found.intra.exact == 1.0
    assert found.omnibus is not None
    assert found.omnibus.p < 1e-5
    assert found.letters["hr"][0] == "a"
    assert not set(found.letters["bicubic"]) & set(found.letters["hr"])
    assert found.screened.screening.rule == "bt500"
    assert found.components.rater > 0.2
    assert 0 < found.alpha.value < 1
    assert "screened_after_looking" not in {g.kind for g in found.guards}


def test_screening_gives_both_results() -> None:
    frame = _ratings({"a": 1.5, "b": -1.5, "c": 0.0}, raters=60, faces=40)
    contrary = frame["rater"] == "7"
    frame.loc[contrary, "score"] = 6 - frame.loc[contrary, "score"]
    found = analyse_mos(frame, screening="vqeg-hdtv", declared="none", draws=20)
    assert found.screened.rejected == ("7",)
    assert found.conditions[0].raters == 60
    assert found.screened.conditions[0].raters == 59
    sentence = next(g.sentence for g in found.guards if g.kind == "screened_after_looking")
    assert sentence.startswith("1 rater was screened out by 'vqeg-hdtv', but the declared rule was 'none'")


def test_mistakes_are_refused(ratings: pd.DataFrame) -> None:
    with pytest.raises(FaceSRError, match="1 scores lie outside the scale 1 to 5, such as 9"):
        analyse_mos(ratings.assign(score=ratings["score"].where(np.arange(len(ratings)) != 0, 9)))
    with pytest.raises(FaceSRError, match="no condition 'HR' to take differences from"):
        analyse_mos(ratings, reference="HR", draws=10)


def test_dmos_of_the_reference_itself_is_the_top_and_may_be_crushed() -> None:
    from facesr.bench.stats.cube import cube

    study = cube(_ratings({"hr": -1.0, "sr": 1.0}))
    plain = difference_scores(study, "hr")
    assert plain.conditions == ("sr",)
    assert plain.values.max() > 5
    crushed = difference_scores(study, "hr", crush=True)
    above = plain.values > 5
    np.testing.assert_allclose(crushed.values[above], 7 * plain.values[above] / (2 + plain.values[above]))
    assert (crushed.values[~above] == plain.values[~above]).all()
    assert condition_mos(plain)[0].mean > 5


def test_guard_for_a_difference_only_mann_whitney_sees() -> None:
    """A face x method interaction and no true difference: the pooled test is fooled, the guard says so."""
    from facesr.bench.stats.cube import cube

    frames = (cube(_ratings({"a": 0.0, "b": 0.0}, 20, 8, interaction=0.8, seed=s)) for s in range(12))
    kinds = [{g.kind for g in guard_pair(compare_conditions(study)[0])} for study in frames]
    flagged = sum("mwu_not_clustered" in k for k in kinds)
    assert flagged >= 3


def test_every_guard_speaks() -> None:
    from facesr.bench.stats.cube import cube

    pair = compare_conditions(cube(_ratings({"a": 0.0, "b": 0.3})))[0]
    paper = replace(pair.paper, p=1e-6)
    quiet = replace(
        pair,
        paper=replace(pair.paper, p=0.6),
        p_paper_holm=0.6,
        p=0.6,
        p_holm=0.6,
        p_left_out=(0.5, 0.7),
        difference=-0.3,
        a12=0.45,
    )
    assert guard_pair(quiet) == []
    mwu = replace(quiet, paper=paper, p_paper_holm=1e-6, p=0.08, p_holm=0.08, detectable=0.5)
    assert {g.kind for g in guard_pair(mwu)} == {"mwu_not_clustered", "below_detectable"}
    assert "p = 1.0e-6" in guard_pair(mwu)[0].sentence
    assert "p = .080" in guard_pair(mwu)[0].sentence
    signs = replace(quiet, paper=paper, difference=-0.2, a12=0.55, detectable=0.1)
    assert [g.kind for g in guard_pair(signs)] == ["signs_disagree"]
    fragile = replace(quiet, p=0.04, p_holm=0.04, p_left_out=(0.01, 0.2))
    assert [g.kind for g in guard_pair(fragile)] == ["hangs_on_one"]
    real = replace(quiet, p=0.001, p_holm=0.001, p_left_out=(0.0, 0.01), difference=0.2, a12=0.55)
    small = noise_guard(real, 0.9)
    assert small is not None
    assert small.kind == "below_rater_noise"
    assert noise_guard(real, 0.2) is None
    claimed = equality_guards([quiet], [("b", "a")])
    assert [g.kind for g in claimed] == ["equal_without_tost"]
    assert [g.kind for g in equality_guards([quiet])] == ["neither"]
    assert quiet.equivalence is not None
    equal = replace(quiet, equivalence=replace(quiet.equivalence, p=0.01))
    assert equality_guards([equal], [("a", "b")]) == []
    assert screening_guard("bt500", "bt500", declared_before_ratings=True, rejected=3) is None
    late = screening_guard("bt500", "bt500", declared_before_ratings=False, rejected=3)
    assert late is not None
    assert "3 raters were screened out" in late.sentence
    assert ordinal_guard(["a", "b"], ["a", "b"]) is None
    turned = ordinal_guard(["b", "a"], ["a", "b"])
    assert turned is not None
    assert turned.sentence.startswith("By the ordinal model the order is b > a, by MOS a > b")
    heavy = precision_guard(9.0, 900)
    assert heavy is not None
    assert "worth about 100 independent ones" in heavy.sentence
    assert precision_guard(1.2, 900) is None
