"""Scores of a batch by a metric that may be anybody's: what one image breaks costs that image its score, and no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from facesr.bench.errors import FaceSRError, WeightsMissing, sentence
from facesr.bench.faces import U8, Batch
from facesr.bench.metrics.base import Metric, NoScore
from facesr.bench.results import Status


def measure(
    metric: Metric,
    sr: U8,
    batch: Batch,
    reference: Callable[[], Any],
    report: Callable[[Exception, str], None] = lambda error, face: None,
    count: int | None = None,
) -> Sequence[float | NoScore]:
    """One value for each of the first ``count`` faces of ``batch`` (not empty; all by default; others only fill it) for ``sr`` (N, H, W, 3).

    ``reference`` gives ``metric.reference(batch)``, which several methods share. Where the batch raises, each face is scored alone, in
    a batch of the same size filled with itself: a ``NoScore`` with the reason for each that still raises, and ``report`` hears of it.
    """
    try:
        values = list(metric.score(sr, batch, reference()))
        if len(values) != len(batch):
            raise FaceSRError(f"{metric.name} gave {len(values)} values for {len(batch)} images")
    except Exception:
        return [_alone(metric, sr, batch, i, report) for i in range(len(batch))[:count]]
    return values[:count]


def _alone(metric: Metric, sr: U8, batch: Batch, i: int, report: Callable[[Exception, str], None]) -> float | NoScore:
    pick = [i] * len(batch)
    one = Batch(tuple(batch.faces[j] for j in pick), batch.hr[pick], None if batch.lr is None else batch.lr[pick], batch.against)
    try:
        return metric.score(sr[pick], one, metric.reference(one))[0]
    except WeightsMissing as error:
        return NoScore(Status.WEIGHTS_MISSING, str(error))
    except Exception as error:
        report(error, batch.faces[i].name)
        return NoScore(Status.FAILED, sentence(error))
