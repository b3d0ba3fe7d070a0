"""A damaged database, found when it is opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Engine, Float, Integer, Table, inspect
from sqlalchemy.exc import SQLAlchemyError

from facesr.bench.study import tables as t
from facesr.bench.study.database import trouble

TIMES = ("at", "invited", "consent", "finished", "reserved_until", "created")


def damage(engine: Engine) -> str:
    """What is wrong with an SQLite file, in one phrase; '' for a sound one and for PostgreSQL, which checks itself."""
    if engine.dialect.name != "sqlite":
        return ""
    try:
        with engine.connect() as connection:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one_or_none())
            if found != "ok":
                return found.replace("\n", " ")[:200]
            there = set(inspect(connection).get_table_names())
            if missing := sorted(set(t.metadata.tables) - there):
                return f"without the table {missing[0]}"
            for table in t.metadata.sorted_tables:
                if wrong := _wrong_values(connection, table):
                    return wrong
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                return f"a row of {broken[0]} belongs to a {broken[2]} that is not there"
    except SQLAlchemyError as error:
        return trouble(error).split("(", 1)[-1].rsplit(")", 1)[0]
    return ""


def _wrong_values(connection: Any, table: Table) -> str:
    """A phrase for the first column that holds what it cannot: SQLite itself takes text for numbers."""
    for column in table.columns:
        if isinstance(column.type, Integer | Boolean):
            kinds = "'integer','null'"
        elif isinstance(column.type, Float):
            kinds = "'real','integer','null'"
        else:
            kinds = "'text','null'"
        test = f'typeof("{column.name}") NOT IN ({kinds})'
        if column.name in TIMES:
            test += f" OR \"{column.name}\" NOT GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:*'"
        count = connection.exec_driver_sql(f'SELECT count(*) FROM "{table.name}" WHERE {test}').scalar_one()
        if count:
            return f"{count} values of {table.name}.{column.name} are not what the column holds"
    return ""
