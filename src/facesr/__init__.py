"""FaceSR-Bench: compare face super-resolution methods, run human MOS studies, print the tables of a paper.

The public API; everything below is documented where it is defined, and stable from one minor version to the next:

- ``score``, ``metric``: finished images against HR
- ``method``: one method on images
- ``run``, ``load``: a comparison under a protocol; ``forecast``: what it would do; ``merge``: its shards put together
- ``table``, ``report``, ``site``: tables, report and leaderboard of one run or several, or of a study
- ``verify``, ``reproduce``: whether a published run (``Run.export``) is what it says it is
- ``Study``, ``stats``: a MOS study with people, and the statistics of ratings
- ``Method``, ``Metric``, ``SetMetric``, ``resize``: to write a method or a metric of one's own

Nothing heavy is imported until one of them is used.

    >>> run = facesr.run("demo-x8-128", ["bicubic", facesr.method("nearest", label="mine")], "r", metrics=["psnr", "consistency"])
    >>> run.failures.empty, len(facesr.load("r").scores)  # 8 faces x 2 methods x 2 metrics
    (True, 32)
    >>> facesr.score("r/sr/mine", "r/sr/bicubic", ["psnr"]).table()["n"].tolist()  # two folders, paired by name
    [8]
    >>> sr = facesr.method("bicubic")("r/lr/demo-09.png")
    >>> facesr.metric("psnr-y", border=4)(sr, "r/sr/bicubic/demo-09.png")  # equal images
    100.0
    >>> "mine" in run.table(metrics=["psnr"]).latex()
    True
    >>> study = facesr.Study.create(run, "s", raters=3, images=4, anchors=1, gap=2)
    >>> study.simulate(seed=1)  # raters that are labelled so, for a rehearsal
    ['s001', 's002', 's003']
    >>> facesr.stats.mos(study.ratings(simulated=True)).index.tolist(), len(study.analyse(simulated=True).pairs)
    (['bicubic', 'hr'], 1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from facesr import stats
    from facesr.bench.errors import FaceSRError, WeightsMissing
    from facesr.bench.faces import Batch, Face
    from facesr.bench.imaging import resize
    from facesr.bench.method import Method, Outcome, Restored
    from facesr.bench.metrics.base import Metric, NoScore, SetMetric, SetScore
    from facesr.checking import reproduce, verify
    from facesr.restoring import method
    from facesr.running import Run, forecast, load, merge, report, run, site, table
    from facesr.scoring import metric, score
    from facesr.studies import Study

__all__ = [
    "Batch", "Face", "FaceSRError", "Method", "Metric", "NoScore", "Outcome", "Restored", "Run", "SetMetric", "SetScore", "Study",
    "WeightsMissing", "forecast", "load", "merge", "method", "metric", "report", "reproduce", "resize", "run", "score", "site", "stats", "table",
    "verify",
]  # fmt: skip

_HOMES = {
    "Batch": "bench.faces", "Face": "bench.faces", "FaceSRError": "bench.errors", "WeightsMissing": "bench.errors",
    "Method": "bench.method", "Outcome": "bench.method", "Restored": "bench.method",
    "Metric": "bench.metrics.base", "NoScore": "bench.metrics.base", "SetMetric": "bench.metrics.base", "SetScore": "bench.metrics.base",
    "resize": "bench.imaging", "method": "restoring", "metric": "scoring", "score": "scoring",
    "Run": "running", "load": "running", "run": "running", "forecast": "running", "merge": "running",
    "table": "running", "report": "running", "site": "running", "Study": "studies",
    "reproduce": "checking", "verify": "checking",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "stats":
        return importlib.import_module("facesr.stats")
    if name not in _HOMES:
        raise AttributeError(f"module 'facesr' has no attribute {name!r}")
    return getattr(importlib.import_module(f"facesr.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
