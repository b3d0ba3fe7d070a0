"""Names that become file names: a label or a face's name may come from a stranger and must not lead out of the run folder."""

from __future__ import annotations

import re
import unicodedata

WHOLE_SET = "*"
"""Stands in place of a face's name where a score is of the whole set (FID, retrieval)."""
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""A method's label in tables, also the name of its folder."""
MAX_BYTES = 200
"""Of a face's name in UTF-8: file systems allow 255, and writing beside needs some of them."""


def label_problem(label: str) -> str:
    """Why ``label`` cannot name a method's folder, or ''."""
    good = LABEL.fullmatch(label)
    return (
        ""
        if good
        else f"label {label!r} is not made of letters, digits, '.', '_', '+', '-' (at most 64, the first a letter or digit)"
    )


def face_problem(name: str, what: str = "face name") -> str:
    """Why ``name`` cannot name a face and its files, or ''. ``what``: the words for it."""
    if not name:
        return f"a {what} is empty"
    if name == WHOLE_SET:
        return f"a {what} is {WHOLE_SET!r}, which stands for the whole set"
    if name.startswith(".") or set(name) & {"/", "\\"}:
        return f"{what} {name!r} starts with '.' or holds a path separator"
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return f"{what} {name!r} holds control characters or bytes that are not UTF-8"
    if len(name.encode()) > MAX_BYTES:
        return f"{what} {name[:20]!r}... has {len(name.encode())} bytes, more than {MAX_BYTES}"
    return ""
