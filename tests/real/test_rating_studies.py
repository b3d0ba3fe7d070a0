"""Published figures reproduced from real ratings: the ITU's demo, sureal 0.9.0, Blizzard (CrowdMOS), TU Ilmenau, Qub3k.

What everybody can check of the same code is in ``tests/bench/stats`` (sureal's figures of simulated ratings) and in docs/conformance.md.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import rating_options, read
from facesr.bench.stats import screening
from facesr.bench.stats.agreement import intra_rater
from facesr.bench.stats.analysis import analyse_mos
from facesr.bench.stats.clustered import clustered_mean, components
from facesr.bench.stats.cube import Cube, cube
from facesr.bench.stats.mos import crowdmos_interval
from facesr.bench.stats.pairwise import compare_pair
from facesr.bench.stats.recovery import recover, remove_bias, table_means, table_sd
from facesr.bench.study.check import check_ratings
from facesr.cli import main
from facesr.reports.mos import open_study, pairs_table
from facesr.reports.table import Table
from private_files import needed

needed("rating tables of published studies")

TOLERANCE = 1e-9
SUREAL = ["NFLX_dataset_public_raw", "NFLX_dataset_public_raw_last4outliers", "VQEGHD3_dataset_raw"]


@pytest.fixture(scope="module")
def mos(fixtures: Path) -> Path:
    return fixtures / "mos"


def _table(path: Path, stimulus: str, rater: str, score: str) -> Any:
    frame = pd.read_csv(path)
    return frame.pivot_table(index=stimulus, columns=rater, values=score, sort=False, aggfunc="first").to_numpy(float)


@pytest.fixture(params=SUREAL)
def sureal(request: pytest.FixtureRequest, mos: Path) -> tuple[Any, dict[str, Any]]:
    """A (stimuli, raters) table and what sureal 0.9.0 (Apache-2.0) makes of it."""
    figures = json.loads((mos / "sureal_0.9.0_reference_figures.json").read_text())
    return _table(mos / f"{request.param}.csv", "stimulus", "subject", "score"), figures[f"resource/dataset/{request.param}.py"]


def _same(scores: Any, expected: dict[str, Any]) -> None:
    quality = table_means(scores, 1)
    found = [quality.mean(), quality.var(), quality[0], quality[-1]]
    np.testing.assert_allclose(found, [expected[k] for k in ("mean", "var", "first", "last")], atol=TOLERANCE, rtol=0)
    se = (table_sd(scores, 1, 1) / np.sqrt(np.isfinite(scores).sum(axis=1))).sum()
    assert se == pytest.approx(expected["sum_se"], abs=TOLERANCE)


def test_mos_and_standard_errors_match_sureal(sureal: tuple[Any, dict[str, Any]]) -> None:
    table, expected = sureal
    _same(table, expected["MOS"])


def test_bt500_literal_matches_sureal(sureal: tuple[Any, dict[str, Any]]) -> None:
    table, expected = sureal
    found = screening.bt500_literal(table)
    assert list(found.rejected) == expected["BT500"]["rejected"]
    _same(np.delete(table, found.rejected, axis=1), expected["BT500"])


def test_bias_removal_matches_sureal(sureal: tuple[Any, dict[str, Any]]) -> None:
    table, expected = sureal
    removed = remove_bias(table)
    assert removed.bias.var() == pytest.approx(expected["BR_MOS"]["bias_var"], abs=TOLERANCE)
    _same(removed.scores, expected["BR_MOS"])
    found = screening.p913_bias_bt500(table, 0, literal=True)
    assert list(found.rejected) == expected["P913"]["rejected"]
    _same(np.delete(removed.scores, found.rejected, axis=1), expected["P913"])


def test_maximum_likelihood_matches_sureal(sureal: tuple[Any, dict[str, Any]]) -> None:
    table, expected = sureal
    p910, found = expected["P910"], recover(table)
    ours = [found.quality.mean(), found.quality.var(), found.quality[0], found.quality[-1], found.se.sum(), found.bias.var(),
            found.inconsistency.mean(), found.inconsistency.var()]  # fmt: skip
    theirs = [p910["mean"], p910["var"], p910["first"], p910["last"], p910["sum_se"], p910["bias_var"], *p910["incons"]]
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)


def test_standard_errors_of_raters_match_sureal(mos: Path) -> None:
    # sureal's other solver weighs by 1 / variance without the ITU's 1e-8: agreement to its digits, 8.907545
    found = recover(_table(mos / "NFLX_dataset_public_raw.csv", "stimulus", "subject", "score"))
    assert found.se_raters.sum() == pytest.approx(8.9075450166, abs=2e-7)


def test_itu_demo(mos: Path) -> None:
    """The ITU-T P.910 Appendix VI demo's printed vectors (sureal at 526715c, itut_p910_demo/README.md)."""
    found = recover(np.genfromtxt(mos / "itu_p910_demo_26subj_79pvs.csv", delimiter=","))
    assert found.quality[:3] == pytest.approx([4.926232195563247, 4.871884030934237, 4.660024317825715], abs=TOLERANCE)
    assert found.bias[:3] == pytest.approx([-0.189852445792812, -0.20251067364091327, 0.24052730104263095], abs=TOLERANCE)
    assert found.inconsistency[:3] == pytest.approx([1.8339364220090855, 1.792802362622858, 1.605246371617004], abs=TOLERANCE)
    assert found.se[:3] == pytest.approx([0.1548785178603921, 0.19724755984636633, 0.1232903501245844], abs=1e-8)
    assert found.quality[-1] == pytest.approx(4.5726059728251345, abs=TOLERANCE)


