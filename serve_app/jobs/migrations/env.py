"""Runs the migrations on the connection that `database.py` hands over. Alembic loads this file by its path."""

from alembic import context

from serve_app.jobs.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
