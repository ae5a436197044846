"""Speed, measured against raw SQL on one connection and against SQLMesh, in one run: `python -m benchmarks --help`."""
