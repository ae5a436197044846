"""Versions: what makes a model the same model, which table holds its rows, which intervals of time are in it.

Here: fingerprints (and `portable` ones, the same in every system), snapshots, environments, intervals and the names of
the physical and virtual layer, all frozen values. Not here: deciding what a change means (`plan/`), remembering
(`state/`), writing (`execution/`). Decided: fingerprints hash canonical tokens, not generated SQL, so that they survive
upgrades of the parser; metadata of parents is not part of a child's identity, so that editing a description touches one
model; the name is part of the version, so that no two models can share a table.
"""
