"""The before/after slider and the lens, as one small Streamlit component; its position goes into the address as ``at``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from facesr.dashboard.address import check_address

ASSETS = Path(__file__).with_name("assets")
EYE = (0.3, 0.36)
"""Where the lens starts, as shares of the width and height: on the left eye of an aligned face."""


@dataclass(frozen=True)
class ShownPicture:
    """An image to show: its name, address and words."""

    label: str
    url: str
    alt: str


def _component() -> Any:
    read = {name: (ASSETS / f"viewer.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    return st.components.v2.component("facesr_viewer", html='<div class="viewer"></div>', css=read["css"], js=read["js"])


def placed(text: str) -> bool:
    """Whether a text of the address names a place."""
    parts = text.split(",")
    return len(parts) == 3 and all(p.strip().isascii() and p.strip().isdigit() and len(p) < 6 for p in parts)


def place(text: str, size: int) -> tuple[int, int, int]:
    """'50,40,48' from the address: the split in per cent, left and top of the lens in HR pixels. Anything else: the start."""
    parts = text.split(",")
    if not placed(text):
        return 50, round(EYE[0] * size), round(EYE[1] * size)
    split, x, y = map(int, parts)
    return min(split, 100), x, y


def viewer(left: ShownPicture, right: ShownPicture, images: Sequence[ShownPicture], size: int, zoom: int, key: str) -> None:
    """Show it. ``size``: pixels per side of HR; ``zoom``: screen pixels an image pixel covers, 0 for no lens."""
    asked = st.query_params.get("at", "")
    check_address(
        "at", [asked] if placed(asked) else [], "such place (slider in per cent, left and top of the lens in pixels: 50,38,46)"
    )
    # The place is given once: handing every move back would draw the component anew under the reader's hand.
    begin = st.session_state.setdefault(f"{key} start", list(place(st.query_params.get("at", ""), size)))
    data = {
        "left": asdict(left), "right": asdict(right), "images": [asdict(i) for i in images], "size": size, "zoom": zoom, "at": begin,
    }  # fmt: skip
    result = _component()(key=key, data=data, on_at_change=lambda: None)
    moved = getattr(result, "at", None)
    if moved is not None and len(moved) == 3:
        text = ",".join(str(int(v)) for v in moved)
        if text != st.query_params.get("at", ""):
            st.query_params["at"] = text
