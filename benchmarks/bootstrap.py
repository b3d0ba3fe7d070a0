"""Two-way bootstrap of a rating study: 10,000 draws over 40 raters x 40 faces x 6 conditions, against a plain loop.

Goal: at most 0.3 s, and at least 10 times as fast as drawing raters and faces one resample at a time (already with numpy's
indexing). Both must give the same intervals within 0.02 rating points, or the benchmark fails.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import interleaved, line, within
from facesr.bench.stats.intervals import F64, pigeonhole_means

SECONDS, RATIO, TOLERANCE = 0.3, 10.0, 0.02
LARGE_SECONDS = 1.0


def study(seed: int = 0) -> F64:
    """9,600 five-point ratings with rater and face effects."""
    rng = np.random.default_rng(seed)
    x = (
        3
        + rng.normal(0, 0.5, (40, 1, 1))
        + rng.normal(0, 0.3, (1, 40, 1))
        + np.linspace(-1, 1, 6)
        + rng.normal(0, 0.9, (40, 40, 6))
    )
    return np.clip(np.rint(x), 1, 5)


def plain_loop(cube: F64, draws: int, seed: int = 0) -> F64:
    """One resample of raters and faces at a time."""
    rng = np.random.default_rng(seed)
    raters, faces, _ = cube.shape
    return np.array(
        [cube[np.ix_(rng.integers(0, raters, raters), rng.integers(0, faces, faces))].mean(axis=(0, 1)) for _ in range(draws)]
    )


def main(argv: Sequence[str] = ()) -> int:
    """Print the line of the benchmark; 1 where a goal is missed or the intervals differ."""
    draws = int(argv[0]) if argv else 10_000
    cube = study()
    ends = [np.quantile(x, (0.025, 0.975), axis=0) for x in (pigeonhole_means(cube, draws), plain_loop(cube, draws))]
    apart = float(np.abs(ends[0] - ends[1]).max())
    ours, loop = interleaved([lambda: pigeonhole_means(cube, draws), lambda: plain_loop(cube, draws)])
    reached = line(f"two-way bootstrap, {draws} draws over {cube.size} ratings", ours, loop, RATIO)
    if apart > TOLERANCE:
        print(f"the intervals differ by {apart:.3f}: the two do not compute the same", file=sys.stderr)
    if ours > SECONDS:
        print(f"{ours:.2f} s is over the {SECONDS} s allowed", file=sys.stderr)
    large = np.random.default_rng(1).integers(1, 6, (200, 100, 5)).astype(np.float64)
    start = time.process_time()
    pigeonhole_means(large, draws)
    seconds = time.process_time() - start
    within(f"two-way bootstrap, {draws:,} draws over {large.size:,} ratings", seconds, LARGE_SECONDS)
    return 0 if reached and apart <= TOLERANCE and ours <= SECONDS and seconds <= LARGE_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
