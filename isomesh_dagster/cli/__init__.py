"""The command line: `isomesh`. The only room that prints.

What is here: `main.py` (the group, global options, errors to exit codes), one file per group of commands (`plan.py`,
`environments.py`, `intervals.py`, `models.py`, `table_diff.py`, `lineage.py`, `dag.py` with its page, `warehouse.py`,
`lint.py`, `format.py`, `testing.py`, `ci.py`, `upkeep.py`, `info.py`, `init.py` with its `scaffold/`), `console.py`
(rich: plans, tables, errors), `progress.py` (events as they happen, on stderr), `report.py` (events as one document),
`logs.py` (and as a file), `session.py` (from options to the project), `interrupts.py` (Ctrl-C during a statement),
`parameters.py` (options that several commands share), `wishes.py` and `forward_only.py` (those of a plan),
`answers.py` (a plan told and applied), `choosing.py` (what people decide), `outcome.py` (exit codes); and
`format_page.py`, which writes the tables of `docs/format.md`.

What is not: decisions (`plan/`), their words (`plan/explain.py`, `plan/words.py`), effects (`project.py` and below).

Imports: click and rich live here. The modules that `isomesh --help` needs import click only; rich, the project and
what it stands on are imported by the command that uses them.

Decided: stdout carries the answer, stderr everything on the way to it, so that `isomesh … > file` and `--json | jq`
work. An `IsomeshError` is one message and an exit code; anything else is a bug and keeps its traceback.
"""
