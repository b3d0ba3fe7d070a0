"""``scores.parquet``, one row per cell: derived from the cells, and current exactly when it holds their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.reading import open_parquet

if TYPE_CHECKING:
    import pandas as pd

FILE = "scores.parquet"
COLUMNS: dict[str, str] = {
    "image": "name of the face, or '*' for a score of the whole set (FID, retrieval)",
    "method": "label of the method in this run",
    "scale": "downscaling factor (a fraction only where LR images of one's own make it one)",
    "metric": "name of the metric",
    "value": "the score; NaN where there is none",
    "status": "ok | missing | no_face | not_converged | failed | weights_missing | skipped",
    "reason": "one sentence where the status is not ok, else ''",
    "low": "lower end of the metric's own interval (set scores), else NaN",
    "high": "upper end, else NaN",
    "n": "images behind the value: 1, or the set's size",
}
"""A ``not_converged`` row keeps the value of the image that was kept; means leave it out, and count it as failed. Metrics that declare
``scores_unconverged`` (the consistency metrics) are the exception: their rows are ``ok`` then, since a missed ε is what they measure."""
NUMBERS = {"scale": "int32", "value": "float64", "low": "float64", "high": "float64", "n": "int32"}
KEY = b"facesr.cells"
"""Name of the digest in the file's metadata."""

Rows = Sequence[tuple[Any, ...]]


def rows_digest(rows: Rows) -> str:
    """sha256 of rows in the order of ``COLUMNS``."""
    whole = hashlib.sha256(json.dumps(list(COLUMNS)).encode())
    for row in rows:
        whole.update(json.dumps(row).encode())
    return whole.hexdigest()


def write_scores(folder: Path, rows: Rows) -> None:
    """Write the table unless the one there was made from these very rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = rows_digest(rows)
    if _held(folder / FILE) == digest:
        return
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    arrays = []
    for name, column in zip(COLUMNS, columns, strict=True):
        values = [float("nan") if v is None else v for v in column] if NUMBERS.get(name) == "float64" else list(column)
        kind = NUMBERS.get(name, "string")
        if name == "scale" and any(v != int(v) for v in column):
            kind = "float64"
        arrays.append(pa.array(values, getattr(pa, kind)()))
    table = pa.table(dict(zip(COLUMNS, arrays, strict=True))).replace_schema_metadata({KEY: digest})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(folder / FILE, sink.getvalue().to_pybytes())


def _held(file: Path) -> str:
    """The digest a table says it was made from; '' where there is none, or the table cannot be read whole."""
    try:
        with open_parquet(file) as table:
            return str((table.read().schema.metadata or {}).get(KEY, b""), "ascii", "replace")
    except FaceSRError:
        return ""


def read_scores(file: Path) -> pd.DataFrame:
    """The table, with the columns of ``COLUMNS`` at least. A damaged file is one ``FaceSRError`` with what to do."""
    import pandas as pd

    remedy = "call the run again to rebuild it"
    try:
        with open_parquet(file) as table:
            frame: pd.DataFrame = table.read().to_pandas()
    except (FaceSRError, ValueError) as error:
        raise FaceSRError(f"{file} cannot be read ({str(error).removeprefix(f'{file}: ').strip()}): {remedy}") from None
    if absent := [name for name in COLUMNS if name not in frame.columns]:
        raise FaceSRError(f"{file} has no column {absent[0]!r}: {remedy}")
    wrong = [name for name in NUMBERS if not pd.api.types.is_numeric_dtype(frame[name])]
    if wrong:
        raise FaceSRError(f"{file} holds texts where numbers belong (column {wrong[0]!r}): {remedy}")
    return frame
