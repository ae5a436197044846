"""The decision: from files and what is known of an environment to a `Plan`, a value.

Here: what people ask (`wish`, and `narrow`, which leaves models out); what changed (`diff`), what that means for rows
(`categorize`, by `edits` a `judgement`; `columns`, `decide`, by itself where `automatic` lets it), also by what people
say now (`choices`) or said before (`recorded`); forward-only changes (`forward_only`, `forward_steps`, and `migration`
of their tables); which intervals are missing (`missing`) or only there in part (`coverage`), what the clock made due
(`cadence`, `restatement` by cron) and what is made again (`restate`), or in a state that was lost (`recovered`); the
plan (`build`, `steps`, `audits`, on a `layer`), what its warehouse cannot do (`limits`) and how long it may take
(`expected`); its words for people (`explain`, `words`, folded by `sections`) and its documents (`documents`, `saved`).
Not here: reading state or clock (`project/` hands them in), doing (`execution/`). Decided: old and new text are
compared at plan time by today's parser, hashes only tell that something differs; a physical view is identified by its
definition and its parents' tables, so it is re-pointed exactly when one of them moves; an environment always shows
every model; when in doubt a change is breaking.
"""
