"""lint: how a project's files should be written, and what they should say.

Here:     rules (what each rule asks of a model), select (which rules are on, by `settings`, and what breaks them), own
          (a project's rules), fixes (what mends a breach), files (the layout of SQL files: the order of headers, what
          is left alone).
Not here: what is wrong whatever one's taste (that is an error of `model/`), finding files, remembering what was found
          (`cache/`), printing.
Imports:  errors, dialect, macros and model.
Decided:  a rule looks at values that others made (`Model`, `QueryFindings`), never at trees or files; it says what is
          wrong with one model, or nothing. A breach is a value with a place, so that whoever shows it decides how.
"""
