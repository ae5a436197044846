"""Proof that nothing is lost, doubled or shown half: processes that are killed, race, read and are kept apart.

`python -m isomesh_dagster_tests.reliability crash` and `… readers` are the long runs; the tests here are short ones.

files.py     the small project: models that a random edit changes, and what their tables must hold, said in Python
lab.py       systems to break: a folder, a warehouse, a state; processes on them that are killed
verify.py    what must be true of a system at any moment, and of one that is at rest
observer.py  a reader beside it all
life.py      a random life, with kills
readers.py   promotions under readers
host.py      a host with a Postgres of its own, whose every connection and variable is reported
"""
