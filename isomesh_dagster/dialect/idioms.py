"""What the SQL library would write literally and the target does not understand, or understands otherwise."""

from __future__ import annotations

from sqlglot import exp

_ENGINES = frozenset({"duckdb", "postgres"})
_TEXT = frozenset(exp.DataType.TEXT_TYPES)


def put_in_words(statement: exp.Expr, read: str, write: str) -> exp.Expr:
    """The statement (changed in place) said so that an engine of ours means what `read` means. Its types are known as
    far as `typed.give_types` finds them.
    """
    if write not in _ENGINES:
        return statement
    if read != "redshift":  # where the sum is a timestamp, as on our engines
        for node in list(statement.find_all(exp.DateAdd, exp.DateSub)):
            if node.is_type(exp.DType.DATE) and not isinstance(node.parent, exp.Cast):
                _wrap(node, exp.DType.DATE)
    if read in ("tsql", "fabric", "redshift"):
        for added in list(statement.find_all(exp.Add)):
            _join_texts(added)
    return statement


def _wrap(node: exp.Expr, type_: exp.DType) -> None:
    """Put `node` into a cast."""
    cast = exp.Cast(to=exp.DataType.build(type_))
    node.replace(cast)
    cast.set("this", node)


def _join_texts(added: exp.Add) -> None:
    """`a + b` of texts joins them."""
    operands = list(added.flatten())
    known = [operand.type for operand in operands if operand.type is not None]
    if any(type_.this in _TEXT for type_ in known) and all(type_.this in _TEXT for type_ in known):
        joined = exp.DPipe(this=added.this, expression=added.expression, safe=False)
        joined.type = exp.DataType.build("text")
        added.replace(joined)
