"""The look of every figure: Okabe and Ito's colours (safe for colour-blind readers), one colour and marker a method, quiet axes."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from facesr.bench.imaging import encode_png, write_whole
from facesr.reports.references import printed_condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facesr.bench.faces import U8

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe & Ito 2008, without black, which is HR's; yellow comes last, being the faintest on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
INK, FAINT, ALARM = "#1f2328", "#8b949e", "#D55E00"
REFERENCES = ("hr", "HR")
WIDTH = 6.75
"""Inches: the text width of a two-column page."""

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": FAINT,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "facesr",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


KNOWN: dict[str, tuple[str, str]] = {
    "nearest": ("#999999", "x"),
    "bicubic": ("#E69F00", "o"),
    "fsrnet": ("#56B4E9", "s"),
    "fsrgan": ("#56B4E9", "h"),
    "pix2pixhd": ("#009E73", "^"),
    "pulse": ("#CC79A7", "D"),
    "psp": ("#D55E00", "v"),
    "psp-refined": ("#0072B2", "P"),
}
"""Colour and marker of the methods that come along; every other name has its own by its letters."""


class MethodStyle:
    """One colour and one marker for each method, by its name alone: the same in every figure, table and page, in whatever company.

    HR is black and a star. Two names of a user's may share a colour; within a figure they then differ in their markers.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self._taken: dict[str, tuple[str, str]] = {}
        for name in sorted(set(methods), key=lambda m: (m not in KNOWN, m)):
            color, marker = style_of(name)
            used = set(self._taken.values())
            free = [m for m in MARKERS if (color, m) not in used]
            self._taken[name] = (color, marker if (color, marker) not in used or not free else free[0])

    def color(self, method: str) -> str:
        """The method's colour."""
        return self._taken.get(method, style_of(method))[0]

    def marker(self, method: str) -> str:
        """The method's marker."""
        return self._taken.get(method, style_of(method))[1]

    def line(self, method: str) -> Literal["-", "--"]:
        """Solid for the methods that come along, dashed for a user's, which may share a colour with one of them."""
        return "-" if method in KNOWN or method in REFERENCES else "--"


def style_of(method: str) -> tuple[str, str]:
    """Colour and marker by the name alone."""
    if method in REFERENCES:
        return INK, "*"
    place = int.from_bytes(hashlib.sha256(method.encode("utf-8")).digest()[:4], "big")
    return KNOWN.get(method, (OKABE_ITO[place % len(OKABE_ITO)], MARKERS[place // len(OKABE_ITO) % len(MARKERS)]))


@contextmanager
def quiet() -> Iterator[None]:
    """Draw in this project's look, whatever the user's matplotlib settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, RC))
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, np.ndarray[Any, Any]]:
    """A figure in inches on Agg (no window, no global state) and its axes (rows, columns). Call inside ``quiet``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def power_of_ten(value: float, position: int | None = None) -> str:
    """A tick of a log axis: 10⁻³ in plain characters."""
    exponent = round(np.log10(value)) if value > 0 else 0
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def slug(name: str) -> str:
    """A name for files and links: letters, digits and '-'."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "x"


def panels(count: int, across: int = 3) -> tuple[int, int]:
    """Rows and columns of small multiples."""
    columns = min(across, max(count, 1))
    return -(-max(count, 1) // columns), columns


def blank(axes: Sequence[Axes] | np.ndarray[Any, Any]) -> None:
    """Hide unused panels."""
    for ax in axes:
        ax.set_axis_off()


def bottom(axes: np.ndarray[Any, Any], count: int) -> list[Axes]:
    """The lowest panel in use of each column, its tick labels shown: with shared axes only those of the last row are."""
    across = axes.shape[1]
    found: list[Axes] = [axes[(count - 1 - column) // across, column] for column in range(min(across, count))]
    for ax in found:
        ax.tick_params(axis="x", labelbottom=True)
    return found


def legend(figure: Figure, look: MethodStyle, methods: Sequence[str], **lines: Any) -> None:
    """One legend below all panels, with each method's colour and marker."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.color(m), marker=look.marker(m), linestyle=look.line(m), label=printed_condition(m), **lines)
        for m in methods
    ]
    across = int(figure.get_size_inches()[0] / 0.95)  # a name and its marker take about an inch
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(methods), across)))


@dataclass(frozen=True)
class Drawing:
    """A finished figure. ``alt`` says in words what it shows; ``exact``: pixels the PNG must hold unchanged: image, top, left."""

    name: str
    title: str
    alt: str
    figure: Figure
    exact: tuple[tuple[U8, int, int], ...] = ()
    dpi: int = 200

    @functools.cached_property
    def _laid_out(self) -> bool:
        """Work out the layout once, not again for every format."""
        if self.figure.get_layout_engine() is not None:
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")
        return True

    def _save(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with quiet():
            _ = self._laid_out
            self.figure.savefig(buffer, format=kind, dpi=self.dpi, **options)
        return buffer.getvalue()

    def pdf(self) -> bytes:
        """Vector PDF, the same bytes every time."""
        return self._save("pdf", metadata={"CreationDate": None, "Title": self.title})

    def svg(self) -> str:
        """Vector SVG, the same every time."""
        return self._svg

    @functools.cached_property
    def _svg(self) -> str:
        return self._save("svg", metadata={"Date": None, "Title": self.title}).decode("utf-8")

    def png(self) -> bytes:
        """PNG on white; image pixels are put in after drawing, so that each is exactly a pixel of the file it came from."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.figure.set_dpi(self.dpi)
        canvas: Any = FigureCanvasAgg(self.figure)
        with quiet():
            _ = self._laid_out
            self.figure.set_facecolor("white")
            canvas.draw()
            self.figure.set_facecolor("none")
        pixels: U8 = np.array(canvas.buffer_rgba())[..., :3].copy()
        for image, top, left in self.exact:
            pixels[top : top + image.shape[0], left : left + image.shape[1]] = image
        return encode_png(pixels)

    def inline_svg(self) -> str:
        """The SVG for a page: ink in the page's own colour, names that meet no other figure's, and the words for screen readers."""
        from html import escape

        text = self.svg()
        text = text[text.index("<svg") :].replace(INK, "currentColor")
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        width = 1.28 * 100 * float(self.figure.get_figwidth())  # a text width fills a page of 864 CSS pixels
        head = f'<svg role="img" aria-label="{escape(self.alt, quote=True)}" style="max-width: {width:.0f}px"'
        return text.replace("<svg", head, 1)

    def save(self, folder: Path, kinds: Iterable[str] = ("pdf", "svg", "png")) -> list[Path]:
        """Write ``NAME.pdf``, ``NAME.svg`` and ``NAME.png``; each file appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        made: Mapping[str, Any] = {"pdf": self.pdf, "svg": self.svg, "png": self.png}
        paths = []
        for kind in kinds:
            paths.append(folder / f"{self.name}.{kind}")
            write_whole(paths[-1], made[kind]())
        return paths
