"""Seeds of models that declare no columns: types and values as the pandas of the model format gives them."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import Relation

T = Relation(schema="s", name="t")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "2"], "BIGINT", [1, 2]),
        (["007", "+8", " 9 "], "BIGINT", [7, 8, 9]),
        (["9223372036854775807", "-1"], "BIGINT", [9223372036854775807, -1]),
        (["99999999999999999999", "1"], "VARCHAR", ["99999999999999999999", "1"]),
        (["1", "", "3"], "DOUBLE", [1.0, None, 3.0]),
        (["1.5", "2"], "DOUBLE", [1.5, 2.0]),
        ([".5", "5.", "1e3", "-inf"], "DOUBLE", [0.5, 5.0, 1000.0, float("-inf")]),
        (["", "NA"], "DOUBLE", [None, None]),
        (["True", "false", "TRUE"], "BOOLEAN", [True, False, True]),
        (["True", "", "False"], "VARCHAR", ["true", None, "false"]),
        (["True", "1"], "VARCHAR", ["True", "1"]),
        (["yes", "no"], "VARCHAR", ["yes", "no"]),
        (["t", "f"], "VARCHAR", ["t", "f"]),
        (["2026-01-01", "2026-01-02"], "VARCHAR", ["2026-01-01", "2026-01-02"]),
        (["0x10", "1"], "VARCHAR", ["0x10", "1"]),
        (["1_000", "2"], "VARCHAR", ["1_000", "2"]),
        ([" a", "None", "b "], "VARCHAR", [" a", None, "b "]),
    ],
)
def test_a_column_has_the_type_that_all_its_values_allow(session, tmp_path, values, kind, expected):
    file = tmp_path / "seed.csv"
    file.write_text("n,v\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values)))
    session.load_csv(T, str(file), None, {})
    assert session.columns(T) == [("n", "BIGINT"), ("v", kind)]
    assert [row[0] for row in session.fetch("SELECT v FROM s.t ORDER BY n")] == expected


def test_a_file_without_rows_has_text_columns(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text("a,b\n")
    assert session.load_csv(T, str(file), None, {}) == 0
    assert session.columns(T) == [("a", "VARCHAR"), ("b", "VARCHAR")]


@pytest.mark.parametrize("columns", [None, [("NA", "BIGINT"), ("null", "VARCHAR")]])
def test_a_column_may_be_called_like_a_missing_value(session, tmp_path, columns):
    file = tmp_path / "seed.csv"
    file.write_text("NA,null\n1,x\n2,NA\n")
    session.load_csv(T, str(file), columns, {})
    assert session.columns(T) == [("NA", "BIGINT"), ("null", "VARCHAR")]
    assert session.fetch("SELECT * FROM s.t ORDER BY 1") == [(1, "x"), (2, None)]


def test_which_values_are_missing_is_set_by_the_model(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text("a,b\n1,-\n-,\n3,NA\n")
    session.load_csv(T, str(file), None, {"na_values": ["-"], "keep_default_na": False})
    assert session.columns(T) == [("a", "DOUBLE"), ("b", "VARCHAR")]
    assert session.fetch("SELECT * FROM s.t ORDER BY b NULLS FIRST") == [(1.0, None), (None, ""), (3.0, "NA")]


@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ({"encoding": "cp1252"}, "a,b\n1,€5\n".encode("cp1252")),
        ({"encoding": "latin-1"}, "a,b\n1,€5\n".replace("€", "£").encode("latin-1")),
        ({"encoding": "utf-16"}, "a,b\n1,€5\n".encode("utf-16")),
        ({"encoding": "utf-8-sig"}, "a,b\n1,€5\n".encode("utf-8-sig")),
        ({}, "a,b\r\n1,€5\r\n\r\n".encode()),
        ({}, "\ufeffa,b\n1,€5\n".encode()),
        ({"lineterminator": "|"}, "a,b|1,€5|".encode()),
        ({"skipinitialspace": True}, "a, b\n1, €5\n".encode()),
        ({"skipinitialspace": True}, "\ufeffa, b\r1, €5\r".encode()),
        ({"delimiter": ";", "escapechar": "!"}, "a;b\n1;!€5\n".encode()),
    ],
)
@pytest.mark.parametrize("columns", [None, [("b", "VARCHAR"), ("a", "BIGINT")]])
def test_how_a_file_is_written_does_not_change_what_it_says(session, tmp_path, settings, content, columns):
    file = tmp_path / "seed.csv"
    file.write_bytes(content)
    assert session.load_csv(T, str(file), columns, settings) == 1
    assert session.fetch("SELECT a, replace(b, '£', '€') FROM s.t") == [(1, "€5")]
    assert session.columns(T) == (columns or [("a", "BIGINT"), ("b", "VARCHAR")])


@pytest.mark.parametrize(
    ("settings", "content", "told"),
    [
        ({"encoding": "klingon"}, b"a\n1\n", "nobody knows the encoding 'klingon'"),
        ({"encoding": "ascii"}, "a\né\n".encode(), "cannot be read: 'ascii'"),
        ({"skipinitialspace": True}, b"a\n1\n1,2\n", "line 3 of the seed's file has 2 values"),
    ],
)
def test_a_file_that_is_not_what_the_settings_say_is_told(session, tmp_path, settings, content, told):
    file = tmp_path / "seed.csv"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=told):
        session.load_csv(T, str(file), None, settings)


def test_a_row_that_ends_early_has_missing_values(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text("a, b\n1, x\n2\n")
    session.load_csv(T, str(file), None, {"skipinitialspace": True})
    assert session.fetch("SELECT * FROM s.t ORDER BY a") == [(1, "x"), (2, None)]


def test_only_ends_of_lines_end_lines(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text("a,b\n1, x\x0cy\u2028z\n", encoding="utf-8")
    assert session.load_csv(T, str(file), None, {"skipinitialspace": True}) == 1
    assert session.fetch("SELECT b FROM s.t") == [("x\x0cy\u2028z",)]
