"""Execution: a plan's effects, as a protocol that may be killed anywhere. Nothing here decides.

Here: an apply (`application`: begin, build, promote, finish), its checks and intent (`beginning`), waiting for signals
(`waiting`), builds in threads, critical path first (`schedule`), the swap of views and its way back (`promote`), tables
that stay, in the swap (`migrate`), work taken back (`take_back`), `comments`, and `statements` around every apply.
Not here: what to build and why (plan/), the rows of one batch (evaluation/), what is known afterwards (records/),
clean-up and doctors (upkeep/), questions (inspection/), unit tests (unit_tests/).

Imports evaluation, records, state, engine, plan, snapshot, model, macros, dialect, relation, errors.

Decided
- Promotion is one transaction. No CASCADE anywhere.
- Every apply begins by reconciling what an interrupted one left.
"""
