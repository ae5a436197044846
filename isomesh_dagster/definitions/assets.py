"""Models as assets, one op each, and the asset whose partitions are the environments."""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.checks import CheckResults, evaluation, known_results
from isomesh_dagster.definitions.events import (
    built_result,
    failures,
    plan_metadata,
    promoted_metadata,
    reused_result,
)
from isomesh_dagster.definitions.resource import register_environments
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.translator import IsomeshTranslator, check_names, is_built
from isomesh_dagster.definitions.unit_tests import checked_version, named_checks, run_checks, tests_by_model
from isomesh_dagster.errors import InvalidName, PlanError
from isomesh_dagster.execution.events import Audited, Built, Evaluated, Failed
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.model.unit_tests import UnitTest
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.snapshot import Snapshot

environments = dg.DynamicPartitionsDefinition(name=keys.ENVIRONMENTS)
"""One partition per environment; the keys live in the Dagster instance, so each deployment has its own."""


def model_assets(project: Project, translator: IsomeshTranslator) -> list[dg.AssetsDefinition]:
    """An op and an asset per model, with a check per audit and unit test. Needs the resource `isomesh` at run time."""
    built = [name for name in project.graph.order if is_built(project.models[name])]
    for name in built:
        _check_key(project.models[name], translator.get_asset_key(name))
    names = keys.op_names(built)
    tests = tests_by_model(project) if translator.settings.unit_tests_as_checks else {}
    return [_model_asset(project.models[name], project, translator, names[name], tests.get(name, ())) for name in built]


def _check_key(model: Model, key: dg.AssetKey) -> None:
    """Raises InvalidName for a key Dagster cannot use; it would refuse the whole location without naming the file."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", key.to_python_identifier()):
        raise InvalidName(
            f"Dagster cannot show a model named {model.name}",
            path=model.path,
            line=model.line,
            hint="it takes Latin letters, digits, _ and - in names; or give another key in a translator",
        )


def external_specs(
    project: Project, translator: IsomeshTranslator, *, without: Collection[dg.AssetKey] = ()
) -> list[dg.AssetSpec]:
    """A spec per external table, so that it shows columns and a description; `without` are somebody's own assets."""
    specs = [
        translator.get_asset_spec(model, project)
        for name in project.graph.order
        if not is_built(model := project.models[name])
    ]
    return [spec for spec in specs if spec.key not in set(without)]


def environment_asset(project: Project, translator: IsomeshTranslator) -> dg.AssetsDefinition:
    """The asset downstream of all models whose partitions are the environments and whose op swaps the views."""
    models = [translator.get_asset_key(name) for name in project.graph.order if is_built(project.models[name])]

    @dg.asset(
        key=translator.get_environment_key(project),
        deps=models,
        partitions_def=environments,
        group_name="environments",
        kinds={"isomesh", "view"},
        description="What each environment shows. Materializing a partition points the views of that environment at the"
        " snapshots this deployment's files ask for, all at once. A new environment is a new partition, added in the"
        " dialog.",
        required_resource_keys={keys.RESOURCE},
        metadata={keys.GATEWAY: project.gateway},
    )
    def environment(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        session: RunSession = context.resources.isomesh.session
        with failures():
            partition = context.partition_key if context.has_partition_key else None
            check_partition(partition, session)
            plan, metadata, version = promote(session)
        register_environments(context.instance, [plan.environment])
        if partition is None:
            # launched without a partition: tell it where it belongs, beside what Dagster stores by itself
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=context.asset_key,
                    partition=plan.environment,
                    metadata=metadata,
                    tags={"dagster/data_version": version},
                )
            )
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version))

    return environment


def check_partition(partition: str | None, session: RunSession) -> None:
    """Refuse a partition that is no environment Dagster offers: its models were planned for another one."""
    if partition is None or partition == session.environment:
        return
    validate_environment(partition)
    raise PlanError(
        f"no environment partition is named {partition!r}; the run was planned for {session.environment!r}",
        hint="add the partition in the launch dialog first",
    )


def promote(session: RunSession) -> tuple[Plan, Mapping[str, Any], str]:
    """Swap the views of the run's environment; the plan, metadata, and the plan id it shows now.

    Raises PlanError while something is not built. An environment that shows everything already is left alone, and
    told so.
    """
    plan = session.plan
    promoted = session.application().promote()
    if promoted is not None:
        return plan, {**promoted_metadata(promoted, plan), keys.REUSED: False}, promoted.plan_id
    shown = session.project.environment(plan.environment)
    metadata = {**plan_metadata(plan), keys.REUSED: True}
    if shown is not None:
        metadata[keys.PROMOTION] = shown.number
    return plan, metadata, shown.plan_id if shown is not None else plan.id


