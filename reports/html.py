"""A table as an HTML fragment; every string of a user's is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from facesr.reports.cells import Cell, Grid, Intervals, Notes, Row, interval, number, own_n
from facesr.reports.text import count


def _title(cell: Cell) -> str:
    """What a reader sees when the pointer rests on a number."""
    parts = [f"{cell.method}, {cell.metric}", f"mean {cell.mean:.6g}", f"95 % interval {cell.low:.6g} to {cell.high:.6g}"]
    parts += [f"n = {cell.n}, failed {cell.failed}", *([f"run {cell.run}"] if cell.run else [])]
    return "\n".join(parts)


def _cell(cell: Cell | None, row: Row, style: Intervals, prose: bool = False) -> str:
    if cell is None:
        return "<td></td>"
    if cell.text is not None:
        return f'<td class="prose">{escape(cell.text)}</td>' if prose else f"<td>{escape(cell.text)}</td>"
    shown = {1: "<strong>{}</strong>", 2: "<u>{}</u>"}.get(cell.rank, "{}").format(number(cell))
    mark = '<span class="failed" title="some faces have no value">†</span>' if cell.failed else ""
    letters = f"<sup>{escape(cell.letters)}</sup>" if cell.letters else ""
    spread = interval(cell, style)
    small = " ".join(filter(None, [spread, f"({n})" if (n := own_n(cell, row)) else ""]))
    small = f' <span class="ci">{small}</span>' if small else ""
    place = {1: ' class="best"', 2: ' class="second"'}.get(cell.rank, "")
    return f'<td{place} title="{escape(_title(cell), quote=True)}">{shown}{mark}{letters}{small}</td>'


def _head(content: str, key: str, more: str, links: Mapping[str, str], sorted_by: str) -> str:
    """A column's head: a link that sorts by it, where there is one. A head without words is no head."""
    if not content:
        return "<td></td>"
    link = f'<a href="{escape(links[key], quote=True)}" target="_self">{content}</a>' if key in links else content
    order = ' aria-sort="other"' if key == sorted_by else ""
    return f'<th scope="col"{more}{order}>{link}</th>'


def to_html(
    table: Grid, style: Intervals = "pm", which: Notes = "full", *, links: Mapping[str, str] | None = None, sorted_by: str = ""
) -> str:
    """``<table class="facesr">`` with caption, head, body and a foot of notes. No style, no script, no external resource.

    ``links``: addresses that sort by a column (its key, ``method`` or ``n``); ``sorted_by``: the column that the rows are sorted by.
    """
    links = links or {}
    table = table.alive()
    said = table.lines(style, which)
    style = style if table.show_spread else "none"
    heads = [_head(escape(table.corner), "method", "", links, sorted_by)]
    for c in table.columns:
        unit = f' <span class="unit">{escape(c.unit)}</span>' if c.unit else ""
        hover = f' title="{escape(c.conventions, quote=True)}"' if c.conventions else ""
        hover += ' class="prose"' if c.prose else ""
        words = f"{escape(c.label)}{unit}" + (f"&nbsp;{c.arrow}" if c.arrow else "")
        heads.append(_head(words, c.key, hover, links, sorted_by))
    heads += [_head("n", "n", "", links, sorted_by)] if table.show_n else []
    body = []
    for group, rows in table.groups:
        if group:
            body.append(f'<tr class="group"><th colspan="{len(heads)}" scope="rowgroup">{escape(group)}</th></tr>')
        for row in rows:
            cells = "".join(_cell(c, row, style, column.prose) for c, column in zip(row.cells, table.columns, strict=True))
            n = f"<td>{count(row)}</td>" if table.show_n else ""
            body.append(f'<tr><th scope="row">{escape(row.label)}</th>{cells}{n}</tr>')
    notes = "".join(f"<li>{escape(note)}</li>" for note in said)
    foot = f'<tfoot><tr><td colspan="{len(heads)}"><ul>{notes}</ul></td></tr></tfoot>' if notes else ""
    return (
        f'<table class="facesr" id="table-{escape(table.name, quote=True)}">\n<caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n" + "\n".join(body) + f"\n</tbody>\n{foot}</table>\n"
    )


def failures_html(table: Grid) -> str:
    """The faces without an ordinary value, by method, metric and reason; '' where nothing failed."""
    lines = []
    for cell in table.cells:
        by_reason: dict[tuple[str, str], list[str]] = {}
        for failure in cell.failures:
            by_reason.setdefault((failure.status, failure.reason), []).append(failure.image)
        for (status, reason), images in by_reason.items():
            names = ", ".join(images[:20]) + (f" and {len(images) - 20:,} more" if len(images) > 20 else "")
            what = [cell.method, cell.metric, f"{len(images):,}", status, reason, names]
            lines.append("<tr>" + "".join(f"<td>{escape(w)}</td>" for w in what) + "</tr>")
    if not lines:
        return ""
    heads = "".join(f'<th scope="col">{h}</th>' for h in ("Method", "Metric", "Faces", "Status", "Reason", "Which"))
    return f'<table class="failures"><thead><tr>{heads}</tr></thead>\n<tbody>\n' + "\n".join(lines) + "\n</tbody></table>\n"
