"""A hundred requests at the same moment, each on a new connection."""

from __future__ import annotations

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple

REQUESTS = 100


def run(system: System, report: Report, options: Options) -> None:
    """Bursts on one server."""
    system.prepare(simple(["true"], workers=8))
    system.start_all()
    client = system.client()
    system.warm_up(client, 8)
    builders = system.builder_ids(client)
    for _ in range(3 if options.full or system.expected_rate > 30 else 1):
        procfs.wait_for_machine()
        load, requests = system.request_many(builders, REQUESTS, REQUESTS)
        results = system.wait(client, requests)
        lost = REQUESTS - len(set(requests)) + sum(result != 0 for result in results)

        def add(key: str, what: str, unit: str, value: float) -> None:
            report.add(system.name, Figure(f"burst.{key}", f"burst of {REQUESTS}: {what}", unit, False), value)

        add("errors", "errors and lost requests", "requests", load.errors + load.stalled + lost)
        add("last", "until the last reply", "ms", 1e3 * load.seconds)
        add("median", "median reply", "ms", load.p50_ms)
    system.stop()
