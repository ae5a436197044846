"""`python -m isomesh_dagster.sample load [--gateway G]`: load the raw tables of the sample, without Dagster."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.project import Project
from isomesh_dagster.sample.raw import TABLES, load


def main(arguments: list[str] | None = None) -> int:
    """Load what the command line asks for; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m isomesh_dagster.sample", description=__doc__)
    commands = parser.add_subparsers(required=True)
    loading = commands.add_parser("load", help="load the raw tables into a gateway's warehouse")
    loading.add_argument("--gateway", default=os.environ.get("ISOMESH_GATEWAY") or None)
    loading.add_argument("--project", type=Path, default=Path.cwd(), help="folder of config.yaml")
    options = parser.parse_args(arguments)
    try:
        with Project.load(options.project, gateway=options.gateway) as project:
            for table in TABLES:
                loaded = load(project, table)
                part = "" if loaded.rows == loaded.source_rows else f" of {loaded.source_rows:,}, a sample"
                sys.stdout.write(f"{project.gateway}: {table.relation} {loaded.rows:,} rows{part}\n")
    except IsomeshError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
