"""macros: the macro language of the model format, expanded as text before SQL is parsed.

Here:     expander (text in, text out), library and generated (the macros), clauses (`@WHERE(…)` and its like),
          conditions (what `@IF` and `@EVAL` can compute), variables (time and others that every model has), scope,
          values and call (what names and arguments stand for), places (how a result fits into the text around it).
Not here: which variables a model has and when it is rendered (`model/render.py`), audits. Jinja, Python macros and
          those that need the columns of other models are not supported, and refused by name.
Imports:  dialect, errors; sqlglot for tokens and for the few macros that write whole expressions.
Decided:  macros work on tokens and splice text: the author's SQL stays as written and is parsed once, after expansion.
          Conditions are read by an interpreter of our own, so that no text of a project is ever evaluated as Python.
          Arguments are expanded before the macro, except functions and branches not taken; what those would read is
          noted all the same. Nothing in the place of something is an error that tells what to write.
"""
