"""Reading a study's database into tables: ratings, raters, cells, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from facesr.bench.errors import FaceSRError
from facesr.bench.study import tables as t

if TYPE_CHECKING:
    import pandas as pd

    from facesr.bench.study.study import Study


def _frame(study: Study, query: Any) -> pd.DataFrame:
    import pandas as pd

    with study.engine.connect() as connection:
        result = connection.execute(query)
        return pd.DataFrame(result.all(), columns=list(result.keys()))


def raters(study: Study) -> pd.DataFrame:
    """One row a rater: name, row, status, simulated, source, done (positions answered), of, invited, consent, finished, last, excluded."""
    done = (
        select(t.rating.c.rater, func.count().label("done"), func.max(t.rating.c.at).label("last"))
        .group_by(t.rating.c.rater)
        .subquery()
    )
    length = select(t.plan.c.row, func.count().label("of")).group_by(t.plan.c.row).subquery()
    query = (
        select(
            *(t.rater.c[c] for c in ("name", "row", "status", "simulated", "source", "locale", "invited", "consent", "finished")),
            func.coalesce(done.c.done, 0).label("done"),
            length.c.of,
            done.c.last,
        )
        .select_from(t.rater)
        .outerjoin(done, done.c.rater == t.rater.c.id)
        .outerjoin(length, length.c.row == t.rater.c.row)
        .order_by(t.rater.c.id)
    )
    table = _frame(study, query)
    left_out = exclusions(study)
    table["excluded"] = [left_out.get(name, "") for name in table["name"]]
    return table


def exclusions(study: Study) -> dict[str, str]:
    """Excluded raters with rule and reason."""
    query = select(t.rater.c.name, t.exclusion.c.rule, t.exclusion.c.reason).join(t.exclusion, t.exclusion.c.rater == t.rater.c.id)
    with study.engine.connect() as connection:
        rows = connection.execute(query.order_by(t.exclusion.c.id)).all()
    found: dict[str, str] = {}
    for name, rule, reason in rows:
        text = f"{rule}: {reason}" if reason else rule
        found[name] = f"{found[name]}; {text}" if name in found else text
    return found


def ratings(study: Study, *, simulated: bool, excluded: bool) -> pd.DataFrame:
    """See ``Study.ratings``."""
    import pandas as pd

    from facesr.bench.study.study import COLUMNS

    if study.imported:
        if simulated:
            raise FaceSRError(f"{study.path} holds imported ratings of people, no simulated ones")
        table: pd.DataFrame = pd.read_parquet(study.path / "ratings.parquet")
        return table.reindex(columns=list(COLUMNS))
    query = (
        select(
            t.rater.c.name.label("rater"),
            *(t.plan.c[c] for c in ("face", "condition", "other", "kind", "low", "high")),
            *(t.rating.c[c] for c in ("position", "score", "rt_ms", "at")),
            t.rater.c.simulated,
            *(t.presentation.c[c] for c in ("device_pixels", "hidden_ms")),
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
        .where(t.rater.c.simulated == simulated)
        .order_by(t.rating.c.rater, t.rating.c.position)
    )
    table = _frame(study, query)
    if not excluded:
        table = table[~table["rater"].isin(list(exclusions(study)))].reset_index(drop=True)
    return _finish(table, _corrections(study))[list(COLUMNS)]


def _corrections(study: Study) -> pd.DataFrame:
    query = select(t.rater.c.name.label("rater"), t.correction.c.position, t.correction.c.revision, t.correction.c.score)
    table = _frame(study, query.join(t.rater, t.rater.c.id == t.correction.c.rater).order_by(t.correction.c.revision))
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
    table["position"] = table["position"].astype(int)
    table["simulated"] = table["simulated"].astype(bool)
    return table


def cells(study: Study, *, simulated: bool = False) -> pd.DataFrame:
    """For each face and condition of the plan: how many ratings are due (over ``raters`` rows) and how many are there."""
    due = _frame(
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


def events(study: Study) -> pd.DataFrame:
    """The event log: at, rater, kind, position, detail."""
    query = select(t.event.c.at, t.rater.c.name.label("rater"), t.event.c.kind, t.event.c.position, t.event.c.detail)
    return _frame(study, query.select_from(t.event).outerjoin(t.rater, t.rater.c.id == t.event.c.rater).order_by(t.event.c.id))


def presentations(study: Study) -> pd.DataFrame:
    """How each item was shown: every column of the presentation table, with the rater's name."""
    columns = [c for c in t.presentation.c if c.name not in {"id", "rater"}]
    query = select(t.rater.c.name.label("rater"), *columns).join(t.rater, t.rater.c.id == t.presentation.c.rater)
    return _frame(study, query.order_by(t.presentation.c.id))
