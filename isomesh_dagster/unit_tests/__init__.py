"""Unit tests: a model's query over given rows, on a warehouse in memory, of no plan.

Here: running one (`run`), its tables of given rows (`fixture`), what differs (`comparison`), in words (`words`), and a
test written down from real rows (`draft`).
Not here: reading test files (model/), finding them (cache/). Imports evaluation, engine, config, model and below.
"""
