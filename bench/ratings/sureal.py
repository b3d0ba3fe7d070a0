"""sureal's datasets, which are Python files: read as published, never run."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.grid import text_and_encoding
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.table import Answers


def sureal(path: Path, options: Options, content: dict[str, Any] | None = None) -> Answers:
    """A dataset: ``os`` is a list over raters, or a dict by rater; an entry may be a list of repeats; keys (rater, asset) are pairs."""
    import pandas as pd

    content = _content(path) if content is None else content
    videos = content.get("dis_videos")
    if not isinstance(videos, list) or not videos or not all(isinstance(v, dict) and "os" in v for v in videos):
        raise FaceSRError(f"{path} is not a sureal dataset: it needs 'dis_videos', a list of entries with 'os'")
    references = content.get("ref_videos")
    faces = {v.get("content_id"): str(v.get("content_name") or v.get("content_id"))
             for v in (references if isinstance(references, list) else []) if isinstance(v, dict)}  # fmt: skip
    names = {v.get("asset_id"): str(v.get("path") or v.get("asset_id")) for v in videos}
    rows = []
    for number, video in enumerate(videos, 1):
        asset = str(video.get("path") or video.get("asset_id"))
        face = faces.get(video.get("content_id"), str(video.get("content_id")))
        about = {"row": number, "column": "os", "stimulus": asset, "face": face, "condition": asset}
        rows += [{**about, **row} for row in _opinions(video["os"], names, path)]
    frame = pd.DataFrame(rows, dtype=object).fillna("")
    if frame.empty:
        raise FaceSRError(f"{path} holds no opinion score: every 'os' is empty")
    return Answers(_one_way(frame) if "other" in frame else frame, "sureal dataset")


def _opinions(scores: Any, names: dict[Any, str], path: Path) -> Iterator[dict[str, str]]:
    if not isinstance(scores, dict | list | tuple):
        raise FaceSRError(f"{path}: 'os' is {scores!r}, neither a list of scores nor a dict by rater")
    for rater, score in scores.items() if isinstance(scores, dict) else enumerate(scores):
        about = {"rater": str(rater)}
        if isinstance(rater, tuple) and len(rater) == 2:
            about = {"rater": str(rater[0]), "other": names.get(rater[1], str(rater[1]))}
        for k, value in enumerate(score if isinstance(score, list | tuple) else [score]):
            text = (
                ""
                if value is None or (isinstance(value, float) and math.isnan(value))
                else f"{value:g}"
                if isinstance(value, float)
                else str(value)
            )
            yield {**about, "score": text, "kind": "repeat" if k else "main"}


def _one_way(frame: Any) -> Any:
    """Pair data say 1 for the asset that was preferred, .5 to both for no difference, 0 or nothing for the other: one row per comparison."""
    kept, seen = [], set()
    order = {"1": 0, "0.5": 1}
    for i in sorted(frame.index, key=lambda i: order.get(frame.at[i, "score"], 2)):
        key = (frame.at[i, "rater"], frozenset((frame.at[i, "condition"], frame.at[i, "other"])))
        if frame.at[i, "score"] == "0" and key in seen:
            continue  # the same comparison, from the other side
        if frame.at[i, "score"] == "0.5" and key in seen:
            continue
        seen.add(key)
        kept.append(i)
    answer = {"1": "1", "0": "2", "0.5": "3"}
    part = frame.loc[sorted(kept)].reset_index(drop=True)
    part["score"] = [answer.get(s, s) for s in part["score"]]
    return part


def _content(path: Path) -> dict[str, Any]:
    text, _ = text_and_encoding(path)
    try:
        # The file is Python, but it is never run: plain assignments of plain values are all that is read.
        values: dict[str, Any] = {}
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                values[statement.targets[0].id] = _plain(statement.value, values)
        return values
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FaceSRError(f"{path} cannot be read as a sureal dataset ({str(error)[:200]})") from None


def _plain(node: ast.expr, known: dict[str, Any]) -> Any:
    """A literal, a name assigned before, texts put together by ``+`` or ``os.path.join``; ``float('nan')``, ``np.nan`` and
    ``np.float64(4.0)`` (which sureal writes under numpy 2) count as literals. What is none of these is None."""
    if isinstance(node, ast.Dict):
        return {_key(_plain(k, known)) if k else None: _plain(v, known) for k, v in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(e, known) for e in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_plain(node.left, known), _plain(node.right, known)]
        return "".join(str(p) for p in parts if p is not None) if any(isinstance(p, str) for p in parts) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(_plain(v.value if isinstance(v, ast.FormattedValue) else v, known) or "") for v in node.values)
    if isinstance(node, ast.Call):
        given = [_plain(a, known) for a in node.args]
        if len(given) == 1:
            return float("nan") if str(given[0]).lower() == "nan" else given[0]
        return "/".join(str(g) for g in given if g is not None) if all(isinstance(g, str | None) for g in given) else None
    if isinstance(node, ast.Attribute | ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        return float("nan") if name == "nan" else known.get(name) if isinstance(node, ast.Name) else None
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
