"""Second half of a run: every metric on the saved 8-bit files; HR decoded and embedded once for all methods; memory flat."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.imaging.files import read_rgb
from facesr.bench.metrics.base import NoScore, SetMetric, SetScore
from facesr.bench.run.plan import WHOLE_SET, MetricPlan, Plan, digest
from facesr.bench.run.restore import CHUNK, Progress, _sentence, chunks, read_hr
from facesr.bench.run.store import Store

SERVED = ("ok", "not_converged")
Column = tuple[str, int]
"""A method's label and a scale."""


@dataclass(frozen=True)
class _Sr:
    """How a face was restored: status, reason, sha256 of the file."""

    status: str
    reason: str
    sha256: str


class Measurer:
    """Scores the cells that are due and writes them to the store, a chunk of faces at a time."""

    def __init__(self, plan: Plan, store: Store, lr: Mapping[tuple[int, str], str]) -> None:
        self.plan, self.store, self.lr = plan, store, lr
        self.columns: list[Column] = [(m.label, s) for m in plan.methods for s in plan.protocol.degradation.scale]
        self.sr: dict[Column, dict[str, _Sr]] = defaultdict(dict)
        for method, scale, image, status, reason, known in store.rows(
            "SELECT method, scale, image, status, reason, sha256 FROM restored"
        ):
            self.sr[method, scale][image] = _Sr(status, reason, known)

    def run(self, progress: Progress) -> None:
        """Score everything that is due."""
        for plan in self.plan.metrics:
            self._settle(plan)
        faces = self.plan.data.faces
        due = {
            m.name: self._due(m)
            for m in self.plan.metrics
            if not m.missing and not m.metric.skip(self.plan.protocol.data.size) and not m.of_set
        }
        sets = [m for m in self.plan.metrics if m.of_set and not m.missing and not m.metric.skip(self.plan.protocol.data.size)]
        set_due = {m.name: [c for c in self.columns if not self._set_good(m, c)] for m in sets}
        kept: dict[str, dict[Column, list[Any]]] = {m.name: defaultdict(list) for m in sets if set_due[m.name]}
        wanted = {f.name for cells in due.values() for f_names in cells.values() for f in faces if f.name in f_names}
        if kept:
            wanted = {f.name for f in faces}
        todo = [f for f in faces if f.name in wanted]
        done = 0
        with ThreadPoolExecutor(min(8, (os.cpu_count() or 2) * 2)) as pool:
            for part in chunks(todo, CHUNK):
                self._chunk(part, due, set_due, kept, pool)
                done += len(part)
                progress("metrics", done, len(todo))
        for plan in sets:
            self._finish_set(plan, set_due[plan.name], kept.get(plan.name, {}))

    # -- which cells are due -------------------------------------------------------------------------------------------------

    def _key(self, plan: MetricPlan, column: Column, face: Face) -> str:
        served = self.sr[column].get(face.name)
        needs = self.lr.get((column[1], face.name)) if plan.metric.needs_lr else None
        return digest(
            "score",
            plan.key,
            served and (served.sha256, served.status),
            face.sha256,
            needs,
            face.landmarks,
            self.plan.protocol.data.size,
        )

    def _due(self, plan: MetricPlan) -> dict[Column, set[str]]:
        query = "SELECT image, key, status FROM score WHERE metric = ? AND method = ? AND scale = ?"
        found = {}
        for column in self.columns:
            have = {
                i: k for i, k, status in self.store.rows(query, (plan.name, *column)) if status not in ("failed", "weights_missing")
            }
            found[column] = {
                f.name
                for f in self.plan.data.faces
                if self._served(column, f.name) and have.get(f.name) != self._key(plan, column, f)
            }
        return found

    def _served(self, column: Column, name: str) -> bool:
        sr = self.sr[column].get(name)
        return sr is not None and sr.status in SERVED

    def _settle(self, plan: MetricPlan) -> None:
        """Write the cells that need no computing: no image, no weights, images too small."""
        reason = plan.metric.skip(self.plan.protocol.data.size)
        rows = []
        for label, scale in self.columns:
            images = [WHOLE_SET] if plan.of_set else [f.name for f in self.plan.data.faces]
            for image in images:
                sr = self.sr[label, scale].get(image)
                if plan.missing:
                    status, why = "weights_missing", plan.missing
                elif reason:
                    status, why = "skipped", reason
                elif not plan.of_set and (sr is None or sr.status not in SERVED):
                    status, why = (sr.status, sr.reason) if sr else ("missing", "not restored")
                else:
                    continue
                rows.append((label, scale, image, plan.name, digest(status, why), None, status, why, None, None, 1))
        known = {
            (m, s, i): k
            for m, s, i, k in self.store.rows(
                "SELECT method, scale, image, key FROM score WHERE metric = ? AND value IS NULL", (plan.name,)
            )
        }
        self.store.put("score", [r for r in rows if known.get(r[:3]) != r[4]])

    # -- scoring ---------------------------------------------------------------------------------------------------------------

    def _chunk(self, faces: Sequence[Face], due: Any, set_due: Any, kept: Any, pool: ThreadPoolExecutor) -> None:
        plan = self.plan
        hr = np.stack(list(pool.map(lambda f: read_hr(plan, f), faces)))
        images: dict[Column, U8] = {}

        def sr(column: Column) -> U8:
            if column not in images:  # decoded once for all metrics
                images[column] = np.stack(list(pool.map(lambda i: self._sr_image(column, faces[i], hr[i]), range(len(faces)))))
            return images[column]

        plain = Batch(tuple(faces), hr)
        for metric in plan.metrics:
            columns = due.get(metric.name, {})
            if metric.of_set and metric.name in kept:
                self._features(metric, plain, set_due[metric.name], kept[metric.name], sr)
                continue
            wanted = [c for c in columns if any(f.name in columns[c] for f in faces)]
            reference: Any = None
            for i, column in enumerate(wanted):
                batch = Batch(tuple(faces), hr, self._lr(column[1], faces)) if metric.metric.needs_lr else plain
                try:
                    if i == 0 or metric.metric.needs_lr:
                        reference = metric.metric.reference(batch)
                    values = metric.metric.score(sr(column), batch, reference)
                except Exception:  # one odd image must not cost the others their score
                    values = [v for n in range(len(faces)) for v in self._one(metric, sr(column)[n : n + 1], batch, n)]
                self._write(metric, column, faces, values, columns[column])

    def _one(self, metric: MetricPlan, image: U8, batch: Batch, n: int) -> Sequence[float | NoScore]:
        one = Batch(batch.faces[n : n + 1], batch.hr[n : n + 1], None if batch.lr is None else batch.lr[n : n + 1])
        try:
            return metric.metric.score(image, one, metric.metric.reference(one))
        except WeightsMissing as error:
            return [NoScore("weights_missing", str(error))]
        except Exception as error:
            return [NoScore("failed", _sentence(error))]

    def _sr_image(self, column: Column, face: Face, stand_in: U8) -> U8:
        """The saved image; where there is none HR stands in so that batches stay whole, and its score is thrown away."""
        if not self._served(column, face.name):
            return stand_in
        image = read_rgb(self.plan.folder(f"sr/{column[0]}", column[1]) / f"{face.name}.png")
        if image.shape != stand_in.shape:
            raise FaceSRError(
                f"{face.name} of {column[0]}: {image.shape[1]} x {image.shape[0]} pixels, expected {stand_in.shape[1]}"
            )
        return image

    def _lr(self, scale: int, faces: Sequence[Face]) -> U8:
        return np.stack([read_rgb(self.plan.folder("lr", scale) / f"{f.name}.png") for f in faces])

    def _write(
        self, plan: MetricPlan, column: Column, faces: Sequence[Face], values: Sequence[float | NoScore], due: set[str]
    ) -> None:
        rows = []
        for face, value in zip(faces, values, strict=True):
            if face.name not in due:
                continue
            sr = self.sr[column][face.name]
            number, status, reason = (None, value.status, value.reason) if isinstance(value, NoScore) else (float(value), "ok", "")
            if number is not None and not np.isfinite(number):
                number, status, reason = None, "failed", f"{plan.name} is not finite"
            if number is not None and sr.status == "not_converged" and not plan.name.startswith("consistency"):
                status, reason = sr.status, sr.reason  # the value of the kept image stays in the row
            rows.append((*column, face.name, plan.name, self._key(plan, column, face), number, status, reason, None, None, 1))
        self.store.put("score", rows)

    # -- scores of whole sets ----------------------------------------------------------------------------------------------------

    def _set_key(self, plan: MetricPlan, column: Column) -> str:
        return digest("set", [self._key(plan, column, f) for f in self.plan.data.faces])

    def _set_good(self, plan: MetricPlan, column: Column) -> bool:
        query = "SELECT key, status FROM score WHERE metric = ? AND method = ? AND scale = ? AND image = ?"
        for key, status in self.store.rows(query, (plan.name, *column, WHOLE_SET)):
            return bool(key == self._set_key(plan, column) and status not in ("failed", "weights_missing"))
        return False

    def _features(self, plan: MetricPlan, batch: Batch, columns: Sequence[Column], kept: dict[Column, list[Any]], sr: Any) -> None:
        metric = plan.metric
        assert isinstance(metric, SetMetric)
        try:
            reference = list(metric.reference(batch))
        except Exception as error:
            reference = [NoScore("failed", _sentence(error))] * len(batch)
        for column in columns:
            try:
                features = list(metric.features(sr(column), batch))
            except Exception as error:
                features = [NoScore("failed", _sentence(error))] * len(batch)
            for face, a, b in zip(batch.faces, features, reference, strict=True):
                served = self._served(column, face.name) and self.sr[column][face.name].status == "ok"
                kept[column].append((a if served else NoScore("failed", "no image"), b, face))

    def _finish_set(self, plan: MetricPlan, columns: Sequence[Column], kept: Mapping[Column, list[Any]]) -> None:
        assert isinstance(plan.metric, SetMetric)
        rows = []
        for column in columns:
            triples = [t for t in kept.get(column, []) if not isinstance(t[0], NoScore) and not isinstance(t[1], NoScore)]
            try:
                if not triples:
                    raise FaceSRError(f"no face of {column[0]} has features")
                score = plan.metric.compare([t[0] for t in triples], [t[1] for t in triples], [t[2] for t in triples])
            except Exception as error:
                score = NoScore("failed", _sentence(error))
            if isinstance(score, SetScore):
                cell = (score.value, "ok", "", score.low, score.high, score.n)
            else:
                cell = (None, score.status, score.reason, None, None, len(triples))  # type: ignore[assignment]
            rows.append((*column, WHOLE_SET, plan.name, self._set_key(plan, column), *cell))
        self.store.put("score", rows)
