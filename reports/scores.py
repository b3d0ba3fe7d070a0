"""The cells of one run, or of several runs of one digest, ready for tables, figures and the dashboard.

``open_runs`` reads them; ``Scores.only`` narrows them; ``Scores.values`` and ``Scores.cells`` give the numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError, same_name, suggest
from facesr.bench.numbers import whole
from facesr.bench.results import WHOLE_SET, MethodInfo, MetricInfo, Run, Status, load_run
from facesr.bench.stats.many import mean_intervals
from facesr.reports.cells import Cell, Column, Failure
from facesr.reports.references import KEY

if TYPE_CHECKING:
    import pandas as pd

F64 = NDArray[np.float64]
STATUSES = tuple(str(status) for status in Status)
UNFINISHED = "no row: the run has not come to it yet"
POWER = 5
"""A metric that asks for so many decimals (ε) is printed as a power of ten."""


class Key(NamedTuple):
    """One column of numbers: a method at a scale by a metric."""

    method: str
    scale: float
    metric: str


@dataclass(frozen=True)
class Scores:
    """Scores of ``runs`` (one digest). ``methods``, ``metrics``, ``scales`` and ``faces`` are those in view, in order."""

    runs: tuple[Run, ...]
    frame: pd.DataFrame
    methods: tuple[str, ...]
    metrics: Mapping[str, MetricInfo]
    scales: tuple[float, ...]
    faces: tuple[str, ...]
    owner: Mapping[str, tuple[Run, str]]
    """For each method: its run and its label in that run."""

    @property
    def digest(self) -> str:
        """The digest that all runs share."""
        return self.runs[0].digest

    @property
    def epsilon(self) -> float:
        """The protocol's limit of the consistency metric."""
        return float(self.runs[0].protocol.get("consistency", {}).get("epsilon", 1e-3))

    @property
    def all_faces(self) -> tuple[str, ...]:
        """Every face of the runs, in view or not."""
        return tuple(dict.fromkeys(f.name for run in self.runs for f in run.faces))

    @functools.cached_property
    def attributes(self) -> dict[str, dict[str, str]]:
        """Attributes of every face (age, gender, group ...), where the data set knows them."""
        return {f.name: dict(f.attributes) for run in self.runs for f in run.faces}

    def column(self, metric: str) -> Column:
        """How a metric is printed."""
        fact = self.metrics[metric]
        return Column(metric, fact.label or metric, fact.higher_is_better, fact.unit, fact.conventions)

    def entry(self, method: str) -> MethodInfo:
        """What the run notes of a method."""
        run, label = self.owner[method]
        return next(m for m in run.info.methods if m.label == label)

    def cite(self, method: str) -> str:
        """The BibTeX key of a method's paper; '' where it declares none (or nothing that could be one)."""
        key = self.entry(method).cite
        return key if KEY.fullmatch(key) else ""

    def bounds(self, metric: str) -> tuple[float, float]:
        """The ends of a metric's scale; infinite where the run does not say."""
        low, high = self.metrics[metric].range
        return (-math.inf if low is None else float(low), math.inf if high is None else float(high))

    def digits(self, metric: str) -> int:
        """Decimals a metric is printed with."""
        return self.metrics[metric].digits

    def only(
        self,
        *,
        methods: Iterable[str] | None = None,
        metrics: Iterable[str] | None = None,
        scales: Iterable[float] | None = None,
        faces: Iterable[str] | None = None,
    ) -> Scores:
        """The same scores, narrowed; names that do not exist raise one error with all of them. Order is kept as asked for."""
        problems: list[str] = []
        chosen = {
            "method": _chosen(methods, self.methods, "method", problems),
            "metric": _chosen(metrics, tuple(self.metrics), "metric", problems),
            "face": _chosen(faces, self.faces, "face", problems),
        }
        wanted = tuple(self.scales if scales is None else dict.fromkeys(scales))
        problems += [f"no scale {s}: this run has {', '.join(map(str, self.scales))}" for s in wanted if s not in self.scales]
        if problems:
            raise FaceSRError("; ".join(problems))
        table = {m: self.metrics[m] for m in chosen["metric"]}
        return replace(self, methods=chosen["method"], metrics=table, scales=wanted, faces=chosen["face"])

    @functools.cached_property
    def _grid(self) -> tuple[dict[Key, int], F64, NDArray[np.int8]]:
        """Values and statuses, (faces, keys); a cell without a row is ``missing``."""
        import pandas as pd

        keys = [Key(m, s, k) for s in self.scales for m in self.methods for k in self.metrics]
        values = np.full((len(self.faces), len(keys)), np.nan)
        status = np.full(values.shape, STATUSES.index(Status.MISSING), dtype=np.int8)
        per_face = self.frame[self.frame["image"] != WHOLE_SET]
        row, m = _places(per_face["image"], self.faces), _places(per_face["method"], self.methods)
        s, k = pd.Index(self.scales).get_indexer(pd.Index(per_face["scale"])), _places(per_face["metric"], self.metrics)
        keep = (row >= 0) & (m >= 0) & (s >= 0) & (k >= 0)
        column = (s * len(self.methods) + m) * len(self.metrics) + k
        values[row[keep], column[keep]] = per_face["value"].to_numpy(dtype=np.float64)[keep]
        codes = _places(per_face["status"], STATUSES)
        status[row[keep], column[keep]] = np.where(codes < 0, STATUSES.index(Status.FAILED), codes)[keep]
        return {key: i for i, key in enumerate(keys)}, values, status

    def values(self, metric: str, scale: float | None = None, *, kept: bool = False) -> pd.DataFrame:
        """Faces x methods, NaN where a cell did not end ``ok``. ``kept``: with the images of searches that did not converge."""
        import pandas as pd

        position, values, status = self._grid
        at = [position[Key(m, self.scales[0] if scale is None else scale, metric)] for m in self.methods]
        good = np.isin(status[:, at], [0, *([STATUSES.index(Status.NOT_CONVERGED)] if kept else [])])
        return pd.DataFrame(
            np.where(good, values[:, at], np.nan), index=pd.Index(self.faces, name="face"), columns=list(self.methods)
        )

    def statuses(self, metric: str, scale: float | None = None) -> pd.DataFrame:
        """Faces x methods: how each cell ended."""
        import pandas as pd

        position, _, status = self._grid
        at = [position[Key(m, self.scales[0] if scale is None else scale, metric)] for m in self.methods]
        return pd.DataFrame(np.array(STATUSES)[status[:, at]], index=pd.Index(self.faces, name="face"), columns=list(self.methods))

    def is_set_metric(self, metric: str) -> bool:
        """Whether a metric scores the whole set of images at once (FID, retrieval)."""
        return metric in self._set_rows["metric"].unique()

    def cells_known(self, metric: str) -> bool:
        """Whether any single image in view has a value of this metric."""
        position, values, _ = self._grid
        return any(key.metric == metric and bool(np.isfinite(values[:, i]).any()) for key, i in position.items())

    @functools.cached_property
    def _set_rows(self) -> pd.DataFrame:
        return self.frame[self.frame["image"] == WHOLE_SET]

    @functools.cached_property
    def _reasons(self) -> dict[tuple[str, str, float, str], str]:
        """Why a cell is not ``ok``, by image, method, scale and metric."""
        bad = self.frame[self.frame["status"] != Status.OK]
        names = zip(bad["image"], bad["method"], bad["scale"], bad["metric"], strict=True)
        return {(str(i), str(m), whole(s), str(k)): str(r) for (i, m, s, k), r in zip(names, bad["reason"], strict=True)}

    def cells(self, level: float = 0.95) -> list[Cell]:
        """A cell for every method, scale and metric in view: mean, interval over faces, n, failures with reasons."""
        if level not in self._counted:
            self._counted[level] = self._count(level)
        return list(self._counted[level])

    @functools.cached_property
    def _counted(self) -> dict[float, list[Cell]]:
        """Cells by level: a table asks for them more than once."""
        return {}

    def _count(self, level: float) -> list[Cell]:
        faces = np.array(self.faces, dtype=object)
        position, values, status = self._grid
        good = status == 0
        shares = [self.metrics[key.metric].share for key in position]
        intervals = mean_intervals(np.where(good, values, np.nan), level, shares=shares) if position else []
        made = []
        for key, i in position.items():
            if self.is_set_metric(key.metric):
                made.append(self._set_cell(key))
                continue
            mean = intervals[i]
            whole = bool(good[:, i].all())
            images = self.faces if whole else tuple(faces[good[:, i]])
            failures = () if whole else self._failures(key, status[:, i])
            made.append(self._cell(key, mean.mean, mean.low, mean.high, len(images), failures, images))
        return made

    def _cell(
        self, key: Key, mean: float, low: float, high: float, n: int, failures: tuple[Failure, ...], images: tuple[str, ...]
    ) -> Cell:
        run = self.owner[key.method][0]
        origin = f"{run.path} ({run.digest[:12]})"
        digits = self.digits(key.metric)
        power = digits >= POWER
        return Cell(
            key.method, key.metric, mean, low, high, n, failures, images, origin, key.scale, 1 if power else digits, power,
            self.bounds(key.metric),
        )  # fmt: skip

    def _failures(self, key: Key, status: NDArray[np.int8]) -> tuple[Failure, ...]:
        bad = [(self.faces[i], STATUSES[status[i]]) for i in np.flatnonzero(status)]
        return tuple(Failure(f, s, self._reasons.get((f, key.method, key.scale, key.metric), UNFINISHED)) for f, s in bad)

    def _set_cell(self, key: Key) -> Cell:
        """A score of the whole set speaks of all faces of the run; of some of them it says nothing."""
        rows = self._set_rows
        found = rows[(rows["method"] == key.method) & (rows["scale"] == key.scale) & (rows["metric"] == key.metric)]
        if len(self.faces) < len(self.all_faces):
            reason = "a score of the whole set has no value for a part of it"
            return self._cell(key, np.nan, np.nan, np.nan, 0, (Failure(WHOLE_SET, Status.SKIPPED, reason),), ())
        if found.empty:
            return self._cell(key, np.nan, np.nan, np.nan, 0, (Failure(WHOLE_SET, Status.MISSING, UNFINISHED),), ())
        row = found.iloc[-1]
        if row["status"] != Status.OK:
            return self._cell(key, np.nan, np.nan, np.nan, 0, (Failure(WHOLE_SET, str(row["status"]), str(row["reason"])),), ())
        n = int(row["n"]) if row["n"] == row["n"] else 0
        return self._cell(key, float(row["value"]), float(row["low"]), float(row["high"]), n, (), self.faces)


