"""Which rules are on, which models they are for, and what they say."""

from __future__ import annotations

import pytest

from isomesh_dagster.dialect.findings import Finding, QueryFindings
from isomesh_dagster.errors import ConfigError, LintError
from isomesh_dagster.lint.rules import RULES, Examined, Violation
from isomesh_dagster.lint.select import chosen_rules, refuse_errors, violations
from isomesh_dagster.lint.settings import LinterSettings
from isomesh_dagster.model.kinds import Embedded, External, Full, Seed
from isomesh_dagster.model.model import AuditCall, Model

ALL_ERRORS = chosen_rules(LinterSettings(rules=("all",)))


def model(name: str, **given: object) -> Model:
    values = {"path": f"models/{name}.sql", "dialect": "duckdb", "kind": Full(), **given}
    return Model(name=name, **values)  # type: ignore[arg-type]


def broken(*models: Model, findings: dict[str, QueryFindings] | None = None, tested: tuple[str, ...] = ()) -> list[str]:
    project = Examined(models={one.name: one for one in models}, findings=findings or {}, tested=tested)
    return [f"{one.model} {one.rule}" for one in violations(project, ALL_ERRORS)]


AUDITED = {"audits": (AuditCall(name="not_null", query="SELECT 1"),)}


def test_a_model_that_keeps_every_rule() -> None:
    assert broken(model("a.t", **AUDITED), tested=("a.t",)) == []


def test_audits_and_tests_are_asked_of_what_can_have_them() -> None:
    assert broken(model("a.t")) == ["a.t nomissingaudits", "a.t nomissingunittest"]
    assert broken(model("a.t", kind=Embedded())) == ["a.t nomissingunittest"]
    assert broken(model("a.t", kind=Seed(path="x.csv", content_hash=""))) == ["a.t nomissingaudits"]
    assert broken(model("a.t", kind=External())) == []


def test_tables_nobody_declares() -> None:
    reader = model("a.t", depends_on=("a.u", "b.v"), **AUDITED)
    assert broken(reader, model("a.u", kind=External()), tested=("a.t",)) == ["a.t nomissingexternalmodels"]


def test_findings_become_violations_at_their_line() -> None:
    one = Finding(text="x", line=4)
    project = Examined(
        models={"a.t": model("a.t", **AUDITED)},
        findings={"a.t": QueryFindings(star=one, unexpanded=one, unresolved=one, unnamed=one)},
        tested=("a.t",),
    )
    found = violations(project, ALL_ERRORS)
    assert {one.rule for one in found} == {
        "noselectstar",
        "invalidselectstarexpansion",
        "ambiguousorinvalidcolumn",
        "noambiguousprojections",
    }
    assert {(one.query_line, one.is_error) for one in found} == {(4, True)}


def test_errors_warnings_and_rules_that_are_left_out() -> None:
    chosen = chosen_rules(
        LinterSettings(
            rules=("noselectstar", "nomissingaudits"),
            warn_rules=("nomissingunittest",),
            ignored_rules=("noselectstar",),
        )
    )
    project = Examined(models={"a.t": model("a.t")})
    assert [(one.rule, one.is_error) for one in violations(project, chosen)] == [
        ("nomissingaudits", True),
        ("nomissingunittest", False),
    ]
    assert chosen.need_tests
    assert not chosen_rules(LinterSettings(rules=("nomissingaudits",))).need_tests


def test_a_model_ignores_rules() -> None:
    assert broken(model("a.t", ignored_rules=("nomissingaudits",))) == ["a.t nomissingunittest"]
    assert broken(model("a.t", ignored_rules=("all",))) == []


def test_only_some_models() -> None:
    project = Examined(models={"a.t": model("a.t"), "a.u": model("a.u")})
    assert {one.model for one in violations(project, ALL_ERRORS, ["a.u"])} == {"a.u"}


def test_a_rule_nobody_knows_and_a_rule_that_is_on_twice() -> None:
    with pytest.raises(ConfigError, match="noselectstars") as unknown:
        chosen_rules(LinterSettings(rules=("noselectstars",)))
    assert "noselectstar" in (unknown.value.hint or "")
    with pytest.raises(ConfigError, match="noselectstar"):
        chosen_rules(LinterSettings(rules=("all",), warn_rules=("noselectstar",)))


def test_errors_stop_and_warnings_do_not() -> None:
    warning = Violation(rule="r", model="a.t", message="m", hint="h", path="p.sql", line=3)
    refuse_errors([warning])
    error = Violation(rule="r", model="a.t", message="m", hint="h", path="p.sql", line=3, is_error=True)
    with pytest.raises(LintError) as one:
        refuse_errors([warning, error])
    assert one.value.place == "p.sql:3"
    with pytest.raises(LintError, match="2 lint errors"):
        refuse_errors([error, error])


def test_names_are_lower_case_and_distinct() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names) == 7
    assert all(name == name.lower() and rule.summary for name, rule in zip(names, RULES, strict=True))
