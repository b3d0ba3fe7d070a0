"""Adaptive paired comparison: what a rater compares is decided when the rater begins, by what all raters before have not settled yet."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
from sqlalchemy import insert, select

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.active import choose_pairs, posterior
from facesr.bench.study import reading, store
from facesr.bench.study import tables as t
from facesr.bench.study.create import plan_row
from facesr.bench.study.database import writing
from facesr.bench.study.design import Design, canonical
from facesr.bench.study.order import Carry, Trial, insert_repeats, scatter, weave
from facesr.bench.study.pairs import wins
from facesr.bench.study.study import Study


def assign(study: Study, rater: store.Rater) -> None:
    """Write the rater's plan, once; nothing where there is one already, or where the design's pairs are balanced.

    Raters who are left out do not count. Raters who are at it at the same time do not know each other's answers, which costs a little of the
    gain and nothing else. The log keeps the sha256 of each plan, so that a changed one is found.
    """
    design = study.design
    if design.pairs != "adaptive" or _has_plan(study, rater.row):
        return
    table = reading.ratings(study, simulated=rater.simulated, excluded=False)
    _, won = wins(table, design.conditions)
    rng = np.random.default_rng([design.seed, 5, rater.row])
    trials = adaptive_row(design, won.sum(0) if len(won) else np.zeros((len(design.conditions),) * 2), rng)
    with writing(study.engine) as connection:
        store.serialise(connection)
        if connection.execute(select(t.plan.c.position).where(t.plan.c.row == rater.row).limit(1)).first() is None:
            connection.execute(insert(t.plan), [plan_row(design, rater.row, p, trial) for p, trial in enumerate(trials, 1)])
            store.log_event(
                connection, "plan chosen", rater.id, row=rater.row, sha256=trials_digest(trials), comparisons_known=float(won.sum())
            )


def _has_plan(study: Study, number: int) -> bool:
    with study.engine.connect() as connection:
        return connection.execute(select(t.plan.c.position).where(t.plan.c.row == number).limit(1)).first() is not None


def trials_digest(trials: list[Trial]) -> str:
    """sha256 over one rater's plan."""
    return hashlib.sha256(canonical([asdict(trial) for trial in trials])).hexdigest()


def adaptive_row(design: Design, won: np.ndarray, rng: np.random.Generator) -> list[Trial]:
    """One rater's trials: the pairs that tell most, spread over the rater's faces so that a face never shows the same pair twice."""
    mean, covariance = posterior(won)
    names = design.conditions
    hand = [design.faces[int(k)] for k in rng.permutation(len(design.faces))[: design.per_rater]]
    chosen = choose_pairs(mean, covariance, len(hand) * design.pairs_per_face, rng)
    by_face = _deal(chosen, len(hand), design.pairs_per_face, len(names), rng)
    sequences = []
    for pairs in by_face:
        sides = rng.integers(2, size=len(pairs))
        labels = [f"{names[i]}|{names[j]}" if side else f"{names[j]}|{names[i]}" for (i, j), side in zip(pairs, sides, strict=True)]
        sequences.append([labels[k] for k in rng.permutation(len(labels))])
    trials = [
        Trial("main", hand[face], label.split("|")[0], label.split("|")[1])
        for face, label in weave(sequences, design.gap, rng, Carry())
    ]
    trials = insert_repeats(trials, design.repeats, design.gap, rng)
    return scatter(trials, design.checks(rng), rng)


def _deal(
    chosen: list[tuple[int, int]], faces: int, per_face: int, conditions: int, rng: np.random.Generator
) -> list[list[tuple[int, int]]]:
    """Deal the pairs to faces, the commonest pair first; a pair too common for the faces there are gives way to one the face lacks."""
    if per_face > conditions * (conditions - 1) // 2:
        raise FaceSRError(
            f"{conditions} conditions make {conditions * (conditions - 1) // 2} pairs, so a rater cannot see {per_face} of a face"
        )
    counts: dict[tuple[int, int], int] = {}
    for pair in chosen:
        counts[pair] = counts.get(pair, 0) + 1
    hands: list[list[tuple[int, int]]] = [[] for _ in range(faces)]
    for pair in sorted(counts, key=lambda p: -counts[p]):
        free = [f for f in rng.permutation(faces) if len(hands[f]) < per_face]
        for face in sorted(free, key=lambda f: len(hands[f]))[: counts[pair]]:
            hands[face].append(pair)
    everything = [(i, j) for i in range(conditions) for j in range(i + 1, conditions)]
    for hand in hands:
        rest = [p for p in sorted(everything, key=lambda p: -counts.get(p, 0)) if p not in hand]
        hand += rest[: per_face - len(hand)]
    return hands
