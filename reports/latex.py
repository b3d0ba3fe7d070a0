"""A table in LaTeX: booktabs, ``\\newcommand`` numbers, footnotes. Compiles with pdflatex and needs booktabs alone."""

from __future__ import annotations

import re
import unicodedata

from facesr.reports.table import Cell, Column, Intervals, Row, Table, fixed, interval, number, own_n
from facesr.reports.text import count

PANEL = 104
"""Characters side by side before a wide table continues in a panel below: what fits a text width at footnote size."""

_GREEK = {
    "α": "alpha", "β": "beta", "δ": "delta", "ε": "varepsilon", "κ": "kappa", "λ": "lambda",
    "μ": "mu", "ρ": "rho", "σ": "sigma", "χ": "chi", "ψ": "psi", "Δ": "Delta",
}  # fmt: skip
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "†": r"\textsuperscript{\textdagger}",
    "²": r"\textsuperscript{2}",
    "°": r"\textdegree{}",
    "·": r"$\cdot$",
    "∞": r"$\infty$",
    "≈": r"$\approx$",
    "½": r"$\frac12$",
    **{glyph: f"$\\{name}$" for glyph, name in _GREEK.items()},
}
_DIGITS = {str(i): w for i, w in enumerate(["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"])}
_LATIN = re.compile(r"[\x20-\x7e\u00a1-\u00ff\u2018\u2019\u201c\u201d]")


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(c for c in plain if c.isprintable())


def tex(text: str) -> str:
    """Any text, safe in LaTeX: special characters escaped, symbols in maths, what the fonts lack spelt as U+XXXX."""
    out = []
    for char in " ".join(unicodedata.normalize("NFC", text).split()):
        if char in _SPECIAL:
            out.append(_SPECIAL[char])
        elif _LATIN.match(char):
            out.append(char)
        else:
            plain = _ascii(char)
            out.append("".join(_SPECIAL.get(c, c) for c in plain) or f"{{\\footnotesize U+{ord(char):04X}}}")
    return "".join(out)


def command(*parts: str) -> str:
    """A control sequence from names: ``command('sr', 'psnr-y', 'low')`` is ``\\srPsnrYLow`` (letters only, digits in words)."""
    first, *rest = ["".join(_DIGITS.get(c, c) for c in _ascii(part)) for part in parts]
    words = [word for part in rest for word in re.split(r"[^A-Za-z]+", part) if word]
    return "\\" + first + "".join(w[0].upper() + w[1:] for w in words)


def macros(table: Table, prefix: str = "sr") -> str:
    """``\\newcommand`` for the mean, ends, n and failures of every cell, so that a paper's text never holds a typed number."""
    lines, taken = [], set[str]()
    several = len(table.scales) > 1
    for cell in table.cells:
        base = command(prefix, cell.method, cell.metric, *([f"x{cell.scale}"] if several and cell.scale else []))
        while base in taken:  # 'psp-2' and 'psp 2' are one name in letters
            base += "X"
        taken.add(base)
        values = {"": fixed(cell.mean, cell.digits), "Low": fixed(cell.low, cell.digits), "High": fixed(cell.high, cell.digits)}
        values |= {"N": str(cell.n), "Failed": str(cell.failed)}
        lines += [f"\\newcommand{{{base}{end}}}{{{tex(value)}}}" for end, value in values.items()]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell | None, row: Row, style: Intervals) -> str:
    if cell is None:
        return ""
    if cell.text is not None:
        return tex(cell.text)
    value = tex(number(cell))
    shown = {1: rf"\textbf{{{value}}}", 2: rf"\underline{{{value}}}"}.get(cell.rank, value)
    shown += r"\textsuperscript{\textdagger}" if cell.failed else ""
    shown += rf"\textsuperscript{{{cell.letters}}}" if cell.letters else ""
    small = " ".join(filter(None, [interval(cell, style), f"({n})" if (n := own_n(cell, row)) else ""]))
    return shown + (rf" {{\scriptsize {tex(small)}}}" if small else "")


def _head(column: Column) -> str:
    unit = rf" {{\scriptsize ({tex(column.unit)})}}" if column.unit else ""
    return f"{tex(column.label)}{unit} {tex(column.arrow)}".strip()


def _panel(table: Table, positions: list[int], style: Intervals, with_n: bool) -> str:
    heads = [tex(table.corner), *(_head(table.columns[i]) for i in positions), *(["$n$"] if with_n else [])]
    lines = [rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}", r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    for index, (group, rows) in enumerate(table.groups):
        if group:
            lines += [r"\addlinespace"] if index else []
            lines.append(rf"\multicolumn{{{len(heads)}}}{{@{{}}l}}{{\textit{{{tex(group)}}}}} \\")
        for row in rows:
            cells = [_cell(row.cells[i], row, style) for i in positions]
            lines.append(" & ".join([tex(row.label), *cells, *([tex(count(row))] if with_n else [])]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _spans(table: Table, style: Intervals) -> list[list[int]]:
    """Columns of each panel, as even as they come: no panel much wider than ``PANEL`` characters."""
    widths = [
        2 + max([len(c.label) + len(c.unit) + 2 * bool(c.arrow), *(_width(r.cells[i], r, style) for r in table.rows)])
        for i, c in enumerate(table.columns)
    ]
    label = max((len(r.label) for r in table.rows), default=0) + (12 if table.show_n else 2)
    panels = max(1, -(-sum(widths) // max(PANEL - label, 20)))
    each = -(-len(widths) // panels) if widths else 0
    return [list(range(i, min(i + each, len(widths)))) for i in range(0, len(widths), each)] if widths else [[]]


def _width(cell: Cell | None, row: Row, style: Intervals) -> int:
    """Printed characters; small ones count for three quarters."""
    if cell is None:
        return 0
    small = len(interval(cell, style)) + len(own_n(cell, row)) + len(cell.letters)
    return len(number(cell)) + -(-3 * small // 4) + 1


def to_latex(table: Table, style: Intervals = "pm", numbers: bool = True, star: bool = False) -> str:
    """A ``table`` float: macros (where ``numbers``), caption, panels of at most ``PANEL`` characters, notes.

    ``star``: the float runs across both columns of the page.
    """
    style = style if table.show_spread else "none"
    spans = _spans(table, style)
    bodies = [_panel(table, span, style, table.show_n and span is spans[-1]) for span in spans]
    notes = " ".join(map(tex, table.notes))
    float_name = "table*" if star else "table"
    parts = [
        "% needs \\usepackage[T1]{fontenc}, \\usepackage{textcomp} and \\usepackage{booktabs}",
        *([macros(table)] if numbers else []),
        rf"\begin{{{float_name}}}[!htb]",
        r"\centering\footnotesize",
        rf"\caption{{{tex(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', table.name)}}}",
        "\n\\\\[1ex]\n".join(bodies),
        *([rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\scriptsize {notes}\end{{minipage}}"] if notes else []),
        rf"\end{{{float_name}}}",
    ]
    return "\n".join(parts) + "\n"
