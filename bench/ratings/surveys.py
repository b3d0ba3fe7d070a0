"""Forms with one question per image: Google Forms, LimeSurvey, SurveyMonkey. One answer sheet per row, the image in the question's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.long import _holds_scores
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.people import PEOPLE, pick
from facesr.bench.ratings.table import Answers

if TYPE_CHECKING:
    import pandas as pd

WHO = (
    "email address",
    "username",
    "respondent id",
    "response id",
    *PEOPLE,
    "token",
    "id",
    "e-mail-adresse",
    "e-mail address",
    "adresse e-mail",
)
"""Columns by which such forms tell people apart, the surest first."""
FORMS = frozenset(
    {"timestamp", "zeitstempel", "horodateur", "marcatemporal", "submitdate", "datesubmitted", "respondentid", "responseid"}
)
"""Columns that such forms write beside the answers, as ``plain`` writes them."""
BRACKET = re.compile(r".*\[\s*(.+?)\s*\]\s*")


def is_survey(grid: TextGrid) -> bool:
    """A form's own column, and two or more questions that end in ``[image]`` or, in SurveyMonkey's second row, are the image."""
    names = {plain_name(c) for c in grid.columns}
    bracketed = [m[1] for c in grid.columns if (m := BRACKET.fullmatch(c))]
    return bool(names & FORMS) and (len(set(bracketed)) > 1 or "respondentid" in names)


def survey(grid: TextGrid, options: Options) -> Answers:
    """Melt the questions; the rater is the e-mail address or the form's own id of the response, never the row."""
    import pandas as pd

    rater = pick(grid, WHO, "rater", options)
    if rater is None:
        raise FaceSRError(
            "this form kept nothing that tells its people apart (no e-mail address, no id of the response): where each row is another person, "
            "add a column rater with a number per row"
        )
    glob = re.compile(re.escape(options.columns.get("score", "*")).replace(r"\*", ".*"), re.IGNORECASE)
    asked = {c: m[1] for c in grid.columns if (m := BRACKET.fullmatch(c)) and glob.fullmatch(c)} or _others(grid, rater, glob)
    items = {c: item for c, item in asked.items() if _holds_scores(grid.cells[c], options.labels)}
    if not items:
        first = next(iter(asked), "")
        some = f", {first!r} holds {next((v for v in grid.cells[first] if v), '')!r}" if first else ""
        raise FaceSRError(f"no question of this form holds grades{some}: --labels 'WORD=GRADE,...' gives grades of words")
    if len(set(items.values())) < len(items):
        raise FaceSRError(
            f"several questions are of one image, such as {next(iter(items.values()))!r}: choose one kind with --map 'score=QUESTION*'"
        )
    parts = [_column(grid, c, item, rater) for c, item in items.items()]
    frame = pd.concat(parts, ignore_index=True).sort_values("row", kind="stable").reset_index(drop=True)
    left = f"; {len(asked) - len(items)} without grades left aside" if len(asked) > len(items) else ""
    return Answers(
        frame,
        "survey form",
        notes=(f"raters from {rater!r}; {len(items)} questions with grades, such as {next(iter(items))!r}{left}",),
    )


def _others(grid: TextGrid, rater: str, glob: re.Pattern[str]) -> dict[str, str]:
    """Questions without brackets: every column of grades that is not the form's own."""
    own = {
        *FORMS,
        plain_name(rater),
        "collectorid",
        "startdate",
        "enddate",
        "ipaddress",
        "emailaddress",
        "firstname",
        "lastname",
        "customdata1",
    }
    return {c: c for c in grid.columns if plain_name(c) not in own and glob.fullmatch(c)}


def _column(grid: TextGrid, column: str, item: str, rater: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({
        "row": grid.rows, "column": column, "rater": grid.cells[rater], "stimulus": item, "score": grid.cells[column],
    })  # fmt: skip
