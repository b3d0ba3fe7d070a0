"""Reading a study's database into tables: ratings, raters, cells, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import func, select

from facesr.bench.ratings.columns import COLUMNS
from facesr.bench.study import tables as t

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

RATER = ("name", "row", "status", "simulated", "source", "locale", "invited", "consent", "finished", "agreed", "departed", "device")
RATED = ("main", "repeat", "gold", "attention")


class Opened(Protocol):
    """A study with its database open."""

    @property
    def engine(self) -> Engine:
        """The database."""
        ...


def query_table(study: Opened, query: Any) -> pd.DataFrame:
    """The rows of a query."""
    import pandas as pd

    with study.engine.connect() as connection:
        result = connection.execute(query)
        return pd.DataFrame(result.all(), columns=list(result.keys()))


def raters(study: Opened) -> pd.DataFrame:
    """One row per rater: name, row, status, simulated, source, done (positions answered), of, invited, consent, finished, last, excluded."""
    done = (
        select(t.rating.c.rater, func.count().label("done"), func.max(t.rating.c.at).label("last"))
        .group_by(t.rating.c.rater)
        .subquery()
    )
    length = select(t.plan.c.row, func.count().label("of")).group_by(t.plan.c.row).subquery()
    query = (
        select(
            *(t.rater.c[c] for c in RATER),
            func.coalesce(done.c.done, 0).label("done"),
            length.c.of,
            done.c.last,
        )
        .select_from(t.rater)
        .outerjoin(done, done.c.rater == t.rater.c.id)
        .outerjoin(length, length.c.row == t.rater.c.row)
        .order_by(t.rater.c.id)
    )
    table = query_table(study, query)
    table["of"] = table["of"].astype("Int64")  # missing where there is no plan: adaptive pairs are chosen when a rater begins
    left_out = {
        name: "; ".join(f"{r}: {why}" if why else r for r, why in rules.items()) for name, rules in exclusions(study).items()
    }
    table["excluded"] = [left_out.get(name, "") for name in table["name"]]
    return table


def beside(study: Opened, names: Sequence[str] | None) -> pd.DataFrame:
    """What the plan's rules read of people: all, or ``names`` and whoever came from their browsers, a few rows however large the crowd is."""
    columns = (t.rater.c[c] for c in ("name", "status", "simulated", "invited", "departed", "device"))
    query = select(*columns).where(t.rater.c.simulated.is_(False)).order_by(t.rater.c.id)
    if names is not None:
        mine = t.rater.c.name.in_(list(names))
        query = query.where(mine | t.rater.c.device.in_(select(t.rater.c.device).where(mine, t.rater.c.device.is_not(None))))
    return query_table(study, query)


