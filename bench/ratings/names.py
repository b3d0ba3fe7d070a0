"""Who rated what: ids that are persons, one spelling of each condition, and faces and conditions taken out of file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import clean

NOBODY = frozenset({
    "", "na", "n/a", "nan", "null", "none", "nil", "undefined", "unknown", "anonymous", "<na>", "-", "?", "not available",
    "assignment_id_not_available", "consent_revoked", "data_expired", "nat",
})  # fmt: skip
"""Ids that stand for nobody in particular, lower case."""
SUMMARIES = frozenset({
    *("mean", "average", "avg", "total", "totals", "count", "median", "std", "stdev", "mos", "grand total"),
    *("mittelwert", "summe", "gesamt", "moyenne", "somme", "media", "promedio", "suma"),
})  # fmt: skip
"""What stands in place of an id in rows that a spreadsheet computed from the others, lower case. Not SD and SUM: people have such initials, and those
rows hold no grades of the scale."""
_UNFILLED = re.compile(r"\{\{.*\}\}|\{%.*%\}|\$\{.*\}|\[\[?.*\]\]?|<.*>|%\w+%")
_REWRITTEN = re.compile(r"[+-]?\d+(?:[.,]\d+)?E[+-]\d{1,3}|#(?:NAME|REF|VALUE|N/A|NUM|DIV/0|NULL|#+)[?!]?.*", re.IGNORECASE)


def not_a_person(rater: str) -> str:
    """Why an id is no person: empty, a placeholder nobody filled in, or one that a spreadsheet rewrote; '' for a person."""
    if rater.casefold() in NOBODY:
        return f"{rater!r} is no rater's id" if rater else "no rater's id"
    if rater.casefold().rstrip(":") in SUMMARIES:
        return f"{rater!r} is a row computed from others, no rater"
    if _UNFILLED.fullmatch(rater):
        return f"the id {rater!r} is a placeholder that was never filled in"
    if _REWRITTEN.fullmatch(rater):
        return f"the id {rater!r} was rewritten by a spreadsheet: export again, with ids as text"
    return ""


def whole_numbers(names: Sequence[str]) -> list[str]:
    """Names without the '.0' that a program put behind every whole number; left alone where one of them is no number."""
    if all(re.fullmatch(r"-?\d+(\.0)?", n) for n in names if n):
        return [n.removesuffix(".0") for n in names]
    return list(names)


def one_spelling(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Names that differ in case or blanks as one, in their commonest spelling; and the spellings that were taken together."""
    groups: dict[str, Counter[str]] = {}
    for name, n in Counter(names).items():
        groups.setdefault(clean(name).casefold(), Counter())[clean(name)] += n
    chosen = {key: spellings.most_common(1)[0][0] for key, spellings in groups.items()}
    joined = {chosen[key]: sorted(spellings) for key, spellings in groups.items() if len(spellings) > 1}
    return [chosen[clean(name).casefold()] for name in names], joined


def look_alike(names: Sequence[str]) -> list[str]:
    """Names that differ in case alone, such as 'ann, Ann': perhaps one, perhaps two."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), set()).add(name)
    return [", ".join(sorted(g)) for g in groups.values() if len(g) > 1]


def split_stimuli(names: Sequence[str], pattern: re.Pattern[str] | None) -> tuple[list[str], list[str]]:
    """Faces and conditions of stimuli: by the pattern, or file name and the folder it lies in (``psp/000123.png``).

    Names without a folder are taken apart where that is certain (``f1_psp``, every face with every condition, a known method among
    them); else the condition stays ''. Raises ``FaceSRError`` where the pattern does not match.
    """
    distinct = list(dict.fromkeys(names))
    parts = _by_pattern(distinct, pattern) if pattern else {n: _by_path(n) for n in distinct}
    if pattern is None and not any(condition for _, condition in parts.values()):
        parts = _by_grid({n: face for n, (face, _) in parts.items()}) or parts
    return [parts[n][0] for n in names], [parts[n][1] for n in names]


def _by_pattern(names: Sequence[str], pattern: re.Pattern[str]) -> dict[str, tuple[str, str]]:
    found = {n: pattern.search(n) for n in names}
    if wrong := [n for n, match in found.items() if match is None]:
        more = f" (and {len(wrong) - 1} more of {len(names)})" if len(wrong) > 1 else ""
        raise FaceSRError(f"--pattern {pattern.pattern!r} does not match the stimulus {wrong[0]!r}{more}")
    return {n: (match["face"] or "", match["condition"] or "") for n, match in found.items() if match}


def _by_path(name: str) -> tuple[str, str]:
    if source := re.search(r"""src\s*=\s*["']([^"']+)""", name):  # jsPsych shows HTML
        name = source[1]
    path = PurePosixPath(re.sub(r"^\w+://[^/]+|[?#].*$", "", name.replace("\\", "/")))
    return (path.stem if path.suffix.lower() in IMAGES else path.name) or name, path.parent.name


IMAGES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".mp4", ".avi", ".mkv", ".yuv", ".webm", ".mov"}
)
METHODS = frozenset({
    *("hr", "gt", "reference", "ref", "original", "nearest", "bicubic", "bilinear", "lanczos", "psp", "pulse", "fsrnet", "fsrgan"),
    *("pix2pixhd", "esrgan", "realesrgan", "gfpgan", "codeformer", "srgan", "swinir", "restoreformer", "vqfr", "gpen", "difface"),
})  # fmt: skip
"""Names by which a part of a stimulus' name is known to be the condition, lower case."""


def _by_grid(names: dict[str, str]) -> dict[str, tuple[str, str]] | None:
    """Names such as ``f1_psp``, where all faces meet all conditions; None unless exactly one way of splitting makes that grid."""
    found = []
    for separator in ("__", "_", "-", " ", "|", ":"):
        for cut in (str.rpartition, str.partition):
            pairs = {n: (p[0], p[2]) for n, short in names.items() if (p := cut(short, separator))[1]}
            sides = [{p[i].casefold() for p in pairs.values()} for i in (0, 1)]
            if len(pairs) < len(names) or min(map(len, sides)) < 2 or len(sides[0]) * len(sides[1]) != len(set(pairs.values())):
                continue
            conditions = [i for i in (0, 1) if sides[i] & METHODS]
            if len(conditions) == 1:
                k = conditions[0]
                found.append({n: (p[1 - k], p[k]) for n, p in pairs.items()})
    return found[0] if found and all(f == found[0] for f in found) else None