def test_itu_bt500_demo_with_repetitions(mos: Path) -> None:
    """Both repetitions of the demo: a rater's bias and noise are shared, and repeating the same votes changes no estimate."""
    lines = (mos / "itu_bt500_demo_20subj_30pvs_2rep.csv").read_text().splitlines()
    cut = lines.index(",")
    first, second = (np.array([[float(v) for v in line.split(",")] for line in part]) for part in (lines[:cut], lines[cut + 1 :]))
    found = recover(np.stack([first, second], axis=2))
    assert found.quality.shape == (30,)
    assert found.bias.mean() == pytest.approx(0, abs=1e-12)
    once, twice = recover(first), recover(np.stack([first, first], axis=2))
    np.testing.assert_allclose(once.quality, twice.quality, atol=1e-9)
    np.testing.assert_allclose(once.inconsistency, twice.inconsistency, atol=1e-9)


def test_agh_with_gaps(mos: Path) -> None:
    """320 x 99 with 13,860 missing votes (sureal's own test set)."""
    table = _table(mos / "quality_variation_2017_agh_tv_dataset.csv", "stimulus", "subject", "score")
    assert table.shape == (320, 99)
    assert int(np.isnan(table).sum()) == 13860
    mean, found = table_means(table, 1), recover(table)
    ours = [mean.mean(), mean.var(), found.quality.var()]
    assert ours == pytest.approx([2.511045194593, 0.824821134549, 0.821177969965], abs=TOLERANCE)
    assert [found.inconsistency.mean(), found.inconsistency.var()] == pytest.approx([0.595839, 0.013083], abs=5e-7)
    assert [found.se_raters.sum(), found.se.sum()] == pytest.approx([24.954073, 26.254631], abs=1e-6)
    assert found.bias.var() == pytest.approx(0.145178903, abs=TOLERANCE)
    assert screening.bt500_literal(table).rejected == ()


def test_noisy_raters_weigh_less(mos: Path) -> None:
    """NFLX with five raters replaced by noise: sureal's asserted figures (test/subjective_model_test.py l.1001-1132)."""
    table = np.load(mos / "nflx_corrupt5_seed0.npy")
    literal = screening.bt500_literal(table)
    assert literal.rejected == (0, 1)
    kept = table_means(np.delete(table, literal.rejected, axis=1), 1)
    assert [kept.mean(), kept.var()] == pytest.approx([3.5611814346, 1.1049505733], abs=TOLERANCE)
    found = recover(table)
    ours = [found.quality.var(), found.inconsistency.mean(), found.se.sum()]
    assert ours == pytest.approx([1.3559834679, 0.8091663380, 13.7114867660], abs=5e-9)
    noise = set(np.argsort(-found.inconsistency)[:5])
    assert noise == set(range(5))  # screening finds one or two of the five, the weights all of them


