"""AVrate and AVrate Voyager: their SQLite database, and the same table as CSV."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.ratings.grid import TextGrid
from facesr.bench.ratings.options import Options
from facesr.bench.ratings.table import Answers

if TYPE_CHECKING:
    import pandas as pd

META = {"user_registered", "user_done", "ww", "wh", "wz", "start_timestamp", "pi", "quality_meta"}
COLUMNS = {"user_ID", "stimuli_file", "rating_type", "rating"}


def is_avrate(grid: TextGrid) -> bool:
    """The columns of AVrate's table of ratings."""
    return set(grid.columns) >= COLUMNS


def from_grid(grid: TextGrid, options: Options) -> Answers:
    """An exported table."""
    return _answers(grid.cells.assign(row=grid.rows), Counter(), options, "AVrate CSV")


def from_database(path: Path, options: Options) -> Answers:
    """The database; how often each rater's playlist holds each stimulus tells a true repeat (a playlist may hold one twice)."""
    import sqlite3

    import pandas as pd

    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            frame = pd.read_sql_query("select rowid as row, * from ratings order by rowid", connection)
            tables = {r[0] for r in connection.execute("select name from sqlite_master where type = 'table'")}
            lists = list(connection.execute("select user_ID, playlist from user_playlist")) if "user_playlist" in tables else []
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        raise FaceSRError(f"{path} is not an AVrate database ({error}): it needs the table 'ratings'") from None
    if missing := COLUMNS - set(frame.columns):
        raise FaceSRError(f"{path} is not an AVrate database: its table 'ratings' lacks {', '.join(sorted(missing))}")
    text = frame.drop(columns="row").fillna("").astype(str).assign(row=frame["row"])
    return _answers(text, _planned(lists, path), options, "AVrate database")


def _planned(lists: list[tuple[object, str]], path: Path) -> Counter[tuple[str, str]]:
    planned: Counter[tuple[str, str]] = Counter()
    for user, playlist in lists:
        try:
            planned.update((str(user), str(item)) for item in json.loads(playlist))
        except (ValueError, TypeError) as error:
            raise FaceSRError(f"{path}: the playlist of user {user} is no JSON list ({error})") from None
    return planned


def _answers(frame: pd.DataFrame, planned: Counter[tuple[str, str]], options: Options, name: str) -> Answers:
    types = sorted(set(frame["rating_type"]) - META)
    if options.rating_type is None and len(types) != 1:
        raise FaceSRError(f"the file has several scales ({', '.join(types)}): choose one with --rating-type")
    wanted = options.rating_type or types[0]
    if wanted not in types:
        raise FaceSRError(f"the file has no scale {wanted!r}: {suggest(wanted, types)}")
    frame = frame[frame["rating_type"] == wanted].reset_index(drop=True)
    by_file = {(r, file): n for r, i, file in zip(frame["user_ID"], frame["stimuli_ID"], frame["stimuli_file"], strict=True)
               if (n := planned.get((r, i)))} if "stimuli_ID" in frame.columns else {}  # fmt: skip
    made = frame[["row"]].assign(
        column="rating",
        rater=frame["user_ID"],
        stimulus=frame["stimuli_file"],
        score=frame["rating"],
        at=[_time(t) for t in frame["timestamp"]],
    )
    return Answers(made, name, planned=by_file)


def _time(text: str) -> str:
    """AVrate writes '2020-03-27 13:50:53 566942', in local time without a zone."""
    parts = text.split(" ")
    return f"{parts[0]}T{parts[1]}.{parts[2]}" if len(parts) == 3 else text
