"""Alembic migrations of a study's database, run by ``bench.study.database.migrate``."""