def test_its4s2_images(mos: Path) -> None:
    """22,864 ratings of 1,429 images by 16 raters (Qub3k, MIT)."""
    table = _table(mos / "qub3k_its4s2_results.csv", "PVS_id", "Tester_id", "Score")
    assert table.shape == (1429, 16)
    assert table_means(table, 1).mean() == pytest.approx(3.254767320, abs=TOLERANCE)
    found = recover(table)
    ours = [found.quality.var(), found.inconsistency.mean(), found.bias.var()]
    assert ours == pytest.approx([0.548877153, 0.655776516, 0.241796961], abs=TOLERANCE)
    assert screening.bt500(table).rejected == ()


def test_unanimous_items_must_not_reject_a_third_of_a_panel(mos: Path) -> None:
    """VQEG HDTV1: three unanimous clips make the literal rule reject 8 of 24 raters; skipped, nobody is rejected."""
    table = _table(mos / "qub3k_hdtv1_results.csv", "PVS_id", "Tester_id", "Score")
    assert table_means(table, 1).mean() == pytest.approx(3.008680556, abs=TOLERANCE)
    assert screening.bt500_literal(table).rejected == (0, 3, 5, 8, 11, 12, 13, 21)
    assert screening.bt500_literal(table, 1).rejected == (0, 3, 5, 11, 12, 13, 21)
    assert screening.bt500(table).rejected == ()


# MOS and CI95 asserted by stefantaubert/mean-opinion-score (MIT), in 32-bit floats: tolerance 2e-7.
BLIZZARD = {
    "paid_participants": ([4.8875, 2.8625, 2.8375, 2.4375], [0.08334564, 0.27342203, 0.29472297, 0.24695815]),
    "online_volunteers": ([4.903226, 3.1935484, 2.935484, 2.8064516], [0.11203187, 0.29539856, 0.3842204, 0.39001012]),
    "crowdmos1_hp": ([4.908, 2.930328, 2.9626555, 2.580247], [0.11618882, 0.4321971, 0.50067484, 0.45428753]),
    "crowdmos2_hp": ([4.921941, 2.8311965, 3.0, 2.811159], [0.051524, 0.4005236, 0.34172955, 0.34118438]),
    "crowdmos2_ls": ([4.8125, 2.8155339, 3.3615024, 3.1534884], [0.15285364, 0.58587676, 0.44803184, 0.5102908]),
}


@pytest.mark.parametrize("name", BLIZZARD)
def test_blizzard_mos_and_intervals(mos: Path, name: str) -> None:
    systems = np.array(json.loads((mos / f"blizzard_{name}.json").read_text()), dtype=np.float64)
    systems[systems == 0] = np.nan
    found = [crowdmos_interval(s) for s in systems[:4]]
    means, halves = BLIZZARD[name]
    assert [i.mean for i in found] == pytest.approx(means, abs=1e-6)
    assert [(i.high - i.low) / 2 for i in found] == pytest.approx(halves, abs=3e-7)


def test_published_ci_column_is_the_full_width(mos: Path) -> None:
    """TU Ilmenau's lab MOS: their "ci" is twice the t half width of our naive interval."""
    raw = pd.read_csv(mos / "tta_image_quality_test_lab_per_user.csv")
    for row in raw.dropna().head(20).itertuples(index=False):  # unanimous stimuli have no interval there
        found = clustered_mean(np.array(row[1:22], dtype=float)[:, None], "none")
        assert found.mean == pytest.approx(row.mos, abs=TOLERANCE)
        assert found.high - found.low == pytest.approx(row.ci, abs=TOLERANCE)


