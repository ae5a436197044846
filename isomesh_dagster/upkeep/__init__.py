"""Upkeep of one gateway's system: what nothing needs is dropped, what is wrong is told.

Here: tables that no environment, plan or recent promotion needs (`janitor`), rights, versions, clocks and drift
(`doctor`), the end of a whole system (`destroy`), a warehouse whose state was lost (`adopt`), tables declared from what
the warehouse holds (`external`).
Not here: applying plans (execution/), upgrades of the state's schema (state/).

Imports execution, evaluation, records and what is below. Decided: nothing is dropped that is not ours, never by
CASCADE; whatever failed for one object is told, and the others go on.
"""
