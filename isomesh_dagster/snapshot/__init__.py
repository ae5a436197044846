"""Versions: what makes a model the same model, which table holds its rows, which intervals of time are in it.

Here: each `fingerprint` (and `portable` ones, the same in every system), `snapshot`, `environment`, `interval`, and the
names of the physical and virtual layer (`naming`): all frozen values, and JSON (`codec`). Not here: deciding what a
change means (`plan/`), remembering (`state/`), writing (`evaluation/`). Decided: fingerprints hash canonical tokens,
not generated SQL, so that they survive upgrades of the parser; metadata of parents is not part of a child's identity,
so that editing a description touches one model; the name is part of the version, so that no two models can share a
table.
"""
