"""The Dagster UI as a person meets it: `python -m isomesh_dagster_tests.browser`, or `make pictures`.

`site` makes a fresh copy of the sample and starts `dagster dev` on it; `person` is somebody at a headless Chromium who
clicks, types and reads; `story` is what they do, chapter by chapter, and what the pages must say then. Nothing here is
collected by pytest: it needs a browser, which `make test` does not.
"""