def test_raters_agree_with_themselves_as_published(mos: Path) -> None:
    """1,046 repeats in TU Ilmenau's crowd study: exact .676, within one .979, r .853 (reference/mos.md, section 5)."""
    connection = sqlite3.connect(f"file:{mos / 'tta_image_quality_test_crowd_ratings.db'}?mode=ro", uri=True)
    frame = pd.read_sql("select user_ID, stimuli_ID, rating_type, rating, timestamp from ratings", connection)
    connection.close()
    acr = frame[frame["rating"].isin(list("12345")) & ~frame["stimuli_ID"].isin(["-1", ""])]
    acr = acr[acr["rating_type"] == acr["rating_type"].mode()[0]].sort_values("timestamp", kind="stable")
    order = acr.groupby(["user_ID", "stimuli_ID"]).cumcount()
    both = acr[order == 0].merge(acr[order == 1], on=["user_ID", "stimuli_ID"])
    found = intra_rater(both["rating_x"].astype(float), both["rating_y"].astype(float))
    assert found.pairs == pytest.approx(1046, abs=3)
    assert [found.exact, found.within_one, found.r] == pytest.approx([0.676, 0.979, 0.853], abs=2e-3)


@pytest.fixture(scope="module")
def avt(mos: Path) -> pd.DataFrame:
    """AVT's AI images: raters x prompts x five generators, one row a rating, three scales."""
    frame = pd.read_csv(mos / "tta_avt_ai_images_ratings.csv")
    frame = frame[frame["rating_type"].isin(["range_image_appeal", "range_realism"])]
    parts = frame["stimuli_file"].str.split("/")
    frame = frame.assign(
        rater=frame["user_ID"].astype(str), condition=parts.str[2], face=parts.str[3], score=frame["rating"].astype(float)
    )
    return frame[frame["condition"] != "own"]


def _complete(avt: pd.DataFrame, scale: str) -> Cube:
    every = cube(avt[avt["rating_type"] == scale])
    return every.without([r for r, v in zip(every.raters, every.values, strict=True) if np.isnan(v).any()])


def test_avt_pair_that_flips(avt: pd.DataFrame) -> None:
    """Midjourney against DALL-E, 19 complete raters: MWU says 2.2e-6, the clustered test .08 (reference/mos.md, section 3.1)."""
    study = _complete(avt, "range_image_appeal")
    assert study.values.shape == (19, 27, 5)
    pair = compare_pair(study, "midjourney", "dall-e", leave_out=False)
    assert pair.difference == pytest.approx(0.33, abs=0.005)
    assert pair.paper.p == pytest.approx(2.2e-6, rel=0.03)
    assert pair.p == pytest.approx(0.082, abs=5e-4)
    assert [pair.low, pair.high] == pytest.approx([-0.05, 0.71], abs=0.005)
    realism = compare_pair(_complete(avt, "range_realism"), "midjourney", "stable_diffusion", leave_out=False)
    assert [realism.difference, realism.p] == pytest.approx([-0.46, 0.083], abs=5e-3)
    assert realism.paper.p == pytest.approx(1.4e-7, rel=0.03)


def test_avt_variance_components(avt: pd.DataFrame) -> None:
    """Residual .91/.86, rater .55, prompt .34, rater x prompt .31, rater x generator .27/.24, prompt x generator .36/.60."""
    appeal = components(_complete(avt, "range_image_appeal").values)
    assert list(vars(appeal).values()) == pytest.approx([0.55, 0.34, 0.27, 0.36, 0.31, 0.91], abs=0.006)
    realism = components(_complete(avt, "range_realism").values)
    assert [realism.rater_condition, realism.face_condition, realism.residual] == pytest.approx([0.24, 0.60, 0.86], abs=0.006)


def test_avt_crowdmos_interval(avt: pd.DataFrame) -> None:
    """CrowdMOS's two-way half width on these data is about .375, the naive one .102 (reference/mos.md, section 3.1)."""
    study = _complete(avt, "range_image_appeal")
    halves = [(i.high - i.low) / 2 for i in (crowdmos_interval(study.values[:, :, k]) for k in range(5))]
    assert np.mean(halves) == pytest.approx(0.375, abs=0.02)


