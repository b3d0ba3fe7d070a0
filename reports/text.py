"""Plain-text forms of a table: Markdown to paste, CSV to compute with."""

from __future__ import annotations

import csv
import io
import math

from facesr.reports.table import Cell, Intervals, Row, Table, interval, number, own_n

CSV_COLUMNS = ("method", "metric", "n", "failed", "mean", "low", "high")


def _escape(text: str) -> str:
    """A user's name in a Markdown table: no character of it starts a cell, a tag, a link or emphasis."""
    out = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "|`*_[]":
        out = out.replace(mark, "\\" + mark)
    return " ".join(out.split())


def _markdown_cell(cell: Cell | None, row: Row, style: Intervals) -> str:
    if cell is None:
        return ""
    if cell.text is not None:
        return _escape(cell.text)
    shown = {1: "**{}**", 2: "<ins>{}</ins>"}.get(cell.rank, "{}").format(number(cell))
    extras = [interval(cell, style), "†" if cell.failed else "", f"<sup>{cell.letters}</sup>" if cell.letters else ""]
    n = own_n(cell, row)
    return " ".join([shown, *filter(None, extras), *([f"({n})"] if n else [])])


def count(row: Row) -> str:
    """The row's n, and 'of' how many where some failed."""
    total = max((c.n + c.failed for c in row.of_faces), default=0)
    if (n := row.n) is None:
        return ""
    return f"{n:,}" if n == total else f"{n:,} of {total:,}"


def to_markdown(table: Table, style: Intervals = "pm") -> str:
    """The table in GitHub's Markdown, caption above and footnotes below."""
    style = style if table.show_spread else "none"
    unit = {c.key: f" ({_escape(c.unit)})" if c.unit else "" for c in table.columns}
    heads = [_escape(table.corner), *(f"{_escape(c.label)}{unit[c.key]} {c.arrow}".strip() for c in table.columns)]
    heads += ["n"] if table.show_n else []
    lines = [f"**{_escape(table.caption)}**", "", f"| {' | '.join(heads)} |", f"|:--{'|--:' * (len(heads) - 1)}|"]
    for group, rows in table.groups:
        if group:
            lines.append(f"| *{_escape(group)}* |{' |' * (len(heads) - 1)}")
        for row in rows:
            cells = [
                _escape(row.label),
                *(_markdown_cell(c, row, style) for c in row.cells),
                *([count(row)] if table.show_n else []),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {_escape(note)}" for note in table.notes)]).rstrip() + "\n"


def _line(name: str) -> str:
    """A name on one line: csv.writer leaves a lone carriage return unquoted (mended in Python 3.13)."""
    return " ".join(name.splitlines()) if "\r" in name or "\n" in name else name


def to_csv(table: Table) -> str:
    """Tidy CSV, one row a cell, full precision, empty where there is no number; a last column ``scale`` where there are several."""
    scales = table.scales
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *(["scale"] if len(scales) > 1 else [])])
    for cell in table.cells:
        numbers = [repr(v) if math.isfinite(v) else "" for v in (cell.mean, cell.low, cell.high)]
        writer.writerow(
            [
                _line(cell.method),
                _line(cell.metric),
                cell.n,
                cell.failed,
                *numbers,
                *([cell.scale or ""] if len(scales) > 1 else []),
            ]
        )
    return buffer.getvalue()
