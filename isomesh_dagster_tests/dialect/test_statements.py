"""Tables that statements of every kind mention, and the same statements over other tables."""

from __future__ import annotations

import pytest

from isomesh_dagster.dialect.query import splice, statement_facts

OTHERS = {"db.a": '"p"."a__1"', "db.b": '"p"."b__1"'}


@pytest.mark.parametrize(
    ("sql", "reads", "writes", "over"),
    [
        ("INSERT INTO log SELECT a.x FROM db.a", "db.a", "log", 'INSERT INTO log SELECT a.x FROM "p"."a__1" AS "a"'),
        ("CREATE TEMP TABLE t AS FROM db.a AS q", "db.a", "t", 'CREATE TEMP TABLE t AS FROM "p"."a__1" AS q'),
        ("CREATE INDEX i ON db.a (id)", "", "db.a", 'CREATE INDEX i ON "p"."a__1" (id)'),
        ("GRANT SELECT ON db.a TO someone", "", "db.a", 'GRANT SELECT ON "p"."a__1" TO someone'),
        ("ALTER TABLE db.a ADD COLUMN x INT", "", "db.a", 'ALTER TABLE "p"."a__1" ADD COLUMN x INT'),
        ("COMMENT ON TABLE Db.A IS 'db.a'", "", "db.a", 'COMMENT ON TABLE "p"."a__1" IS \'db.a\''),
        ("ANALYZE db.a", "", "db.a", 'ANALYZE "p"."a__1"'),
        ("COPY db.a TO 'x.csv'", "", "db.a", 'COPY "p"."a__1" TO \'x.csv\''),
        ("COPY (FROM db.a AS q) TO 'x.csv'", "db.a", "", 'COPY (FROM "p"."a__1" AS q) TO \'x.csv\''),
        ("SET VARIABLE n = (SELECT 1 FROM db.a q)", "db.a", "", 'SET VARIABLE n = (SELECT 1 FROM "p"."a__1" q)'),
        (
            "MERGE INTO db.a USING db.b ON a.id = b.id WHEN MATCHED THEN DELETE",
            "db.b",
            "db.a",
            'MERGE INTO "p"."a__1" AS "a" USING "p"."b__1" AS "b" ON a.id = b.id WHEN MATCHED THEN DELETE',
        ),
        ("DELETE FROM db.a WHERE a.id = 1", "", "db.a", 'DELETE FROM "p"."a__1" AS "a" WHERE a.id = 1'),
        ("WITH c AS (SELECT 1) SELECT * FROM c", "", "", "WITH c AS (SELECT 1) SELECT * FROM c"),
        ("PRAGMA enable_profiling", "", "", "PRAGMA enable_profiling"),
        # what the library does not know, and what does not parse
        ("VACUUM db.a", "", "db.a", 'VACUUM "p"."a__1"'),
        ("CALL f((SELECT 1 FROM w.db.a))", "", "db.a", 'CALL f((SELECT 1 FROM "p"."a__1"))'),
        ('DO STRANGE THINGS TO "db"."a", db . b !', "", "db.a db.b", 'DO STRANGE THINGS TO "p"."a__1", "p"."b__1" !'),
        ("CREATE SECRET (TYPE s3)", "", "", "CREATE SECRET (TYPE s3)"),
    ],
)
def test_what_statements_mention(sql, reads, writes, over, caplog):
    facts = statement_facts(sql, "duckdb", default_catalog="w")
    assert (" ".join(facts.reads), " ".join(facts.writes)) == (reads, writes)
    assert splice(sql, facts.references, OTHERS, "duckdb") == over
    assert not caplog.records


def test_text_that_cannot_be_cut_into_tokens_mentions_nothing():
    assert statement_facts("it's", "duckdb").references == ()
