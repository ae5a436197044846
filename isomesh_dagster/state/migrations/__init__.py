"""alembic revisions of the state's tables, oldest first, one line of history; `isomesh_dagster.state.schema` runs them.

A file's name starts with its revision (`0002_what_for.py`). A published revision is never edited.
There is no downgrade: the way back is the backup that a migration makes first.
"""
