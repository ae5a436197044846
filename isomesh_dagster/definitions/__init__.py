"""Dagster lives here: the only room (with `sample/`) that imports it.

What is here, by what it is about
  definitions      build; project, decorator, component and selections for those who write their own; translator,
                   settings and overrides (how models look), keys (names that people meet); loader and executor, which
                   use Dagster's internals, each with a fallback; deployed and reload (whose files they are of)
  models           assets, with a step each (steps, later); checks (audits), unit_tests, lineage_text
  environments     partitions of one asset (environments, history)
  time             intervals and ledger (what is built), cadence (what is due), tries (what is asked for again)
  jobs             jobs, plan_jobs, git_jobs, sync, doctor; schedules; ops is what they share, asked their configuration
  a repository     sensors
  a run            resource, session; events and provenance (what Dagster is told); alive and watch (when it dies)
What is not: any decision about what to build. Ops ask the run's plan and report what `execution/` says.

Imports: `project` and the values below it. Loading definitions reads one compiled manifest: no database, no sqlglot.

Decided: one op per model, all in one process (a DuckDB file has one writing process; steps in processes cost seconds
each). Models are unpartitioned, their intervals live in our state; the environment is the partition. A reused
snapshot is reported with the same data version and `isomesh/reused`, which clears "unsynced" without pretending that
something ran.
"""
