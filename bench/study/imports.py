"""Ratings that other programs collected, as the same long table: AVrate's database and CSV, sureal's datasets, long CSV or Parquet."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.study.database import now
from facesr.bench.study.design import FORMAT, canonical
from facesr.bench.study.study import COLUMNS, Study, load

if TYPE_CHECKING:
    import pandas as pd

SYNONYMS: dict[str, tuple[str, ...]] = {
    "rater": ("rater", "subject", "user", "user_id", "tester_id", "observer", "worker", "participant", "annotator"),
    "face": ("face", "content", "src_id", "src", "source", "image", "scene", "prompt"),
    "condition": ("condition", "hrc_id", "hrc", "method", "system", "generator", "algorithm"),
    "stimulus": ("stimulus", "pvs_id", "pvs", "file", "stimuli_id", "item", "asset_id"),
    "score": ("score", "rating", "vote", "opinion", "os", "mos"),
    "training": ("training", "is_training"),
    "kind": ("kind",),
    "position": ("position", "trial", "order"),
    "rt_ms": ("rt_ms", "rt", "response_time"),
    "at": ("at", "timestamp", "time"),
    "simulated": ("simulated",),
}
"""Column names that are understood in a long table, lower case, the first one found."""

AVRATE_META = {"user_registered", "user_done", "ww", "wh", "wz", "start_timestamp", "pi", "quality_meta"}


@dataclass(frozen=True)
class Imported:
    """A long table (columns of ``COLUMNS``) and how it came about.

    ``kind`` is 'duplicate' where a rater's answer was stored twice for one showing, 'repeat' where an item was shown again.
    """

    table: pd.DataFrame
    format: str
    counts: dict[str, int] = field(default_factory=dict)


def read(path: Path, *, rating_type: str | None = None, pattern: str | None = None) -> Imported:
    """Read a file of ratings, telling the format by its content.

    ``rating_type``: which scale of an AVrate file that has several. ``pattern``: regular expression with the groups ``face`` and
    ``condition``, searched in the stimulus' name, where the two are not columns of their own.
    """
    split = _splitter(pattern)
    if not path.is_file():
        raise FaceSRError(f"there is no file {path}")
    suffix = path.suffix.lower()
    if suffix in {".db", ".sqlite", ".sqlite3"}:
        return _avrate(*_avrate_db(path), rating_type, split, "AVrate database")
    if suffix in {".py", ".json"}:
        return _sureal(path, split)
    if suffix == ".parquet":
        import pandas as pd

        return _long(pd.read_parquet(path), split, path)
    if suffix not in {".csv", ".tsv"}:
        raise FaceSRError(
            f"{path}: {suffix or 'a file without ending'} is not read; give .db, .csv, .tsv, .parquet, .py or .json (sureal)"
        )
    frame = _read_csv(path)
    if {"user_ID", "stimuli_file", "rating_type", "rating"} <= set(frame.columns):
        return _avrate(frame, {}, rating_type, split, "AVrate CSV")
    return _long(frame, split, path)


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise FaceSRError(f"{path} cannot be read as a table ({str(error).splitlines()[0]})") from None


def _splitter(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FaceSRError(f"--pattern {pattern!r} is not a regular expression ({error})") from None
    if not {"face", "condition"} <= set(compiled.groupindex):
        raise FaceSRError(f"--pattern {pattern!r} needs the groups (?P<face>...) and (?P<condition>...)")
    return compiled


def _split(name: str, pattern: re.Pattern[str] | None) -> tuple[str, str]:
    """Face and condition of a stimulus: by the pattern, or else file name and the folder it lies in (``psp/000123.png``)."""
    if pattern is None:
        path = PurePosixPath(name.replace("\\", "/"))
        return path.stem, path.parent.name
    found = pattern.search(name)
    if not found:
        raise FaceSRError(f"--pattern {pattern.pattern!r} does not match the stimulus {name!r}")
    return found["face"], found["condition"]


# --- AVrate --------------------------------------------------------------------------------------------------------------------------


def _avrate_db(path: Path) -> tuple[pd.DataFrame, dict[tuple[str, str], int]]:
    """The ratings, and how often each rater's playlist holds each stimulus (a playlist may hold one twice: a true repeat)."""
    import sqlite3

    import pandas as pd

    try:
        with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True) as connection:
            frame = pd.read_sql_query("select * from ratings order by rowid", connection).astype(str)
            tables = {r[0] for r in connection.execute("select name from sqlite_master where type = 'table'")}
            lists = list(connection.execute("select user_ID, playlist from user_playlist")) if "user_playlist" in tables else []
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        raise FaceSRError(f"{path} is not an AVrate database ({error}): it needs the table 'ratings'") from None
    planned: Counter[tuple[str, str]] = Counter()
    for user, playlist in lists:
        planned.update((str(user), str(item)) for item in json.loads(playlist))
    return frame, dict(planned)


