"""JSON files: jsPsych's list of trials, or a sureal dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.folder import named_by_file
from facesr.bench.ratings.grid import TextGrid, clean, text_and_encoding
from facesr.bench.ratings.long import long
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.platforms import is_jspsych, jspsych
from facesr.bench.ratings.sureal import sureal
from facesr.bench.ratings.table import Answers
from facesr.bench.reading import parse_json


def answers(path: Path, options: Options, *, alone: bool = True) -> Answers:
    """Lists of objects are trials, one list in another is a person's (JATOS writes a list per line); an object is a sureal dataset."""
    content = _content(path)
    if isinstance(content, dict):
        return sureal(path, options, content)
    trials = _trials(content)
    if trials and all(isinstance(t.get("annotations"), list) and isinstance(t.get("data"), dict) for t in trials):
        return _label_studio(trials, options)
    grid = _grid(trials, path)
    grid = grid if alone else named_by_file(grid, path, options)
    return jspsych(grid, options) if options.layout == "jspsych" or is_jspsych(grid) else long(grid, options)


def _content(path: Path) -> Any:
    text, _ = text_and_encoding(path)
    try:
        return parse_json(text, path)
    except FaceSRError as error:
        try:
            return [parse_json(line, path) for line in text.splitlines() if line.strip()]
        except FaceSRError:
            raise error from None


def _trials(content: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else []:
        found += _trials(part) if isinstance(part, list) else [part] if isinstance(part, dict) else []
    return found


def _grid(trials: list[dict[str, Any]], path: Path) -> TextGrid:
    import pandas as pd

    if not trials:
        raise FaceSRError(f"{path} holds neither a list of trials nor a sureal dataset")
    names = list(dict.fromkeys(str(k) for t in trials for k in t))
    rows = [[_text(t.get(n)) for n in names] for t in trials]
    return TextGrid(pd.DataFrame(rows, columns=names, dtype=object), list(range(1, len(rows) + 1)), "JSON")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return clean(json.dumps(value) if isinstance(value, dict | list | bool) else value)


def _label_studio(tasks: list[dict[str, Any]], options: Options) -> Answers:
    """Label Studio's export: tasks with annotations; the grade is the one result with a rating, number or choice."""
    import pandas as pd

    rows = []
    for number, task in enumerate(tasks, 1):
        data = task["data"]
        images = [str(v) for k, v in data.items() if isinstance(v, str) and (k in {"image", "img", "url", "face"} or "/" in v)]
        stimulus = str(data.get(options.columns.get("stimulus", ""), images[0] if images else ""))
        for made in (a for a in task["annotations"] if isinstance(a, dict)):
            who = made.get("completed_by")
            rater = str(who.get("email") or who.get("id") or "") if isinstance(who, dict) else _text(who)
            left = "the annotation was skipped" if made.get("was_cancelled") else ""
            wanted = options.columns.get("score", "")
            listed = made.get("result")
            results = [
                r
                for r in (listed if isinstance(listed, list) else [])
                if isinstance(r, dict) and wanted in ("", str(r.get("from_name")))
            ]
            grades = [g for r in results if (g := _grade(r.get("value")))]
            if len(grades) > 1:
                names = ", ".join(str(r.get("from_name")) for r in results)
                raise FaceSRError(f"task {number} has several grades in one annotation ({names}): choose one with --map score=NAME")
            rows.append(
                {
                    "row": number,
                    "column": "annotations",
                    "rater": rater,
                    "stimulus": stimulus,
                    "score": grades[0] if grades else "",
                    "left_out": left,
                }
            )
    return Answers(pd.DataFrame(rows, dtype=object).fillna(""), "Label Studio", notes=("raters from 'completed_by'",))


def _grade(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    found = value.get("rating", value.get("number", value.get("choices")))
    return _text(found[0] if isinstance(found, list) and len(found) == 1 else found)