# -- the same files through the readers, the analysis and the command ------------------------------------------------------------------


def test_avrate_crowd_study_of_tu_ilmenau(fixtures: Path) -> None:
    """24,782 ratings, 1,046 repeats, 1 duplicate; agreement with oneself exact .676, within one .979, r .853 (mos.md, section 5)."""
    found = read(fixtures / "mos/tta_image_quality_test_crowd_ratings.db")
    counts = found.counts
    assert (counts["ratings"], counts["repeats"], counts["duplicates"]) == (24_782, 1_046, 1)
    assert (counts["raters"], counts["items"]) == (238, 1_484)
    table = found.table
    key = ["rater", "face", "condition"]
    first = table[table["kind"] == "main"].set_index(key)["score"]
    again = table[table["kind"] == "repeat"].drop_duplicates(key).set_index(key)["score"]
    both = pd.concat([first, again], axis=1, keys=["a", "b"], join="inner")
    gap = (both["a"] - both["b"]).abs()
    assert len(both) == 1_046
    assert float((gap == 0).mean()) == pytest.approx(0.676, abs=5e-4)
    assert float((gap <= 1).mean()) == pytest.approx(0.979, abs=5e-4)
    assert float(np.corrcoef(both["a"], both["b"])[0, 1]) == pytest.approx(0.853, abs=5e-4)


def test_avrate_voyager_csv_shows_its_integrity_bugs(fixtures: Path) -> None:
    """3 of 22 finishers have an answer stored twice and one item never rated, 145 of 146 (mos.md, section 0)."""
    file = fixtures / "mos/tta_avt_ai_images_ratings.csv"
    with pytest.raises(FaceSRError, match=r"several scales \(range_image_appeal.*--rating-type"):
        read(file)
    findings = {f.kind: f for f in check_ratings(file, rating_options(rating_type="range_realism"))}
    assert (findings["double"].count, findings["missing"].count) == (3, 3)
    doubled = {e.split()[0] for e in findings["double"].examples}
    assert doubled == {e.split()[0] for e in findings["missing"].examples} == {"7", "17", "84"}


@pytest.mark.parametrize(
    ("name", "ratings", "mos"),
    [
        ("NFLX_dataset_public_raw.csv", 2_054, 3.544790652385589),
        ("quality_variation_2017_agh_tv_dataset.csv", 17_820, 2.511045194593),
        ("qub3k_its4s2_results.csv", 22_864, 3.254767320),
    ],
)
def test_long_tables(fixtures: Path, name: str, ratings: int, mos: float) -> None:
    """Means of MOS as sureal 0.9.0 computes them (its test/subjective_model_test.py, and mos.md section 2)."""
    found = read(fixtures / "mos" / name)
    assert found.counts["ratings"] == ratings
    means = found.table.groupby(["face", "condition"])["score"].mean()
    assert float(means.mean()) == pytest.approx(mos, abs=1e-9)


def test_training_rows_are_set_apart(fixtures: Path) -> None:
    """276 practice ratings of the AGH study are not ratings; no other is lost where a source has two files of one treatment (mos.md, 5)."""
    found = read(fixtures / "mos/qub3k_its4s_agh_results.csv")
    assert int((found.table["kind"] == "training").sum()) == 276
    assert int((found.table["kind"] == "main").sum()) == 5_076 - 276
    assert found.counts["repeats"] == 0


def test_repeats_that_the_study_planned(fixtures: Path) -> None:
    """AGH/NTIA: 29 raters saw 40 stimuli three times and 10 six times, which their file has no column for: 29 (40 x 2 + 10 x 5)."""
    found = read(fixtures / "mos/qub3k_agh_ntia_results.csv")
    assert found.counts["repeated ratings"] == 29 * (40 * 2 + 10 * 5)
    assert found.counts["repeats"] == 29 * 50


