"""A run: a grid of cells (image x method x metric), resumable, that never drops one.

``start`` does what is due and nothing else: stopping at any moment and starting again gives the same images and scores as never
stopping. The folder is described in ``facesr.bench.results``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facesr.bench.data.dataset import Dataset, find, from_folder
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.protocol import MetricSpec, Protocol
from facesr.bench.registry import MethodSpec, code_digest, parse_value
from facesr.bench.results import COLUMNS, FORMAT, Run, load
from facesr.bench.run.environment import environment
from facesr.bench.run.measure import Measurer
from facesr.bench.run.plan import Plan, make_metrics
from facesr.bench.run.restore import Progress, Restorer, make_lr
from facesr.bench.run.store import Store, locked

__all__ = ["Plan", "Progress", "plan", "start"]


def plan(
    protocol: Protocol,
    methods: Sequence[MethodSpec],
    out: Path | str,
    *,
    data: str | None = None,
    metrics: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Plan:
    """Check a request as a whole before any work starts.

    ``data``: a folder in place of the protocol's data set. ``metrics``: names in place of the protocol's. ``limit``: the first faces only.
    """
    found = _faces(protocol, data)
    note = found.note
    if data is not None:
        protocol = protocol.with_data(f"folder:{found.name}")
    if limit is not None:
        if limit < 1:
            raise FaceSRError(f"--limit {limit}: give at least one face")
        found = Dataset(found.name, found.faces[:limit], found.total, found.note)
    if not methods:
        raise FaceSRError("no methods: name some with --methods, as in --methods bicubic,nearest")
    specs = tuple(protocol.metrics) if not metrics else tuple(_metric_spec(text, protocol) for text in metrics)
    if metrics:
        protocol = replace(protocol, metrics=specs)
    return Plan(protocol, found, tuple(methods), make_metrics(protocol, specs), Path(out), seed, device, note)


def _faces(protocol: Protocol, data: str | None) -> Dataset:
    return from_folder(Path(data)) if data is not None else find(protocol.data.dataset, protocol.data.split, protocol.data.size)


def _metric_spec(text: str, protocol: Protocol) -> MetricSpec:
    """``psnr`` (with the protocol's conventions, if it names it) or ``psnr?border=4``."""
    name, _, query = text.partition("?")
    known: dict[str, Any] = next((dict(m.conventions) for m in protocol.metrics if m.name == name), {})
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        known[key] = parse_value(value)
    return MetricSpec(name, known)


def start(request: Plan, progress: Progress = lambda what, done, total: None) -> Run:
    """Do what is due in the run folder and return the finished run."""
    with locked(request.out):
        previous = _previous(request)
        request = _with_earlier_methods(request, previous)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        store = Store(request.out / "cells.sqlite")
        try:
            changed = store.db.total_changes
            lr: dict[tuple[int, str], str] = {}
            scales = request.protocol.degradation.scale
            restorers = [Restorer(request, store, spec, scale, lr) for spec in request.methods for scale in scales]
            for restorer in restorers:
                restorer.check()  # before run.json names a method that cannot be made: a later run would ask for it again
            _write_info(request, store, previous, started, "running")
            needs_lr = any(m.metric.needs_lr for m in request.metrics) or any(
                not m.target.startswith("facesr.methods.folder:") for m in request.methods
            )
            if needs_lr:
                lr.update(make_lr(request, store, progress))
            while restorers:
                restorers.pop(0).run(progress)  # and let its network go
            Measurer(request, store, lr).run(progress)
            scores = request.out / "scores.parquet"
            if (
                store.db.total_changes != changed
                or not scores.is_file()
                or previous is None
                or previous.methods != [m.label for m in request.methods]
            ):
                _write_scores(request, store)
            _write_info(request, store, previous, started, "finished")
        finally:
            store.close()
    return load(request.out)


def _previous(request: Plan) -> Run | None:
    if not (request.out / "run.json").is_file():
        return None
    try:
        run = load(request.out)
    except FaceSRError:
        return None  # half-written by an older version or another program: run.json is rewritten, cells are checked one by one
    if run.digest != request.digest:
        raise FaceSRError(
            f"{request.out} holds a run of {run.info.get('title', 'another protocol')} (digest {run.digest[:12]}, this one {request.digest[:12]}): "
            "protocol, metrics or faces differ; choose another --out"
        )
    return run


def _with_earlier_methods(request: Plan, previous: Run | None) -> Plan:
    """Methods of earlier calls stay in the run; one that is asked for again may have new parameters."""
    if previous is None:
        return request
    asked = {m.label: m for m in request.methods}
    kept = []
    for old in previous.info["methods"]:
        label = str(old["label"])
        kept.append(asked.pop(label) if label in asked else MethodSpec(label, old["target"], old["params"]))
    return replace(request, methods=(*kept, *asked.values()))


def _write_info(request: Plan, store: Store, previous: Run | None, started: str, state: str) -> None:
    """``run.json``; rewritten only when something in it other than times changed."""
    known = {
        label: (weights, terms, cite)
        for label, weights, terms, cite in store.rows("SELECT label, weights, terms, cite FROM method")
    }
    methods: list[dict[str, Any]] = []
    for spec in request.methods:
        weights, terms, cite = known.get(spec.label, ("{}", "", ""))
        methods.append(
            {
                "label": spec.label, "target": spec.target, "params": dict(spec.params), "code": code_digest(spec.target)[:16],
                "weights": json.loads(weights), "terms": terms, "cite": cite,
            }
        )  # fmt: skip
    data = request.data
    info = {
        "format": FORMAT,
        "title": f"{request.protocol.name}@{request.protocol.version}",
        "state": state,
        "protocol": request.protocol.as_dict(),
        "digest": request.digest,
        "data": {"name": data.name, "faces": len(data.faces), "total": data.total, "note": request.note},
        "scales": list(request.protocol.degradation.scale),
        "seed": request.seed,
        "methods": methods,
        "metrics": {m.name: _metric_info(m) for m in request.metrics},
        "environment": environment(request.device),
        "faces": [
            {"name": f.name, "path": str(f.path), "sha256": f.sha256, "attributes": dict(f.attributes), "landmarks": f.landmarks}
            for f in data.faces
        ],
    }
    old = dict(previous.info) if previous else {}
    history = old.pop("calls", [])
    plain = json.loads(json.dumps(info))
    if state == "finished" and old == plain:
        return  # nothing but the clock moved
    if state == "running" and old and {**old, "state": "running"} == plain:
        return
    call = {"started": started, "finished": datetime.now(UTC).isoformat(timespec="seconds") if state == "finished" else None}
    write_whole(request.out / "run.json", json.dumps({**plain, "calls": [*history, call]}, indent=1))


def _metric_info(metric_plan: Any) -> dict[str, Any]:
    metric = metric_plan.metric
    try:
        weights = {} if metric_plan.missing else metric.weights
    except FaceSRError:
        weights = {}
    low, high = metric.range
    return {
        "label": metric.label or metric.name,
        "higher_is_better": metric.higher_is_better,
        "unit": metric.unit,
        "digits": metric.digits,
        "range": [low, None if high == float("inf") else high],
        "conventions": metric.conventions,
        "source": metric.source,
        "weights": weights,
        "of_set": metric_plan.of_set,
    }


def _write_scores(request: Plan, store: Store) -> None:
    """``scores.parquet`` from the store, in a fixed order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    order = {m.label: i for i, m in enumerate(request.methods)}
    metrics = {m.name: i for i, m in enumerate(request.metrics)}
    names = {f.name for f in request.data.faces} | {"*"}
    query = """SELECT s.image, s.method, s.scale, s.metric, s.value, s.status, s.reason, s.low, s.high, s.n, r.seconds FROM score s
        LEFT JOIN restored r ON r.method = s.method AND r.scale = s.scale AND r.image = s.image ORDER BY s.scale, s.method, s.metric, s.image"""
    rows = [r for r in store.rows(query) if r[1] in order and r[3] in metrics and r[0] in names]
    rows.sort(key=lambda r: (r[2], order[r[1]], metrics[r[3]]))
    kinds = {
        "scale": pa.int32(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n": pa.int32(),
        "seconds": pa.float64(),
    }
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    arrays = []
    for name, column in zip(COLUMNS, columns, strict=True):
        if name in ("value", "low", "high", "seconds"):
            column = tuple(float("nan") if v is None else v for v in column)
        arrays.append(pa.array(column, kinds.get(name, pa.string())))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), sink)
    write_whole(request.out / "scores.parquet", sink.getvalue().to_pybytes())
