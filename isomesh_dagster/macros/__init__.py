"""macros: the macro language of the model format, expanded as text before SQL is parsed.

Here:     expander (text in, text out), signs (where macros stand), library, generated and relations (the macros),
          clauses (`@WHERE(…)` and its like), conditions (what `@IF` and `@EVAL` can compute), variables (time and
          others that every model has), scope, values and call (what names and arguments stand for), places (how a
          result fits into the text around it), warehouse (what macros may ask of it).
          A project's own macros: project (which there are, and their digests), outline (what a Python module defines,
          read without running it), modules (running it), opened (the files it opens meanwhile), decorator, evaluator,
          arguments and macro_trees (calling a function), signals and signal_call (those of `signals/`), project_dates
          (dates for its code), templates (Jinja).
          What else a project brings in Python: python_models (`@model`), materializations (kind CUSTOM),
          lint_rules (rules of `linter/`, and the models they see).
Not here: which variables a model has and when it is rendered (`model/render.py`), audits, files.
Imports:  dialect, dates, relation, errors; sqlglot for tokens and for the few macros that write expressions; jinja2.
Decided:  macros work on tokens and splice text: the author's SQL stays as written and is parsed once, after expansion.
          Conditions are read by an interpreter of our own, so that no text of a project is ever evaluated as Python.
          Arguments are expanded before the macro, except functions and branches not taken; what those would read is
          noted all the same. Nothing in the place of something is an error that tells what to write.
          A project's Python runs when a macro of it is called: at load, and when a model whose text depends on the
          moment is rendered again, then only if its digest is the one that was planned. Nothing read from the state
          runs.
          Its modules import by a function of their own, so `sys.modules` and `sys.path` stay as they are, and
          `from sqlmesh import macro` is served whether or not that package is installed.
          What a macro call reads together with the moment is `hidden`: the text rendered at load need not show a change
          of it, so it becomes part of the fingerprint itself; everything else a macro does is seen in the text.
"""
