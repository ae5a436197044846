"""The sample as Dagster definitions: raw tables as plain assets, and the models of the project beside them.

`workspace.yaml` points here. The project is the folder Dagster is started in, or that of ISOMESH_PROJECT.
"""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
import os
import time
from typing import Any

import dagster as dg

from isomesh_dagster.definitions.build import build_definitions
from isomesh_dagster.sample.raw import SCHEMA, TABLES, RawTable, load


def raw_asset(table: RawTable) -> dg.AssetsDefinition:
    """A plain asset. Its key is the table's name, and that alone puts it upstream of the models that read the table."""
    schema = dg.TableSchema([dg.TableColumn(name=name, type=type_.lower()) for name, type_ in table.columns])

    @dg.asset(
        key=[SCHEMA, table.name],
        group_name=SCHEMA,
        kinds={"csv", "duckdb", "python"},
        owners=["team:platform"],
        description=table.description,
        metadata={"dagster/column_schema": schema, "dagster/table_name": str(table.relation)},
        required_resource_keys={"isomesh"},
    )
    def raw(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        project = context.resources.isomesh.project
        started = time.perf_counter()
        loaded = load(project, table)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": loaded.rows,
                "isomesh/gateway": project.gateway,
                "isomesh/seconds": round(time.perf_counter() - started, 3),
                "source_rows": loaded.source_rows,
            },
            # loading the same rows again turns no model "unsynced"
            data_version=dg.DataVersion(loaded.version),
        )

    return raw


@dg.definitions
def defs() -> dg.Definitions:
    """Models, environments, jobs, and the raw tables."""
    return build_definitions(os.environ.get("ISOMESH_PROJECT", "."), assets=[raw_asset(table) for table in TABLES])
