"""The front door: one project under one gateway.

    project = Project.load(".", gateway="production")
    plan = project.plan("prod")
    for event in project.apply(plan): ...

Here: `front` is the door itself, on `questions` (what only reads) on `files` (what the files say); `system` the
gateway's state and warehouse (opened on first use); `planning` how a plan comes from files and state, with `scope`
(models that are named), `restating`, `migrating` and `elsewhere` (what prod's migrations mean for other environments),
`intervals` and `timing`; `declaring` what loading lacks; `recorded` the files of decisions, `kept` plans that wait;
`compiling` a commit apart from everything; `losses` what readers would miss; `checking` lint and unit tests; `adopting`
a state that was lost; `upkeep` what keeps a system healthy without looking at the files (migrate, export, import,
examine); `clock` the one place that reads the clock. Not here: what is decided (`plan/`) and done (`execution/`).
Imports everything below; the command line and Dagster import this.
"""

from isomesh_dagster.project.front import Project
from isomesh_dagster.project.system import FOLDER

__all__ = ["FOLDER", "Project"]
