"""The compiled build of the SQL library and the interpreted one give the same answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlglot.parser

from isomesh_dagster.dialect.canonical import digest
from isomesh_dagster.dialect.query import analyse, output_columns, splice
from isomesh_dagster.dialect.summary import categorize
from isomesh_dagster_tests.dialect.test_query import DEPENDENCIES
from isomesh_dagster_tests.dialect.test_summary import GOLDEN, schema


def answers() -> list[object]:
    """What this process's build says to every case, as JSON-ready data."""
    found: list[object] = [sqlglot.parser.__file__.endswith(".py")]
    for name, dialect, sql, _ in DEPENDENCIES:
        facts = analyse(sql, dialect)
        spliced = splice(sql, facts.references, dict.fromkeys(facts.depends_on, "p.q"), dialect)
        found.append([name, repr(facts), spliced, digest(sql, dialect)])
    for name, dialect, old, new, *_ in GOLDEN:
        tables = schema(dialect)
        verdict = categorize(old, new, dialect, tables, tables)
        found.append([name, verdict.kind, sorted(verdict.columns), verdict.reason])
        found.append([name, repr(output_columns(new, dialect, tables))])
    return found


@pytest.mark.skipif(sqlglot.parser.__file__.endswith(".py"), reason="only the interpreted build is here")
def test_both_builds_agree(tmp_path: Path) -> None:
    package = Path(sqlglot.__file__).parent
    shutil.copytree(package, tmp_path / "sqlglot", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    code = f"import json; from {__name__} import answers; print(json.dumps(answers()))"
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root)))}
    result = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    interpreted, *theirs = json.loads(result.stdout.splitlines()[-1])
    compiled, *ours = json.loads(json.dumps(answers()))
    assert (interpreted, compiled) == (True, False)
    for their, our in zip(theirs, ours, strict=True):
        assert their == our
