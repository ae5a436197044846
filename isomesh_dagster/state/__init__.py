"""State: what one system remembers.

Here: `protocol` (the port the house codes against), `store` (the one implementation) and `opening` (where it is),
`rows` (rows as values), `writes` (what its transactions write alike), `retention` (what the janitor may take),
`transfer` (a state as a file, and back), `tables`, `schema` (creating and migrating them), `database` (engines,
transactions, errors) and `migrations/` (alembic revisions).
Not here: deciding anything (plan/), the warehouse and its own record of what is live (engine/, execution/), settings
and secrets (a gateway's connection arrives as plain arguments).
Imports: plan, snapshot, model, relation, errors; SQLAlchemy and alembic live here and nowhere else. Import `opening`
where state is first needed: it loads SQLAlchemy. alembic is loaded only when tables are made or migrated.

Decided:
- SQLite (one file, the default) and Postgres run the same code. DuckDB is no home for state: one process at a time.
- Writers of one state go one at a time (SQLite: BEGIN IMMEDIATE; Postgres: an advisory lock of the transaction). Writes
  last milliseconds, and every rule of the store can then be read as if nobody else were there. Readers never wait for
  them.
- A target (what an environment shows) is stored once, under the digest of its JSON; plans, promotions and environments
  point to it.
- Intervals are kept merged: one row per gapless stretch, however many batches wrote it.
- The janitor makes the state forget before data goes, never after.
- Facts only, as JSON and text: nothing read from state can execute.
"""
