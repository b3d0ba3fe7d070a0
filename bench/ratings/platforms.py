"""Layouts of platforms, as they write them: Qualtrics, MTurk and the P.910 toolkit, jsPsych, webMUSHRA. Each is recognised by its columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import TextGrid, plain_name
from facesr.bench.ratings.long import _holds_scores, find_roles
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.pairlog import is_pairlog, pairlog
from facesr.bench.ratings.people import PEOPLE, frame_of, pick
from facesr.bench.ratings.surveys import is_survey, survey
from facesr.bench.ratings.table import Answers
from facesr.bench.ratings.webmushra import is_webmushra, webmushra

if TYPE_CHECKING:
    import pandas as pd

LEFT = {
    "rejected": "the assignment was rejected",
    "returned": "the submission was returned",
    "timed-out": "the submission timed out",
}

# --- Qualtrics ------------------------------------------------------------------------------------------------------------------------


def is_qualtrics(grid: TextGrid) -> bool:
    """Three rows of header: names, questions, ``{"ImportId": ...}``."""
    return len(grid.cells) >= 2 and any('"ImportId"' in str(v) for v in grid.cells.iloc[1])


def qualtrics(grid: TextGrid, options: Options) -> Answers:
    """One respondent per row, one question per column; previews and spam are left out. Items by column name, or by question."""
    import pandas as pd

    asked, cells, numbers = grid.cells.iloc[0], grid.cells.iloc[2:].reset_index(drop=True), grid.rows[2:]
    body = TextGrid(cells, numbers, grid.about)
    if "*" not in options.columns.get("score", "*"):
        return _qualtrics_long(body, options)
    rater = pick(body, (*PEOPLE, "ResponseId"), "rater", options) or "ResponseId"
    ids = grid.cells.iloc[1]
    own = [c for c in body.columns if re.search(r'"ImportId"\s*:\s*"QID', str(ids[c])) and c != rater]
    glob = re.compile(re.escape(options.columns.get("score", "*")).replace(r"\*", ".*"), re.IGNORECASE)
    columns = [c for c in own if glob.fullmatch(c) and _holds_scores(cells[c], options.labels)]
    if not columns:
        raise FaceSRError("no question of this Qualtrics file holds scores: name the columns with --map 'score=Q3_*'")
    items = _qualtrics_items(columns, asked, options)
    reasons = _qualtrics_left_out(body)
    known = {plain_name(c): c for c in body.columns}
    when = known.get("recordeddate") or known.get("enddate")
    parts = [
        pd.DataFrame({
            "row": numbers, "column": c, "rater": cells[rater], "stimulus": items[c], "score": cells[c], "left_out": reasons,
            "at": cells[when] if when else "",
        })
        for c in columns
    ]  # fmt: skip
    frame = pd.concat(parts, ignore_index=True).sort_values("row", kind="stable").reset_index(drop=True)
    return Answers(frame, "Qualtrics", notes=(f"raters from {rater!r}; {len(columns)} questions with scores",))


def _qualtrics_long(body: TextGrid, options: Options) -> Answers:
    """One question asked of each stimulus, which other columns (embedded data) name."""
    found = find_roles(body.columns, body.cells, {r: body.column(c) if c else c for r, c in options.columns.items()})
    if "rater" not in found and (rater := pick(body, (*PEOPLE, "ResponseId"), "rater", options)):
        found["rater"] = rater
    if not {"face", "stimulus"} & set(found) or "rater" not in found:
        raise FaceSRError(
            f"the score is in {found['score']!r}, but no column names the image: name it with --map face=COLUMN,condition=COLUMN or stimulus=COLUMN"
        )
    frame = body.cells[list(found.values())].set_axis(list(found), axis=1).copy()
    frame["row"], frame["column"], frame["left_out"] = body.rows, found["score"], _qualtrics_left_out(body)
    return Answers(frame, "Qualtrics")


def _qualtrics_left_out(body: TextGrid) -> list[str]:
    known = {plain_name(c): c for c in body.columns}
    channel, status = known.get("distributionchannel"), known.get("status")
    reasons = []
    for i in range(len(body.cells)):
        told = [str(body.cells.at[i, c]).casefold() for c in (channel, status) if c]
        preview = any(
            t in {"preview", "survey preview", "1"} and not (t == "1" and c is channel)
            for t, c in zip(told, (channel, status), strict=False)
        )
        reasons.append(
            "a preview, not a response" if preview else "marked as spam" if any(t in {"spam", "8"} for t in told) else ""
        )
    return reasons


def _qualtrics_items(columns: list[str], asked: pd.Series[str], options: Options) -> dict[str, str]:
    """The stimulus of each column: its name, or the last part of its question ('How good is it? - psp/f1.png') where that fits better."""
    texts = {c: str(asked[c]).rsplit(" - ", 1)[-1].strip() for c in columns}
    pattern = options.splitter
    if pattern is not None:
        by_name = all(pattern.search(c) for c in columns)
        return {c: c if by_name else texts[c] for c in columns}
    named_files = all("/" in t or re.search(r"\.\w{2,4}$", t) for t in texts.values())
    return texts if named_files and len(set(texts.values())) == len(columns) else {c: c for c in columns}


# --- MTurk and the P.910 toolkit --------------------------------------------------------------------------------------------------------


def is_mturk(grid: TextGrid) -> bool:
    """``WorkerId`` beside ``Input.*`` and ``Answer.*``."""
    names = [c.casefold() for c in grid.columns]
    return "workerid" in names and any(n.startswith("answer.") for n in names)


def mturk(grid: TextGrid, options: Options) -> Answers:
    """One assignment per row. ``Answer.q1`` belongs to ``Answer.q1_url`` (P.910 toolkit), else to the ``Input`` of its number."""
    lower = {c.casefold(): c for c in grid.columns}
    rater = pick(grid, ("WorkerId",), "rater", options) or lower["workerid"]
    if set(lower) & {"answer.taskanswers"}:
        return _task_answers(grid, lower, rater)
    urls = {n: c for n, c in lower.items() if re.fullmatch(r"answer\.\w+_url", n)}
    pairs = [(lower[n.removesuffix("_url")], c) for n, c in urls.items() if n.removesuffix("_url") in lower]
    name = "P.910 toolkit" if pairs else "MTurk"
    pairs = pairs or _by_number(grid, lower, options)
    checks = {lower[n]: kind for n, kind in CHECKS.items() if n in lower}
    rows = []
    for i, number in enumerate(grid.rows):
        cell = grid.cells.iloc[i]
        about = {"row": number, "rater": cell[rater], "left_out": _status(cell, lower)}
        special = {str(cell[c]): kind for c, kind in checks.items() if cell[c]}
        for score, stimulus in pairs:
            shown = str(cell[stimulus])
            if shown or cell[score]:
                rows.append({**about, "column": score, "score": cell[score], "stimulus": shown, "kind": special.get(shown, "main")})
    notes = (
        f"{len(pairs)} answers per assignment: "
        + ", ".join(f"{a} of {b}" for a, b in pairs[:3])
        + (" ..." if len(pairs) > 3 else ""),
    )
    return Answers(frame_of(rows), name, notes=notes)


CHECKS = {"input.tp": "attention", "input.trapping_clip": "attention", "input.gold_clip": "gold", "input.gold_clip_url": "gold"}
"""Columns of the P.910 toolkit that name the clip of a check."""


def _status(cell: pd.Series[str], lower: dict[str, str]) -> str:
    return LEFT.get(str(cell[lower["assignmentstatus"]]).casefold(), "") if "assignmentstatus" in lower else ""


def _by_number(grid: TextGrid, lower: dict[str, str], options: Options) -> list[tuple[str, str]]:
    """Answers and inputs of one number: ``Answer.rating0`` and ``Input.q0``. One of each needs no number."""
    answers = [c for n, c in lower.items() if n.startswith("answer.") and _holds_scores(grid.cells[c], options.labels)]
    inputs = [c for n, c in lower.items() if n.startswith("input.")]
    end = re.compile(r"(\d+)\D*$")
    numbered = {int(m[1]): c for c in inputs if (m := end.search(c))}
    pairs = [(c, numbered[int(m[1])]) for c in answers if (m := end.search(c)) and int(m[1]) in numbered]
    if len(numbered) != sum(bool(end.search(c)) for c in inputs):
        pairs = []  # two inputs of one number: which was rated?
    if not pairs and len(answers) == len(inputs) == 1:
        pairs = [(answers[0], inputs[0])]
    if not pairs:
        raise FaceSRError(
            f"no answer of this MTurk file can be matched to an image: answers are {', '.join(answers[:6]) or 'none'}, "
            f"inputs {', '.join(inputs[:6]) or 'none'}; "
            "name both with --map score=COLUMN,stimulus=COLUMN and --layout long"
        )
    return pairs


def _task_answers(grid: TextGrid, lower: dict[str, str], rater: str) -> Answers:
    """``Answer.taskAnswers``: JSON of the crowd-form elements, where radio buttons are ``{"1": false, "5": true}``."""
    end = re.compile(r"(\d+)\D*$")
    inputs = {int(m[1]): c for n, c in lower.items() if n.startswith("input.") and (m := end.search(c))}
    alone = [c for n, c in lower.items() if n.startswith("input.")]
    rows = []
    for i, number in enumerate(grid.rows):
        cell = grid.cells.iloc[i]
        about = {"row": number, "rater": cell[rater], "left_out": _status(cell, lower), "column": lower["answer.taskanswers"]}
        for name, value in _json_answers(str(cell[lower["answer.taskanswers"]]), number).items():
            found = end.search(name)
            where = inputs.get(int(found[1])) if found else alone[0] if len(alone) == 1 else None
            if where:
                rows.append({**about, "score": value, "stimulus": cell[where]})
    if not rows:
        raise FaceSRError(
            "no answer in Answer.taskAnswers has the number of an Input column: name them alike, such as rating0 and Input.q0"
        )
    return Answers(frame_of(rows), "MTurk")


def _json_answers(text: str, row: int) -> dict[str, str]:
    try:
        content = json.loads(text or "[]")
    except ValueError as error:
        raise FaceSRError(f"row {row}: Answer.taskAnswers is no JSON ({error})") from None
    found: dict[str, str] = {}
    for part in content if isinstance(content, list) else [content]:
        for name, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, dict):
                chosen = [str(k) for k, v in value.items() if v is True]
                value = chosen[0] if len(chosen) == 1 else ""
            found[str(name)] = str(value)
    return found


# --- jsPsych --------------------------------------------------------------------------------------------------------------------------


def is_jspsych(grid: TextGrid) -> bool:
    """``trial_type`` beside ``time_elapsed`` or ``trial_index``, and a response."""
    names = {plain_name(c) for c in grid.columns}
    return "trialtype" in names and bool(names & {"timeelapsed", "trialindex"}) and bool(names & {"response", "buttonpressed"})


RATING_TRIALS = re.compile(r"(image|html|video|canvas)-?(button|slider)-?response|survey-?likert|.*(rating|likert).*")


def jspsych(grid: TextGrid, options: Options) -> Answers:
    """One trial per row; button, slider and Likert trials with a stimulus are ratings (buttons count from 0)."""
    known = {plain_name(c): c for c in grid.columns}
    rater = pick(grid, (*PEOPLE, "run_id", "user_id", "study_result_id", "session_id"), "rater", options)
    if rater is None:
        raise FaceSRError(
            "this jsPsych file does not say who rated (no participant, subject, PROLIFIC_PID or workerId column): "
            "name the column with --map rater=COLUMN"
        )
    answered = [c for n in ("response", "buttonpressed") if (c := known.get(n)) and any(grid.cells[c])]
    own = options.columns
    shown = grid.column(own["stimulus"]) if own.get("stimulus") else known.get("stimulus")
    columns = {r: grid.column(c) for r, c in own.items() if c and r in {"face", "condition", "kind"}}
    columns |= {r: known[r] for r in ("face", "condition") if r in known and r not in columns}
    if shown is None and "face" not in columns:
        raise FaceSRError(
            "this jsPsych file has no column 'stimulus': name the image with --map stimulus=COLUMN or face=COLUMN,condition=COLUMN"
        )
    score = grid.column(own["score"]) if own.get("score") else next(iter(answered), known.get("response", "buttonpressed"))
    rows = []
    for i, number in enumerate(grid.rows):
        cell = grid.cells.iloc[i]
        kind = str(cell[known["trialtype"]])
        row = {
            "row": number,
            "column": score,
            "rater": cell[rater],
            "score": _response(str(cell[score])),
            "stimulus": cell[shown] if shown else "",
        }
        row |= {r: cell[c] for r, c in columns.items()}
        row |= {"rt_ms": cell[known["rt"]] if "rt" in known else "", "position": _next(cell, known)}
        if not RATING_TRIALS.fullmatch(kind) or not (row["stimulus"] or row.get("face")):
            row["left_out"] = f"a trial of type {kind!r}, no rating of an image"
        elif _is_html_text(str(row["stimulus"])) and not row.get("face"):
            row["left_out"] = "shows a text and no image"
        rows.append(row)
    return Answers(frame_of(rows), "jsPsych", notes=(f"raters from {rater!r}, scores from {score!r} (buttons count from 0)",))


def _next(cell: pd.Series[str], known: dict[str, str]) -> str:
    index = str(cell[known["trialindex"]]) if "trialindex" in known else ""
    return str(int(index) + 1) if index.isdigit() else ""


def _response(text: str) -> str:
    """A Likert answer is JSON with one value."""
    if text.startswith("{"):
        try:
            values = list(json.loads(text).values())
        except (ValueError, AttributeError):
            return text
        return str(values[0]) if len(values) == 1 else text
    return text


def _is_html_text(stimulus: str) -> bool:
    return "<" in stimulus and not re.search(r"src\s*=", stimulus)


PLATFORMS: dict[str, tuple[Callable[[TextGrid], bool], Callable[[TextGrid, Options], Answers]]] = {
    "qualtrics": (is_qualtrics, qualtrics),
    "mturk": (is_mturk, mturk),
    "webmushra": (is_webmushra, webmushra),
    "jspsych": (is_jspsych, jspsych),
    "survey": (is_survey, survey),
    "pairs": (is_pairlog, pairlog),
}
"""How each platform is recognised, and read."""
