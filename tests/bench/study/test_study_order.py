"""The order of trials: the figures of the study design are asserted on the plan itself."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesr.bench.errors import FaceSRError
from facesr.bench.study.design import Design, plan_digest
from facesr.bench.study.order import Trial, order_figures, subsets, williams

SIX = ["hr", "bicubic", "fsrnet", "pix2pixhd", "pulse", "psp"]


def design(**changes: object) -> Design:
    """The paper's study: 40 raters x 40 faces x 6 conditions, 20 + 20 anchors."""
    values: dict[str, object] = {
        "name": "paper",
        "method": "acr",
        "conditions": SIX,
        "faces": [f"f{k}" for k in range(40)],
        "low_faces": [f"a{k}" for k in range(20)],
        "high_faces": [f"b{k}" for k in range(20)],
        "gold_faces": [],
        "raters": 40,
        "seed": 0,
        "created": "2026-01-01T00:00:00.000Z",
    }
    return Design(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("n", range(2, 10))
def test_williams_square(n: int) -> None:
    """Williams 1949: every row a permutation; each ordered pair adjacent equally often; i before j in half of the rows."""
    square = williams(n)
    assert square.shape == (n if n % 2 == 0 else 2 * n, n)
    assert all(sorted(row) == list(range(n)) for row in square.tolist())
    adjacent = Counter(pair for row in square.tolist() for pair in pairwise(row))
    assert len(adjacent) == n * (n - 1)
    assert set(adjacent.values()) == {1 if n % 2 == 0 else 2}
    before = Counter(pair for row in square.tolist() for pair in combinations(row, 2))
    assert set(before.values()) == {len(square) // 2}


def test_a_cyclic_square_would_not_do() -> None:
    """The trap the Williams square avoids: with plain rotation the first condition precedes the last in 1 of 6 rows, P = 0.17."""
    rows = [[Trial("main", "f", SIX[(r + p) % 6]) for p in range(6)] for r in range(6)]
    figures = order_figures(rows, SIX)
    assert figures["precede_low"] == pytest.approx(1 / 6)
    assert figures["precede_high"] == pytest.approx(5 / 6)


def test_the_papers_study_is_balanced() -> None:
    """40 raters x 240: gap >= 12, P(i before j) in [.49, .51], each condition 266 or 267 times in each sixth, give or take 2."""
    rows = design().rows()
    assert all(len(row) == 40 + 240 for row in rows)
    figures = order_figures(rows, SIX)
    assert figures["min_gap"] >= 12
    assert 0.49 <= figures["precede_low"] <= figures["precede_high"] <= 0.51
    assert 264 <= figures["part_low"] <= figures["part_high"] <= 269  # ideal 1600 / 6 = 266.7
    assert 253 <= figures["carry_low"] <= figures["carry_high"] <= 280  # ideal 40 * 239 / 36 = 265.6; plain chance gives 253-352
    for row in rows:
        cells = Counter((t.face, t.condition) for t in row if t.kind == "main")
        assert len(cells) == 240
        assert set(cells.values()) == {1}


def test_anchors_come_first_mixed_and_from_other_faces() -> None:
    """20 of the lowest and 20 of the highest grade before the first rating, from faces that are not rated."""
    for row in design().rows()[:3]:
        kinds = [t.kind for t in row]
        assert Counter(kinds[:40]) == {"anchor_low": 20, "anchor_high": 20}
        assert not any(k.startswith("anchor") for k in kinds[40:])
        assert not {t.face for t in row[:40]} & {t.face for t in row[40:]}
        assert kinds[:20] != ["anchor_low"] * 20


def test_the_plan_is_a_function_of_the_seed() -> None:
    """The same design gives the same plan; another seed another one; two raters see different orders."""
    assert plan_digest(design().rows()) == plan_digest(design().rows())
    assert plan_digest(design(seed=1).rows()) != plan_digest(design().rows())
    rows = design().rows()
    assert [t.face for t in rows[0]] != [t.face for t in rows[1]]


def test_repeats_gold_and_attention_keep_the_gap() -> None:
    """Repeats of the first half in the second; gold and attention spread over the session; still 12 trials between two views."""
    rows = design(repeats=24, gold=6, attention=4, gold_faces=[f"g{k}" for k in range(6)], raters=6).rows()
    assert order_figures(rows, SIX)["min_gap"] >= 12
    for row in rows:
        counts = Counter(t.kind for t in row)
        assert counts == {"main": 240, "repeat": 24, "gold": 6, "attention": 4, "anchor_low": 20, "anchor_high": 20}
        rated = row[40:]
        first = {(t.face, t.condition): i for i, t in enumerate(rated) if t.kind == "main"}
        again = [(i, t) for i, t in enumerate(rated) if t.kind == "repeat"]
        assert all(i > first[t.face, t.condition] + 12 for i, t in again)
        assert len({(t.face, t.condition) for _, t in again}) == 24
        checks = [i for i, t in enumerate(rated) if t.kind in {"gold", "attention"}]
        assert max(b - a for a, b in pairwise([0, *checks, len(rated)])) < len(rated) / 3


def test_gold_and_attention_have_right_answers() -> None:
    """HR at least the second-best grade, nearest at most the second-worst; an attention item exactly the key it asks for."""
    row = design(gold=4, attention=5, gold_faces=["g0", "g1"], raters=1).rows()[0]
    gold = {(t.condition, t.low, t.high) for t in row if t.kind == "gold"}
    assert gold == {("nearest", 1, 2), ("hr", 4, 5)}
    attention = [t for t in row if t.kind == "attention"]
    assert len(attention) == 5
    assert all(t.low == t.high and t.low in range(1, 6) and not t.face for t in attention)


@settings(max_examples=40, deadline=None)
@given(faces=st.integers(2, 60), raters=st.integers(1, 50), seed=st.integers(0, 5), data=st.data())
def test_subsets_are_balanced(faces: int, raters: int, seed: int, data: st.DataObject) -> None:
    """A partial design: nobody sees a face twice, and every face is seen equally often, give or take one."""
    per_rater = data.draw(st.integers(1, faces))
    hands = subsets(faces, per_rater, raters, np.random.default_rng(seed))
    assert all(len(set(hand.tolist())) == per_rater for hand in hands)
    seen = np.bincount(np.concatenate(hands), minlength=faces)
    assert seen.max() - seen.min() <= 1


def test_partial_design_shows_more_faces() -> None:
    """200 faces, 40 a rater: 1,600 ratings a condition as before, each face by 8 raters, in all six conditions."""
    rows = design(faces=[f"f{k}" for k in range(200)], faces_per_rater=40).rows()
    cells = Counter((t.face, t.condition) for row in rows for t in row if t.kind == "main")
    assert len(cells) == 200 * 6
    assert set(cells.values()) == {8}
    figures = order_figures(rows, SIX)
    assert figures["min_gap"] >= 12
    assert 0.49 <= figures["precede_low"] <= figures["precede_high"] <= 0.51


CHOICES = [["a", "b"], ["a", "b", "c"], SIX, [*SIX, "nearest"]]
PAIRS = [(c, n) for c in CHOICES for n in (1, 2, 3) if n <= len(c) * (len(c) - 1) // 2]


@pytest.mark.parametrize(("conditions", "per_face"), PAIRS)
def test_pairs_are_balanced(conditions: list[str], per_face: int) -> None:
    """Every ordered pair (which is left, which right) equally often; a rater never compares the same two of a face twice."""
    ordered = len(conditions) * (len(conditions) - 1)
    rows = design(method="pair", conditions=conditions, pairs_per_face=per_face, low_faces=[], high_faces=[], raters=ordered).rows()
    counts = Counter((t.condition, t.other) for row in rows for t in row)
    assert len(counts) == ordered
    assert max(counts.values()) - min(counts.values()) <= 0.02 * max(counts.values()) + 1
    for row in rows[:3]:
        both = Counter((t.face, frozenset((t.condition, t.other))) for t in row)
        assert set(both.values()) == {1}
    assert order_figures(rows, conditions)["min_gap"] >= 12 if per_face > 1 else True


def test_impossible_gap_names_the_remedy() -> None:
    """4 faces cannot keep 12 trials between two views of one."""
    with pytest.raises(FaceSRError, match=r"at least 13 faces a rater, here 4: give --gap 3"):
        design(faces=["a", "b", "c", "d"]).rows()


def test_order_figures_see_a_bad_order() -> None:
    """The measure itself: a face shown twice in a row has gap 0, and a fixed order of conditions has P = 0 and 1."""
    bad = [[Trial("main", f, c) for f in "ab" for c in ("x", "y")] for _ in range(3)]
    figures = order_figures(bad, ["x", "y"])
    assert figures["min_gap"] == 0
    assert (figures["precede_low"], figures["precede_high"]) == (0, 1)
