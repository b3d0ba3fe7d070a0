"""Who rated: the columns in which platforms keep a person's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.names import not_a_person
from facesr.bench.ratings.options import Options

if TYPE_CHECKING:
    import pandas as pd

PEOPLE = (
    "prolific_pid",
    "prolificpid",
    "prolific_id",
    "worker_id",
    "participant_id",
    "participant",
    "subject_id",
    "subject",
    "rater",
)


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table of texts, '' where a row has no such cell."""
    import pandas as pd

    return pd.DataFrame(rows, dtype=object).fillna("")


def pick(grid: TextGrid, names: tuple[str, ...], role: str, options: Options) -> str | None:
    """The column of a role: the user's, else the first of ``names`` that has a person in it."""
    if options.columns.get(role):
        return grid.column(options.columns[role])
    known = {plain_name(c): c for c in grid.columns}
    there = [known[plain_name(n)] for n in names if plain_name(n) in known]
    return next((c for c in there if any(not not_a_person(v) for v in grid.cells[c])), there[0] if there else None)
