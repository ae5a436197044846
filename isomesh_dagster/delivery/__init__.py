"""Delivery: what is done about the refs of a repository: the deploy branch drives `prod`, others get previews.

Here:     what is due (`due`, pure), what is asked before a deploy (`gates`, pure), doing it (`work`), what comes before
          and after: refs, commits, records (`delivery`), and what people are told about it (`report`, `tell`), the
          repository's host too, which knows what is open (`host`).
Not here: fetching (`git/`), compiling and planning (`project/`), when it happens (`cli/`, `definitions/sensors`).
Imports:  project and below; the standard library's HTTP client is used in `host` only.
Decided:  settings of systems come from where this runs, models from the commit. What was done about a ref is in the
          state, so that any machine goes on where another stopped. A commit is looked at once: one that fails is told
          once and waits for the next push, or for somebody who asks again.
"""

from isomesh_dagster.delivery.delivery import Delivery
from isomesh_dagster.delivery.due import Deploy, Due, Expire, Preview
from isomesh_dagster.delivery.report import Report

__all__ = ["Delivery", "Deploy", "Due", "Expire", "Preview", "Report"]