def test_one_column_per_rater(fixtures: Path) -> None:
    """21 lab raters of the same 371 images; the MOS beside them is theirs (columns mos and ci are no raters).

    Two images have a printed MOS of 22 votes (61/22, 36/22), one more than the file has columns for.
    """
    file = fixtures / "mos/tta_image_quality_test_lab_per_user.csv"
    found = read(file)
    assert (found.counts["raters"], found.counts["faces"]) == (21, 371)
    means = found.table.groupby("face")["score"].mean()
    printed = pd.read_csv(file).set_index("image_name")["mos"]
    gap = np.abs(means[printed.index] - printed)
    assert int((gap < 1e-12).sum()) == 369
    np.testing.assert_allclose(np.sort(gap)[-2:], [61 / 22 - 58 / 21, 36 / 22 - 33 / 21])


def test_real_study_end_to_end(fixtures: Path) -> None:
    """AVT's AI images, all 27 raters, gaps and all: the flipped pair is flagged and shares a letter."""
    frame = pd.read_csv(fixtures / "mos" / "tta_avt_ai_images_ratings.csv")
    frame = frame[frame["rating_type"] == "range_image_appeal"]
    parts = frame["stimuli_file"].str.split("/")
    frame = frame.assign(
        rater=frame["user_ID"].astype(str), condition=parts.str[2], face=parts.str[3], score=frame["rating"].astype(float)
    )
    complete = (
        frame[frame["condition"] != "own"].groupby("rater").filter(lambda g: len(g.drop_duplicates(["face", "condition"])) == 135)
    )
    found = analyse_mos(complete, draws=50)
    assert len(found.cube.raters) == 19
    flagged = {g.subject for g in found.guards if g.kind == "mwu_not_clustered"}
    assert flagged == {"midjourney and dall-e", "stable_diffusion and dall-e"}
    assert set(found.letters["midjourney"]) & set(found.letters["dall-e"])
    means = {m.condition: m.mean for m in found.conditions}
    assert max(means, key=lambda k: means[k]) == "midjourney"
    assert found.letters["glide"] == "d"


def words(table: Table, row: str, column: str) -> str:
    cell = table.cell(row, column)
    assert cell is not None
    return cell.text or ""


def test_a_real_study_shows_the_flip_that_pooled_tests_hide(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AVT's AI images, the 19 raters who finished: MWU 2.2e-6, clustered .082 [-.05, .71], as computed for reference/mos.md."""
    file = fixtures / "mos" / "tta_avt_ai_images_ratings.csv"
    pattern = r"(?P<condition>[^/]+)/(?P<face>p[0-9]+)\."
    arguments = [
        "study",
        "import",
        str(file),
        "--rating-type",
        "range_image_appeal",
        "--pattern",
        pattern,
        "--out",
        str(tmp_path / "avt"),
    ]
    assert main(arguments) == 0
    ratings_file = tmp_path / "avt" / "ratings.parquet"
    ratings = pd.read_parquet(ratings_file)
    ratings = ratings[ratings["condition"] != "own"]  # photographs, shown for a part of the prompts
    complete = ratings.drop_duplicates(["rater", "face", "condition"]).groupby("rater").size()
    ratings[ratings["rater"].isin(complete[complete == 135].index)].to_parquet(ratings_file)
    capsys.readouterr()
    result = open_study(tmp_path / "avt")
    table = pairs_table(result)
    row = "midjourney|dall-e"
    assert len(result.analysis.cube.raters) == 19 and len(result.analysis.cube.faces) == 27
    assert words(table, row, "mwu") == "2.2e-6" and words(table, row, "p") == ".082"
    assert words(table, row, "difference") == "0.33" and words(table, row, "ends") == "−0.05 to 0.71"
    assert any(g.kind == "mwu_not_clustered" and g.subject == "midjourney and dall-e" for g in result.analysis.guards)
    letters = result.letters
    assert set(letters["midjourney"]) & set(letters["dall-e"]) and not set(letters["midjourney"]) & set(letters["glide"])
