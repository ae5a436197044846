"""isomesh_dagster: virtual data environments on Dagster."""

__version__ = "0.1.0"
