"""dag: one page that holds everything and asks nobody."""

from __future__ import annotations

import json
import re

from isomesh_dagster.cli.dag import dag_page
from isomesh_dagster_tests.cli.conftest import Shop

DATA = re.compile(r"const DATA = (.*);\n")


def test_the_page_holds_models_columns_and_lineage(shop: Shop) -> None:
    (shop.root / "models" / "shop" / "reader.sql").write_text(
        "MODEL (name shop.reader, kind FULL);\nSELECT o.order_id, '</script><!--' AS x FROM shop.orders AS o, other.t\n"
    )
    file = shop.root / "out" / "dag.html"
    result = shop("dag", str(file))
    assert result.exit_code == 0, result.output
    page = file.read_text()
    assert page.count("</script>") == 1
    found = DATA.search(page)
    assert found
    document = json.loads(found[1])
    models = {model["name"]: model for model in document["models"]}
    assert models["other.t"]["kind"] == "UNDECLARED"
    assert models["shop.reader"]["sql"].endswith("'</script><!--' AS x FROM shop.orders AS o, other.t")
    assert [parent for parent, _ in models["shop.reader"]["parents"]] == ["other.t", "shop.orders"]
    revenue = models["shop.monthly_revenue"]
    assert [column for column, _, _ in revenue["columns"]] == ["month", "orders", "revenue"]
    assert revenue["reads"]["columns"]["month"] == [["shop.orders", "ordered_on"]]
    assert revenue["path"] == "models/shop/monthly_revenue.sql:1"


def test_the_page_needs_no_network() -> None:
    page = dag_page({"project": "p", "gateway": "g", "models": []})
    outside = re.findall(r"(?:src|href|url|import|fetch)\s*[=(]\s*[\"']?(?:https?:)?//[^\s\"')]+", page)
    assert outside == []
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\"'\s]+", page))  # a name, not an address
