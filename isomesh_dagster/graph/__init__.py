"""Who needs whom: the models as a graph, in an order that can be built.

Here: the graph and its order (`order`), which models an expression names (`selection`), columns through all models
(`lineage`), where models stand in a drawing (`layers`). Not here: what a model is (`model/`), what changed (`plan/`).
Decided: own topological sort with integer degrees, ties broken by name, so that the order is the same under any hash
seed and an error can show the cycle itself.
"""
