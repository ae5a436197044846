"""`IsomeshProjectComponent`: a project in a `defs.yaml`.

type: isomesh_dagster.IsomeshProjectComponent
attributes:
project: ../../shop
gateway: "{{ env.ISOMESH_GATEWAY }}"
"""

# no postponed annotations: Dagster reads those of components when it makes their schema
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import dagster as dg
from dagster.components import ComponentLoadContext, Scaffolder, ScaffoldRequest, scaffold_component, scaffold_with
from pydantic import BaseModel, Field

from isomesh_dagster.definitions.build import build_definitions
from isomesh_dagster.definitions.translator import IsomeshTranslator, IsomeshTranslatorSettings
from isomesh_dagster.errors import ConfigError


class ScaffoldParameters(BaseModel):
    """What `dg scaffold defs` asks for."""

    project: str = Field(default=".", description="The folder of config.yaml, from where the command is run.")


class IsomeshProjectScaffolder(Scaffolder[ScaffoldParameters]):
    """Writes the `defs.yaml` of a project that is there."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParameters]:
        """The parameters of the command."""
        return ScaffoldParameters

    def scaffold(self, request: ScaffoldRequest[ScaffoldParameters]) -> None:
        """Write the file; the project's folder is written relative to it."""
        folder = os.path.relpath(os.path.abspath(request.params.project), request.target_path.resolve())
        scaffold_component(request, {"project": folder.replace(os.sep, "/")})


@scaffold_with(IsomeshProjectScaffolder)
class IsomeshProjectComponent(dg.Component, dg.Model, dg.Resolvable):
    """All of a project: models, environments, jobs, sensors.

    project       the folder of config.yaml, relative to this file's
    gateway       by default the environment variable ISOMESH_GATEWAY, else the configuration's default
    translator    a subclass of IsomeshTranslator, as `package.module.Class`
    settings      settings of the translator, by name
    externals     whether external tables that nothing else defines get an asset
    run_when_due  whether the sensor that loads what is due is on from the start; by default not under `dagster dev`
    """

    project: str = "."
    gateway: str | None = None
    translator: str | None = None
    settings: dict[str, bool] = Field(default_factory=dict)
    externals: bool = True
    run_when_due: bool | None = None

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:
        """The definitions. Raises ConfigError for attributes that are wrong, and what `build_definitions` raises."""
        return build_definitions(
            (context.path / self.project).resolve(),
            gateway=self.gateway or None,
            translator=_translator(self.translator, self.settings),
            externals=self.externals,
            run_when_due=self.run_when_due,
        )


def _translator(place: str | None, settings: Mapping[str, Any]) -> IsomeshTranslator:
    known = IsomeshTranslatorSettings.__dataclass_fields__
    if unknown := sorted(settings.keys() - known):
        raise ConfigError(f"no setting is named {unknown[0]!r}", hint=f"known are {', '.join(known)}")
    made = IsomeshTranslatorSettings(**settings)
    if place is None:
        return IsomeshTranslator(made)
    module, _, name = place.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no translator {place!r}: {error}", hint="write it as package.module.Class") from None
    if not (isinstance(found, type) and issubclass(found, IsomeshTranslator)):
        raise ConfigError(f"{place!r} is no subclass of IsomeshTranslator")
    return found(made)
