"""The first half of a run: which SR images are due, the tasks that make them, and the writing of what comes back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from facesr.bench.code import OWN, code_digest, sources
from facesr.bench.data.dataset import UNREADABLE
from facesr.bench.errors import FaceSRError, WeightsMissing, sentence, trace
from facesr.bench.faces import Face
from facesr.bench.imaging.files import decode_rgb, make_folder, write_whole
from facesr.bench.imaging.lowres import LR, read_lr
from facesr.bench.method import Method, Outcome
from facesr.bench.reading import file_sha256
from facesr.bench.registry import MethodSpec, installed
from facesr.bench.results import RETRIED, SERVED, MethodInfo, Status
from facesr.bench.results.cells import Cells, CostCell, MethodMemo, SrCell
from facesr.bench.run.keys import content, contents, digest
from facesr.bench.run.lr import LrImages, chunks
from facesr.bench.run.plan import Plan
from facesr.bench.run.restoring import Restoration, RestoreResult, RestoreTask, Setting
from facesr.bench.run.shared import Held, SharedStore
from facesr.bench.weights import with_fetch
from facesr.bench.weights.files import cache_folder
from facesr.bench.weights.places import user_places


@dataclass(frozen=True)
class Facts:
    """What a method says of itself before it is loaded. ``inputs``: whether files of its own belong to each face."""

    weights: Mapping[str, str] = field(default_factory=dict)
    terms: str = ""
    cite: str = ""
    batch_size: int = 1
    needs_lr: bool = True
    inputs: bool = False
    notes: Sequence[str] = ()
    training_losses: Sequence[str] = ()
    missing: str = ""


class Restorer:
    """One method at one scale in a run folder: due faces, tasks, and rows and files of the answers."""

    def __init__(self, plan: Plan, cells: Cells, spec: MethodSpec, scale: float, store: SharedStore | None = None) -> None:
        self.plan, self.cells, self.spec, self.scale, self.store = plan, cells, spec, scale, store
        self.folder = plan.folder(f"sr/{spec.label}", scale)
        self.code = code_digest(spec.target)
        self.traces: list[str] = []
        self.wrote = False
        """Whether this call wrote an answer."""
        self.trouble = ""
        """Why no face of this method can be restored (its own code raised), or ''."""
        self.remarks: tuple[str, ...] = ()
        """What the method says of its own files before any work (``Method.check``)."""
        self._method: Method | None = None
        self.facts = self._facts()

    @property
    def info(self) -> MethodInfo:
        """What ``run.json`` says of the method."""
        f, spec = self.facts, self.spec
        params = {k: v if isinstance(v, int | float | str | bool | None | list) else str(v) for k, v in spec.params.items()}
        return MethodInfo(
            label=spec.label, target=spec.target, params=params, code=self.code[:16], weights=dict(f.weights), terms=f.terms, cite=f.cite,
            notes=tuple(f.notes), training_losses=tuple(f.training_losses),
        )  # fmt: skip

    def tasks(self, lr: LrImages) -> Iterator[RestoreTask]:
        """Batches of the faces that are due."""
        self.keys = {f.name: self._key(f, lr.pixels) for f in self.plan.data.faces}
        due = self._due()
        if due and self.trouble:
            outcome = Outcome(Status.FAILED, self.trouble)
            self.write([Restoration(f.name, outcome) for f in due])
            return
        if due:
            make_folder(self.plan.out, self.folder)
        if self.facts.needs_lr and (without := [f for f in due if f.name in lr.broken]):
            self.write([Restoration(f.name, Outcome(Status.FAILED, lr.broken[f.name])) for f in without])
            due = [f for f in due if f.name not in lr.broken]
        if due:
            due = self._not_shared(due)
        setting = Setting(self.plan.size, self.plan.protocol.data.reduce, self.plan.seed, self.plan.device)
        for part in chunks(due, max(1, self.facts.batch_size)):
            yield RestoreTask(setting, self.spec, self.scale, tuple(f.name for f in part), self._lr(part))

    def due(self, lr: LrImages) -> set[str]:
        """Names of the faces that ``tasks`` would give out."""
        self.keys = {f.name: self._key(f, lr.pixels) for f in self.plan.data.faces}
        return {f.name for f in self._due()}

    def write(self, answers: Sequence[Restoration]) -> None:
        """Images and rows of answers; the rows last, so that a row always has its image."""
        rows = []
        self.wrote |= bool(answers)
        for answer in answers:
            file, known = self.folder / f"{answer.name}.png", ""
            if answer.png is not None:
                write_whole(file, answer.png, sync=False)
                known = hashlib.sha256(answer.png).hexdigest()
            else:
                file.unlink(missing_ok=True)
            self._samples(answer)
            o = answer.outcome
            rows.append(
                SrCell(self.spec.label, self.scale, answer.name, self.keys[answer.name], o.status, o.reason, answer.seconds, known)
            )
        self.cells.put(rows)
        self.cells.put(
            CostCell(self.spec.label, self.scale, a.name, int(a.first), a.memory) for a in answers if a.seconds is not None
        )

    def accept(self, result: RestoreResult) -> None:
        """Write a task's result, and share what may serve others."""
        self.traces += result.traces
        self.write(result.faces)
        if self.store:
            good = [a for a in result.faces if a.png is not None and not a.samples]
            held = (("sr", self.keys[a.name], Held(_said(a), a.png or b"")) for a in good)
            self.store.all(self.store.put, held)

    def _not_shared(self, due: list[Face]) -> list[Face]:
        """Write what the shared store has; returns the faces that it has not."""
        if not self.store:
            return due
        held = self.store.all(self.store.get, (("sr", self.keys[f.name]) for f in due))
        good = {f.name: h for f, h in zip(due, held, strict=True) if h and self._is_answer(h.data, self.keys[f.name])}
        self.write([_answer(name, h) for name, h in good.items()])
        return [f for f in due if f.name not in good]

    def _is_answer(self, data: bytes, key: str) -> bool:
        """Whether bytes of the shared store are an image of the run's size; others are listed with the store's wrong objects."""
        try:
            if decode_rgb(data, key).shape == (self.plan.size, self.plan.size, 3):
                return True
        except FaceSRError:
            pass
        assert self.store is not None
        self.store.wrong.append(f"sr/{key[:2]}/{key}")
        return False

    def _samples(self, answer: Restoration) -> None:
        for k, data in enumerate(answer.samples):
            folder = self.plan.folder(f"samples/{self.spec.label}", self.scale) / str(k)
            make_folder(self.plan.out, folder)
            write_whole(folder / f"{answer.name}.png", data, sync=False)

    def _lr(self, faces: Sequence[Face]) -> LR:
        if not self.facts.needs_lr:
            side = round(self.plan.size / self.scale)
            return np.zeros((len(faces), side, side, 3), np.uint8)
        return np.stack([read_lr(self.plan.lr_file(f.name, self.scale)) for f in faces])

    # -- keys ------------------------------------------------------------------------------------------------------------------

    def _key(self, face: Face, lr: Mapping[tuple[float, str], str]) -> str:
        if self.trouble:
            return ""
        p, spec, f = self.plan, self.spec, self.facts
        params = content({k: v for k, v in spec.given.items() if not (f.inputs and isinstance(v, str) and Path(v).is_dir())})
        given = lr.get((self.scale, face.name)) if f.needs_lr else None
        own = [_content_of(path) for path in self._build().inputs(face.name)] if f.inputs else []
        name = spec.target.rpartition(":")[2]
        code = (name, self.code, params, contents(f.weights))
        return digest("sr", *code, given, own, face.name, p.seed, self.scale, p.size, p.protocol.data.reduce)

    def _due(self) -> list[Face]:
        known = {c.image: c for c in self.cells.rows(SrCell, method=self.spec.label, scale=self.scale)}
        return [f for f in self.plan.data.faces if not self._good(f, known.get(f.name))]

    def _good(self, face: Face, cell: SrCell | None) -> bool:
        if cell is None or cell.status in RETRIED or not cell.key or cell.key != self.keys[face.name]:
            return False
        file = self.folder / f"{face.name}.png"
        return cell.status not in SERVED or (file.is_file() and file_sha256(file) == cell.sha256)

    # -- what the method says of itself -------------------------------------------------------------------------------------------

    def _build(self) -> Method:
        if self._method is None:
            p = self.plan
            self._method = self.spec.build(size=p.size, scale=self.scale, seed=p.seed, device=p.device)
        return self._method

    def _facts(self) -> Facts:
        """As noted when nothing about the method was different on this machine, else asked of the method itself.

        Only methods that come with the bench keep all their files where the note's stamp looks; others are always asked.
        A wrong parameter, or files of which nothing can come (a ``FaceSRError`` of the constructor or ``check``) refuse the run; any other
        error costs this method its cells.
        """
        label, stamp = f"{self.spec.label}@x{self.scale}", self._stamp()
        ours = self.spec.target.startswith(f"{OWN}.") and self.spec.target in installed("facesr.methods").values()
        for memo in self.cells.rows(MethodMemo, label=label, stamp=stamp) if ours else ():
            return Facts(**json.loads(memo.facts))
        try:
            method = self._build()
            names = (*(f.name for f in self.plan.data.faces), *self.plan.data.left_out)
            self.remarks = tuple(method.check(names))
        except FaceSRError:
            raise
        except Exception as error:  # a user's class may raise anything
            return self._failed(error)
        weights: Mapping[str, str] = {}
        try:
            weights = with_fetch(lambda: method.weights)
        except WeightsMissing:
            pass
        except Exception as error:  # as above
            return self._failed(error)
        own_inputs = type(method).inputs is not Method.inputs
        said = (list(method.notes), list(method.training_losses))
        missing = method.skip() is None and method.missing()
        facts = Facts(weights, method.terms, method.cite, int(method.batch_size), method.needs_lr, own_inputs, *said, missing or "")
        self.cells.put([MethodMemo(label, stamp, json.dumps(asdict(facts)))])
        return facts

    def _failed(self, error: Exception) -> Facts:
        self.trouble = sentence(error)
        self.traces += trace(error, f"{self.spec.label} cannot be made")
        return Facts()

    def _stamp(self) -> str:
        """Code, parameters, and the files on this machine that can change what the method says: a memo's key, never a cell's."""
        params = sorted((k, repr(v)) for k, v in self.spec.given.items())
        named = [Path(v) for v in self.spec.params.values() if isinstance(v, str) and v and len(v) < 4096 and "\0" not in v]
        files = [str(facts) for path in [*named, *self._weight_folders()] for facts in _listed(path)]
        return digest(self.spec.target, self.code, params, files, self.plan.size, self.scale)

    def _weight_folders(self) -> list[Path]:
        beside = {file.parent / "weights" for file in sources(self.spec.target)}
        return [*user_places(), cache_folder() / "weights", *sorted(beside)]


def _said(answer: Restoration) -> dict[str, object]:
    return {"status": answer.outcome.status, "reason": answer.outcome.reason}


def _answer(name: str, held: Held) -> Restoration:
    outcome = Outcome(str(held.facts["status"]), str(held.facts["reason"]))
    return Restoration(name, outcome, held.data)  # how long another machine took says nothing of this one


def _content_of(path: Path) -> str:
    """sha256 of a file; one that cannot be read is reported when the face is restored."""
    try:
        return file_sha256(path)
    except FaceSRError:
        return UNREADABLE


def _listed(path: Path) -> Iterator[tuple[str, ...]]:
    """Name, size and times of a file, or of every file below a folder."""
    places = [path] if path.is_file() else (Path(place) / name for place, _, names in os.walk(path) for name in sorted(names))
    for file in places:
        if file.is_file():
            facts = file.stat()
            yield str(file), *map(str, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
