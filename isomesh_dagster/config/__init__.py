"""The project's configuration, read for one gateway.

Here: `read` (what the project says, as `Settings`), as trees with places (`file`), values with their variables filled
in (`values`), the gateway that was chosen (`gateways`), every key (`keys`), what is checked (`errors`), a `config.py`,
read and never run (`python`); and the values themselves: `settings`, `connections`, `git` (what a repository drives)
and `environment_catalogs`.
Not here: the properties of a model and its defaults (model/), what a setting does.

Imports errors, dates, dialect, model, and the values that plan and lint take of a configuration. pydantic and YAML
live here.

Decided
- Only the chosen gateway's variables are read; no error repeats a value, it may be a secret.
- `settings` and `connections` are cheap to import: a warm start needs them.
"""
