"""The API, and builds, on top of a long history."""

from __future__ import annotations

import time

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple

CONNECTIONS = 8


def run(system: System, report: Report, options: Options) -> None:
    """An empty database first, then a long one."""
    history = 10_000 if options.quick else 100_000
    before = measure(system, report, options, 0)
    after = measure(system, report, options, history)
    figure = Figure("history.share", f"builds/s with {history:,} builds of history, of those without", "×", True, "1.0")
    report.add(system.name, figure, after / before)


def measure(system: System, report: Report, options: Options, history: int) -> float:
    """Returns builds per second on top of that history."""

    def add(key: str, what: str, unit: str, value: float, more: bool | None = False, goal: str = "") -> None:
        shown = f"history {history:,}: {what}"
        report.add(system.name, Figure(f"history.{history}.{key}", shown, unit, more, goal), value)

    system.prepare(simple(["true"], builders=10))
    system.fill(history)
    add("storage", "storage", "MB", system.storage() / 1e6)
    add("start", "start", "s", system.start())
    system.quiet()
    if history:
        questions(system, add, options, history)
    system.start_worker("worker-1")
    client = system.client()
    system.warm_up(client)
    count = 20 if system.expected_rate < 30 else int(2 * system.expected_rate)
    builders = system.builder_ids(client)
    rates = []
    for _ in range(3 if system.expected_rate > 30 else 1):
        procfs.wait_for_machine()
        begin = time.monotonic()
        _, requests = system.request_many(builders, count, 2)
        system.wait_for_all(client, requests)
        rates.append(count / (time.monotonic() - begin))
        system.quiet()
    system.check_success(client)
    add("rate", "builds, 1 slot", "builds/s", max(rates), True)
    system.stop()
    return max(rates)


def questions(system: System, add: object, options: Options, history: int) -> None:
    """What pages ask for."""
    client = system.client()
    builder = system.builder_ids(client)[4]
    middle = history // 2
    paths = {
        "builders": "/api/v2/builders",
        "newest 100 builds": "/api/v2/builds?order=-buildid&limit=100",
        "newest 50 builds of a builder with properties":
            f"/api/v2/builders/{builder}/builds?order=-number&limit=50&property=*",
        "one build": f"/api/v2/builds/{middle}",
    }
    goals = ("16,800", "2,000", "730", "27,400")
    seconds = 8.0 if options.full else 3.0
    for (name, path), goal in zip(paths.items(), goals, strict=True):
        for connections in (1, CONNECTIONS):
            procfs.wait_for_machine(5.0)
            load = system.generator.get(system.port, connections, seconds, path)
            key = f"{name}.{connections}"
            if load.errors:
                raise RuntimeError(f"{system.name}: {load.errors} errors at {path}")
            many = connections == CONNECTIONS
            label = f"{name}, {connections} connection{'s' if many else ''}"
            add(key, label, "requests/s", load.replies / load.seconds, True, goal if many else "")  # type: ignore[operator]
            if many:
                add(key + ".p99", f"{label}, p99", "ms", load.p99_ms, False, "5")  # type: ignore[operator]
                add(key + ".bytes", f"{name}, size of the reply", "bytes", load.bytes, None)  # type: ignore[operator]
                if load.stalled:
                    add(key + ".stalled", f"{label}, stalled", "replies", load.stalled)  # type: ignore[operator]
