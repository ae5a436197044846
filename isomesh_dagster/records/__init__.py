"""The records: what was done, as the warehouse and the state tell it, and the events that tell it to people.

Here: what the warehouse says of itself (`warehouse`: `loaded` and `environments`, written in the transactions of the
rows and views they speak of), in which catalog an environment's record lies (`homes`), whose warehouse it is (`stamp`),
the state's share, in bulk (`record`), bringing it in line after a crash (`reconcile`), what happened (`events`, and
`log` for machines), and where a process may be killed (`checkpoint`).
Not here: writing rows (evaluation/), moving views (execution/), the state's tables (state/).

Imports state, engine, plan, snapshot and what is below.

Decided
- The warehouse is the authority: the state follows, and is reconciled at the start of every apply.
- Events are values and are yielded; nobody prints.
"""
