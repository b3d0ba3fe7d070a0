"""A table in LaTeX that fits a paper: booktabs, the notes that are asked for, numbers as macros for a file of their own.

Compiles with pdflatex and needs booktabs, graphicx (``\\resizebox``, for fonts wider than expected) and textcomp.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from facesr.bench.errors import FaceSRError
from facesr.reports.cells import Cell, Column, Grid, Intervals, Notes, Row, interval, number, own_n
from facesr.reports.text import count

PACKAGES = r"% needs \usepackage{booktabs,graphicx,textcomp}"
WIDTHS = {1: 234.0, 2: 487.0}
"""Points across one column, and across a page of two: the narrowest of the common class files (CVPR; IEEE's are wider)."""
POINTS = {"footnotesize": 8.0, "scriptsize": 7.0}
"""The font sizes a table may take, at a class's 10 points."""
GAP = 6.0
"""Points between two columns."""

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


def latex_command(*parts: str) -> str:
    """A control sequence from names: ``command('sr', 'psnr-y', 'low')`` is ``\\srPsnrYLow`` (letters only, digits in words)."""
    first, *rest = ["".join(_DIGITS.get(c, c) for c in _ascii(part)) for part in parts]
    words = [word for part in rest for word in re.split(r"[^A-Za-z]+", part) if word]
    return "\\" + first + "".join(w[0].upper() + w[1:] for w in words)


def macros(table: Grid, prefix: str = "sr") -> str:
    """``\\newcommand`` for the mean, ends, n and failures of every cell, so that a paper's text never holds a typed number."""
    lines, taken = [], set[str]()
    several = len(table.scales) > 1
    for cell in table.cells:
        base = latex_command(prefix, cell.method, cell.metric, *([f"x{cell.scale}"] if several and cell.scale else []))
        while base in taken:  # 'psp-2' and 'psp 2' are one name in letters
            base += "X"
        taken.add(base)
        values = {"": number(cell), "Low": number(replace(cell, mean=cell.low)), "High": number(replace(cell, mean=cell.high))}
        values |= {"N": str(cell.n), "Failed": str(cell.failed)}
        lines += [f"\\newcommand{{{base}{end}}}{{{tex(value)}}}" for end, value in values.items()]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Layout:
    """How a table is set: the font's size, intervals beside or under their means, and the columns of each panel."""

    size: str
    stacked: bool
    panels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Printer:
    """A table being set: what every cell, head and row label looks like."""

    table: Grid
    style: Intervals
    cite: bool
    with_n: bool
    limit: float
    """Points of the page's column."""

    def marks(self, cell: Cell) -> str:
        dagger = r"\textsuperscript{\textdagger}" if cell.failed and cell.text is None else ""
        return dagger + (rf"\textsuperscript{{{tex(cell.letters)}}}" if cell.letters else "")

    def small(self, cell: Cell, row: Row) -> str:
        """The interval, and n where it is not the row's."""
        n = own_n(cell, row) if self.with_n else ""
        return " ".join(filter(None, [interval(cell, self.style), f"({n})" if n else ""]))

    def cell(self, cell: Cell | None, row: Row, stacked: bool) -> str:
        if cell is None:
            return ""
        value = tex(number(cell))
        shown = {1: rf"\textbf{{{value}}}", 2: rf"\underline{{{value}}}"}.get(cell.rank, value) + self.marks(cell)
        if not (small := self.small(cell, row)):
            return shown
        under = rf"{{\scriptsize {tex(small)}}}"
        return rf"\shortstack[r]{{{shown}\\{under}}}" if stacked else f"{shown} {under}"

    def head(self, column: Column) -> str:
        lines = [tex(line) for line in _head_lines(column)]
        return lines[0] if len(lines) == 1 else rf"\shortstack[r]{{{lines[0]}\\{lines[1]}}}"

    def label(self, row: Row) -> str:
        return tex(row.label) + (rf"~\cite{{{row.cite}}}" if self.cite and row.cite else "")

    def widths(self, size: str, stacked: bool) -> tuple[float, list[float], float]:
        """Points of the first column, of each column of numbers, and of n."""
        points, rows = POINTS[size], self.table.rows
        cited = 20.0 if self.cite and any(r.cite for r in rows) else 0.0
        first = max([_points(self.table.corner, points), *(_points(r.label, points) for r in rows)], default=0) + cited
        each = []
        for i, column in enumerate(self.table.columns):
            head = max(_points(line, points) for line in _head_lines(column))
            each.append(max([head, *(self._width(r.cells[i], r, points, stacked) for r in rows)]) + GAP)
        return first, each, max([_points(count(r), points) for r in rows], default=0) + GAP if self.with_n else 0.0

    def _width(self, cell: Cell | None, row: Row, points: float, stacked: bool) -> float:
        if cell is None:
            return 0.0
        bold = 1.12 if cell.rank == 1 else 1.0
        shown = bold * _points(number(cell), points) + 0.7 * _points(cell.letters + "†" * bool(cell.failed), points)
        small = _points(self.small(cell, row), POINTS["scriptsize"])
        return max(shown, small) if stacked else shown + small + (_points(" ", points) if small else 0.0)

    def layout(self) -> _Layout:
        """As few panels as fit, at the largest size that does; columns of panels are aligned. Too wide even so: one metric per panel."""
        everything = tuple(i for i, column in enumerate(self.table.columns) if not column.prose)
        ways: list[tuple[str, bool]] = [
            ("footnotesize", False),
            ("scriptsize", False),
            ("footnotesize", True),
            ("scriptsize", True),
        ]
        widths = {way: self.widths(*way) for way in ways}
        for count_of_panels in range(1, max(len(everything), 1) + 1):
            panels = _even(everything, count_of_panels)
            for way, (first, each, n) in widths.items():
                columns = [max(each[p[j]] for p in panels if j < len(p)) for j in range(len(panels[0]))]
                beyond = (
                    n if len(panels[-1]) == len(panels[0]) else 0.0
                )  # n takes a free place of the last panel where there is one
                if first + sum(columns) + beyond <= self.limit:
                    return _Layout(*way, panels)
        return _Layout("scriptsize", True, _even(everything, max(len(everything), 1)))

    def prose(self, row: Row, places: int) -> list[str]:
        """The sentences of a row, each on lines of its own under it, as wide as the page's column."""
        said = [
            c.text for c, column in zip(row.cells, self.table.columns, strict=True) if column.prose and c is not None and c.text
        ]
        box = rf"\parbox[t]{{{self.limit:g}pt}}{{\raggedright\hangindent 1em\hspace*{{1em}}"
        return [rf"\multicolumn{{{places}}}{{@{{}}l@{{}}}}{{{box}{tex(text)}\strut}}}} \\" for text in said]

    def panel(self, positions: Sequence[int], stacked: bool, last: bool, places: int) -> list[str]:
        """Head and rows of one panel, padded to ``places`` columns."""
        heads = [
            tex(self.table.corner),
            *(self.head(self.table.columns[i]) for i in positions),
            *(["$n$"] if last and self.with_n else []),
        ]
        lines = [_line(heads, places), r"\midrule"]
        for index, (group, rows) in enumerate(self.table.groups):
            if group:
                lines += [r"\addlinespace"] if index else []
                lines.append(rf"\multicolumn{{{places}}}{{@{{}}l}}{{\textit{{{tex(group)}}}}} \\")
            for row in rows:
                cells = [self.cell(row.cells[i], row, stacked) for i in positions]
                lines.append(_line([self.label(row), *cells, *([tex(count(row))] if last and self.with_n else [])], places))
                lines += self.prose(row, places) if last else []
        return lines


def _line(cells: Sequence[str], places: int) -> str:
    return " & ".join([*cells, *[""] * (places - len(cells))]).rstrip() + r" \\"


def _even(everything: tuple[int, ...], panels: int) -> tuple[tuple[int, ...], ...]:
    """The columns in so many panels, none much longer than another."""
    across = -(-len(everything) // panels) if everything else 1
    return tuple(everything[i : i + across] for i in range(0, len(everything), across)) or ((),)


def _head_lines(column: Column) -> list[str]:
    """A column's head on one line, or on two where it has a unit or a parenthesis."""
    label, bracket, rest = column.label.partition(" (")
    second = " ".join(filter(None, [f"({rest}" if bracket else "", f"({column.unit})" if column.unit else ""]))
    return [label, f"{second} {column.arrow}".strip()] if second else [f"{label} {column.arrow}".strip()]


def _points(text: str, size: float) -> float:
    """The width of a text in Computer Modern, about; Times is narrower."""
    ems = {
        "±": 0.78,
        "×": 0.78,
        "−": 0.78,
        "↑": 0.5,
        "↓": 0.5,
        " ": 0.33,
        ".": 0.28,
        ",": 0.28,
        "[": 0.28,
        "]": 0.28,
        "(": 0.39,
        ")": 0.39,
    }
    total = sum(ems.get(c, 0.5 if c.isdigit() or c in "-–†" else 0.72 if c.isupper() else 0.5) for c in text)
    return size * total


def to_latex(
    table: Grid,
    *,
    columns: Literal[1, 2] = 1,
    intervals: Intervals = "pm",
    notes: Notes = "short",
    label: str = "",
    cite: bool = True,
) -> str:
    """A ``table`` float that fits one column of a page, or a ``table*`` across two (``columns=2``): caption, table, notes.

    ``label``: of the float (default ``tab:NAME``). ``cite``: methods with their ``\\cite``; ``references.bib`` has the entries.
    """
    if label and not re.fullmatch(r"[A-Za-z0-9:._+/-]+", label):
        raise FaceSRError(f"label {label!r}: use letters, digits and : . _ + / -")
    if columns not in WIDTHS:
        raise FaceSRError(f"columns {columns!r}: a table fits 1 column of a page, or 2")
    table = table.alive()
    said = list(table.lines(intervals, notes))
    everyone = {cell.n + cell.failed for row in table.rows for cell in row.of_faces}
    spoken = table.show_n and len(everyone) == 1 and notes != "none"  # then one sentence takes the place of a column
    if spoken:
        fewer = any(cell.failed for row in table.rows for cell in row.of_faces)
        said.insert(min(1, len(said)), f"n = {min(everyone):,}{', fewer where marked †' if fewer else ''}.")
    printer = _Printer(table, intervals if table.show_spread else "none", cite, table.show_n and not spoken, WIDTHS[columns])
    layout = printer.layout()
    return _float(table, printer, layout, said, "table" if columns == 1 else "table*", label or f"tab:{_slug(table.name)}")


def _float(table: Grid, printer: _Printer, layout: _Layout, notes: Sequence[str], kind: str, label: str) -> str:
    last = layout.panels[-1]
    places = 1 + max(*map(len, layout.panels), len(last) + printer.with_n)
    body: list[str] = []
    for positions in layout.panels:
        body += [r"\midrule[\heavyrulewidth]"] if body else []
        body += printer.panel(positions, layout.stacked, positions is last, places)
    parts = [
        PACKAGES,
        rf"\begin{{{kind}}}[!htb]",
        rf"\centering\{layout.size}\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
        rf"\caption{{{tex(table.caption)}}}",
        rf"\label{{{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (places - 1)}@{{}}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        *(
            [rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\scriptsize\raggedright {_breakable(notes)}\end{{minipage}}"]
            if notes
            else []
        ),
        rf"\end{{{kind}}}",
    ]
    return "\n".join(parts) + "\n"


def _breakable(notes: Sequence[str]) -> str:
    """Notes whose long words (paths, hashes) may be broken at their punctuation."""
    words = [word for note in notes for word in note.split()]
    return " ".join(
        r"\allowbreak{}".join(map(tex, re.split(r"(?<=[/_.:=-])", word))) if len(word) > 24 else tex(word) for word in words
    )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)
