"""Grades of imported ratings by rater, face and condition, for tests that compare them."""

from __future__ import annotations

from facesr.bench.ratings import Imported

Cells = dict[tuple[str, str, str], float]


def cells(found: Imported) -> Cells:
    """Grades of the main rows."""
    main = found.table[found.table["kind"] == "main"]
    return {(r.rater, r.face, r.condition): r.score for r in main.itertuples()}
