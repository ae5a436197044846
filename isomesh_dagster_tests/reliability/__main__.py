"""The long runs: `python -m isomesh_dagster_tests.reliability crash --warehouse postgres --state inside --kills 500`.

crash    random lives with kills; prints a table of works, kills, torn reads, problems; exits with 1 when there are any
readers  promotions of many views under readers on Postgres; prints torn reads, errors, longest waits
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from isomesh_dagster_tests.postgres_server import server as new_server
from isomesh_dagster_tests.reliability.lab import COMBINATIONS
from isomesh_dagster_tests.reliability.life import Tally, live
from isomesh_dagster_tests.reliability.readers import promote_under_readers


def crash(options: argparse.Namespace) -> bool:
    """Lives until there are enough kills; whether all is well."""
    server = new_server() if "postgres" in (options.warehouse, options.state) or options.state == "inside" else None
    tally, usual = Tally(), {}
    began = time.monotonic()

    def enough() -> bool:
        return sum(tally.kills.values()) >= options.kills or time.monotonic() - began > options.minutes * 60

    number = 0
    try:
        while not enough() and len(tally.problems) < options.problems:
            seed = options.seed + number
            number += 1
            before = len(tally.problems)
            with tempfile.TemporaryDirectory(prefix="isomesh-crash-") as folder:
                live(
                    Path(folder) / "project",
                    options.warehouse,
                    options.state,
                    server,
                    random.Random(seed),
                    tally,
                    steps=options.steps,
                    usual=usual,
                    enough=enough,
                )
            print(
                f"life {number} (seed {seed}): {sum(tally.works.values())} works, {sum(tally.kills.values())} kills, "
                f"{len(tally.torn)} of {tally.reads} reads torn, {len(tally.problems)} problems, "
                f"{time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            for problem in tally.problems[before:]:
                print(f"  seed {seed}: {problem}", file=sys.stderr, flush=True)
    finally:
        if server is not None:
            server.stop()
    print(report(options, tally, time.monotonic() - began))
    return not (tally.problems or tally.torn or tally.errors)


def report(options: argparse.Namespace, tally: Tally, seconds: float) -> str:
    """The run as Markdown."""

    def counts(counted: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "none"

    observed = f"{len(tally.torn)} / {tally.reads}" if tally.reads else "nobody can read beside"
    rows = [
        ("works", f"{sum(tally.works.values())} ({counts(tally.works)})"),
        ("kills", f"{sum(tally.kills.values())} ({counts(tally.kills)})"),
        ("killed at", counts(tally.points)),
        ("environment after a kill", counts(tally.after)),
        ("verified", f"{tally.verified} times"),
        ("refused", counts(tally.refused)),
        ("torn / reads", observed),
        ("reader errors", str(len(tally.errors))),
        ("longest read", f"{tally.longest:.2f} s"),
        ("problems", str(len(tally.problems))),
        ("took", f"{seconds:.0f} s"),
    ]
    lines = [f"| warehouse {options.warehouse}, state {options.state} | seed {options.seed} |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += [f"\nproblem: {text}" for text in (*tally.problems, *tally.torn[:5], *tally.errors[:5])]
    return "\n".join(lines)


def readers(options: argparse.Namespace) -> bool:
    """Promotions under readers for every number of views; whether nobody was disturbed."""
    server = new_server()
    well = True
    print("| views | promotions | seconds each | reads | torn | reader errors | longest wait s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    try:
        for views in options.views:
            with tempfile.TemporaryDirectory(prefix="isomesh-readers-") as folder, server.database() as place:
                seen = promote_under_readers(
                    Path(folder), place, views=views, readers=options.readers, rounds=options.rounds
                )
            took = f"{min(seen.promotions):.2f} to {max(seen.promotions):.2f}"
            cells = (views, len(seen.promotions), took, seen.reads, seen.torn, len(seen.errors), f"{seen.longest:.2f}")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            well = well and not seen.torn and not seen.errors
    finally:
        server.stop()
    return well


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m isomesh_dagster_tests.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("crash", help="random lives with kills")
    command.add_argument("--warehouse", choices=("duckdb", "catalogs", "postgres"), default="postgres")
    command.add_argument("--state", choices=("sqlite", "postgres", "inside"), default="sqlite")
    command.add_argument("--kills", type=int, default=500, help="end after so many (default: %(default)s)")
    command.add_argument("--minutes", type=float, default=600, help="or after so many minutes")
    command.add_argument("--seed", type=int, default=0, help="of the first life; the next ones count up")
    command.add_argument("--steps", type=int, default=15, help="pieces of work in a life (default: %(default)s)")
    command.add_argument("--problems", type=int, default=1, help="end after so many problems")
    command.set_defaults(run=crash)
    command = commands.add_parser("readers", help="promotions of many views on Postgres under readers")
    command.add_argument("--views", type=int, nargs="+", default=[10, 100, 1000])
    command.add_argument("--readers", type=int, default=8)
    command.add_argument("--rounds", type=int, default=10, help="promotions for each number (default: %(default)s)")
    command.set_defaults(run=readers)
    options = parser.parse_args()
    if options.run is crash and (options.warehouse, options.state) not in COMBINATIONS:
        parser.error("state is inside a Postgres warehouse only")
    sys.exit(0 if options.run(options) else 1)


if __name__ == "__main__":
    main()
