"""Plain-text forms of a table: Markdown to paste, aligned text for a terminal, CSV and JSON to compute with."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
import unicodedata

from facesr.reports.cells import Cell, Column, Grid, Intervals, Notes, Row, interval, number, own_n

CSV_COLUMNS = ("method", "metric", "n", "failed", "mean", "low", "high")


def escape_markdown(text: str) -> str:
    """A user's name in a Markdown table: no character of it starts a cell, a tag, a link or emphasis."""
    out = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "|`*_[]":
        out = out.replace(mark, "\\" + mark)
    return " ".join(out.split())


def _markdown_cell(cell: Cell | None, row: Row, style: Intervals) -> str:
    if cell is None:
        return ""
    if cell.text is not None:
        return escape_markdown(cell.text)
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


def to_markdown(table: Grid, style: Intervals = "pm", notes: Notes = "full") -> str:
    """The table in GitHub's Markdown, caption above and footnotes below."""
    table = table.alive()
    said = table.lines(style, notes)
    style = style if table.show_spread else "none"
    unit = {c.key: f" ({escape_markdown(c.unit)})" if c.unit else "" for c in table.columns}
    heads = [escape_markdown(table.corner), *(f"{escape_markdown(c.label)}{unit[c.key]} {c.arrow}".strip() for c in table.columns)]
    heads += ["n"] if table.show_n else []
    sides = [*("|:--" if c.prose else "|--:" for c in table.columns), *(["|--:"] if table.show_n else [])]
    lines = [f"**{escape_markdown(table.caption)}**", "", f"| {' | '.join(heads)} |", f"|:--{''.join(sides)}|"]
    for group, rows in table.groups:
        if group:
            lines.append(f"| *{escape_markdown(group)}* |{' |' * (len(heads) - 1)}")
        for row in rows:
            cells = [
                escape_markdown(row.label),
                *(_markdown_cell(c, row, style) for c in row.cells),
                *([count(row)] if table.show_n else []),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {escape_markdown(note)}" for note in said)]).rstrip() + "\n"


def _line(name: str) -> str:
    """A name on one line: csv.writer leaves a lone carriage return unquoted (mended in Python 3.13)."""
    return " ".join(name.splitlines()) if "\r" in name or "\n" in name else name


def to_csv(table: Grid) -> str:
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


def to_json(table: Grid) -> str:
    """Caption, columns, cells in full precision (null where there is no number) and notes."""
    finite = {"mean", "low", "high"}
    names = ("method", "metric", "scale", "n", "failed", "mean", "low", "high", "rank", "letters")
    cells = [
        {name: v if name not in finite or math.isfinite(v) else None for name in names for v in (getattr(cell, name),)}
        for cell in table.cells
    ]
    columns = [{"key": c.key, "label": c.label, "unit": c.unit, "higher_is_better": c.higher_is_better} for c in table.columns]
    made = {"name": table.name, "caption": table.caption, "columns": columns, "cells": cells, "notes": table.lines("none")}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _wide(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _plain(text: str) -> str:
    """A user's name on one line, without what would steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _terminal_cell(cell: Cell | None, row: Row, style: Intervals, color: bool) -> tuple[str, str]:
    """A cell without and with the codes that make best bold and second best underlined; a sign stands for them where there is no colour."""
    if cell is None:
        return "", ""
    value = _plain(number(cell)) + ("" if color else {1: "*", 2: "+"}.get(cell.rank, ""))
    extras = [
        interval(cell, style),
        "†" if cell.failed and cell.text is None else "",
        cell.letters,
        f"({n})" if (n := own_n(cell, row)) else "",
    ]
    rest = "".join(f" {_plain(extra)}" for extra in extras if extra)
    code = {1: "1", 2: "4"}.get(cell.rank if color else 0)
    return value + rest, (f"\x1b[{code}m{value}\x1b[0m" if code else value) + rest


def _head(column: Column) -> str:
    return _plain(f"{column.label}{f' ({column.unit})' if column.unit else ''} {column.arrow}")


def to_terminal(
    table: Grid, style: Intervals = "pm", notes: Notes = "short", *, width: int | None = None, color: bool = False
) -> str:
    """Aligned columns; what is wider than ``width`` goes on below. ``*`` marks best and ``+`` second best where there is no ``color``."""
    table, room = table.alive(), width or 10**9
    said = table.lines(style, notes, *([] if color else ["* best (all that tie), + second best; arrows point to better."]))
    style = style if table.show_spread else "none"
    first = [_plain(table.corner), *(_plain(r.label) for r in table.rows)]
    blocks = [
        [(head := _head(c), head), *(_terminal_cell(r.cells[i], r, style, color) for r in table.rows)]
        for i, c in enumerate(table.columns)
    ]
    if table.show_n:
        blocks.append([(n, n) for n in ("n", *(count(r) for r in table.rows))])
    margin = max(map(_wide, first))
    sizes = [max(_wide(bare) for bare, _ in block) + 2 for block in blocks]
    out = textwrap.wrap(_plain(table.caption), room)
    for panel in _panels(sizes, room - margin):
        out.append("")
        for line, label in enumerate(first):
            group = table.rows[line - 1].group if line else ""
            if group and (line == 1 or group != table.rows[line - 2].group):
                out.append(_plain(group))
            cells = [" " * (sizes[i] - _wide(blocks[i][line][0])) + blocks[i][line][1] for i in panel]
            out.append((label + " " * (margin - _wide(label)) + "".join(cells)).rstrip())
    wrapped = [line for note in said for line in textwrap.wrap(_plain(note), room)]
    return "\n".join([*out, *([""] if wrapped else []), *wrapped]) + "\n"


def _panels(sizes: list[int], room: int) -> list[list[int]]:
    """Columns side by side as far as they fit; one at least."""
    panels: list[list[int]] = [[]]
    for i, size in enumerate(sizes):
        if panels[-1] and sum(sizes[j] for j in panels[-1]) + size > room:
            panels.append([])
        panels[-1].append(i)
    return panels
