"""Wins of paired comparisons counted by hand, a leaning to one side, where repeats may stand, and how pairs are dealt to faces."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.study.adaptive import _deal
from facesr.bench.study.order import Trial, _fits, insert_repeats
from facesr.bench.study.pairs import preference_counts, sides, wins


def choices(*rows: tuple[str, str, str, str, float], kind: str = "main") -> pd.DataFrame:
    """Rater, face, left, right, score (1 left, 2 right, 3 tie)."""
    return pd.DataFrame(rows, columns=["rater", "face", "condition", "other", "score"]).assign(kind=kind)


def test_wins_are_counted_by_rater_and_face_and_a_tie_is_half_to_each() -> None:
    main = choices(
        ("r1", "f1", "a", "b", 1), ("r1", "f1", "c", "a", 2), ("r1", "f2", "b", "c", 3), ("r2", "f1", "b", "a", 1), ("r2", "f1", "a", "b", 2),
    )  # fmt: skip
    left_out = choices(("r3", "f1", "a", "b", 1), kind="repeat"), choices(("r2", "f2", "a", "b", np.nan))
    names, table = preference_counts(pd.concat([main, *left_out]), ["a", "b", "c"])
    assert names == ["a", "b", "c"]
    assert table.shape == (2, 2, 3, 3)
    expected = np.zeros((2, 2, 3, 3))
    expected[0, 0, 0, 1] = expected[0, 0, 0, 2] = 1
    expected[0, 1, 1, 2] = expected[0, 1, 2, 1] = 0.5
    expected[1, 0, 1, 0] = 2
    assert (table == expected).all()
    assert (wins(main, ["a", "b", "c"])[1] == expected.sum(axis=1)).all()


def test_a_file_without_sides_is_not_called_balanced() -> None:
    firsts = choices(*[("r1", f"f{i}", "a", "b", 1) for i in range(10)])
    assert "does not tell the sides" in sides(firsts)
    assert (
        sides(firsts.head(9))
        == "The left image was chosen in 100% of the decided choices (mean of 1 rater): no leaning to one side is shown."
    )
    rights = firsts.assign(score=2)
    assert "chosen in 0%" in sides(rights)
    assert sides(firsts.assign(score=3)) == ""


def test_a_leaning_is_said_and_what_it_moves() -> None:
    """Ten raters choose left in 15 or 16 of 20; pair a, b always stands that way round, or in half of the trials."""
    rows = [(f"r{r}", f"f{k}", "a", "b", 1.0 if k < 15 + r % 2 else 2.0) for r in range(10) for k in range(20)]
    said = sides(choices(*rows))
    assert said.startswith("The left image was chosen in 78% of the decided choices [7")
    assert "(mean of 10 raters): a leaning to one side; " in said
    assert said.endswith("1 of 1 pairs did not stand equally often on both sides, and are moved by it.")
    turned = [(r, f, *(("a", "b") if int(f[1:]) % 2 else ("b", "a")), score) for r, f, _, _, score in rows]
    assert sides(choices(*turned)).endswith("every pair stood equally often on both sides, so no pair is moved by it.")
    even = [(f"r{r}", f"f{k}", "a", "b", 1.0 + (k + r // 5) % 2) for r in range(10) for k in range(20)]
    assert "chosen in 50% of the decided choices (mean of 10 raters): no leaning" in sides(choices(*even))


@pytest.mark.parametrize(
    ("at", "view", "gap", "fits"),
    [
        (3, 2, 0, True),
        (3, 2, 1, False),
        (5, 2, 2, True),
        (5, 2, 3, False),
        (5, 5, 0, True),
        (5, 5, 1, False),
        (5, 6, 1, True),
        (5, 7, 3, False),
    ],
)
def test_where_a_repeat_fits(at: int, view: int, gap: int, fits: bool) -> None:
    """Between views at 2 and 5 lie two trials; what is at or after the new place moves back by one."""
    assert _fits(at, np.array([view]), gap) is fits


@pytest.mark.parametrize("seed", range(5))
def test_repeats_show_the_first_half_again_in_the_second(seed: int) -> None:
    trials = [Trial("main", f"f{i}", "a") for i in range(40)]
    made = insert_repeats(trials, 12, 6, np.random.default_rng(seed))
    again = [i for i, t in enumerate(made) if t.kind == "repeat"]
    assert len(again) == 12
    assert [t for t in made if t.kind == "main"] == trials
    for i in again:
        first = next(k for k, t in enumerate(made) if t.face == made[i].face)
        assert int(made[i].face[1:]) < 20
        assert i - first - 1 >= 6
        assert i >= 20
    assert len({made[i].face for i in again}) == 12


def test_too_many_repeats_are_refused_with_what_is_possible() -> None:
    trials = [Trial("main", f"f{i}", "a") for i in range(21)]
    assert len(insert_repeats(trials, 10, 0, np.random.default_rng(0))) == 31
    with pytest.raises(FaceSRError, match=r"11 repeats are more than half of the 21 trials: ask for at most 10$"):
        insert_repeats(trials, 11, 0, np.random.default_rng(0))
    with pytest.raises(FaceSRError, match="of 10 repeats keep 19 trials between two views"):
        insert_repeats(trials, 10, 19, np.random.default_rng(0))


def test_pairs_are_dealt_as_often_as_they_were_chosen() -> None:
    hands = _deal([(0, 1)] * 4 + [(1, 2)] * 2, 6, 1, 3, np.random.default_rng(0))
    assert Counter(pair for hand in hands for pair in hand) == {(0, 1): 4, (1, 2): 2}
    whole = _deal([(0, 1)] * 6, 2, 3, 3, np.random.default_rng(0))
    assert [sorted(hand) for hand in whole] == [[(0, 1), (0, 2), (1, 2)]] * 2
    with pytest.raises(FaceSRError, match=r"^3 conditions make 3 pairs, so a rater cannot see 4 of a face$"):
        _deal([(0, 1)], 2, 4, 3, np.random.default_rng(0))
