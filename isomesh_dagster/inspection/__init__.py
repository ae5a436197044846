"""Inspection: questions to a warehouse that change nothing.

Here: a model's query for a range (`ask`), any query (`fetch`), two tables side by side (`table_diff`, its rows in
`row_comparison`, its words in `table_diff_words`).
Not here: building (evaluation/), comparing definitions (plan/). Imports evaluation, records, engine and what is below.
"""
