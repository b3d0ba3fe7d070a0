"""Alembic migrations of a study's database, run by ``facesr.bench.study.database.migrate``."""
