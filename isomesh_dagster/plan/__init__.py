"""The decision: from files and what is known of an environment to a `Plan`, a value.

Here: what changed (`diff`), what that means for rows (`categorize`, `columns`), which intervals are missing
(`missing`), the plan (`build`), its words for people (`explain`, `words`) and its documents (`documents`, `saved`).
Not here: reading state or clock (`project.py` hands them in), doing (`execution/`). Decided: old and new text are
compared at plan time by today's parser, hashes only tell that something differs; a physical view is identified by its
definition and its parents' tables, so it is re-pointed exactly when one of them moves; an environment always shows
every model; when in doubt a change is breaking.
"""
