"""The second half of a run: which scores are due, the tasks that compute them from the saved files, and their rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError, sentence, trace
from facesr.bench.faces import Face
from facesr.bench.metrics.base import NoScore, SetMetric, SetScore
from facesr.bench.reading import leads_out, read_bytes
from facesr.bench.results import RETRIED, SERVED, WHOLE_SET, Status
from facesr.bench.results.cells import Cells, ScoreCell, SrCell
from facesr.bench.run.keys import digest
from facesr.bench.run.lr import chunks
from facesr.bench.run.plan import MetricPlan, Plan
from facesr.bench.run.restoring import Setting
from facesr.bench.run.scoring import HR, Column, ScoreResult, ScoreTask, Wanted, batch_size
from facesr.bench.run.shared import Held, SharedStore
from facesr.bench.run.workers import one_thread

SHARED = ("value", "status", "reason", "low", "high", "n")
"""Of a score, what the shared store keeps."""


class Scorer:
    """Due scores of a run, their tasks and their rows. ``lr``: digests of LR pixels by (scale, face)."""

    def __init__(self, plan: Plan, cells: Cells, lr: Mapping[tuple[float, str], str], store: SharedStore | None = None) -> None:
        self.plan, self.cells, self.lr, self.store = plan, cells, lr, store
        self.columns: list[Column] = [(label, s) for label in plan.labels for s in plan.scales]
        self._outside: dict[Path, bool] = {}
        """Folders of images, and whether they lead out of the run."""
        self.sr: dict[Column, dict[str, SrCell]] = defaultdict(dict)
        for cell in cells.rows(SrCell):
            self.sr[cell.method, cell.scale][cell.image] = self._inside(cell)
        self.traces: list[str] = []
        self.notes: dict[str, str] = {}
        """What decoding HR took, by face."""
        serving = [m for m in plan.metrics if not m.missing and not m.metric.skip(plan.size)]
        self.metrics = {m.name: m for m in serving}
        known = self._known()
        for metric in plan.metrics:
            if not (metric.of_set and plan.shard):
                self._settle(metric, known)
        self.due = {m.name: {c: self._due(m, c, known) for c in self.columns} for m in serving if not m.of_set}
        sets = [] if plan.shard else [m for m in serving if m.of_set]  # a part of the faces has no score of the set
        self.sets = {m.name: [c for c in self.columns if not self._set_good(m, c, known)] for m in sets}
        if store:
            self._take_shared(store)
        self.kept: dict[tuple[str, Column], dict[str, Any]] = defaultdict(dict)
        """Features of the sets, by face."""

    @property
    def faces(self) -> list[Face]:
        """The faces that any due score needs."""
        everyone = self.plan.data.faces
        if any(self.sets.values()):
            return list(everyone)
        wanted = {name for columns in self.due.values() for names in columns.values() for name in names}
        return [f for f in everyone if f.name in wanted]

    def tasks(self) -> Iterator[ScoreTask]:
        """Chunks of the faces that are due, each with its files' bytes."""
        protocol = self.plan.protocol
        setting = Setting(self.plan.size, protocol.data.reduce, self.plan.seed, self.plan.device, protocol.against)
        with ThreadPoolExecutor(4) as pool:
            for part in chunks(self.faces, batch_size(self.plan.size, self.plan.device)):
                wanted = {name: w for name in (*self.due, *self.sets) if (w := self._wanted(name, part)).columns}
                columns = dict.fromkeys(c for w in wanted.values() for c in w.columns)
                scales = dict.fromkeys(s for name, w in wanted.items() if self.metrics[name].metric.needs_lr for _, s in w.columns)
                sr = {c: tuple(pool.map(lambda f, c=c: self._sr_bytes(c, f), part)) for c in columns}
                lr = {s: tuple(_lr_bytes(self.plan.lr_file(f.name, s)) for f in part) for s in scales}
                hr = tuple(pool.map(lambda f: _hr_bytes(f.path) if f.sha256 else "", part))
                yield ScoreTask(setting, tuple(part), hr, lr, sr, wanted)

    def _wanted(self, name: str, part: Sequence[Face]) -> Wanted:
        key, spec = self.metrics[name].key, self.metrics[name].spec
        if name in self.sets:
            return Wanted(key, spec, {c: tuple(range(len(part))) for c in self.sets[name]})
        places = {c: tuple(i for i, f in enumerate(part) if f.name in names) for c, names in self.due[name].items()}
        return Wanted(key, spec, {c: p for c, p in places.items() if p})

    def _sr_bytes(self, column: Column, face: Face) -> bytes | None:
        if not self._served(column, face.name):
            return None
        return read_bytes(self.plan.folder(f"sr/{column[0]}", column[1]) / f"{face.name}.png")

    def accept(self, task: ScoreTask, result: ScoreResult) -> None:
        """Write a task's scores; keep its features."""
        self.traces += result.traces
        self.notes |= result.notes
        rows = []
        for (name, column), values in result.values.items():
            metric = self.metrics[name]
            rows += [self._row(metric, column, task.of[i], values[i]) for i in task.wanted[name].columns[column]]
        for place, features in result.features.items():
            self.kept[place] |= {f.name: v for f, v in zip(task.of, features, strict=True)}
        self._put(rows)

    def _put(self, rows: Sequence[ScoreCell]) -> None:
        """Write rows, and share what may serve others."""
        self.cells.put(rows)
        if self.store:
            good = [r for r in rows if r.status not in RETRIED]
            self.store.all(self.store.put, (("score", r.key, Held({n: getattr(r, n) for n in SHARED})) for r in good))

    def _take_shared(self, store: SharedStore) -> None:
        """Write the scores that the shared store has; what it has not stays due."""
        faces = {f.name: f for f in self.plan.data.faces}
        wanted = [
            (m, c, name, self._key(self.metrics[m], c, faces[name]))
            for m, cs in self.due.items()
            for c, names in cs.items()
            for name in names
        ]
        wanted += [(m, c, WHOLE_SET, self._set_key(self.metrics[m], c)) for m, cs in self.sets.items() for c in cs]
        held = store.all(store.get, (("score", key) for *_, key in wanted))
        rows = []
        for (metric, column, name, key), found in zip(wanted, held, strict=True):
            if found:
                rows.append(ScoreCell(*column, name, metric, key, **{n: found.facts[n] for n in SHARED}))
                self.sets[metric].remove(column) if name == WHOLE_SET else self.due[metric][column].discard(name)
        self.cells.put(rows)

    def _row(self, plan: MetricPlan, column: Column, face: Face, value: float | NoScore) -> ScoreCell:
        sr = self.sr[column][face.name]
        number, status, reason = (None, value.status, value.reason) if isinstance(value, NoScore) else (float(value), Status.OK, "")
        if number is not None and not math.isfinite(number):
            number, status, reason = None, Status.FAILED, f"{plan.name} is not finite"
        if number is not None and sr.status == Status.NOT_CONVERGED and not plan.metric.scores_unconverged:
            status, reason = sr.status, sr.reason  # the value of the kept image stays in the row
        return ScoreCell(*column, face.name, plan.name, self._key(plan, column, face), number, status, reason, None, None, 1)

    def finish(self) -> None:
        """Compare the sets' features and write their scores; call it after the last task."""
        for name, columns in self.sets.items():
            plan = self.metrics[name]
            self._put([self._set_row(plan, column) for column in columns])

    def _set_row(self, plan: MetricPlan, column: Column) -> ScoreCell:
        assert isinstance(plan.metric, SetMetric)
        hr, sr = self.kept[plan.name, HR], self.kept[plan.name, column]
        faces = [f for f in self.plan.data.faces if self._in_set(column, f.name, sr, hr)]
        try:
            if not faces:
                raise FaceSRError(self._nothing(column, sr))
            with one_thread(torch=plan.metric.needs_torch):
                score = plan.metric.compare([sr[f.name] for f in faces], [hr[f.name] for f in faces], faces)
        except Exception as error:  # somebody's metric may raise anything
            self.traces += trace(error, f"metric {plan.name} of {column[0]}")
            score = NoScore(Status.FAILED, sentence(error))
        place = (*column, WHOLE_SET, plan.name, self._set_key(plan, column))
        if isinstance(score, SetScore):
            return ScoreCell(*place, score.value, Status.OK, "", score.low, score.high, score.n)
        return ScoreCell(*place, None, score.status, score.reason, None, None, len(faces))

    def _in_set(self, column: Column, name: str, sr: Mapping[str, Any], hr: Mapping[str, Any]) -> bool:
        cell = self.sr[column].get(name)
        whole = cell is not None and cell.status == Status.OK
        return whole and not any(isinstance(of.get(name, NoScore(Status.FAILED, "")), NoScore) for of in (sr, hr))

    def _nothing(self, column: Column, sr: Mapping[str, Any]) -> str:
        reason = next((v.reason for v in sr.values() if isinstance(v, NoScore)), "")
        return f"no face of {column[0]} has features" + (f": {reason}" if reason else "")

    # -- which cells are due -------------------------------------------------------------------------------------------------

    def _known(self) -> dict[tuple[str, str, float, str], tuple[str, str]]:
        return {(c.metric, c.method, c.scale, c.image): (c.key, c.status) for c in self.cells.rows(ScoreCell)}

    def _key(self, plan: MetricPlan, column: Column, face: Face) -> str:
        sr, data = self.sr[column].get(face.name), self.plan.protocol.data
        lr = self.lr.get((column[1], face.name)) if plan.metric.needs_lr else None
        against = self.plan.protocol.against
        hr = face.sha256 if against == "hr" or plan.metric.compares_with != "nothing" else ""
        photo = ("photo",) if against == "person" else ()
        return digest("score", plan.key, sr and (sr.sha256, sr.status), hr, lr, face.landmarks, data.size, data.reduce, *photo)

    def _due(self, plan: MetricPlan, column: Column, known: Mapping[Any, tuple[str, str]]) -> set[str]:
        found = set()
        for face in self.plan.data.faces:
            key, status = known.get((plan.name, *column, face.name), ("", ""))
            if self._served(column, face.name) and (status in RETRIED or key != self._key(plan, column, face)):
                found.add(face.name)
        return found

    def _set_key(self, plan: MetricPlan, column: Column) -> str:
        said = [sorted(f.attributes.items()) for f in self.plan.data.faces]  # who is who, and which group counts
        return digest("set", [self._key(plan, column, f) for f in self.plan.data.faces], said)

    def _set_good(self, plan: MetricPlan, column: Column, known: Mapping[Any, tuple[str, str]]) -> bool:
        key, status = known.get((plan.name, *column, WHOLE_SET), ("", ""))
        return status not in RETRIED and key == self._set_key(plan, column)

    def _inside(self, cell: SrCell) -> SrCell:
        """The row; as failed where its image is a link that leads out of the run folder."""
        if cell.method not in self.plan.labels or cell.status not in SERVED or cell.scale not in self.plan.scales:
            return cell
        folder = self.plan.folder(f"sr/{cell.method}", cell.scale)
        file = folder / f"{cell.image}.png"
        if folder not in self._outside:
            self._outside[folder] = leads_out(folder, self.plan.out)
        if not self._outside[folder] and not (file.is_symlink() and leads_out(file, self.plan.out)):
            return cell
        return cell._replace(status=Status.FAILED, reason=f"{file} is a link that leads out of the run, which is not followed")

    def _served(self, column: Column, name: str) -> bool:
        sr = self.sr[column].get(name)
        return sr is not None and sr.status in SERVED

    def _settle(self, plan: MetricPlan, known: Mapping[Any, tuple[str, str]]) -> None:
        """Write the cells that need no computing: no image, no weights, images too small."""
        skipped = plan.metric.skip(self.plan.size)
        rows = []
        for column in self.columns:
            for image in [WHOLE_SET] if plan.of_set else [f.name for f in self.plan.data.faces]:
                sr = self.sr[column].get(image)
                if plan.missing:
                    status, why = Status.WEIGHTS_MISSING, plan.missing
                elif skipped:
                    status, why = Status.SKIPPED, skipped
                elif plan.of_set or (sr is not None and sr.status in SERVED):
                    continue
                else:
                    status, why = (Status(sr.status), sr.reason) if sr else (Status.MISSING, "not restored")
                key = digest(status, why)
                if known.get((plan.name, *column, image), ("", ""))[0] != key:
                    rows.append(ScoreCell(*column, image, plan.name, key, None, status, why, None, None, 1))
        self.cells.put(rows)


def _hr_bytes(path: Path) -> bytes | str:
    """A face's HR file, or why it cannot be read."""
    try:
        return read_bytes(path)
    except FaceSRError as error:
        return str(error)


def _lr_bytes(path: Path) -> bytes:
    """An LR file; empty where there is none, since the face's HR cannot be read."""
    return read_bytes(path) if path.is_file() else b""
