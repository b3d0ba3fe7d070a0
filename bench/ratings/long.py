"""Tables with one rating per row or one column per rater, condition, face or item, told apart by what their columns are called and hold."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import scores as grades
from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.table import Answers

if TYPE_CHECKING:
    import pandas as pd

SYNONYMS: dict[str, tuple[str, ...]] = {
    "rater": (
        *(
            "rater",
            "rater_id",
            "subject",
            "subject_id",
            "user",
            "user_id",
            "tester_id",
            "observer",
            "observer_id",
            "worker",
            "worker_id",
        ),
        *(
            "participant",
            "participant_id",
            "prolific_pid",
            "prolific_id",
            "annotator",
            "annotator_id",
            "assessor",
            "viewer",
            "judge",
        ),
        *("respondent", "respondent_id"),
    ),
    "face": ("face", "content", "src_id", "src", "source", "image", "scene", "prompt", "content_id", "image_id", "face_id"),
    "condition": (
        "condition",
        "hrc_id",
        "hrc",
        "method",
        "system",
        "generator",
        "algorithm",
        "model",
        "condition_id",
        "condition_name",
    ),
    "stimulus": (
        "stimulus",
        "pvs_id",
        "pvs",
        "file",
        "stimuli_id",
        "item",
        "asset_id",
        "file_name",
        "image_name",
        "stimuli",
        "url",
    ),
    "other": ("other",),
    "score": ("score", "rating", "vote", "opinion", "os", "mos", "grade", "opinion_score"),
    "training": ("training", "is_training"),
    "kind": ("kind",),
    "position": ("position", "trial", "order", "trial_index"),
    "rt_ms": ("rt_ms", "rt", "response_time"),
    "at": ("at", "timestamp", "time", "date"),
    **{k: (k,) for k in ("simulated", "correct", "first_score", "revisions", "device_pixels", "served_ms", "hidden_ms")},
}
"""Names of columns that are understood, whatever their case, blanks and underscores; the first one found counts."""

SUMMARY = frozenset(
    {"mos", "ci", "ci95", "95ci", "std", "sd", "var", "mean", "average", "avg", "median", "n", "count", "dmos", "sos"}
)
"""Columns of wide tables that are computed from ratings and are none."""

ABOUT_PEOPLE = frozenset(
    {
        *("age", "gender", "sex", "email", "country", "name", "comment", "comments", "duration", "progress", "finished", "status"),
        *("id", "ip", "ipaddress", "date", "started", "ended", "browser", "device", "language", "consent", "session", "session_id"),
        *("study_id", "reward", "index", "row", "width", "height", "path", "sha256", "seed", "group", "experiment", "note", "notes"),
    }
)  # fmt: skip
"""Columns of wide tables that say something else, compared as ``plain`` writes them."""

_OTHERS = frozenset(plain_name(n) for n in (SUMMARY | ABOUT_PEOPLE))


def find_roles(columns: Sequence[str], cells: pd.DataFrame, asked: Mapping[str, str]) -> dict[str, str]:
    """The column of each role, by the user's word first. Two columns for the score, or for the rater, that differ are refused."""
    named = {plain_name(c): c for c in reversed(columns)}
    found = {role: column for role, column in asked.items() if column}
    for role, names in SYNONYMS.items():
        if role in asked:
            continue
        there = [named[plain_name(n)] for n in names if plain_name(n) in named and named[plain_name(n)] not in found.values()]
        there = list(dict.fromkeys(there))
        if role == "score" and len(there) > 1:
            there = [c for c in there if plain_name(c) not in {"mos"}] or there
        if role in {"score", "rater"} and len(there) > 1 and _differ(cells, there):
            raise FaceSRError(
                f"the columns {', '.join(map(repr, there))} could each be the {role}: choose one with --map {role}={there[0]}"
            )
        if there:
            found[role] = there[0]
    if "rater" not in found and "score" not in asked and plain_name(found.get("score", "")) == "mos":
        del found["score"]  # a mean beside one column per rater
    return found


