"""How long starting and reloading take."""

from __future__ import annotations

import os
import signal
import threading
import time

from bench import procfs
from bench.client import until
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import Builder, Setup, System, simple


def run(system: System, report: Report, options: Options) -> None:
    """With few builders and with many."""

    def add(key: str, what: str, unit: str, value: float, goal: str = "") -> None:
        report.add(system.name, Figure(f"startup.{key}", what, unit, False, goal), value)

    for builders in (10, 1000) if options.full else (1000,):
        system.prepare(simple(["true"], builders=builders))
        procfs.wait_for_machine()
        add(f"new{builders}", f"start, {builders} builders, new database", "s", system.start(), "0.1")
        system.quiet()
        system.stop()
        procfs.wait_for_machine()
        add(f"again{builders}", f"start, {builders} builders, after a stop", "s", system.start(), "0.1")
        system.start_worker("worker-1")
        system.quiet()

    meter = procfs.Meter(system.server_pids(), [])
    seconds, longest = reload(system)
    system.quiet()
    add("reload", "reload of 1000 unchanged builders", "s", seconds)
    add("reload_cpu", "server CPU of it", "s", meter.stop().server)
    add("reload_wait", "longest wait of a request during it", "ms", 1e3 * longest)
    old = system.setup
    new = Builder("one more", ["true"], [worker.name for worker in old.workers])
    system.setup = Setup([*old.builders, new], old.workers)
    system.write_configuration()
    seconds, _ = reload(system)
    add("reload_one", "reload with one builder more", "s", seconds)
    names = {builder["name"] for builder in system.client().get("builders?field=name")["builders"]}
    if new.name not in names:
        raise RuntimeError(f"{system.name} does not list the new builder after its reload")
    system.stop()


def reload(system: System) -> tuple[float, float]:
    """Reloads; returns how long it took, and the longest wait of a small request meanwhile."""
    done, longest = threading.Event(), [0.0]

    def ask() -> None:
        client = system.client()
        while not done.is_set():
            begin = time.monotonic()
            client.get("workers?limit=1")
            longest[0] = max(longest[0], time.monotonic() - begin)
            done.wait(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    before, begin = system.reloads(), time.monotonic()
    os.kill(system.server_pids()[0], signal.SIGHUP)
    until("the reload is over", lambda: system.reloads() > before, poll=0.005)
    seconds = time.monotonic() - begin
    done.set()
    asking.join()
    return seconds, longest[0]
