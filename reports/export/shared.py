"""The means of a run in the shared schema of evaluation results, every_eval_ever 0.3.0 (EvalEval coalition, MIT; arXiv:2606.14516).

The schema is ``every_eval_ever/schemas/eval.schema.json`` of the package 0.3.0 (sha256 c9c6195a…); the repository
evaleval/every_eval_ever had 0.2.1 of it at 0666632d3069. One file per method, under ``data/BENCHMARK/DEVELOPER/MODEL/``, as that
repository keeps them. Its records of single samples are made for text and ask whether an answer "is correct", which an image is not:
single cells stay in ``scores.csv``.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from facesr.bench.numbers import whole
from facesr.bench.results import MetricInfo, Run
from facesr.reports.cells import Cell
from facesr.reports.notes import SPREAD
from facesr.reports.scores import Scores, from_runs

VERSION = "0.3.0"
UNKNOWN = "unknown"


def shared_results(run: Run, organization: str = "") -> dict[str, str]:
    """Files by their place in the bundle: one per method that has any mean. What a run does not know is ``unknown``, as the schema provides."""
    scores = from_runs([run])
    now = str(int(time.time()))
    made = {}
    for method in scores.methods:
        results = [_result(run, scores, cell) for cell in scores.cells() if cell.method == method and cell.n]
        if results:
            record = _record(run, scores, method, organization, now) | {"evaluation_results": results}
            name = _uuid(f"{run.digest}/{method}/{scores.entry(method).code}")
            place = f"every_eval_ever/data/{run.protocol.get('name', 'run')}/{UNKNOWN}/{method}/{name}.json"
            made[place] = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    return made


def _uuid(text: str) -> str:
    """The same name for the same results, in the form that the repository asks for (version 4)."""
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_URL, text).bytes, version=4))


def _record(run: Run, scores: Scores, method: str, organization: str, now: str) -> dict[str, Any]:
    entry, info = scores.entry(method), run.info
    details = {
        "deployment_type": "self_deployed", "model_availability": UNKNOWN, "target": entry.target, "code": entry.code,
        "weights": json.dumps(dict(entry.weights)), "parameters": json.dumps(dict(entry.params)), "terms": entry.terms, "paper": entry.cite,
        **({"notes": " / ".join(entry.notes)} if entry.notes else {}),
    }  # fmt: skip
    finished = next((c.finished for c in reversed(info.calls) if c.finished), None)
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{info.title}/{UNKNOWN}/{method}/{now}",
        "retrieved_timestamp": now,
        **({"evaluation_timestamp": str(int(datetime.fromisoformat(finished).timestamp()))} if finished else {}),
        "source_metadata": {
            "source_name": info.title, "source_type": "evaluation_run", "source_organization_name": organization or "not stated",
            "evaluator_relationship": "other", "additional_details": {"digest": run.digest, "relationship": "not stated"},
        },
        "eval_library": {
            "name": "facesr-bench", "version": info.environment.get("facesr-bench", UNKNOWN),
            "additional_details": {key: value for key, value in info.environment.items() if key != "facesr-bench"},
        },
        "model_info": {"name": method, "id": f"{UNKNOWN}/{method}", "developer": UNKNOWN, "additional_details": details},
    }  # fmt: skip


def _result(run: Run, scores: Scores, cell: Cell) -> dict[str, Any]:
    data, fact = dict(run.protocol.get("data") or {}), scores.metrics[cell.metric]
    low, high = scores.bounds(cell.metric)
    kinds = sorted({f.status for f in cell.failures})
    how = "of the metric itself" if fact.of_set else SPREAD
    interval = {"lower": cell.low, "upper": cell.high, "confidence_level": 0.95, "method": how}
    counted = {"split": data.get("split", ""), "faces": len(run.faces), "of": run.info.data.total, "digest": run.digest}
    finite = math.isfinite(cell.low) and math.isfinite(cell.high)
    return {
        "evaluation_result_id": f"{run.info.title}/x{cell.scale}/{cell.method}/{cell.metric}",
        "evaluation_name": f"{run.info.title} x{cell.scale}",
        "source_data": {
            "dataset_name": run.info.data.name or str(data.get("dataset", UNKNOWN)), "source_type": "other",
            "additional_details": {key: str(value) for key, value in counted.items()},
        },
        "metric_config": {
            "metric_id": cell.metric, "metric_name": fact.label, "metric_unit": fact.unit, "lower_is_better": not fact.higher_is_better,
            "evaluation_description": f"{fact.conventions}; source: {fact.source}", "score_type": "continuous",
            "min_score": _bound(low), "max_score": _bound(high), "metric_parameters": dict(_parameters(run.protocol, cell.metric)),
            "additional_details": {"weights": json.dumps(dict(fact.weights)), **_kind(fact)},
        },
        "score_details": {
            "score": cell.mean,
            "details": {"failed": str(cell.failed), **({"failed_how": ", ".join(kinds)} if kinds else {})},
            "uncertainty": {"num_samples": cell.n, **({"confidence_interval": interval} if finite else {})},
        },
    }  # fmt: skip


def _kind(fact: MetricInfo) -> dict[str, str]:
    return {"kind": "of the whole set" if fact.of_set else "share of images" if fact.share else "mean over images"}


def _bound(value: float) -> float | str:
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _parameters(protocol: Mapping[str, Any], metric: str) -> Iterator[tuple[str, Any]]:
    for spec in protocol.get("metrics") or ():
        if spec.get("name") == metric.partition("?")[0]:
            for key, value in dict(spec.get("conventions") or {}).items():
                yield (
                    str(key),
                    whole(value)
                    if isinstance(value, float)
                    else value
                    if isinstance(value, str | int | bool | None)
                    else str(value),
                )
