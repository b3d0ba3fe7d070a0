"""Who sees what when: Williams squares, gaps between two views of a face, balanced subsets. Pure functions on a seed.

A rater's session is a series of passes. Each pass shows each of the rater's faces once; the conditions of one face over the passes are
a row of a Williams square, so that every condition comes before every other one equally often. A cyclic Latin square would not do:
there the first condition comes before the last one in one row of six only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """One screen of the plan. ``condition`` is what is shown (left, in a pair), ``other`` the right one of a pair or ''."""

    kind: str
    face: str = ""
    condition: str = ""
    other: str = ""
    low: int | None = None
    """Lowest right answer of a gold or attention item; the value that an anchor stands for."""
    high: int | None = None


def williams(n: int) -> Ints:
    """A Williams square of ``n`` treatments: (n, n) for even n, (2n, n) for odd n; every row a permutation of 0..n-1.

    Each ordered pair (i, j) is adjacent equally often, and i precedes j in exactly half of the rows.
    Source: E. J. Williams, Australian Journal of Scientific Research A 2 (1949) 149.
    """
    if n < 1:
        raise FaceSRError(f"a Williams square needs at least one condition, not {n}")
    zigzag = np.array([(k + 1) // 2 if k % 2 else -(k // 2) for k in range(n)])
    square = (zigzag[None, :] + np.arange(n)[:, None]) % n
    return square.astype(np.int64) if n % 2 == 0 else np.concatenate([square, square[:, ::-1]]).astype(np.int64)


def subsets(faces: int, per_rater: int, raters: int, rng: np.random.Generator) -> list[Ints]:
    """Which faces each rater sees: every face is seen by the same number of raters, give or take one.

    Faces are dealt like cards, round after round, from a fresh shuffle each time; a rater never gets a face twice.
    """
    if per_rater > faces:
        raise FaceSRError(f"a rater cannot see {per_rater} faces of {faces}: give fewer images per rater")
    dealt: list[Ints] = []
    deck: list[int] = []
    for _ in range(raters):
        hand: list[int] = []
        while len(hand) < per_rater:
            if not deck:
                # Faces already in this hand go to the back of the new deck, so that the hand never holds one twice.
                fresh = [int(f) for f in rng.permutation(faces)]
                deck = [f for f in fresh if f not in hand] + [f for f in fresh if f in hand]
            hand.append(deck.pop(0))
        dealt.append(np.array(hand, dtype=np.int64))
    return dealt


@dataclass
class Carry:
    """How often each condition followed each other one so far, over all raters: the next slot takes the rarest step."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    last: str | None = None

    def choose(self, candidates: Sequence[int], labels: Sequence[str], rng: np.random.Generator) -> int:
        """One of ``candidates`` (indices into ``labels``), at random among those whose step from the last label is rarest."""
        weights = [self.counts.get((self.last, labels[c]), 0) if self.last is not None else 0 for c in candidates]
        rarest = min(weights)
        best = [c for c, w in zip(candidates, weights, strict=True) if w == rarest]
        chosen = int(best[int(rng.integers(len(best)))])
        if self.last is not None:
            self.counts[(self.last, labels[chosen])] = rarest + 1
        self.last = labels[chosen]
        return chosen


def weave(sequences: Sequence[Sequence[str]], gap: int, rng: np.random.Generator, carry: Carry) -> list[tuple[int, str]]:
    """Slots for the views of some faces: pass p shows ``sequences[face][p]``; at least ``gap`` trials lie between two views of a face.

    Returns (face, label) in order of presentation.
    """
    faces = len(sequences)
    passes = len(sequences[0])
    if passes > 1 and gap > faces - 1:
        raise FaceSRError(
            f"{gap} trials between two views of a face need at least {gap + 1} faces a rater, here {faces}: give --gap {faces - 1}"
        )
    slots: dict[int, int] = {}
    order: list[tuple[int, str]] = []
    for p in range(passes):
        labels = [sequences[f][p] for f in range(faces)]
        left = list(range(faces))
        for _ in range(faces):
            now = len(order)
            free = [f for f in left if f not in slots or now - slots[f] > gap]
            face = carry.choose(free, labels, rng)
            left.remove(face)
            slots[face] = now
            order.append((face, labels[face]))
    return order


def condition_sequences(n_faces: int, conditions: Sequence[str], rater: int) -> list[list[str]]:
    """The conditions of each of a rater's faces over the passes: row (face + rater) of the Williams square."""
    square = williams(len(conditions))
    return [[conditions[c] for c in square[(k + rater) % len(square)]] for k in range(n_faces)]


