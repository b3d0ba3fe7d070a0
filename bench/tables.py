"""CSV that a spreadsheet opens without running any of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these is a formula to a spreadsheet, which may run programs (OWASP, "CSV injection")."""


def safe_cell(value: Any) -> Any:
    """A text that a spreadsheet would run, with a quote before it, which spreadsheets show as text; numbers stay as they are.

    ``facesr study import`` takes the quote away again.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value


def safe_csv(table: pd.DataFrame) -> str:
    """The table as CSV, names of columns and texts made safe; lone carriage returns become blanks."""
    made = table.rename(columns=safe_cell)
    for column in made.columns:
        if made[column].dtype.kind not in "biufM":
            made[column] = [safe_cell(v.replace("\r", " ") if isinstance(v, str) else v) for v in made[column]]
    text: str = made.to_csv(index=False, lineterminator="\n")
    return text


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """Write ``safe_csv`` in UTF-8."""
    file.write_text(safe_csv(table), encoding="utf-8", newline="")
