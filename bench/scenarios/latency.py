"""How long it takes from a change, or a request, until the command runs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench.client import Client, until
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple

THROWN_AWAY = 3


def run(system: System, report: Report, options: Options) -> None:
    """Changes and requests, one at a time, on an idle server."""
    kept = 30 if options.full else 15
    stamps = system.folder.parent / "stamps"
    stamps.unlink(missing_ok=True)
    system.prepare(simple(["sh", "-c", f"date +%s.%N >> {stamps}"]))
    system.start_all()
    client = system.client()
    system.warm_up(client)
    [builder] = system.builder_ids(client)
    lines = len(stamps.read_text().splitlines())

    changes = []
    for number in range(THROWN_AWAY + kept):
        wait_until_idle(client)
        begin = time.time()
        system.change(client, f"{number + 1:040x}")
        began = until("the command runs", lambda: next_stamp(stamps, lines), poll=0.002)
        lines += 1
        changes.append(1e3 * (began - begin))
    requests, complete = [], []
    for _ in range(THROWN_AWAY + kept):
        wait_until_idle(client)
        begin = time.time()
        request = system.request(client, builder)
        system.wait(client, [request], poll=0.02)
        complete.append(1e3 * (time.time() - begin))
        requests.append(1e3 * (float(stamps.read_text().splitlines()[lines]) - begin))
        lines += 1
    system.stop()

    def add(key: str, what: str, values: list[float], goals: tuple[str, str] = ("", "")) -> None:
        kept_values = sorted(values[THROWN_AWAY:])
        p95 = kept_values[min(len(kept_values) - 1, round(0.95 * len(kept_values)))]
        median = Figure(f"latency.{key}.median", f"{what}, median", "ms", False, goals[0])
        report.add(system.name, median, statistics.median(kept_values))
        report.add(system.name, Figure(f"latency.{key}.p95", f"{what}, p95", "ms", False, goals[1]), p95)

    add("change", "change posted until command runs", changes, ("5", "10"))
    add("request", "request until command runs", requests)
    add("complete", "request until complete (polled each 20 ms)", complete)


def wait_until_idle(client: Client) -> None:
    """Nothing runs, and nothing has for half a second."""
    until("nothing runs", lambda: not client.get("builds?complete=false&limit=1")["builds"])
    time.sleep(0.5)


def next_stamp(stamps: Path, lines: int) -> float | None:
    """The time on the line after so many lines, once it is there."""
    text = stamps.read_text()
    found = text.splitlines()
    return float(found[lines]) if len(found) > lines and text.endswith("\n") else None