def _avrate(
    frame: pd.DataFrame, planned: Mapping[tuple[str, str], int], rating_type: str | None, split: re.Pattern[str] | None, name: str
) -> Imported:
    types = [k for k in frame["rating_type"].unique() if k not in AVRATE_META]
    if rating_type is None and len(types) != 1:
        raise FaceSRError(f"the file has several scales ({', '.join(sorted(types))}): choose one with --rating-type")
    wanted = rating_type or types[0]
    if wanted not in types:
        raise FaceSRError(f"the file has no scale {wanted!r}: {suggest(wanted, types)}")
    frame = frame[frame["rating_type"] == wanted].reset_index(drop=True)
    faces = {file: _split(file, split) for file in frame["stimuli_file"].unique()}
    table = _canonical(
        {
            "rater": frame["user_ID"],
            "face": [faces[f][0] for f in frame["stimuli_file"]],
            "condition": [faces[f][1] for f in frame["stimuli_file"]],
            "score": frame["rating"],
            "position": frame.groupby("user_ID").cumcount() + 1,
            "at": [_time(text) for text in frame["timestamp"]],
        }
    )
    return _imported(_repeats(table, planned, list(frame["stimuli_ID"])), name)


def _time(text: str) -> str:
    """AVrate writes '2020-03-27 13:50:53 566942', in local time without a zone."""
    parts = text.split(" ")
    return f"{parts[0]}T{parts[1]}.{parts[2]}" if len(parts) == 3 else text


def _repeats(table: pd.DataFrame, planned: Mapping[tuple[str, str], int], stimuli: list[str]) -> pd.DataFrame:
    """Mark second answers: a repeat where the item was shown again, a duplicate where one showing was stored twice.

    With playlists, what goes beyond the playlist's count is a duplicate. Without, an answer that directly follows the rater's
    answer to the same item is one: nobody is shown an item twice in a row.
    """
    seen: Counter[tuple[str, str]] = Counter()
    previous: dict[str, str] = {}
    kinds = []
    for rater, stimulus in zip(table["rater"], stimuli, strict=True):
        key = (rater, stimulus)
        seen[key] += 1
        double = seen[key] > planned.get(key, 1) if planned else previous.get(rater) == stimulus
        kinds.append("main" if seen[key] == 1 else "duplicate" if double else "repeat")
        previous[rater] = stimulus
    return table.assign(kind=kinds)


# --- sureal --------------------------------------------------------------------------------------------------------------------------


def _sureal(path: Path, split: re.Pattern[str] | None) -> Imported:
    content = _sureal_content(path)
    videos = content.get("dis_videos")
    if not isinstance(videos, list) or not all(isinstance(v, dict) and "os" in v for v in videos):
        raise FaceSRError(f"{path} is not a sureal dataset: it needs 'dis_videos', a list of entries with 'os'")
    faces = {v.get("content_id"): str(v.get("content_name") or v.get("content_id")) for v in content.get("ref_videos") or []}
    rows: dict[str, list[Any]] = {"rater": [], "face": [], "condition": [], "score": [], "kind": []}
    for video in videos:
        asset = str(video.get("path") or video.get("asset_id"))
        face, condition = (
            _split(asset, split) if split else (faces.get(video.get("content_id"), str(video.get("content_id"))), asset)
        )
        for rater, score, kind in _opinions(video["os"]):
            for key, value in zip(rows, (rater, face, condition, score, kind), strict=True):
                rows[key].append(value)
    return _imported(_canonical(rows), "sureal dataset")


def _opinions(scores: Any) -> list[tuple[str, Any, str]]:
    """(rater, score, kind): 'os' is a list over raters, or a dict by rater; an entry may be a list of repeated scores."""
    pairs = list(scores.items()) if isinstance(scores, dict) else list(enumerate(scores))
    found = []
    for rater, score in pairs:
        for k, value in enumerate(score if isinstance(score, list | tuple) else [score]):
            if value is not None and not (isinstance(value, float) and math.isnan(value)):
                found.append((str(rater), value, "repeat" if k else "main"))
    return found


