"""Evaluation: one batch of one model, from its text to rows that are audited and recorded in one transaction.

Here, by what it is about
  one batch           writing and batch (its statements, rows and audits), together (several at once), texts (its SQL;
                      schemas: the columns of what it reads), timerange, audit, failures and pointing (where an error
                      belongs)
  kinds               evaluate (a function for each; `rows` is what they share), merge, partitions and scd2
  a project's own     python_model, custom, signals; project_code is what their code is given
Not here: which batches there are (plan/), their order and what becomes of a failure (execution/), drivers (engine/).

Imports records, engine, plan, snapshot, model, dialect and what is below.

Decided
- Write, audit, record, in that order, in one transaction: a failed blocking audit leaves no trace.
"""