def _model_asset(
    model: Model, project: Project, translator: IsomeshTranslator, op_name: str, unit_tests: Iterable[UnitTest]
) -> dg.AssetsDefinition:
    key = translator.get_asset_key(model.name)
    lineage = translator.get_column_lineage(model, project)
    checks = {}
    if translator.settings.audits_as_checks:
        checks = {
            name: translator.get_asset_check_spec(model, audit, name, project)
            for name, audit in zip(check_names(model), model.audits, strict=True)
        }
    tests = named_checks(unit_tests, taken=checks)
    for name, test in tests.items():
        checks[name] = translator.get_unit_test_check_spec(model, test, name, project)

    @dg.multi_asset(
        name=op_name,
        specs=[translator.get_asset_spec(model, project)],
        check_specs=list(checks.values()),
        # not to build a part of a model, but because a reused model runs no audit and so has no check result
        can_subset=True,
        required_resource_keys={keys.RESOURCE},
    )
    def compute(context: dg.AssetExecutionContext) -> Iterator[Any]:
        session: RunSession = context.resources.isomesh.session
        wanted = {check.name for check in context.selected_asset_check_keys}
        chosen = {name: test for name, test in tests.items() if name in wanted}
        with failures():
            if context.selected_asset_keys:
                told = set()
                snapshot = session.plan.snapshots[model.name]
                for result in run_checks(chosen, session.project, key, session.plan):
                    told.add(result.check_name)
                    yield result
                for event in _materialize(snapshot, key, session, wanted - chosen.keys(), lineage):
                    if isinstance(event, dg.AssetCheckResult):
                        told.add(event.check_name)
                    yield event
                subjects = {
                    name: checked_version(tests[name], snapshot.fingerprint.version)
                    if name in tests
                    else snapshot.version
                    for name in wanted - told
                }
                for known in known_results(context.instance, snapshot, key, subjects):
                    if known.passed or known.severity == dg.AssetCheckSeverity.WARN:
                        yield known
                    else:
                        # told, but it stops nothing: no query ran in this run
                        context.log_event(evaluation(known, key))
                return
            yield from run_checks(chosen, session.project, key, None)
            if wanted - chosen.keys():
                yield from _audit_shown(model, key, session, wanted)

    return compute


def _audit_shown(
    model: Model, key: dg.AssetKey, session: RunSession, wanted: set[str]
) -> Iterator[dg.AssetCheckResult]:
    """Results of the audits of what the run's environment shows of the model."""
    found = CheckResults(model, key, session.shown_version(model.name))
    found.add(list(session.project.audit(session.environment, models=[model.name])))
    for result in found.results(wanted):
        yield result._replace(
            metadata={**(result.metadata or {}), keys.ENVIRONMENT: dg.MetadataValue.text(session.environment)}
        )


def _materialize(
    snapshot: Snapshot,
    key: dg.AssetKey,
    session: RunSession,
    wanted: set[str],
    lineage: dg.TableColumnLineage | None,
) -> Iterator[Any]:
    """Build the model if the run's plan says so; results of its audits that ran, then the materialization.

    A failed blocking audit gives its result and no materialization: what it audited was rolled back.
    """
    model = snapshot.model
    found = CheckResults(model, key, snapshot.version)
    plan = session.plan
    step = session.build_of(model.name)
    built: Built | None = None
    batches: list[Audited] = []
    if step is not None:
        session.check_parents(model.name)
        try:
            for event in session.application().build(step):
                match event:
                    case Evaluated():
                        batches += event.audits
                    case Failed():
                        found.add([*batches, *event.audits])
                    case Built():
                        built = event
                        found.add(event.audits)
        except Exception:
            yield from found.results(wanted)
            raise
        session.built(model.name)
    elif (audit := session.audit_of(model.name)) is not None:
        session.check_parents(model.name)
        try:
            for event in session.application().audit(audit):
                match event:
                    case Audited():
                        found.add((event,))
                    case Failed():
                        found.add(event.audits)
        except Exception:
            yield from found.results(wanted)
            raise
    yield from found.results(wanted)
    if built is not None:
        yield built_result(built, plan, snapshot, key, lineage)
    else:
        yield reused_result(plan, snapshot, key, lineage)
