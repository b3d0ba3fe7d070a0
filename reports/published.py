"""Published numbers beside re-measured ones, and whether the two may be compared at all.

Most may not: a paper's faces, factor, size, settings or weights are others, or a study's raters are too few or no people. Then the verdict
says which, and nothing about who is right. What a run cannot know (whose weights a file holds) stands in the verdict as its condition.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import whole
from facesr.bench.protocol import FOLDER, Protocol
from facesr.bench.study.analysis import HR
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.mos import MosResult, check_same, mos_cell
from facesr.reports.notes import FULL_SIZE, declared
from facesr.reports.references import printed, printed_condition
from facesr.reports.scores import Scores
from facesr.reports.table import Table

FILE = FOLDER / "published" / "papers.toml"
OWN_WEIGHTS = "default weights of this project"
"""What a method says of itself (``Method.notes``) where its weights are not the published ones."""
OURS = "facesr.methods."
"""Where the classes of this project's methods are; what anything else did is its maker's word."""
ELSEWHERE = ("facesr.methods.folder:", "facesr.methods.command:", "facesr.methods.spandrel")
FEWEST = 15
"""Raters: ITU-R BT.500-15, 2.5, asks for at least so many."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table of a paper: which metric, on what, and its numbers as printed, by method. ``cite``: '' where none is named.

    ``split``: the part of the data set that the faces are of; every table here is of faces that no method was trained on.
    """

    place: str
    dataset: str
    scale: float
    size: int
    metric: str
    values: dict[str, str]
    split: str = "test"
    kernel: str = "bicubic"
    """How LR was made; any of this project's kernels whose name begins so is meant."""
    scores: tuple[int, int] = (1, 5)
    """Ends of the rating scale."""
    cite: str = ""
    unknown: str = ""
    """What the paper does not say, without which no program can make its number again."""

    @property
    def source(self) -> str:
        """Paper and place, as tables print them."""
        return f"{printed_source(self.cite)}: {self.place}" if self.cite else self.place


@cache
def published() -> tuple[Published, ...]:
    """Every published table that comes with the protocols."""
    found: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["table"]
    return tuple(from_table(Published, table, str(FILE)) for table in found)


def carried(protocol: Protocol) -> list[Published]:
    """The published tables of a protocol's own faces, factors, size and way of reducing."""
    named, made = protocol.data, protocol.degradation
    return [
        table
        for table in published()
        if (table.dataset, table.split, table.size) == (named.dataset, named.split, named.size)
        and table.scale in made.scale
        and made.kernel.startswith(table.kernel)
        and protocol.lr is None
    ]


@cache
def without_numbers() -> dict[str, str]:
    """Papers that have no number to stand beside a run's, and why."""
    return dict(tomllib.loads(FILE.read_text(encoding="utf-8"))["none"])


def verdict(text: str, ours: Cell, why_not: list[str], unless: str = "") -> str:
    """Whether a number as printed lies in our interval, widened by half of its last digit; or why the two say nothing of each other.

    ``unless``: what the run cannot know, and what the verdict rests on.
    """
    if why_not:
        return f"not comparable: {', '.join(why_not)}"
    if math.isnan(ours.mean):
        return "not measured here"
    rounding = 0.5 * 10.0 ** -len(text.partition(".")[2])
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)):
        said = "agrees to its last digit" if abs(ours.mean - float(text)) <= rounding else "differs; no interval to judge by"
    else:
        inside = ours.low - rounding <= float(text) <= ours.high + rounding
        said = "within our interval" if inside else "outside our interval"
    return f"{said}, if {unless}" if unless else said


def why_not(scores: Scores, table: Published, method: str, scale: float, mos: MosResult | None = None) -> list[str]:
    """What keeps a published number and one of this run, or of a study of its images (``mos``), from being compared."""
    run = scores.runs[0]
    data, named = run.protocol.get("data", {}), str(run.protocol.get("data", {}).get("dataset", "?"))
    split, size, kernel = str(data.get("split", "")), data.get("size"), str(run.protocol.get("degradation", {}).get("kernel", "?"))
    found = [f"other faces ({table.dataset}, here {named})"] if named != table.dataset else []
    found += [f"other split ({table.split}, here {split})"] if not found and split != table.split else []
    full = max(FULL_SIZE.get((named, split), 0), run.info.data.total, len(scores.all_faces))
    found += ["only a part of the faces"] if not found and mos is None and len(scores.faces) < full else []
    found += [f"other factor (×{table.scale:g}, here ×{scale:g})"] if scale != table.scale else []
    found += [f"other size ({table.size}, here {size})"] if size != table.size else []
    if "lr" in run.protocol:
        found += ["LR images of one's own"]
    elif not kernel.startswith(table.kernel):
        found += [f"other reduction ({table.kernel}, here {kernel})"]
    found += [table.unknown] if table.unknown else []
    notes = scores.entry(method).notes if method in scores.methods else ()
    found += ["other weights"] if any(OWN_WEIGHTS in note for note in notes) else []
    return found + (_of_study(table, mos) if mos else [])


