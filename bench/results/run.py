"""A run folder, finished or growing, as reports, studies and the dashboard read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.data.dataset import prepared_folder
from facesr.bench.diagnosis import counted
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.lowres import lr_suffix
from facesr.bench.numbers import whole
from facesr.bench.protocol import NO_HR
from facesr.bench.reading import file_sha256, leads_out
from facesr.bench.results.cells import FILE as CELLS
from facesr.bench.results.cells import Cells, CostCell, LrCell, ScoreCell, SrCell
from facesr.bench.results.info import FaceInfo, MetricInfo, RunInfo, read_info
from facesr.bench.results.names import WHOLE_SET
from facesr.bench.results.status import SERVED, Status
from facesr.bench.results.table import COLUMNS, FILE, Rows, read_scores

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run folder. ``load`` opens one."""

    path: Path
    info: RunInfo

    @property
    def protocol(self) -> Mapping[str, Any]:
        """The protocol as stored, ``data``, ``degradation`` and so on as nested dicts."""
        return self.info.protocol

    @property
    def digest(self) -> str:
        """sha256 over what matters of protocol and data; results of two digests never meet in one table."""
        return self.info.digest

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order asked for."""
        return [m.label for m in self.info.methods]

    @property
    def metrics(self) -> Mapping[str, MetricInfo]:
        """The metrics by name, in the order asked for."""
        return self.info.metrics

    @property
    def faces(self) -> tuple[FaceInfo, ...]:
        """The faces, in order of name."""
        return self.info.faces

    @property
    def scales(self) -> list[float]:
        """The protocol's downscaling factors."""
        return [whole(scale) for scale in self.info.scales]

    @property
    def running(self) -> bool:
        """Whether the last call into this folder has not ended well (yet)."""
        return self.info.state == "running"

    def scores(self) -> pd.DataFrame:
        """The long table of a finished run; of one that is running, the rows there are so far. Columns: ``COLUMNS``."""
        if (self.path / FILE).is_file() and not (self.running and (self.path / CELLS).is_file()):
            return read_scores(self.path / FILE)
        import pandas as pd

        with Cells(self.path) as cells:
            frame = pd.DataFrame(score_rows(self.info, cells), columns=list(COLUMNS))
        return frame.astype({"value": float, "low": float, "high": float, "reason": str})

    def costs(self) -> pd.DataFrame:
        """What each restored face took on this run's machine: method, scale, image, seconds, first, memory.

        ``seconds``: wall time of its batch, shared evenly, the GPU waited for. ``first``: in the first batch of its worker, which warms up.
        ``memory``: most bytes that were held until then (NaN where unknown; see ``facesr.bench.run.peak``). Faces that were taken over
        from a shared store, or read as finished images, have no row.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        if (self.path / CELLS).is_file():
            with Cells(self.path) as cells:
                known = {(c.method, c.scale, c.image): c for c in known_cells(self.info, cells, CostCell)}
                for c in known_cells(self.info, cells, SrCell):
                    if c.seconds is not None and c.status in SERVED:
                        cost = known.get((c.method, c.scale, c.image))
                        rows.append((c.method, c.scale, c.image, c.seconds, bool(cost and cost.first), cost and cost.memory))
        frame = pd.DataFrame(rows, columns=["method", "scale", "image", "seconds", "first", "memory"])
        return frame.astype({"seconds": float, "first": bool, "memory": float})

    def failures(self) -> list[str]:
        """What did not end well: a line for each cause, with the methods and metrics it struck."""
        found: dict[tuple[str, str, str], tuple[int, str, str]] = {}
        with Cells(self.path) as cells:
            for cell in known_cells(self.info, cells, ScoreCell):
                if cell.status not in (Status.OK, Status.SKIPPED):
                    whole_image = cell.status in (Status.MISSING, Status.NOT_CONVERGED)
                    place = (cell.method, cell.status, "" if whole_image else cell.metric)
                    count, metric, reason = found.get(place, (0, cell.metric, cell.reason))
                    found[place] = (count + 1, metric, min(reason, cell.reason))
        causes: dict[tuple[int, str, str, str], list[str]] = {}
        for (method, status, _), (count, metric, reason) in sorted(found.items()):
            causes.setdefault((count, status, metric, reason), []).append(method)
        return [
            f"{', '.join(methods)}: {n} cells {'each ' if len(methods) > 1 else ''}{status} ({metric}): {why}"
            for (n, status, metric, why), methods in causes.items()
        ]

    def remarks(self) -> list[str]:
        """What came up about images as they were read, each cause once, and what methods far below bicubic look like."""
        said = [f"HR: {line}" for line in counted(f.note for f in self.faces)]
        return said + [f"{m.label}: {line}" for m in self.info.methods for line in (*m.remarks, *m.diagnosis)]

    def hashes(self) -> Iterator[tuple[str, Path, str]]:
        """LR and SR images with the sha256 they had when they were measured: what it is, where it lies, sha256."""
        if not (self.path / CELLS).is_file():
            return
        with Cells(self.path) as cells:
            for lr in cells.rows(LrCell):
                yield f"LR {lr.image} ×{lr.scale}", self.lr_path(lr.image, lr.scale), lr.sha256
            for sr in known_cells(self.info, cells, SrCell):
                if sr.status in SERVED:
                    yield f"SR {sr.method} {sr.image} ×{sr.scale}", self.sr_path(sr.method, sr.image, sr.scale), sr.sha256

    def lr_path(self, face: str, scale: float) -> Path:
        """The LR image of a face, for ``facesr.bench.imaging.read_lr``: a PNG, or ``.npy`` where the protocol leaves LR unrounded."""
        quantize = dict(self.protocol.get("degradation") or {}).get("quantize", True) is not False
        return self.path / "lr" / self._scale(scale) / f"{face}{lr_suffix(quantize)}"

    def sr_path(self, method: str, face: str, scale: float) -> Path:
        """The SR image of a face by a method."""
        return self.path / "sr" / method / self._scale(scale) / f"{face}.png"

    def as_measured(self, path: Path) -> Path:
        """``path``, an LR or SR image of this run, to be shown or used. Raises ``FaceSRError`` for a link that leads out of the run folder (it
        may be a stranger's), and for an image that changed since it was measured."""
        if leads_out(path, self.path):
            raise FaceSRError(f"{path} is a link that leads out of the run, which is not followed: put the image itself there")
        known = self._sums.get(path)
        if known and path.is_file() and file_sha256(path) != known:
            raise FaceSRError(f"{path} is not the image that was measured (its sha256 is another): call the run again")
        return path

    @cached_property
    def _sums(self) -> dict[Path, str]:
        return {path: known for _, path, known in self.hashes()}

    def _scale(self, scale: float) -> str:
        return f"x{scale}" if len(self.scales) > 1 else ""

    @property
    def has_hr(self) -> bool:
        """Whether there is HR: a run of LR images of one's own may have none."""
        return dict(self.protocol.get("data") or {}).get("dataset") != NO_HR

    def hr_path(self, face: str, *, checked: bool = True) -> Path:
        """The HR image of a face (without HR: the photo of the person), as measured: the place noted, else found again by its sha256 in the
        data set. Where there are only other files of its name: ``FaceSRError``, or the first of them where not ``checked``. A path where
        nothing is, where there is none at all."""
        known = self._by_name.get(face)
        if known is None:
            raise FaceSRError(f"{self.path} has no face {face!r}")
        places = list(self._hr_places(known))
        there = [p for p in places if p.is_file()]
        for place in there:
            if not known.sha256 or file_sha256(place) == known.sha256:
                return place
        if there and checked:
            raise FaceSRError(
                f"{'HR' if self.has_hr else 'the photo'} of {face} is not the file that was measured: {there[0]} has another sha256; bring "
                "the old file back, or call the run again"
            )
        return (there or places)[0]

    @cached_property
    def _by_name(self) -> dict[str, FaceInfo]:
        return {f.name: f for f in self.faces}

    def _hr_places(self, face: FaceInfo) -> Iterator[Path]:
        noted = Path(face.path or f"{face.name}.png")
        yield self.path / noted
        data = dict(self.protocol.get("data") or {})
        dataset, size = str(data.get("dataset", "")), int(data.get("size", 0) or 0)
        for folder in (self.path / "hr", prepared_folder(dataset, size) / "images", Path(dataset.removeprefix("folder:"))):
            yield folder / noted.name


def known_cells(info: RunInfo, cells: Cells, kind: Any) -> Iterator[Any]:
    """Cells of the methods, metrics and faces that the run is of: the store keeps those of earlier requests too."""
    methods, faces = {m.label for m in info.methods}, {f.name for f in info.faces} | {WHOLE_SET}
    for row in cells.rows(kind):
        here = row.method in methods and row.image in faces and row.scale in info.scales
        if here and (kind is not ScoreCell or row.metric in info.metrics):
            yield row


def score_rows(info: RunInfo, cells: Cells) -> Rows:
    """The rows of the long table in their fixed order: by scale, method, metric (both as asked for), face."""
    method = {m.label: i for i, m in enumerate(info.methods)}
    metric = {name: i for i, name in enumerate(info.metrics)}
    rows = [
        (c.image, c.method, c.scale, c.metric, c.value, c.status, c.reason, c.low, c.high, c.n)
        for c in known_cells(info, cells, ScoreCell)
    ]
    return sorted(rows, key=lambda r: (r[2], method[r[1]], metric[r[3]], r[0]))


@dataclass(frozen=True)
class Progress:
    """Cells done and due: images restored, and scores of them."""

    restored: int
    images: int
    scored: int
    scores: int

    @property
    def share(self) -> float:
        """Of the whole work, between 0 and 1; both halves count alike."""
        return (self.restored / max(self.images, 1) + self.scored / max(self.scores, 1)) / 2


def progress(run: Run) -> Progress:
    """How far a run has come, from its cells."""
    columns = len(run.methods) * len(run.scales)
    images = len(run.faces) * columns
    sets = sum(m.of_set for m in run.metrics.values())
    due = images * (len(run.metrics) - sets) + sets * columns
    with Cells(run.path) as cells:
        return Progress(min(cells.count(SrCell), images), images, min(cells.count(ScoreCell), due), due)


def load_run(path: Path | str) -> Run:
    """Open a run folder; one that is none, is damaged, or has another layout version gives one sentence."""
    return Run(Path(path), read_info(Path(path)))
