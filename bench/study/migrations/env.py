"""Alembic's entry point: the connection is handed in by ``facesr.bench.study.database.migrate``."""

from alembic import context

from facesr.bench.study.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
