"""`CustomMaterialization`: a class of a project's `materializations/` folder that says how rows reach a table.

`kind CUSTOM (materialization 'name')` chooses it by `NAME`. Everything it does happens in the transaction of the batch,
between the model's pre- and post-statements; audits follow, and a failed one takes all of it back.
"""

from __future__ import annotations

from typing import Any


class CustomMaterialization:
    """What to derive from. `NAME` is the name in headers, in any case; without it the class is called by its own.

    `adapter` is the warehouse: `execute`, `fetchone`, `fetchall`, `fetchdf`, `columns(table_name)`,
    `insert_append(table_name, rows)` and `replace_query(table_name, rows)`, where rows are a query or a data frame.
    """

    NAME: str

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def create(self, table_name: str, model: Any, **kwargs: Any) -> None:
        """Make the table, still without rows. Unless this is overridden it has the model's columns.

        `table_name` is SQL. `model` has `name`, `columns_to_types` and `custom_materialization_properties`.
        """

    def insert(self, table_name: str, query_or_df: Any, model: Any, is_first_insert: bool, **kwargs: Any) -> None:
        """Write one batch; must be overridden.

        `query_or_df` is the SQL of the batch's rows, also for a Python model. `is_first_insert` tells that no batch was
        written before. Further arguments are given to those that take them: `start` and `end` (inclusive, aware),
        `execution_time`, `render_kwargs` (these three).
        """
        raise NotImplementedError
