"""`IsomeshProjectComponent`: a project in a `defs.yaml`.

type: isomesh_dagster.IsomeshProjectComponent
attributes:
project: ../../shop
gateway: "{{ env.ISOMESH_GATEWAY }}"
"""

# no postponed annotations: Dagster reads those of components when it makes their schema
import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import dagster as dg
from dagster.components import ComponentLoadContext, Scaffolder, ScaffoldRequest, scaffold_component, scaffold_with
from pydantic import BaseModel, Field, field_validator

from isomesh_dagster.config.file import find_config
from isomesh_dagster.definitions.build import build_definitions
from isomesh_dagster.definitions.settings import IsomeshTranslatorSettings, says
from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.errors import ConfigError


class ScaffoldParameters(BaseModel):
    """What `dg scaffold defs` asks for."""

    project: str = Field(
        default=".",
        validate_default=True,
        description="The folder of config.yaml, from where the command is run.",
    )

    @field_validator("project")
    @classmethod
    def _is_there(cls, value: str) -> str:
        try:
            find_config(Path(value))
        except ConfigError as error:
            raise ValueError(f"{error.message}; name the project's folder with --project") from None
        return value


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
    """A project of SQL models on virtual environments: assets, checks, environments, jobs and sensors."""

    project: Annotated[str, says("The folder of config.yaml, relative to this file's.")] = "."
    gateway: Annotated[
        str | None, says("By default the environment variable ISOMESH_GATEWAY, else the configuration's default.")
    ] = None
    translator: Annotated[
        str | None, says("How models look: a subclass of IsomeshTranslator, as package.module.Class.")
    ] = None
    settings: Annotated[IsomeshTranslatorSettings, says("What definitions show.")] = IsomeshTranslatorSettings()
    externals: Annotated[bool, says("Whether external tables that nothing else defines get an asset.")] = True
    run_when_due: Annotated[
        bool | None,
        says("Whether the sensor that loads what is due is on from the start; by default not under `dagster dev`."),
    ] = None

    def build_defs(self, context: ComponentLoadContext) -> dg.Definitions:
        """The definitions. Raises ConfigError for attributes that are wrong, and what `build_definitions` raises."""
        return build_definitions(
            (context.path / self.project).resolve(),
            gateway=self.gateway or None,
            translator=_translator(self.translator, self.settings),
            externals=self.externals,
            run_when_due=self.run_when_due,
        )


def _translator(place: str | None, settings: IsomeshTranslatorSettings) -> IsomeshTranslator:
    if place is None:
        return IsomeshTranslator(settings)
    module, _, name = place.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no translator {place!r}: {error}", hint="write it as package.module.Class") from None
    if not (isinstance(found, type) and issubclass(found, IsomeshTranslator)):
        raise ConfigError(f"{place!r} is no subclass of IsomeshTranslator")
    return found(settings)
