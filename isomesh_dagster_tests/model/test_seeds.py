"""What a seed's file says: names of columns."""

from __future__ import annotations

import pytest

from isomesh_dagster.model.kinds import CsvSettings
from isomesh_dagster.model.seeds import seed_columns


@pytest.mark.parametrize(
    ("content", "settings", "names"),
    [
        (b"id,Name\n1,a", CsvSettings(), ("id", "name")),
        (b'\xef\xbb\xbfid,"my name"\n1,a', CsvSettings(), ("id", "my name")),
        (b"'a b';c\n1;2", CsvSettings(delimiter=";", quotechar="'"), ("a b", "c")),
        (b"a.b,c\n1,2", CsvSettings(), None),
        ("straße,b\n1,2".encode("latin-1"), CsvSettings(encoding="latin-1"), ("straße", "b")),
        (b"a,b|1,2", CsvSettings(lineterminator="|"), ("a", "b")),
        (b"a,a\n1,2", CsvSettings(), None),
        (b"a,\n1,2", CsvSettings(), None),
        (b"", CsvSettings(), None),
        (b"a\n", CsvSettings(encoding="no such"), None),
    ],
)
def test_names_in_the_header(content, settings, names):
    assert seed_columns(content, settings, "duckdb") == names