def pair_sequences(n_faces: int, conditions: Sequence[str], per_face: int, rater: int, rng: np.random.Generator) -> list[list[str]]:
    """``left|right`` labels for paired comparison: ``per_face`` pairs of each face, every ordered pair equally often over the study."""
    pairs = list(combinations(conditions, 2))
    if not 1 <= per_face <= len(pairs):
        raise FaceSRError(
            f"{len(conditions)} conditions make {len(pairs)} pair{'s' * (len(pairs) > 1)}, so a rater cannot see {per_face} pairs of a face"
        )
    ordered = [f"{a}|{b}" for a, b in pairs] + [f"{b}|{a}" for a, b in pairs]
    sequences = []
    for k in range(n_faces):
        start = (k + rater) * per_face
        seen = [ordered[(start + p) % len(ordered)] for p in range(per_face)]
        sequences.append([seen[i] for i in rng.permutation(per_face)])
    return sequences


def insert_repeats(trials: list[Trial], count: int, gap: int, rng: np.random.Generator) -> list[Trial]:
    """Show ``count`` trials of the first half again in the second half, ``gap`` trials away from every other view of that face."""
    main = [t for t in trials if t.kind == "main"]
    if count > len(main) // 2:
        raise FaceSRError(f"{count} repeats are more than half of the {len(main)} trials: ask for at most {len(main) // 2}")
    result = list(trials)
    # Trials whose face has no free place are passed over: only when too few are left the design is refused.
    candidates = [main[i] for i in rng.permutation(len(main) // 2)]
    placed = 0
    for trial in candidates:
        if placed == count:
            break
        views = np.array([i for i, t in enumerate(result) if t.face == trial.face])
        first = next(i for i, t in enumerate(result) if t == trial)
        places = [i for i in range(max(len(result) // 2, first + gap + 1), len(result) + 1) if _fits(i, views, gap)]
        if places:
            at = int(places[int(rng.integers(len(places)))])
            result.insert(at, Trial("repeat", trial.face, trial.condition, trial.other))
            placed += 1
    if placed < count:
        raise FaceSRError(
            f"only {placed} of {count} repeats keep {gap} trials between two views of a face: ask for fewer, or lower --gap"
        )
    return result


def _fits(at: int, views: Ints, gap: int) -> bool:
    """Whether a trial inserted at ``at`` keeps the gap to the views before it and to those it pushes back."""
    return all((at - v > gap) if v < at else (v + 1 - at > gap) for v in views)


def scatter(trials: list[Trial], extra: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
    """Insert ``extra`` (gold, attention), evenly spread with a random shift; gaps between views only grow by it."""
    if not extra:
        return trials
    step = len(trials) / len(extra)
    places = sorted(int((k + rng.uniform(0.2, 0.95)) * step) for k in range(len(extra)))
    shuffled = [extra[i] for i in rng.permutation(len(extra))]
    result = list(trials)
    for offset, (place, trial) in enumerate(zip(places, shuffled, strict=True)):
        result.insert(place + offset, trial)
    return result


def order_figures(rows: Sequence[Sequence[Trial]], conditions: Sequence[str]) -> dict[str, float]:
    """What the order guarantees, measured on the plan itself: printed when a study is made, and asserted by tests.

    ``min_gap``: fewest trials between two views of a face, repeats included; ``precede_low``/``precede_high``: smallest and largest
    P(condition i before j, same face); ``part_low``/``part_high``: how often a condition falls into one of as many parts of the session
    as there are conditions; ``carry_low``/``carry_high``: how often one condition directly follows another.
    """
    index = {c: i for i, c in enumerate(conditions)}
    n = len(conditions)
    before = np.zeros((n, n))
    parts = np.zeros((n, n))
    carry = np.zeros((n, n))
    min_gap = np.inf
    for row in rows:
        rated = [t for t in row if t.kind not in {"anchor_low", "anchor_high"}]
        seen: dict[str, list[tuple[int, Trial]]] = {}
        for position, trial in enumerate(rated):
            if trial.face:
                seen.setdefault(trial.face, []).append((position, trial))
        for views in seen.values():
            min_gap = min([min_gap, *(b[0] - a[0] - 1 for a, b in pairwise(views))])
            main = [index[t.condition] for _, t in views if t.kind == "main" and not t.other]
            for a, b in combinations(main, 2):
                before[a, b] += 1
        shown = [index[t.condition] for t in rated if t.kind == "main" and not t.other]
        for position, c in enumerate(shown):
            parts[c, position * n // len(shown)] += 1
        for a, b in pairwise(shown):
            carry[a, b] += 1
    off = ~np.eye(n, dtype=bool)
    total = before + before.T
    share = before[off & (total > 0)] / total[off & (total > 0)]
    figures = {"min_gap": float(min_gap)}
    if share.size:
        figures |= {"precede_low": float(share.min()), "precede_high": float(share.max())}
        figures |= {"part_low": float(parts.min()), "part_high": float(parts.max())}
        figures |= {"carry_low": float(carry.min()), "carry_high": float(carry.max())}
    return figures
