"""The model: what a project's files say, as values.

Here: `Model` and its kinds, audits, header properties (`properties`, `kind_properties`, `kind_checks`, decoded by
`decode`, refused by `header_checks`), a file as models (`parse`, by `entry`, with its `blueprints` and `statements`;
`python_files`, `python_header` and `python_code` for one in Python), shared audits (`audit_blocks`), what a model uses
of them and of signals (`uses`), external tables (`external`), rendering for one moment (`render`), what texts mention
besides (`mentions`, `mentioned`), unit tests and their rows (`unit_tests`, `fixtures`), names, dates and crons
(`cron`), and models as JSON (`codec`).
Not here: the configuration (config/), walking folders and remembering what files said (cache/), what makes a model the
same model (snapshot/), who reads whom (graph/).

Imports errors, relation, dialect and macros.

Decided
- Text stays text: a `Model` holds what was written and what was rendered at load, never a tree.
- Every property and kind of the model format is supported, refused with what to do instead, or unknown with the nearest
  name; none is skipped in silence.
- Macros in the header are expanded at load, before values are decoded; those of audits and property maps when used.
- Reading a file is pure: what it read besides (variables, seeds, shared audits) is told, for a cache to watch.
- `parse`, `decode` and their kin need sqlglot; `model`, `kinds`, `codec`, `audits`, `context` and `names` do not, and a
  warm start imports only these.
"""