def _differ(cells: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether columns tell rows apart in different ways (an id written in two manners does not)."""
    pairs = cells[list(columns)].drop_duplicates()
    return any(len(pairs) != pairs[c].nunique() for c in columns)


def long(grid: TextGrid, options: Options) -> Answers:
    """A table with one rating per row, or else a wide one. Refuses, naming the columns seen, what has neither."""
    asked = {role: grid.column(c) if c and "*" not in c else c for role, c in options.columns.items()}
    found = find_roles(grid.columns, grid.cells, asked)
    across = options.layout == "wide" or "score" not in found or "*" in found["score"]
    if across:
        return _wide(grid, {r: c for r, c in found.items() if r != "score"}, asked.get("score", "*"), options.labels)
    lacking = [role for role in ("rater",) if role not in found]
    if "face" not in found and "stimulus" not in found:
        lacking.append("face or stimulus")
    if lacking:
        raise _lacking(grid, lacking)
    if not {"condition", "stimulus"} & set(found) and "face" not in asked and _are_files(grid.cells[found["face"]]):
        found["stimulus"] = found.pop("face")  # 'psp/f1.png' tells both
    frame = grid.cells[list(found.values())].set_axis(list(found), axis=1).copy()
    frame["row"], frame["column"] = grid.rows, found["score"]
    if "training" in frame and "kind" not in frame:
        frame["kind"] = ["training" if t.casefold() in {"true", "1", "1.0", "yes"} else "main" for t in frame["training"]]
    read = ", ".join(f"{role} from {column!r}" for role, column in found.items() if role != column)
    return Answers(frame, "long table", notes=(read,) if read else ())


def _are_files(names: pd.Series[str]) -> bool:
    """Whether all are paths of images in folders."""
    return bool(len(names)) and all("/" in n or "\\" in n for n in names if n)


def _lacking(grid: TextGrid, roles: Sequence[str]) -> FaceSRError:
    seen = ", ".join(map(repr, grid.columns[:12])) + (" ..." if len(grid.columns) > 12 else "")
    known = "; ".join(f"{k}: {', '.join(SYNONYMS[k][:6])}" for k in ("rater", "face", "condition", "stimulus", "score"))
    maps = ",".join(f"{role.split(' ', maxsplit=1)[0]}=COLUMN" for role in roles)
    return FaceSRError(
        f"there is no column for {', '.join(roles)}; the columns are {seen}: name it with --map {maps} (understood names are {known})"
    )


def _wide(grid: TextGrid, found: dict[str, str], glob: str, labels: Mapping[str, float]) -> Answers:
    """One column per rater, condition, face or item: whichever of the three has no column of its own."""
    rest = [c for c in grid.columns if c not in found.values() and plain_name(c) not in _OTHERS]
    if glob and glob != "*":
        rest = [c for c in grid.columns if fnmatch.fnmatchcase(c.casefold(), glob.casefold())]
        if not rest:
            raise FaceSRError(
                f"--map score={glob}: no column has such a name; the columns are {', '.join(map(repr, grid.columns[:12]))}"
            )
    elif not glob or glob == "*":
        rest = [c for c in rest if _holds_scores(grid.cells[c], labels)]
    across = _across(grid, found, rest)
    base = grid.cells[list(found.values())].set_axis(list(found), axis=1)
    base["row"] = grid.rows
    frame = _melt(grid, base, rest, across)
    names = ", ".join(rest[:4]) + (" ..." if len(rest) > 4 else "")
    return Answers(
        frame,
        f"wide table, {'an' if across == 'item' else 'a'} {across} per column",
        notes=(f"{len(rest)} columns of scores: {names}",),
    )


def _across(grid: TextGrid, found: Mapping[str, str], columns: Sequence[str]) -> str:
    """What the columns stand for."""
    item = "face" in found or "stimulus" in found
    if "rater" not in found and item and columns:
        across = "rater"
    elif "rater" in found and item and "condition" not in found and columns:
        across = "condition"
    elif "rater" in found and "condition" in found and not item and columns:
        across = "face"
    elif "rater" in found and not item and columns:
        across = "item"
    else:
        lacking = [r for r in ("rater", "score") if r not in found and not (r == "rater" and columns and item)]
        raise _lacking(grid, [*lacking, *([] if item else ["face or stimulus"])])
    if len(columns) < 2:
        raise FaceSRError(
            f"there is no column of scores, and {columns[0]!r} alone is no wide table: name the score with --map score={columns[0]}"
        )
    return across


def _melt(grid: TextGrid, base: pd.DataFrame, columns: Sequence[str], across: str) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for name in columns:
        part = base.copy()
        part["column"], part["score"] = name, grid.cells[name]
        part["stimulus" if across == "item" else across] = name
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values("row", kind="stable").reset_index(drop=True)


def _holds_scores(column: pd.Series[str], labels: Mapping[str, float]) -> bool:
    """Whether most filled cells are a number or a word of a scale, the user's ``labels`` included."""
    filled = [c for c in column if c]
    words = {w: g for w, (g, _) in grades.WORDS.items()} | {w.casefold(): g for w, g in labels.items()}
    parsed = [grades.parse_score(c, words) for c in filled]
    good = sum(p.mark or p.number is not None or p.grade is not None for p in parsed)
    return bool(filled) and good >= 0.8 * len(filled)
