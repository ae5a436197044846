"""`CustomMaterialization`: a class of a project's `materializations/` folder that says how rows reach a table.

`kind CUSTOM (materialization 'name')` chooses it by `NAME`. Everything it does happens in the transaction of the batch,
between the model's pre- and post-statements; audits follow, and a failed one takes all of it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CustomKind:
    """`model.kind` of a materialization: what the header says. A materialization that is written as
    `CustomMaterialization[MyKind]` is given a `MyKind`, which derives from this and may have properties of its own;
    methods under pydantic's `@model_validator(mode="after")` are called when it is made.
    """

    name = "CUSTOM"
    is_custom = True

    def __init__(self, *, materialization: str, properties: Mapping[str, Any], dialect: str) -> None:
        self.materialization = materialization
        self.materialization_properties = dict(properties)
        self.dialect = dialect
        for base in reversed(type(self).__mro__):
            for made in vars(base).values():
                if getattr(getattr(made, "decorator_info", None), "mode", None) == "after" and hasattr(made, "wrapped"):
                    made.wrapped(self)


class CustomMaterialization:
    """What to derive from. `NAME` is the name in headers, in any case; without it the class is called by its own.

    `adapter` is the warehouse, in the batch's transaction: `execute`, `fetchone`, `fetchall`, `fetchdf`, `columns`,
    `table_exists`, `create_table`, `ctas`, `drop_table`, `delete_from`, `insert_append`, `merge`, `replace_query` and
    `insert_overwrite_by_partition`; rows are a query or a data frame.
    """

    NAME: str
    KIND: type[CustomKind] = CustomKind

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def __class_getitem__(cls, kind: type[CustomKind]) -> type[CustomMaterialization]:
        """The base of materializations whose `model.kind` is of that class."""
        return type(cls.__name__, (cls,), {"KIND": kind} if issubclass(kind, CustomKind) else {})

    def _replace_query_for_model(self, model: Any, name: str, query_or_df: Any, *more: Any, **options: Any) -> None:
        """The table has just these rows afterwards, as a FULL model's would."""
        self.adapter.replace_query(name, query_or_df)

    def create(self, table_name: str, model: Any, **kwargs: Any) -> None:
        """Make the table, still without rows. Unless this is overridden it has the model's columns.

        `table_name` is SQL. `model` has `name`, `kind`, `dialect`, `columns_to_types`, `partitioned_by`, `description`
        and `custom_materialization_properties`.
        """

    def insert(self, table_name: str, query_or_df: Any, model: Any, is_first_insert: bool, **kwargs: Any) -> None:
        """Write one batch; must be overridden.

        `query_or_df` is the SQL of the batch's rows, also for a Python model. `is_first_insert` tells that no batch was
        written before. Further arguments are given to those that take them: `start` and `end` (inclusive, aware),
        `execution_time`, `render_kwargs` (these three).
        """
        raise NotImplementedError
