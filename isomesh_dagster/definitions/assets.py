"""Models as assets, one op each, and the asset whose partitions are the environments."""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import RETRIED, failures, plan_metadata, promoted_metadata
from isomesh_dagster.definitions.history import history_markdown
from isomesh_dagster.definitions.intervals import CHECK, complete_spec, has_intervals, has_ledger
from isomesh_dagster.definitions.later import compute_again
from isomesh_dagster.definitions.resource import IsomeshResource, register_environments
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.steps import ModelStep
from isomesh_dagster.definitions.translator import IsomeshTranslator, check_names, is_built
from isomesh_dagster.definitions.unit_tests import named_checks, tests_by_model
from isomesh_dagster.errors import EngineError, InvalidName, PlanError
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.model.unit_tests import UnitTest
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project
from isomesh_dagster.records.log import log_event

environments = dg.DynamicPartitionsDefinition(name=keys.ENVIRONMENTS)
"""One partition per environment; the keys live in the Dagster instance, so each deployment has its own."""


Body = Callable[[dg.AssetExecutionContext, IsomeshResource], Iterator[Any]]
"""What a step runs: it yields what `isomesh.build(context)` yields, and what else it wants."""


def build(context: dg.AssetExecutionContext, isomesh: IsomeshResource) -> Iterator[Any]:
    """The body of a step that does nothing but build its model."""
    yield from isomesh.build(context)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What Dagster is told of the steps of models whose own headers do not say it."""

    tags: Mapping[str, Any] = field(default_factory=dict)
    retry_policy: dg.RetryPolicy | None = None
    pool: str | None = None
    resources: frozenset[str] = frozenset()


PLAIN = StepOptions()


def model_assets(
    project: Project,
    translator: IsomeshTranslator,
    *,
    names: Iterable[str] | None = None,
    body: Body = build,
    options: StepOptions = PLAIN,
) -> list[dg.AssetsDefinition]:
    """An op and an asset per model, with a check per audit and unit test. Needs the resource `isomesh` at run time.

    `names` None: all models.
    """
    built = [name for name in project.graph.order if is_built(project.models[name])]
    for name in built:
        _check_key(project.models[name], translator.get_asset_key(name))
    ops = keys.op_names(built)
    tests = tests_by_model(project) if translator.settings.unit_tests_as_checks else {}
    return [
        _model_asset(project.models[name], project, translator, ops[name], tests.get(name, ()), body, options)
        for name in (built if names is None else names)
    ]


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
            plan, promoted, version = promote(session)
            compute_again(context, session, project, translator)
            history = history_markdown(
                context.instance, session.project, context.asset_key, plan.environment, run=context.run
            )
            metadata = {keys.HISTORY: history, **promoted}
            if commit := context.run.tags.get(keys.COMMIT_TAG):
                metadata[keys.COMMIT] = commit
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
        log_event(promoted, session.work)
        return plan, {**promoted_metadata(promoted, plan), keys.REUSED: False}, promoted.plan_id
    shown = session.project.environment(plan.environment)
    metadata = {**plan_metadata(plan), keys.REUSED: True}
    if shown is not None:
        metadata[keys.PROMOTION] = shown.number
    return plan, metadata, shown.plan_id if shown is not None else plan.id


def _model_asset(
    model: Model,
    project: Project,
    translator: IsomeshTranslator,
    op_name: str,
    unit_tests: Iterable[UnitTest],
    body: Body,
    options: StepOptions,
) -> dg.AssetsDefinition:
    key = translator.get_asset_key(model.name)
    checks = {}
    if translator.settings.audits_as_checks:
        checks = {
            name: translator.get_asset_check_spec(model, audit, name, project)
            for name, audit in zip(check_names(model), model.audits, strict=True)
        }
    tests = named_checks(unit_tests, taken=checks)
    for name, test in tests.items():
        checks[name] = translator.get_unit_test_check_spec(model, test, name, project)
    if translator.settings.intervals_as_checks and has_intervals(model) and CHECK not in checks:
        checks[CHECK] = complete_spec(key)
    step = ModelStep(
        model=model,
        key=key,
        tests=tests,
        lineage=translator.lineage_of_events(model, project),
        tells_ledger=translator.settings.ledgers and has_ledger(model),
    )
    own_retries = translator.get_retry_policy(model, project)
    retries = own_retries or options.retry_policy
    # who asks for tries wants them for whatever the warehouse refuses; nobody else's wrong SQL is tried again
    retried = (EngineError,) if retries is not None else RETRIED

    @dg.multi_asset(
        name=op_name,
        specs=[translator.get_asset_spec(model, project)],
        check_specs=list(checks.values()),
        # not to build a part of a model, but because a reused model runs no audit and so has no check result
        can_subset=True,
        required_resource_keys={keys.RESOURCE, *options.resources},
        op_tags=options.tags,
        retry_policy=retries or _WHEN_LOCKED,
        pool=translator.get_pool(model, project) or options.pool,
    )
    def compute(context: dg.AssetExecutionContext) -> Iterator[Any]:
        isomesh: IsomeshResource = context.resources.isomesh
        isomesh.session.enter(op_name, step)
        with failures(retried):
            yield from body(context, isomesh)

    return compute


_WHEN_LOCKED = dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL)