def _places(column: pd.Series[Any], names: Iterable[str]) -> NDArray[np.intp]:
    """Where every cell of a column stands in ``names``, -1 where it does not: each different name is looked up once, not each row."""
    import pandas as pd

    named = column.astype("category").cat
    places: NDArray[np.intp] = np.append(pd.Index(list(names)).get_indexer(named.categories), -1)[named.codes]
    return places


def _chosen(asked: Iterable[str] | None, known: Sequence[str], what: str, problems: list[str]) -> tuple[str, ...]:
    if asked is None:
        return tuple(known)
    have = set(known)
    wanted = tuple(dict.fromkeys(name if name in have else same_name(name, known) or name for name in asked))
    problems += [f"no {what} {name!r} here: {suggest(name, known)}" for name in wanted if name not in have]
    return wanted


def open_runs(paths: Iterable[Path | str]) -> Scores:
    """Read the scores of one run or of several. Raises one sentence where their digests, or a metric's conventions, differ.

    A method that two runs measured alike (same version, parameters and weights) appears once; one that they measured differently
    appears twice, with the run's name.
    """
    runs = tuple(load_run(p) for p in paths)
    if not runs:
        raise FaceSRError("no run was named: give the folder that 'facesr run' wrote")
    return from_runs(runs)


def from_runs(runs: Sequence[Run], names: Sequence[str] = ()) -> Scores:
    """As ``open_runs``, for runs that are open already; ``names``: in place of their folders' names."""
    import pandas as pd

    if len({run.digest for run in runs}) > 1:
        named = ", ".join(f"{run.path} is {run.protocol.get('name', '?')} {run.digest[:12]}" for run in runs)
        raise FaceSRError(f"runs of different digests never meet in one table: {named}; print one table each")
    metrics: dict[str, MetricInfo] = {}
    for run in runs:
        for name, fact in run.metrics.items():
            for key in ("conventions", "weights"):
                if name in metrics and getattr(metrics[name], key) != getattr(fact, key):
                    raise FaceSRError(f"{runs[0].path} and {run.path} measured {name} with different {key}: print one table each")
            metrics.setdefault(name, fact)
    owner: dict[str, tuple[Run, str]] = {}
    identities: dict[str, str] = {}
    parts = []
    for run, said in zip(runs, names or [run.path.name for run in runs], strict=True):
        frame = run.scores()
        taken = {}
        for method in run.info.methods:
            label, identity = method.label, repr(method)
            if identities.get(label) == identity:
                continue
            name = label if label not in owner else f"{label} ({said})"
            name = next(n for n in (name, *(f"{name} {i}" for i in range(2, len(runs) + 2))) if n not in owner)
            taken[label], owner[name], identities[name] = name, (run, label), identity
        part = frame[frame["method"].isin(list(taken))]
        parts.append(part.assign(method=part["method"].map(taken)) if any(k != v for k, v in taken.items()) else part)
    scales = tuple(dict.fromkeys(s for run in runs for s in run.scales))
    faces = tuple(dict.fromkeys(f.name for run in runs for f in run.faces))
    whole = pd.concat(parts, ignore_index=True).astype(dict.fromkeys(("image", "method", "metric", "status"), "category"))
    return Scores(tuple(runs), whole, tuple(owner), metrics, scales, faces, owner)
