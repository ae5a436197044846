"""Joins, groups and stars that Postgres does not have, or would read as something else."""

from __future__ import annotations

from sqlglot import exp

from isomesh_dagster.errors import UnsupportedError

# ---- joins -----------------------------------------------------------------------------------------------


def join(node: exp.Expr, _read: str) -> exp.Expr | None:
    """Postgres would take SEMI, ANTI or ASOF for the name of the table before it."""
    kind, using = node.text("kind").upper(), node.args.get("using") or []
    if (method := node.text("method").upper()) in ("ASOF",) or kind == "POSITIONAL":
        raise UnsupportedError(
            f"postgres cannot say this: {method or kind} JOIN",
            hint="write it as a lateral join with ORDER BY and LIMIT 1",
        )
    if (
        node.text("side").upper() == "LEFT"
        and not using
        and not node.args.get("on")
        and isinstance(node.this, (exp.Unnest, exp.Lateral))
    ):
        new = node.copy()
        new.set("on", exp.true())
        return new
    if kind not in ("SEMI", "ANTI") or not using:
        return None
    select = node.parent
    source = select.args.get("from_") if isinstance(select, exp.Select) else None
    left = source.this.alias_or_name if source is not None else ""
    right = node.this.alias_or_name
    if not (left and right) or (isinstance(select, exp.Select) and select.args["joins"][0] is not node):
        raise UnsupportedError(
            f"postgres cannot say this: {kind} JOIN with USING",
            hint="give both tables a name, and join them ON their columns",
        )
    new = node.copy()
    new.set("using", None)
    equal = [
        exp.EQ(this=exp.column(name.copy(), table=left), expression=exp.column(name.copy(), table=right))
        for name in using
    ]
    new.set("on", exp.and_(*equal, copy=False))
    return new


# ---- all columns -----------------------------------------------------------------------------------------


def group(node: exp.Expr, _read: str) -> exp.Expr | None:
    """GROUP BY ALL: by every column that aggregates nothing."""
    if not node.args.get("all") or not isinstance(node.parent, exp.Select):
        return None
    items = _listed(node.parent, "GROUP BY ALL")
    places = [place for place, one in enumerate(items, 1) if one.find(exp.AggFunc, exp.Window) is None]
    return exp.Group(expressions=[exp.Literal.number(place) for place in places] or [exp.Tuple()])


def order(node: exp.Expr, _read: str) -> exp.Expr | None:
    """ORDER BY ALL."""
    if len(node.expressions) != 1 or not isinstance(node.parent, exp.Select):
        return None
    (ordered,) = node.expressions
    if not isinstance(ordered.this, exp.Var) or ordered.this.name.upper() != "ALL":
        return None
    made = []
    for place, _ in enumerate(_listed(node.parent, "ORDER BY ALL"), 1):
        one = ordered.copy()
        one.set("this", exp.Literal.number(place))
        made.append(one)
    return exp.Order(expressions=made)


def _listed(select: exp.Select, words: str) -> list[exp.Expr]:
    if any(one.is_star for one in select.expressions):
        raise UnsupportedError(f"postgres cannot say this: {words} beside a star", hint="list the columns")
    return select.expressions


def star(node: exp.Expr, _read: str) -> exp.Expr | None:
    """A star that leaves columns out is refused."""
    for key, words in (("except_", "EXCEPT"), ("replace", "REPLACE"), ("rename", "RENAME")):
        if node.args.get(key):
            raise UnsupportedError(f"postgres cannot say this: * {words}", hint="list the columns, or @STAR(table, …)")
    return None
