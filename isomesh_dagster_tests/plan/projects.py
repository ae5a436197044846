"""Small projects from text, for tests of the pure rooms: no files, no state, no warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isomesh_dagster.dialect.query import analyse
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.model.kinds import Full, ModelKind
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.automatic import AutoCategorize
from isomesh_dagster.plan.build import build_plan
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.plan.decide import decide
from isomesh_dagster.plan.diff import diff
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.plan import Decision, Plan
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster.snapshot.fingerprint import fingerprints, own
from isomesh_dagster.snapshot.interval import from_ms, to_ms
from isomesh_dagster.snapshot.naming import Convention
from isomesh_dagster.snapshot.snapshot import Category, Snapshot

DAY = 86_400_000
LAYER = Layer(gateway="test")
NOW = to_ms(from_ms(1_704_067_200_000))  # 2024-01-01


def model(name: str, query: str = "", kind: ModelKind | None = None, **properties: object) -> Model:
    """A model whose query needs no rendering."""
    facts = analyse(query, "duckdb") if query else None
    return Model(
        name=name,
        path=f"models/{name.replace('.', '/')}.sql",
        dialect="duckdb",
        kind=kind or Full(),
        query=query,
        rendered=query,
        references=facts.references if facts else (),
        depends_on=facts.depends_on if facts else (),
        output=facts.output if facts else None,
        has_star=facts.has_star if facts else False,
        physical_schema=f"isomesh__{name.split('.', maxsplit=1)[0]}",
        **{"start": "2023-12-30", **properties},  # type: ignore[arg-type]
    )


def graph(*models: Model) -> ModelGraph:
    """The graph of the models."""
    return build_graph({one.name: one for one in models})


class System:
    """Stands for state and warehouse: what is built and what environments show."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], list[Snapshot]] = {}
        self.recorded: dict[str, tuple] = {}
        self.environments: dict[str, Environment] = {}
        self.by_id: dict = {}
        self.choices: Mapping[str, Category] = {}
        self.automatic = AutoCategorize()

    def decision(
        self, new: ModelGraph, environment: str = "prod", convention: Convention = "schema_and_table"
    ) -> Decision:
        shown = self.shown(environment)
        prints = fingerprints(new, {name: own(one) for name, one in new.models.items()})
        difference = diff(new, prints, shown)
        known = [
            snapshot for name in difference.changed for snapshot in self.known.get((name, prints[name].identity), [])
        ]
        return decide(
            new,
            prints,
            shown,
            difference,
            known,
            ColumnCatalog(new.models),
            frozenset(self.recorded),
            choices=self.choices,
            automatic=self.automatic,
            convention=convention,
        )

    def shown(self, environment: str) -> Mapping[str, Snapshot]:
        current = self.environments.get(environment) or self.environments.get("prod")
        return {} if current is None else {n: self.by_id[i] for n, i in current.target.snapshots.items()}

    def plan(
        self,
        new: ModelGraph,
        environment: str = "prod",
        now: int = NOW,
        vouched: Iterable[Snapshot] = (),
        layer: Layer = LAYER,
    ) -> Plan:
        current = self.environments.get(environment)
        compared = current or self.environments.get("prod")
        return build_plan(
            layer=layer,
            environment=environment,
            current=current,
            compared_with=compared.name if compared else None,
            shown=self.shown(environment),
            graph=new,
            decision=self.decision(new, environment),
            known=set(self.by_id),
            recorded=self.recorded,
            now=now,
            vouched=vouched,
        )

    def apply(self, plan: Plan) -> Plan:
        for snapshot in plan.snapshots.values():
            self.by_id[snapshot.id] = snapshot
            known = self.known.setdefault((snapshot.name, snapshot.fingerprint.identity), [])
            if snapshot not in known:
                known.append(snapshot)
        for step in plan.builds:
            done = self.recorded.get(str(step.snapshot.physical), ())
            self.recorded[str(step.snapshot.physical)] = tuple(sorted({*done, *step.intervals}))
        if plan.promote is not None:
            before = self.environments.get(plan.environment)
            self.environments[plan.environment] = Environment(
                name=plan.environment,
                plan_id=plan.id,
                number=before.number + 1 if before else 1,
                target=plan.promote.target,
                promoted_at=plan.execution_time,
            )
        return plan
