"""The table that everything else hands out: rows and cells as in ``cells``, and every form it can be printed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from facesr.bench.errors import FaceSRError
from facesr.reports.cells import Grid, Intervals, Notes
from facesr.reports.html import to_html
from facesr.reports.latex import macros, to_latex
from facesr.reports.references import bibliography
from facesr.reports.text import to_csv, to_json, to_markdown, to_terminal

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["text", "md", "latex", "csv", "html", "json"]
FORMATS: tuple[Format, ...] = ("text", "md", "latex", "csv", "html", "json")


@dataclass(frozen=True)
class Table(Grid):
    """A table that prints itself. In a notebook it shows itself.

    >>> from facesr.reports.cells import Cell, Column, Row
    >>> cell = Cell("psp", "psnr", 22.914, 22.8, 23.1, 9, digits=2)
    >>> print(Table("t", "A table", (Column("psnr", "PSNR", True, "dB"),), (Row("psp", "pSp", (cell,)),)).markdown())
    **A table**
    <BLANKLINE>
    | Method | PSNR (dB) ↑ | n |
    |:--|--:|--:|
    | pSp | 22.91 ± 0.15 | 9 |
    <BLANKLINE>
    """

    def latex(
        self,
        *,
        columns: Literal[1, 2] = 1,
        caption: str | None = None,
        label: str = "",
        notes: Notes = "short",
        intervals: Intervals = "pm",
        digits: int | Mapping[str, int] | None = None,
        cite: bool = True,
    ) -> str:
        """A float that fits one column of a paper, or both (``columns=2``); needs booktabs, graphicx and textcomp.

        ``caption``: in place of the table's own, plain text. ``label``: of the float, default ``tab:NAME``. ``notes``: "full", "short" or
        "none". ``intervals``: "pm" (± half the width), "bracket" or "none". ``digits``: decimals, of all metrics or by metric. ``cite``: each
        known method with its ``\\cite``; ``bibliography`` gives the entries. Columns without any value are left out, with a note.
        """
        shown = self.titled(caption).with_digits(digits)
        return to_latex(shown, columns=columns, intervals=intervals, notes=notes, label=label, cite=cite)

    def macros(self, prefix: str = "sr") -> str:
        """``\\newcommand`` for every number (``\\srPspPsnr``, ``…Low``, ``…High``, ``…N``, ``…Failed``): ``\\input`` it in a preamble."""
        return macros(self, prefix)

    def bibliography(self) -> str:
        """The BibTeX entries of the methods in the table."""
        return bibliography([row.cite for row in self.rows] + [column.cite for column in self.columns])

    def markdown(self, *, intervals: Intervals = "pm", notes: Notes = "full") -> str:
        """GitHub's Markdown: caption above, notes below; best bold, second best underlined."""
        return to_markdown(self, intervals, notes)

    def text(self, *, intervals: Intervals = "pm", notes: Notes = "short", width: int | None = None, color: bool = False) -> str:
        """Aligned plain text for a terminal ``width`` characters wide (None: as wide as it is); marks as bold and underline where ``color``."""
        return to_terminal(self, intervals, notes, width=width, color=color)

    def csv(self) -> str:
        """Tidy CSV in full precision, one row per cell: method, metric, n, failed, mean, low, high (and scale, where there are several)."""
        return to_csv(self)

    def json(self) -> str:
        """What ``csv`` holds, with caption, columns and notes, for programs."""
        return to_json(self)

    def html(self, *, intervals: Intervals = "pm", notes: Notes = "full") -> str:
        """An HTML fragment without style or script; every name is escaped."""
        return to_html(self, intervals, notes)

    def frame(self) -> pd.DataFrame:
        """A long pandas frame, one row per cell: method, scale, metric, label, n, failed, mean, low, high, rank (1, 2 or 0), letters."""
        import pandas as pd

        names = ["method", "scale", "metric", "n", "failed", "mean", "low", "high", "rank", "letters"]
        labels = {column.key: column.label for column in self.columns}
        made = pd.DataFrame([{name: getattr(cell, name) for name in names} for cell in self.cells], columns=names)
        made.insert(3, "label", [labels.get(metric, metric) for metric in made["metric"]])
        return made

    def _repr_html_(self) -> str:
        return self.html(notes="short")

    def titled(self, caption: str | None) -> Table:
        """The table under another caption; as it is for None."""
        return self if caption is None else replace(self, caption=caption)

    def printed(self, form: Format, *, intervals: Intervals = "pm", notes: Notes | None = None) -> str:
        """The table in a form by name, with that form's usual notes where none are asked for."""
        if form == "latex":
            return self.latex(intervals=intervals, notes=notes or "short")
        if form == "text":
            return self.text(intervals=intervals, notes=notes or "short")
        if form == "md":
            return self.markdown(intervals=intervals, notes=notes or "full")
        if form == "html":
            return self.html(intervals=intervals, notes=notes or "full")
        if form in ("csv", "json"):
            return self.csv() if form == "csv" else self.json()
        raise FaceSRError(f"no form {form!r}: choose one of {', '.join(FORMATS)}")
