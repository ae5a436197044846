"""Dagster lives here: the only room (with `sample/`) that imports it.

What is here: models as assets, audits and unit tests as asset checks, environments as the partitions of one asset
with their history, the jobs, sensors that offer environments, load what is due and follow
a repository, the check of drift (`doctor`), ledgers of intervals, the resource
that holds what a run works on, the names Dagster users know (`project`, `decorator`, `component`, `selections`), and
two small files that use Dagster's internals, each with a fallback (`executor.py`, `loader.py`).
What is not: any decision about what to build. Ops ask the run's plan and report what `execution/` says.

Imports: `project` and the values below it. Loading definitions reads one compiled manifest: no database, no sqlglot.

Decided: one op per model, all in one process (a DuckDB file has one writing process; steps in processes cost seconds
each). Models are unpartitioned, their intervals live in our state; the environment is the partition. A reused
snapshot is reported with the same data version and `isomesh/reused`, which clears "unsynced" without pretending that
something ran.
"""
