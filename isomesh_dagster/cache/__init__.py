"""The cache: what files mean, kept by the content they had, so that loading a project again parses only what changed.

Here: the walk over a project's files and their models (`load`), facts of one file as rows (`facts`), the SQLite file
that holds them (`store`), inferred output columns (`columns`), what columns are read from (`lineage`), what is doubtful
in queries (`findings`) and how stars are mended (`star_fixes`), standalone audits (`standalone`), the macros of the
project (`macro_files`), files that wait for columns their macros ask for (`awaiting`), the files with unit tests
(`unit_tests`), files in the project's layout (`format`), and the compiled manifest that a run is pinned to
(`manifest`).
Not here: parsing (model/), fingerprints (snapshot/), anything about a warehouse or the state.

Imports config, lint, snapshot, graph, model, macros, dialect, relation, errors. Nothing on the warm path imports
sqlglot or jinja.

Decided
- Files are always hashed again; modification times lie after a git checkout.
- A row is found by what the file says (bytes, path, settings, code and sqlglot version) and is good only while what it
  read besides (variables, a seed's bytes, shared audits) is the same: rows of several gateways lie side by side.
- Rows are JSON: plain data cannot run code, and a tree costs more to unpickle than to parse again.
- The code's own digest is part of the key, so nobody has to remember to raise a version.
- A cache that cannot be read or written is ignored and made again; it never decides whether a project loads.
"""
