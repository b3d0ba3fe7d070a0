"""Published numbers beside re-measured ones, and whether the two may be compared at all.

Most may not: a paper's faces, factor, size or weights are others. Then the verdict says which, and nothing about who is right.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.mos import MosResult, mos_cell
from facesr.reports.notes import FULL_SIZE, declared
from facesr.reports.references import printed
from facesr.reports.scores import Scores
from facesr.reports.table import Table

FILE = Path(__file__).with_name("published.toml")
OWN_WEIGHTS = "default weights of this project"
"""What a method says of itself (``Method.notes``) where its weights are not the published ones."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table of a paper: which metric, on what, and its numbers as printed, by method. ``cite``: '' where none is named."""

    place: str
    dataset: str
    scale: float
    size: int
    metric: str
    values: dict[str, str]
    cite: str = ""
    unknown: str = ""
    """What the paper does not say, without which no program can make its number again."""


@cache
def published() -> tuple[Published, ...]:
    """Every table of ``published.toml``."""
    found: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["table"]
    return tuple(from_table(Published, table, str(FILE)) for table in found)


@cache
def without_numbers() -> dict[str, str]:
    """Papers that have no number to stand beside a run's, and why."""
    return dict(tomllib.loads(FILE.read_text(encoding="utf-8"))["none"])


def verdict(text: str, ours: Cell, why_not: list[str]) -> str:
    """Whether a number as printed lies in our interval, widened by half of its last digit; or why the two say nothing of each other."""
    if why_not:
        return f"not comparable: {', '.join(why_not)}"
    if math.isnan(ours.mean):
        return "not measured here"
    rounding = 0.5 * 10.0 ** -len(text.partition(".")[2])
    if not (math.isfinite(ours.low) and math.isfinite(ours.high)):
        return "agrees to its last digit" if abs(ours.mean - float(text)) <= rounding else "differs; no interval to judge by"
    return "within our interval" if ours.low - rounding <= float(text) <= ours.high + rounding else "outside our interval"


def why_not(scores: Scores, table: Published, method: str, scale: float) -> list[str]:
    """What keeps a published number and one of this run from being compared."""
    protocol = scores.runs[0].protocol
    data = protocol.get("data", {})
    named, size = str(data.get("dataset", "?")), data.get("size")
    found = [f"other faces ({table.dataset}, here {named})"] if named != table.dataset else []
    whole = FULL_SIZE.get((named, str(data.get("split", ""))), len(scores.all_faces))
    found += ["only a part of the faces"] if not found and len(scores.faces) < whole else []
    found += [f"other factor (×{table.scale:g}, here ×{scale:g})"] if scale != table.scale else []
    found += [f"other size ({table.size}, here {size})"] if size != table.size else []
    found += [table.unknown] if table.unknown else []
    notes = scores.entry(method).notes if method in scores.methods else ()
    return found + (["other weights"] if any(OWN_WEIGHTS in note for note in notes) else [])


def _rows(scores: Scores, mos: MosResult | None) -> Iterator[Row]:
    cells = {(c.method, c.metric, c.scale): c for c in scores.cells()}
    rated = {m.condition.lower(): mos_cell(mos, m, ranks=False) for m in mos.conditions} if mos else {}
    for table in published():
        for method, text in table.values.items():
            mine = method if method in scores.methods else ""
            for scale in scores.scales[:1] if table.metric == "mos" else scores.scales:
                ours = rated.get(method) if table.metric == "mos" else cells.get((mine, table.metric, scale))
                if ours is None:
                    continue
                name = scores.column(table.metric).label if table.metric != "mos" else "MOS"
                source = f"{printed_source(table.cite)}: {table.place}" if table.cite else table.place
                words = (
                    Cell(method, table.metric, text=name),
                    Cell(method, table.metric, text=text),
                    ours,
                    Cell(method, table.metric, text=verdict(text, ours, why_not(scores, table, mine, scale))),
                )
                yield Row(
                    f"{method} {table.metric} {table.cite} x{scale}",
                    printed(method, scores.cite(mine) if mine else table.cite),
                    words,
                    group=source,
                    cite=table.cite,
                )


def printed_source(cite: str) -> str:
    """The first author and the year of a BibTeX key of ours: ``menon2020pulse`` is Menon 2020."""
    found = re.match(r"([a-z]+)(\d{4})", cite)
    return f"{found[1].capitalize()} {found[2]}" if found else cite


def published_table(scores: Scores, mos: MosResult | None = None) -> Table:
    """Every published number of a method and metric of this run beside our own, with a verdict."""
    rows = tuple(_rows(scores, mos))
    if not rows:
        raise FaceSRError(
            "no paper known here prints a number for these methods and metrics: run psnr-y or ssim with bicubic and fsrnet, or give --study"
        )
    columns = (Column("metric", "Metric"), Column("published", "Published"), Column("ours", "Here"), Column("verdict", "Verdict"))
    silent = [f"{printed_source(cite)} {why}." for cite, why in without_numbers().items() if _asked(scores, cite)]
    notes = (
        "Here: mean with its 95 % interval. A verdict is given only where faces, factor, size and weights are those of the paper.",
        *silent,
        *declared(scores),
    )
    caption = "Published numbers beside those measured here"
    return Table("published", caption, columns, rows, notes, show_n=False, said_marks=False)


def _asked(scores: Scores, cite: str) -> bool:
    return any(scores.cite(method) == cite for method in scores.methods)
