"""JSON files: jsPsych's list of trials, or a sureal dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import Grid, clean, decode
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.platforms import is_jspsych, jspsych
from facesr.bench.ratings.sureal import sureal
from facesr.bench.ratings.table import Answers
from facesr.bench.reading import parse_json


def answers(path: Path, options: Options) -> Answers:
    """Lists of objects are trials, one list in another is a person's (JATOS writes a list per line); an object is a sureal dataset."""
    from facesr.bench.ratings.long import long

    content = _content(path)
    if isinstance(content, dict):
        return sureal(path, options, content)
    grid = _grid(_trials(content), path)
    return jspsych(grid, options) if options.layout == "jspsych" or is_jspsych(grid) else long(grid, options)


def _content(path: Path) -> Any:
    text, _ = decode(path)
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


def _grid(trials: list[dict[str, Any]], path: Path) -> Grid:
    import pandas as pd

    if not trials:
        raise FaceSRError(f"{path} holds neither a list of trials nor a sureal dataset")
    names = list(dict.fromkeys(str(k) for t in trials for k in t))
    rows = [[_text(t.get(n)) for n in names] for t in trials]
    return Grid(pd.DataFrame(rows, columns=names, dtype=object), list(range(1, len(rows) + 1)), "JSON")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return clean(json.dumps(value) if isinstance(value, dict | list | bool) else value)