def _sureal_content(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(text)
            return content if isinstance(content, dict) else {}
        # The file is Python, but it is never run: plain assignments of plain values are all that is read.
        values = {}
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                values[statement.targets[0].id] = _plain(statement.value)
        return values
    except (ValueError, SyntaxError) as error:
        raise FaceSRError(f"{path} cannot be read as a sureal dataset ({error})") from None


def _plain(node: ast.expr) -> Any:
    """A literal; ``float('nan')``, ``np.nan`` and ``np.float64(4.0)`` (which sureal writes under numpy 2) count as literals."""
    if isinstance(node, ast.Dict):
        return {_plain(k) if k else None: _plain(v) for k, v in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(e) for e in node.elts]
    if isinstance(node, ast.Call) and len(node.args) == 1:
        value = _plain(node.args[0])
        return float("nan") if str(value).lower() == "nan" else value
    if isinstance(node, ast.Attribute | ast.Name):
        return float("nan") if (node.attr if isinstance(node, ast.Attribute) else node.id) == "nan" else None
    return ast.literal_eval(node)


# --- long tables ---------------------------------------------------------------------------------------------------------------------


def _long(frame: pd.DataFrame, split: re.Pattern[str] | None, path: Path) -> Imported:
    lower = {str(c).lower(): c for c in reversed(list(frame.columns))}
    found = {key: lower[name] for key, names in SYNONYMS.items() if (name := next((n for n in names if n in lower), None))}
    lacking = [key for key in ("rater", "score") if key not in found]
    if "face" not in found and "stimulus" not in found:
        lacking.append("face or stimulus")
    if lacking:
        known = "; ".join(f"{k}: {', '.join(SYNONYMS[k])}" for k in ("rater", "face", "condition", "stimulus", "score"))
        raise FaceSRError(f"{path} has no column for {', '.join(lacking)}; understood names are {known}")
    columns: dict[str, Any] = {k: frame[c] for k, c in found.items() if k in COLUMNS}
    if split and "stimulus" in found:
        pairs = [_split(str(s), split) for s in frame[found["stimulus"]]]
        columns |= {"face": [p[0] for p in pairs], "condition": [p[1] for p in pairs]}
    elif "face" not in columns:
        columns["face"] = frame[found["stimulus"]]
    elif "condition" not in columns and "stimulus" in found:
        columns["condition"] = frame[found["stimulus"]]
    table = _canonical(columns)
    if "kind" not in columns:
        if "training" in found:
            practice = frame[found["training"]].astype(str).str.lower().isin(["true", "1", "1.0"])
            table.loc[practice.to_numpy(), "kind"] = "training"
        _mark_repeats(table, "position" in columns)
    if "position" not in columns:
        table["position"] = table.groupby("rater").cumcount() + 1
    return _imported(table, "long table")


def _mark_repeats(table: pd.DataFrame, placed: bool) -> None:
    """Second answers to an item are repeats; stored twice is one only where place or time say so, since rows may come in any order."""
    main = table["kind"] == "main"
    item = ["rater", "face", "condition"]
    again = main & table[main].duplicated(item).reindex(table.index, fill_value=False)
    table.loc[again, "kind"] = "repeat"
    same = [*item, "position"] if placed else [*item, "at"]
    if placed or (table["at"] != "").all():
        table.loc[main & table[main].duplicated(same).reindex(table.index, fill_value=False), "kind"] = "duplicate"


def _canonical(columns: Mapping[str, Any]) -> pd.DataFrame:
    """The columns of ``COLUMNS`` with their types; what is not given is empty. Numbers written as '12.0' become '12' in names."""
    import pandas as pd

    table = pd.DataFrame({k: list(v) for k, v in columns.items()}).reindex(columns=list(COLUMNS))
    for name in ("rater", "face", "condition", "other", "at"):
        table[name] = [re.sub(r"^(\d+)\.0$", r"\1", str(v)) if pd.notna(v) else "" for v in table[name]]
    table["kind"] = [v if isinstance(v, str) and v else "main" for v in table["kind"]]
    for name in ("score", "rt_ms", "device_pixels", "hidden_ms"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    table["first_score"] = table["score"]
    table["position"] = pd.to_numeric(table["position"], errors="coerce").fillna(0).astype(int)
    table["revisions"] = 0
    table["simulated"] = table["simulated"].astype(str).str.lower().isin(["true", "1"])
    table["correct"] = table["correct"].astype("boolean")
    return table


def _imported(table: pd.DataFrame, name: str) -> Imported:
    main = table[table["kind"].isin(["main", "repeat", "duplicate"])]
    again = table[table["kind"] == "repeat"]
    counts = {
        "ratings": len(table),
        "raters": int(table["rater"].nunique()),
        "items": int(main[["face", "condition"]].drop_duplicates().shape[0]),
        "repeats": int(again[["rater", "face", "condition"]].drop_duplicates().shape[0]),
        "repeated ratings": len(again),
        "duplicates": int((table["kind"] == "duplicate").sum()),
        "unreadable scores": int(table["score"].isna().sum()),
    }
    return Imported(table, name, counts)


def into_study(
    path: Path, folder: Path, *, scale: tuple[int, int] | None = None, rating_type: str | None = None, pattern: str | None = None
) -> Study:
    """Read ``path`` and keep it as a study folder, so that every analysis takes it like one of our own."""
    if folder.exists():
        raise FaceSRError(f"{folder} exists already: a study is never overwritten; choose another --out")
    imported = read(path, rating_type=rating_type, pattern=pattern)
    scores = imported.table["score"].dropna()
    if scores.empty:
        raise FaceSRError(f"{path} holds no score that is a number")
    low, high = scale or ((1, 5) if scores.between(1, 5).all() else (math.floor(scores.min()), math.ceil(scores.max())))
    info: dict[str, Any] = {
        "format": FORMAT,
        "kind": "import",
        "name": folder.name,
        "scale": [low, high],
        "source": {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "format": imported.format},
        "counts": imported.counts,
        "imported": now(),
    }
    info["digest"] = hashlib.sha256(canonical(info)).hexdigest()
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        imported.table.to_parquet(part / "ratings.parquet", index=False)
        (part / "study.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load(folder)
