"""What is good to do once a day: schedules that wait for somebody to switch them on.

In one deployment only: of two that serve the same gateway, one is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import doctor

JANITOR = "janitor"
_DAILY = (
    (doctor.JOB, "0 5 * * *", "Look once a day whether somebody changed views or tables by hand."),
    (JANITOR, "0 4 * * *", "Remove once a day what nothing needs any more: tables, history, ended environments."),
)


def daily_schedules(jobs: Sequence[Any]) -> list[dg.ScheduleDefinition]:
    """A schedule `<job>_daily` for each of these among the project's `jobs`; stopped, until somebody switches it on."""
    by_name = {job.name: job for job in jobs}
    return [
        dg.ScheduleDefinition(name=f"{name}_daily", job=by_name[name], cron_schedule=cron, description=description)
        for name, cron, description in _DAILY
    ]
