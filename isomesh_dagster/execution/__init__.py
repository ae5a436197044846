"""Execution: a plan's effects. Everything that writes to a warehouse is here, and nothing here decides.

Here      application (begin, build, promote, finish: the protocol; beginning has its checks and the intent, writing its
          batches, together which of them at once), schedule (builds in threads, critical path first),
          evaluate (one function per kind; `rows` is what they share, merge, partitions and scd2 are the larger ones),
          timerange, texts (the SQL of a batch), audit, promote (and rollback), migrate
          (tables that stay, in the swap), homes (the catalog of an environment's views),
          take_back, waiting (for signals), reconcile, janitor, doctor, stamp,
          warehouse (what it records), record (the state's share, in bulk), ask, events, log (of events);
          python_model and custom (code of the project, and `project_code`, what that is given);
          unit_test (with fixture and comparison: on a warehouse in memory, of no plan) and unit_test_draft.
Not here  what to build and why (`plan/`), how to render (`model/`), drivers (`engine/`), the state's tables (`state/`).
Imports   state, engine, plan, snapshot, model, dialect, relation, errors.
Decided   the warehouse is the authority: `loaded` and `environments` are written in the transactions of the rows and
          views they speak of; the state follows and is reconciled at the start of every apply. Write, audit, record,
          in that order, in one transaction: a failed blocking audit leaves no trace. Promotion is one transaction.
          No CASCADE anywhere. Events are yielded as values; nobody prints.
"""
