"""Projects of the model format, and the tables they give.

`cases/*.yaml` are small projects of ours, one for each way in which public projects differ from another. What the
format's own tool makes of them was measured once with SQLMesh 0.236.4 on DuckDB 1.5, and is kept in `expected/`:
columns, types and rows of each table. It is not needed to run the tests.

Not compared: the case of column names, which DuckDB does not look at either (the anchor writes most of them in lower
case, here they are as the author wrote them).
"""
