"""What can be checked of a run without computing a score: files, digest, protocol, the grid of cells, and tables that must agree."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from facesr.bench import protocol as protocols
from facesr.bench.errors import FaceSRError, some
from facesr.bench.protocol import Protocol
from facesr.bench.reading import read_text
from facesr.bench.results import SERVED, WHOLE_SET, MetricInfo, Run, Status
from facesr.bench.results.cells import Cells, ScoreCell, SrCell
from facesr.bench.results.run import known_cells
from facesr.bench.results.sums import sums_problems
from facesr.bench.run.plan import identity_of, run_digest
from facesr.bench.tables import safe_cell
from facesr.bench.verify.files import verify_files
from facesr.bench.verify.material import Material

TABLE = "scores.csv"
KEY = ("image", "method", "scale", "metric")
SLACK = 1e-6
"""A cosine of 1 may be printed as 1.0000000001."""
Place = tuple[str, str, float, str]


def run_problems(run: Run, material: Material) -> Iterator[str]:
    """What is wrong, one sentence each."""
    yield from sums_problems(run.path)
    verdict = verify_files(run)
    for what, names in (("is not what was measured", verdict.changed), ("is not there", verdict.missing)):
        of = [n for n in names if n.startswith(("LR ", "SR "))]  # HR and weights are this machine's, and looked at elsewhere
        if of:
            yield f"{some(of, 3)} {what}" + (f" ({len(of):,} files)" if len(of) > 3 else "")
    yield from _digest(run, material)
    yield from _declared(run, material)
    with Cells(run.path) as cells:
        sr = {(c.method, c.scale, c.image): c for c in known_cells(run.info, cells, SrCell)}
        scores = {(c.image, c.method, c.scale, c.metric): c for c in known_cells(run.info, cells, ScoreCell)}
    yield from _grid(run, sr, scores)
    yield from _statuses(run, sr, scores)
    yield from _tables(run, scores)


def run_remarks(run: Run, material: Material) -> Iterator[str]:
    """What is true and should be known, and is nobody's fault."""
    protocol, info = material.protocol, run.info
    released = protocols.load_protocol(protocol.name) if protocol.name in protocols.protocol_names() else None
    if released is None:
        yield f"{protocol.name!r} is no protocol that comes with this suite"
    elif differs := [
        room
        for room in ("version", "data", "degradation", "consistency", "metrics")
        if getattr(released, room) != getattr(protocol, room)
    ]:
        yield f"it follows {info.title} with other {', '.join(differs)}: its digest is another, and it stands in no table of that protocol"
    if material.whole and len(info.faces) < len(material.whole):
        yield f"it is of {len(info.faces):,} of the data set's {len(material.whole):,} faces"
    if info.shard:
        yield f"it is shard {info.shard} of a run"


def _digest(run: Run, material: Material) -> Iterator[str]:
    """The digest follows from protocol and faces; the faces are all of the data, its first ones (--limit), or a shard (3/16)."""
    info = run.info
    mine = [identity_of(f) for f in run.faces]
    whole = [identity_of(f) for f in material.whole] if info.shard else mine
    if (whole or not info.shard) and run_digest(material.protocol, whole) != info.digest:
        yield "its digest does not follow from its protocol and faces"
    if not material.whole or material.protocol.lr is not None:
        return
    names, have = [f.name for f in material.whole], [f.name for f in run.faces]
    expected = names[: len(have)]
    if info.shard:
        first, count = (int(part) for part in info.shard.split("/"))
        expected = names[first - 1 :: count]
    if have != expected:
        left = [name for name in names if name not in set(have)]
        yield f"its faces were picked: {some(left, 3) or 'others'} are left out, which no option of 'facesr run' does"


def _declared(run: Run, material: Material) -> Iterator[str]:
    """What the metrics are, here and there: a table is read by it."""
    for plan in material.metrics:
        theirs, ours = run.metrics[plan.name], plan.info
        keys = ["label", "higher_is_better", "unit", "range", "of_set", "share", "digits"]
        keys += ["conventions", "source"] if run.info.environment.get("facesr-bench") == _version() else []
        for key in keys:
            if getattr(theirs, key) != getattr(ours, key):
                yield f"metric {plan.name}: its {key} is given as {getattr(theirs, key)!r}, and is {getattr(ours, key)!r}"
        if _digests(theirs) and _digests(theirs) != _digests(ours):
            yield f"metric {plan.name} was measured with other weights than those here"
    if set(run.metrics) - {m.name.partition("?")[0] for m in material.protocol.metrics} - set(_asked(material.protocol)):
        yield "it has metrics that its protocol does not name"


def _asked(protocol: Protocol) -> Iterator[str]:
    """Names that a metric with conventions of its own may go by."""
    for spec in protocol.metrics:
        own = "&".join(
            f"{key}={str(v).lower() if isinstance(v, bool) else str(v).replace(' ', '')}"
            for key, v in sorted(spec.conventions.items())
        )
        yield f"{spec.name}?{own}" if own else spec.name


def _digests(fact: MetricInfo) -> list[str]:
    return sorted(fact.weights.values())


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("facesr-bench")
    except PackageNotFoundError:
        return ""


