"""How a model looks in Dagster. Subclass `IsomeshTranslator` and override what should look different:

class ByTag(IsomeshTranslator):
    def get_group_name(self, model, project): return model.tags[0]

defs = build_definitions(translator=ByTag())
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.lineage_text import lineage_markdown
from isomesh_dagster.definitions.overrides import overrides, plain_tags
from isomesh_dagster.definitions.settings import IsomeshTranslatorSettings
from isomesh_dagster.graph.lineage import EVERY
from isomesh_dagster.model.cron import cron_next
from isomesh_dagster.model.kinds import (
    Embedded,
    External,
    IncrementalByTimeRange,
    Seed,
    View,
    is_incremental,
    kind_name,
    managed_columns,
    unique_key,
)
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.project.planning import layer_of
from isomesh_dagster.relation import Column, Relation
from isomesh_dagster.snapshot.environment import PROD

if TYPE_CHECKING:
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.project import Project


_MOST_PICTURES = 500


class IsomeshTranslator:
    """Turns models into asset specs and audits into check specs. Keys hold no catalog: both systems show one graph."""

    def __init__(self, settings: IsomeshTranslatorSettings | None = None) -> None:
        self.settings = settings or IsomeshTranslatorSettings()

    def get_asset_key(self, name: str) -> dg.AssetKey:
        """The key of a model or an external table by its normalised name: `[schema, table]`."""
        relation = Relation.parse(name)
        return dg.AssetKey([relation.schema, relation.name])

    def get_environment_key(self, project: Project) -> dg.AssetKey:
        """The key of the environments' asset; override it to serve two projects in one location."""
        return dg.AssetKey(["environment"])

    def get_group_name(self, model: Model, project: Project) -> str:
        """The group: what its header says, else the model's schema."""
        return overrides(model).group or keys.word(model.schema)

    def get_kinds(self, model: Model, project: Project) -> set[str]:
        """What its header says, else three: what it is written in, how rows reach it, where it lives."""
        if own := overrides(model).kinds:
            return set(own)
        written_in = "csv" if isinstance(model.kind, Seed) else "sql" if model.python is None else "python"
        how = "incremental" if is_incremental(model.kind) else kind_name(model.kind).lower()
        if managed_columns(model.kind):
            how = "scd_type_2"
        return {written_in, how, engine_name(project)}

    def get_owners(self, model: Model, project: Project) -> list[str]:
        """What its header says, else the model's owner: an address as it is, anything else as a team."""
        owners = overrides(model).owners or ((model.owner,) if model.owner else ())
        return [owner if "@" in owner or owner.startswith("team:") else f"team:{owner}" for owner in owners]

    def get_tags(self, model: Model, project: Project) -> dict[str, str]:
        """The model's tags, without values, and those with values that its header has for Dagster."""
        return {**{keys.tag_key(tag): "" for tag in plain_tags(model)}, **overrides(model).tags}

    def get_description(self, model: Model, project: Project) -> str | None:
        """The model's description."""
        return model.description

    def get_automation_condition(self, model: Model, project: Project) -> dg.AutomationCondition[Any] | None:
        """What its header says; none otherwise: the sensor `run_when_due` knows what is due."""
        return overrides(model).automation

    def get_freshness_policy(self, model: Model, project: Project) -> dg.FreshnessPolicy | None:
        """By every tick of its cron the model was loaded since the tick before; none for what no clock makes due."""
        if not self.settings.freshness or not _is_loaded_by_clock(model):
            return None
        tick = cron_next(model.cron, model.cron_tz, 0)
        period = timedelta(milliseconds=cron_next(model.cron, model.cron_tz, tick) - tick)
        return dg.FreshnessPolicy.cron(deadline_cron=model.cron, lower_bound_delta=period, timezone=model.cron_tz)

    def get_pool(self, model: Model, project: Project) -> str | None:
        """The concurrency pool that its header names."""
        return overrides(model).pool

    def get_retry_policy(self, model: Model, project: Project) -> dg.RetryPolicy | None:
        """The retries that its header asks for, whatever the warehouse refused; half a minute apart, then longer."""
        retries = overrides(model).retries
        if retries is None:
            return None
        return dg.RetryPolicy(max_retries=retries, delay=30, backoff=dg.Backoff.EXPONENTIAL)

    def get_code_version(self, model: Model, project: Project) -> str:
        """The fingerprint of what the rows depend on: the model's own definition and all its ancestors'."""
        return project.fingerprints[model.name].version

    def get_metadata(self, model: Model, project: Project) -> dict[str, Any]:
        """Facts about the definition: columns, names, cadence, query, link to the file."""
        is_view = not isinstance(model.kind, External)
        shown = str(layer_of(project.settings).view(model.name, PROD)) if is_view else model.name
        metadata: dict[str, Any] = {
            "dagster/table_name": shown,
            "dagster/storage_kind": engine_name(project),
            keys.GATEWAY: project.gateway,
        }
        columns = project.columns(model.name)
        if columns:
            metadata["dagster/column_schema"] = column_schema(columns, model.described_columns)
        if isinstance(model.kind, External):
            return metadata
        if (lineage := self.get_column_lineage(model, project)) is not None:
            metadata[keys.COLUMN_LINEAGE] = lineage
            if self.settings.lineage_picture and len(project.models) <= _MOST_PICTURES:
                metadata["isomesh/column_lineage"] = lineage_markdown(lineage, model.name)
        metadata[keys.FINGERPRINT] = project.fingerprints[model.name].version
        metadata["isomesh/kind"] = kind_name(model.kind)
        metadata["isomesh/cron"] = model.cron
        if isinstance(model.kind, IncrementalByTimeRange):
            metadata["isomesh/time_column"] = model.kind.time_column
        if key := unique_key(model.kind):
            metadata["isomesh/unique_key"] = ", ".join(key)
        if self.settings.query and model.query:
            metadata["isomesh/query"] = dg.MetadataValue.md(f"```sql\n{model.query.strip()}\n```")
        if self.settings.query and model.python is not None:
            metadata["isomesh/code"] = dg.MetadataValue.md(f"```python\n{model.python.source.strip()}\n```")
        if self.settings.code_references:
            metadata["dagster/code_references"] = _code_reference(
                project.settings.files / model.path, model.path, model.line
            )
        return metadata

    def get_column_lineage(self, model: Model, project: Project) -> dg.TableColumnLineage | None:
        """Which columns of which assets the model's columns are made of; None when it cannot be told."""
        reads = project.column_reads().get(model.name)
        if reads is None or not reads.columns:
            return None
        deps: dict[str, list[dg.TableColumnDep]] = {}
        for name, cells in reads.columns.items():
            deps[name] = []
            for table, column in cells:
                known = project.columns(table) or () if column == EVERY else (Column(name=column),)
                key = self.get_asset_key(table)
                deps[name] += [dg.TableColumnDep(asset_key=key, column_name=each.name) for each in known]
        return dg.TableColumnLineage(deps_by_column=deps)

    def lineage_of_events(self, model: Model, project: Project) -> dg.TableColumnLineage | None:
        """What a materialization tells of its columns; None where the asset's own metadata is all that is wanted."""
        return self.get_column_lineage(model, project) if self.settings.lineage_in_events else None

    def get_asset_spec(self, model: Model, project: Project) -> dg.AssetSpec:
        """Everything Dagster shows of a model. Dependencies are the models and tables its query reads."""
        return dg.AssetSpec(
            key=self.get_asset_key(model.name),
            deps=[self.get_asset_key(name) for name in (*model.depends_on, *model.audit_reads) if name != model.name],
            description=self.get_description(model, project),
            metadata=self.get_metadata(model, project),
            group_name=self.get_group_name(model, project),
            code_version=None if isinstance(model.kind, External) else self.get_code_version(model, project),
            owners=self.get_owners(model, project),
            tags=self.get_tags(model, project),
            kinds=self.get_kinds(model, project),
            automation_condition=self.get_automation_condition(model, project),
            freshness_policy=self.get_freshness_policy(model, project),
        )

    def get_asset_check_spec(self, model: Model, audit: AuditCall, name: str, project: Project) -> dg.AssetCheckSpec:
        """Everything Dagster shows of an audit; `name` is unique among the model's checks."""
        arguments = ", ".join(f"{key} := {value}" for key, value in audit.arguments.items() if key != "condition")
        return dg.AssetCheckSpec(
            name=name,
            asset=self.get_asset_key(model.name),
            blocking=audit.blocking,
            description=f"{audit.name}({arguments})",
            metadata={"isomesh/query": dg.MetadataValue.md(f"```sql\n{audit.query.strip()}\n```")},
        )

    def get_unit_test_check_spec(self, model: Model, test: UnitTest, name: str, project: Project) -> dg.AssetCheckSpec:
        """Everything Dagster shows of a unit test; `name` is unique among the model's checks."""
        return dg.AssetCheckSpec(
            name=name,
            asset=self.get_asset_key(model.name),
            blocking=True,
            description=test.description or f"Unit test {test.name}",
            metadata=(
                {"dagster/code_references": _code_reference(project.settings.files / test.path, test.path, test.line)}
                if self.settings.code_references
                else {}
            ),
        )


