"""Execution: a plan's effects. Everything that writes to a warehouse is here, and nothing here decides.

Here, by what it is about
  an apply        application (begin, build, promote, finish: the protocol), beginning (its checks, and the intent),
                  waiting (for signals), schedule (builds in threads, critical path first), promote (and rollback),
                  migrate (tables that stay, in the swap), take_back, comments, statements (around every apply),
                  checkpoint (where it may be killed)
  one batch       writing and batch (its statements, rows and audits in one transaction), together (several at once),
                  texts (its SQL), timerange, audit, failures and pointing (where an error belongs)
  kinds           evaluate (a function for each; `rows` is what they share), merge, partitions and scd2
  a project's own python_model, custom, signals; project_code is what their code is given
  the records     warehouse (what it says of itself), homes (catalogs of environments), record (the state's share, in
                  bulk), reconcile (after a crash), stamp, adopt (a state that was lost), events, log
  upkeep          janitor, doctor, destroy, external (tables declared from the warehouse)
  questions       ask, fetch, table_diff with row_comparison and table_diff_words
  unit tests      unit_test, with fixture and comparison: on a warehouse in memory, of no plan; unit_test_words,
                  unit_test_draft
Not here  what to build and why (`plan/`), how to render (`model/`), drivers (`engine/`), the state's tables (`state/`).
Imports   state, engine, plan, snapshot, model, dialect, relation, errors.
Decided   the warehouse is the authority: `loaded` and `environments` are written in the transactions of the rows and
          views they speak of; the state follows and is reconciled at the start of every apply. Write, audit, record,
          in that order, in one transaction: a failed blocking audit leaves no trace. Promotion is one transaction.
          No CASCADE anywhere. Events are yielded as values; nobody prints.
"""
