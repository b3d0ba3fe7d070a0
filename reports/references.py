"""How methods are named and cited in print: the entries of ``references.bib``, found by the BibTeX key that a method declares."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

PLAIN = {"hr": "HR", "lr": "LR", "nearest": "Nearest"}
"""Names in print of what has no paper of its own."""
KEY = re.compile(r"[A-Za-z0-9:._+/-]+")


@functools.cache
def bibliography_entries() -> dict[str, str]:
    """Every entry of ``references.bib`` by its key."""
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^@\w+\{([^,]+),.*?^\}$", text, flags=re.M | re.S)}


@functools.cache
def _names(cite: str) -> dict[str, str]:
    """Printed names by their lower-case form."""
    found = re.search(r"shorthand = \{([^}]*)\}", bibliography_entries().get(cite, ""))
    return {name.strip().lower(): name.strip() for name in found[1].split(",")} if found else {}


def printed(label: str, cite: str = "") -> str:
    """How a method or condition is written: ``psp`` of the pSp paper as pSp, ``hr`` as HR, a user's label as it is."""
    return _names(cite).get(label.lower()) or PLAIN.get(label.lower(), label)


def printed_condition(label: str) -> str:
    """How a study's condition is written; a study knows no BibTeX keys, so the name alone decides."""
    return next(
        (names[label.lower()] for cite in bibliography_entries() if label.lower() in (names := _names(cite))), printed(label)
    )


def bibliography(keys: Iterable[str]) -> str:
    """The entries of these keys; a key that is not known here (a user's method) is named in a comment."""
    wanted = [key for key in dict.fromkeys(keys) if KEY.fullmatch(key)]
    unknown = [f"% {key}: add your own entry\n" for key in wanted if key not in bibliography_entries()]
    return "\n\n".join([bibliography_entries()[key] for key in wanted if key in bibliography_entries()] + unknown) + "\n"
