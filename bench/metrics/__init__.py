"""Metrics, one file per family: fidelity, consistency, perceptual, identity, naturalness."""

from facesr.bench.metrics.base import Metric, NoScore, SetMetric, SetScore

__all__ = ["Metric", "NoScore", "SetMetric", "SetScore"]
