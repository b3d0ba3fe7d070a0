"""Small pieces of HTML that pages are made of. Everything a user named is escaped; pictures come from ``facesr.dashboard.images``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from facesr.dashboard.images import figure_url
from facesr.dashboard.scene import Scene
from facesr.reports.figures import Drawing
from facesr.reports.figures.style import INK
from facesr.reports.html import to_html
from facesr.reports.table import Table

STYLE = Path(__file__).with_name("assets") / "style.css"
LIGHT_INK = "#e6edf3"


def style() -> None:
    """The style sheet; once a run of the script."""
    st.html(STYLE)


def whose(run: str, title: str) -> None:
    """The product, the run and what was measured: above every page, and in the browser's tab."""
    st.set_page_config(page_title=" · ".join(filter(None, (run, "FaceSR-Bench"))))
    parts = ["FaceSR-Bench", *([f"<b>{escape(run)}</b>", escape(title)] if run else [])]
    st.html(f'<p class="facesr-whose">{" · ".join(parts)}</p>')


def icon() -> Any:
    """A low-resolution square and its restored half: drawn here, for an icon by name would be fetched from another machine."""
    from PIL import Image

    coarse = np.array([[70, 150, 210, 120], [160, 230, 190, 90], [110, 200, 150, 60], [50, 100, 130, 40]], dtype=np.uint8)
    fine = np.linspace(40, 230, 32, dtype=np.uint8)[:, None] // 2 + np.linspace(115, 20, 32, dtype=np.uint8)[None, :]
    grey = coarse.repeat(8, axis=0).repeat(8, axis=1)
    grey[:, 16:] = fine[:, 16:]
    return Image.fromarray(np.stack([grey // 2, grey // 2 + 40, grey // 4 + 150], axis=-1).astype(np.uint8))


def dark() -> bool:
    """Whether the reader's theme is dark."""
    return getattr(st.context.theme, "type", None) == "dark"


MORE = '<p class="facesr-more" aria-hidden="true">More columns to the right: scroll sideways</p>'
"""Seen only where a table is wider than its place (style.css)."""


def show_table(
    made: Table, key: str, *, downloads: bool = True, links: Mapping[str, str] | None = None, sorted_by: str = ""
) -> None:
    """A table as reports print it, and its LaTeX and CSV. ``links``: addresses that sort it by a column, now ``sorted_by``."""
    shown = to_html(made, links=links, sorted_by=sorted_by)
    words = escape(made.caption or made.name, quote=True)
    st.html(f'<div class="facesr-scroll" tabindex="0" role="region" aria-label="{words}">{MORE}{shown}</div>')
    if not downloads:
        return
    with st.container(horizontal=True):
        for name, make, ending, mime in (
            ("LaTeX", made.latex, "tex", "text/x-tex"),
            ("CSV", made.csv, "csv", "text/csv"),
            ("Markdown", made.markdown, "md", "text/markdown"),
        ):
            if name == "CSV" and not made.cells:
                continue
            st.download_button(
                name,
                make,
                f"{made.name}.{ending}",
                mime,
                key=f"{key} {name}",
                on_click="ignore",
                icon=":material/download:",
            )


def strip(tiles: Iterable[str], label: str) -> str:
    """Pictures side by side, as HTML; one that is wider than its place is scrolled by the arrow keys too."""
    return f'<div class="facesr-strip" tabindex="0" role="group" aria-label="{escape(label, quote=True)}">{"".join(tiles)}</div>'


def figure(scene: Scene, what: object, draw: Callable[[], Drawing]) -> None:
    """A figure of ``facesr.reports.figures``, in the reader's ink, with its words for those who cannot see it."""
    ink = LIGHT_INK if dark() else INK
    url, title, alt, (width, height) = scene.kept(("figure", what, ink), lambda: rendered(scene, what, draw, ink))
    # Its size is known before it comes: nothing below moves, and a figure far down waits until it is scrolled to.
    st.html(
        f'<figure class="facesr"><a href="{url}" title="Open the figure alone"><img src="{url}" alt="{escape(alt, quote=True)}" '
        f'width="{width}" height="{height}" loading="lazy"></a>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def rendered(scene: Scene, what: object, draw: Callable[[], Drawing], ink: str) -> tuple[str, str, str, tuple[int, int]]:
    """Address, title, words and CSS size of a figure. Drawn once for both themes."""

    def once() -> tuple[str, str, str, tuple[int, int]]:
        made = draw()
        width, height = (round(128 * float(inches)) for inches in made.figure.get_size_inches())
        return made.svg(), made.title, made.alt, (width, height)

    svg, title, alt, size = scene.kept(("drawing", what), once)
    return figure_url(svg.replace(INK, ink)), title, alt, size


def sentences(lines: Iterable[str], *, caution: bool = False) -> None:
    """Sentences as a list; ``caution``: in a box that is seen before what stands below it."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if items and caution:
        st.html(f'<div class="facesr-cautions" role="note" aria-label="Read with care"><ul>{items}</ul></div>')
    elif items:
        st.html(f'<ul class="facesr-notes">{items}</ul>')


def facts(lines: Iterable[tuple[str, str]], caption: str) -> None:
    """Names and values in two columns."""
    rows = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in lines)
    st.html(f'<table class="facesr-facts"><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>')


def warm_figure(scene: Scene, what: object, draw: Callable[[], Drawing]) -> None:
    """Draw a figure for both themes before anyone asks."""
    for ink in (INK, LIGHT_INK):
        scene.kept(("figure", what, ink), partial(rendered, scene, what, draw, ink))