def _grid(run: Run, sr: Mapping[Any, SrCell], scores: Mapping[Place, ScoreCell]) -> Iterator[str]:
    """Every cell is there; nothing is left out without a word."""
    faces = [f.name for f in run.faces]
    images = [(m, s, f) for m in run.methods for s in run.scales for f in faces]
    if lost := [f"{m} {f}" for m, s, f in images if (m, s, f) not in sr]:
        yield f"{len(lost):,} images have no row ({some(lost, 3)})"
    due = [
        (f, m, s, k)
        for k, fact in run.metrics.items()
        for m, s, f in ([(m, s, WHOLE_SET) for m in run.methods for s in run.scales] if fact.of_set else images)
    ]
    absent = [place for place in due if place not in scores]
    if run.info.shard:
        absent = [place for place in absent if place[0] != WHOLE_SET]
    if absent:
        yield f"{len(absent):,} scores have no row ({some([_at(p) for p in absent], 3)})"
    if extra := scores.keys() - set(due):
        yield f"{len(extra):,} scores belong to no cell of the run ({some([_at(p) for p in sorted(extra)], 3)})"


def _at(place: Place) -> str:
    image, method, scale, metric = place
    return f"{metric} of {method} ×{scale}, {image}"


def _statuses(run: Run, sr: Mapping[Any, SrCell], scores: Mapping[Place, ScoreCell]) -> Iterator[str]:
    """A value only where there is an image and it may have one, within its metric's range; a reason everywhere else."""
    wrong = [_at(p) for p, cell in scores.items() if not _possible(cell, sr.get((p[1], p[2], p[0])), run.metrics[p[3]])]
    if wrong:
        yield f"{len(wrong):,} cells cannot be as they stand: status, value and reason do not go together ({some(wrong, 3)})"


def _possible(cell: ScoreCell, image: SrCell | None, fact: MetricInfo) -> bool:
    """Whether a cell can have come about."""
    if (
        image is not None
        and image.status not in SERVED
        and cell.status not in (image.status, Status.WEIGHTS_MISSING, Status.SKIPPED)
    ):
        return False
    if cell.value is None or not math.isfinite(cell.value):
        return cell.status in set(Status) - {Status.OK} and bool(cell.reason.strip())
    low, high = fact.range
    inside = (low is None or cell.value >= low - SLACK) and (high is None or cell.value <= high + SLACK)
    return inside and (cell.status == Status.OK or (cell.status == Status.NOT_CONVERGED and bool(cell.reason.strip())))


def _tables(run: Run, scores: Mapping[Place, ScoreCell]) -> Iterator[str]:
    """scores.parquet and scores.csv say what the cells say, row by row."""
    frame = run.scores()
    rows = [tuple(r) for r in frame[[*KEY, "value", "status", "low", "high", "n"]].itertuples(index=False)]
    yield from _agree("scores.parquet", [(tuple(r[:4]), r[4:]) for r in rows], scores)
    if (run.path / TABLE).is_file():
        try:
            read = list(csv.DictReader(io.StringIO(read_text(run.path / TABLE))))
            plain = [
                (
                    (r["image"], r["method"], float(r["scale"]), r["metric"]),
                    (_number(r["value"]), r["status"], _number(r["low"]), _number(r["high"]), int(r["n"])),
                )
                for r in read
            ]
        except (KeyError, ValueError, TypeError, csv.Error, FaceSRError) as error:
            yield f"{TABLE} is not the table of the scores ({error})"
            return
        yield from _agree(TABLE, plain, scores, safe=True)


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _agree(name: str, rows: list[tuple[Any, Any]], scores: Mapping[Place, ScoreCell], safe: bool = False) -> Iterator[str]:
    held = Counter(place for place, _ in rows)
    twice = [_at(p) for p, n in held.items() if n > 1]
    expected = {(_safe(p) if safe else p): c for p, c in scores.items()}
    if twice:
        yield f"{name} has {len(twice):,} cells twice ({some(twice, 3)})"
    if lost := expected.keys() - held.keys():
        yield f"{name} lacks {len(lost):,} cells ({some([_at(p) for p in sorted(lost)], 3)})"
    if extra := held.keys() - expected.keys():
        yield f"{name} has {len(extra):,} rows that are no cell ({some([_at(p) for p in sorted(extra, key=str)], 3)})"
    other = [
        _at(p)
        for p, facts in rows
        if (c := expected.get(p)) is not None and not _equal(facts, (c.value, c.status, c.low, c.high, c.n))
    ]
    if other:
        yield f"{name} and the cells disagree about {len(other):,} scores ({some(other, 3)})"


def _safe(place: Place) -> Place:
    image, method, scale, metric = place
    return (str(safe_cell(image)), str(safe_cell(method)), scale, str(safe_cell(metric)))


def _equal(row: Any, cell: Any) -> bool:
    for a, b in zip(row, cell, strict=True):
        if isinstance(b, str) or isinstance(a, str):
            if str(a) != str(b):
                return False
        elif not (a == b or ((b is None or math.isnan(b)) and (a is None or math.isnan(a)))):
            return False
    return True
