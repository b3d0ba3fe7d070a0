"""Every choice of a page is in its address, and an address that asks for what is not here says so.

Streamlit's own binding drops a value that is no option without a word, so each control goes through one of these functions. What they
found wrong stands above the page until the reader changes that control. Options are the names of the command line, so that the address
holds ``metric=psnr`` and not a label that may change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar
from urllib.parse import urlencode

import streamlit as st

from facesr.bench.errors import suggest

T = TypeVar("T")
CONTROL = 220
"""Pixels of a control's width: rows of them wrap where the page is narrow."""
PARAMETERS = (
    "run", "methods", "where", "metrics", "sort", "find", "face", "metric", "order", "scale", "count", "page", "left", "right", "zoom", "at",
    "neighbours", "a", "b", "x", "y", "method", "by", "attribute", "study", "simulated", "which",
)  # fmt: skip
"""Every parameter that some page reads."""
_WRONG, _DRAWN = "facesr wrong", "facesr drawn"


def begin() -> None:
    """Call before the page is drawn: no control has been drawn yet."""
    st.session_state[_DRAWN] = set()
    st.session_state.setdefault(_WRONG, {})


def wrong() -> list[str]:
    """Call after the page is drawn: a sentence for everything its address asks for in vain."""
    drawn, found = st.session_state[_DRAWN], st.session_state[_WRONG]
    kept = {key: sentence for key, sentence in found.items() if key in drawn}
    st.session_state[_WRONG] = kept
    unknown = [name for name in st.query_params if name not in PARAMETERS]
    return [*kept.values(), *(f"This address has {name!r}, which no page reads: {suggest(name, PARAMETERS)}" for name in unknown)]


def with_parameter(key: str, value: str) -> str:
    """This address with another value of one parameter, to link to."""
    return "?" + urlencode({**st.query_params.to_dict(), key: value})


def forget(key: str) -> None:
    """The reader has changed this control: what its address asked for in vain is history."""
    st.session_state.get(_WRONG, {}).pop(key, None)


def note(key: str, asked: str, why: str) -> None:
    """Say of a parameter that what it asks for is not shown."""
    sentence = f"This address asks for {key}={asked}, which is not shown: {why}"
    st.session_state[_WRONG][key] = sentence if sentence.endswith("?") else f"{sentence}."


def check_address(key: str, options: Collection[object], what: str) -> None:
    """Say which values of a parameter in the address are none of the options; ``what`` names an option: 'metric'."""
    st.session_state[_DRAWN].add(key)
    names = [str(option) for option in options]
    for asked in st.query_params.get_all(key):
        if asked and asked not in names:
            note(key, asked, suggest(asked, names) if names else f"there is no {what} here")


def check_page(pages: int) -> None:
    """Say where the address asks for a page of faces that there is not."""
    st.session_state[_DRAWN].add("page")
    for asked in st.query_params.get_all("page"):
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= pages):
            note("page", asked, f"there {'are' if pages > 1 else 'is'} {pages:,} of them")


def choose_option(label: str, options: Sequence[T], key: str, *, first: T | None = None, what: str = "", width: int = CONTROL) -> T:
    """One of the options; ``first`` is shown where the address does not say."""
    check_address(key, options, what or label.lower())
    at = options.index(first) if first in options else 0
    return st.selectbox(
        label, options, index=at, key=key, bind="query-params", width=width, format_func=str, on_change=forget, args=(key,)
    )


def several(label: str, options: Sequence[str], key: str) -> list[str]:
    """Any of the options, in their own order; [] for all."""
    check_address(key, options, label.lower())
    chosen = st.multiselect(label, options, key=key, bind="query-params", placeholder="all", on_change=forget, args=(key,))
    return [option for option in options if option in chosen]


def segments(label: str, options: Sequence[T], key: str, *, first: T) -> T:
    """One of a few options, side by side."""
    check_address(key, options, label.lower())
    made = st.segmented_control(
        label, options, default=first, required=True, key=key, bind="query-params", format_func=str, on_change=forget, args=(key,)
    )
    return first if made is None else made


def switch(label: str, key: str, help_text: str) -> bool:
    """On or off."""
    check_address(key, ("true", "false"), "such value")
    return st.toggle(label, key=key, bind="query-params", help=help_text, on_change=forget, args=(key,))


def words(label: str, key: str, placeholder: str = "") -> str:
    """A text, without blanks around it."""
    check_address(key, st.query_params.get_all(key), label)
    return st.text_input(label, key=key, bind="query-params", placeholder=placeholder, width=CONTROL).strip()