def check_names(model: Model) -> tuple[str, ...]:
    """A name per audit of the model, in their order: the audit's, with its columns where it is used more than once."""
    uses = Counter(audit.name for audit in model.audits)
    names: list[str] = []
    for audit in model.audits:
        name = keys.word(audit.name)
        if uses[audit.name] > 1:
            told = "_".join(text for key, text in sorted(audit.arguments.items()) if key in ("column", "columns"))
            name = "_".join(part for part in f"{name}_{keys.word(told)}".split("_") if part)
        unique, number = name, 2
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return tuple(names)


def engine_name(project: Project) -> str:
    """The engine of the project's gateway, by the name of its connection type: `duckdb`, `postgres`."""
    return str(project.settings.connection.type)


def column_schema(columns: tuple[Column, ...], descriptions: Mapping[str, str]) -> dg.TableSchema:
    """The columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type.lower(),
                description=column.description or descriptions.get(column.name),
            )
            for column in columns
        ]
    )


def is_built(model: Model) -> bool:
    """Whether the model has an op. Embedded models do: they stand between others in the graph."""
    return not isinstance(model.kind, External)


def _is_loaded_by_clock(model: Model) -> bool:
    return model.end is None and not isinstance(model.kind, External | Embedded | Seed | View)


def _code_reference(path: Path, label: str, line: int) -> dg.CodeReferencesMetadataValue:
    with warnings.catch_warnings():
        # in beta for two years and in every release: a warning per model would drown those that matter
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)
        return dg.CodeReferencesMetadataValue(code_references=[reference])