def _of_study(table: Published, mos: MosResult) -> list[str]:
    """What of a study is not as the paper's was."""
    raters, ends = len(mos.analysis.cube.raters), tuple(mos.analysis.scale)
    return [
        *(["simulated raters"] if mos.analysis.simulated else [mos.label] if mos.label else []),
        *(["imported ratings, of which no run says what was shown"] if not mos.study.info.get("run", {}).get("digest") else []),
        *([f"other rating scale ({_ends(table.scores)}, here {_ends(ends)})"] if ends != table.scores else []),
        *([f"only {raters} raters, fewer than {FEWEST} (BT.500)"] if raters < FEWEST else []),
    ]


def _ends(scale: tuple[int, ...]) -> str:
    return f"{scale[0]}–{scale[-1]}"


def _ours(target: str) -> bool:
    return target.startswith(OURS) and not target.startswith(ELSEWHERE)


def unless(scores: Scores, method: str) -> str:
    """What a verdict on this method rests on, which the run cannot know; '' where nothing."""
    if method not in scores.methods:
        return ""
    entry = scores.entry(method)
    if not _ours(entry.target):
        return "its images are by the paper's weights and settings"
    rests = [*(["weights"] if entry.weights else []), *(f"{name}={value}" for name, value in entry.params.items())]
    return f"{' and '.join(rests)} {'are' if entry.weights else 'is'} the paper's" if rests else ""


def _rows(scores: Scores, mos: MosResult | None) -> Iterator[Row]:
    cells = {(c.method, c.metric, c.scale): c for c in scores.cells()}
    rated = {m.condition.lower(): replace(mos_cell(mos, m, ranks=False), letters="") for m in mos.conditions} if mos else {}
    for table in published():
        study = mos if table.metric == "mos" else None
        scales = [_rated_scale(scores, study)] if study else scores.scales
        for method, text in table.values.items():
            if method not in scores.methods and not (study and method == HR):
                continue
            for scale in scales:
                ours = rated.get(method) if study else cells.get((method, table.metric, scale))
                if ours is None:
                    continue
                name = "MOS" if study else scores.column(table.metric).label
                words = (
                    Cell(method, table.metric, text=name),
                    Cell(method, table.metric, text=text),
                    ours,
                    Cell(
                        method,
                        table.metric,
                        text=verdict(text, ours, why_not(scores, table, method, scale, study), unless(scores, method)),
                    ),
                )
                yield Row(
                    f"{method} {table.metric} {table.cite} x{scale}",
                    printed(method, scores.cite(method)) if method in scores.methods else printed_condition(method),
                    words,
                    group=table.source,
                    cite=table.cite,
                )


def _rated_scale(scores: Scores, mos: MosResult) -> float:
    """The factor of the images that a study showed."""
    return whole(float(mos.study.info.get("run", {}).get("scale", 0) or 0)) or scores.scales[0]


def printed_source(cite: str) -> str:
    """The first author and the year of a BibTeX key of ours: ``menon2020pulse`` is Menon 2020."""
    found = re.match(r"([a-z]+)(\d{4})", cite)
    return f"{found[1].capitalize()} {found[2]}" if found else cite


def published_table(scores: Scores, mos: MosResult | None = None) -> Table:
    """Every published number of a method and metric of this run beside our own, with a verdict. ``mos``: a study of this run's images."""
    if mos is not None:
        check_same(scores, mos)
    rows = tuple(_rows(scores, mos))
    if not rows:
        raise FaceSRError(
            "no paper known here prints a number for these methods and metrics: run psnr-y or ssim with bicubic and fsrnet, or give --study"
        )
    columns = (
        Column("metric", "Metric"),
        Column("published", "Published"),
        Column("ours", "Here"),
        Column("verdict", "Verdict", prose=True),
    )
    silent = [f"{printed_source(cite)} {why}." for cite, why in without_numbers().items() if _asked(scores, cite)]
    notes = (
        "Here: mean with its 95 % interval. A verdict is given only where faces, factor, size, settings and weights are not known to be others "
        "than the paper's; what a verdict rests on and is not known here stands after 'if'. The published number has an error of its own, which the "
        "interval leaves out.",
        *(["MOS depends on what else raters saw: compare the conditions of both studies."] if mos is not None else []),
        *silent,
        *declared(scores),
    )
    label = f"{mos.label}. " if mos is not None and mos.label else ""
    caption = f"{label}Published numbers beside those measured here"
    return Table("published", caption, columns, rows, notes, show_n=False, said_marks=False)


def any_published(scores: Scores, mos: MosResult | None = None) -> Table | None:
    """``published_table``; None where no paper prints a number for these methods and metrics."""
    try:
        return published_table(scores, mos)
    except FaceSRError:
        return None


def _asked(scores: Scores, cite: str) -> bool:
    return any(scores.cite(method) == cite for method in scores.methods)