def exclusions(study: Opened, names: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """Raters that were left out by hand or when they finished: rule -> reason. ``names``: these raters only."""
    query = select(t.rater.c.name, t.exclusion.c.rule, t.exclusion.c.reason).join(t.exclusion, t.exclusion.c.rater == t.rater.c.id)
    if names is not None:
        query = query.where(t.rater.c.name.in_(list(names)))
    with study.engine.connect() as connection:
        rows = connection.execute(query.order_by(t.exclusion.c.id)).all()
    found: dict[str, dict[str, str]] = {}
    for name, rule, reason in rows:
        found.setdefault(name, {})[rule] = reason
    return found


def ratings(study: Opened, *, simulated: bool, excluded: bool, names: Sequence[str] | None = None) -> pd.DataFrame:
    """All ratings of people, or of simulated raters, with the columns of ``COLUMNS``.

    ``excluded``: those of raters who were left out as well; ``names``: of these raters only.
    """
    first, second = t.served.alias("first"), t.served.alias("second")
    query = (
        select(
            t.rater.c.name.label("rater"),
            *(t.plan.c[c] for c in ("face", "condition", "other", "kind", "low", "high")),
            *(t.rating.c[c] for c in ("position", "score", "rt_ms", "at")),
            t.rater.c.simulated,
            *(t.presentation.c[c] for c in ("device_pixels", "hidden_ms")),
            t.plan.c.other_stimulus,
            first.c.at.label("first_served"),
            second.c.at.label("second_served"),
        )
        .select_from(t.rating)
        .join(t.rater, t.rater.c.id == t.rating.c.rater)
        .join(t.plan, (t.plan.c.row == t.rater.c.row) & (t.plan.c.position == t.rating.c.position))
        .outerjoin(
            t.presentation,
            (t.presentation.c.rater == t.rating.c.rater)
            & (t.presentation.c.position == t.rating.c.position)
            & (t.presentation.c.revision == 0),
        )
        .outerjoin(first, (first.c.rater == t.rating.c.rater) & (first.c.stimulus == t.plan.c.stimulus))
        .outerjoin(second, (second.c.rater == t.rating.c.rater) & (second.c.stimulus == t.plan.c.other_stimulus))
        .where(t.rater.c.simulated == simulated)
        .order_by(t.rating.c.rater, t.rating.c.position)
    )
    if names is not None:
        query = query.where(t.rater.c.name.in_(list(names)))
    table = query_table(study, query)
    if not excluded:
        table = table[~table["rater"].isin(list(exclusions(study)))].reset_index(drop=True)
    return _finish(table, _corrections(study, names))[list(COLUMNS)]


def _corrections(study: Opened, names: Sequence[str] | None) -> pd.DataFrame:
    query = select(t.rater.c.name.label("rater"), t.correction.c.position, t.correction.c.revision, t.correction.c.score)
    if names is not None:
        query = query.where(t.rater.c.name.in_(list(names)))
    table = query_table(study, query.join(t.rater, t.rater.c.id == t.correction.c.rater).order_by(t.correction.c.revision))
    grouped = table.groupby(["rater", "position"])
    return grouped.agg(last=("score", "last"), revisions=("revision", "size")).reset_index()


def _finish(table: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """Apply corrections, judge gold and attention items, and set the types."""
    import pandas as pd

    table = table.merge(corrections, on=["rater", "position"], how="left")
    for column in ("score", "low", "high", "last", "rt_ms", "device_pixels", "hidden_ms"):
        table[column] = pd.to_numeric(table[column]).astype(float)
    table["first_score"] = table["score"]
    table["score"] = table["last"].where(table["last"].notna(), table["score"])
    table["revisions"] = table["revisions"].fillna(0).astype(int)
    judged = table["kind"].isin(["gold", "attention"])
    right = table["score"].between(table["low"], table["high"])
    table["correct"] = right.astype("boolean").where(judged)
    table["served_ms"] = _served(table)
    table["position"] = table["position"].astype(int)
    table["simulated"] = table["simulated"].astype(bool)
    return table


def _served(table: pd.DataFrame) -> pd.Series[float]:
    """Milliseconds between the sending of the image, of a pair's later one, and the answer; NaN where one was never sent."""
    import pandas as pd

    def moment(column: str) -> pd.Series[Any]:
        return pd.to_datetime(table[column], utc=True, format="ISO8601", errors="coerce")

    sent = moment("first_served")
    paired = table["other_stimulus"].notna()
    second = moment("second_served")
    sent = sent.where(~paired, sent.where(second.isna() | (sent > second), second).where(second.notna()))
    result: pd.Series[float] = (moment("at") - sent).dt.total_seconds() * 1000
    return result


def cells(study: Opened, *, simulated: bool = False) -> pd.DataFrame:
    """For each face and condition of the plan: how many ratings are due (over ``raters`` rows) and how many are there."""
    due = query_table(
        study,
        select(t.plan.c.face, t.plan.c.condition, t.plan.c.other, func.count().label("due"))
        .where(t.plan.c.kind == "main")
        .group_by(t.plan.c.face, t.plan.c.condition, t.plan.c.other),
    )
    table = ratings(study, simulated=simulated, excluded=False)
    main = table[table["kind"] == "main"]
    there = main.groupby(["face", "condition", "other"]).size().rename("rated").reset_index()
    merged = due.merge(there, on=["face", "condition", "other"], how="left")
    merged["rated"] = merged["rated"].fillna(0).astype(int)
    merged["missing"] = (merged["due"] - merged["rated"]).clip(lower=0)
    return merged


def events(study: Opened) -> pd.DataFrame:
    """The event log: at, rater, kind, position, detail."""
    query = select(t.event.c.at, t.rater.c.name.label("rater"), t.event.c.kind, t.event.c.position, t.event.c.detail)
    return query_table(study, query.select_from(t.event).outerjoin(t.rater, t.rater.c.id == t.event.c.rater).order_by(t.event.c.id))


def presentations(study: Opened) -> pd.DataFrame:
    """How each item was shown: every column of the presentation table, with the rater's name."""
    columns = [c for c in t.presentation.c if c.name not in {"id", "rater"}]
    query = select(t.rater.c.name.label("rater"), *columns).join(t.rater, t.rater.c.id == t.presentation.c.rater)
    return query_table(study, query.order_by(t.presentation.c.id))
