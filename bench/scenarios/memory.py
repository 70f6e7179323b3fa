"""Memory of the server and of workers, and what being idle costs."""

from __future__ import annotations

import statistics
import time

from bench import procfs
from bench.client import until
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple


def run(system: System, report: Report, options: Options) -> None:
    """With one builder, with a thousand, with many workers."""

    def add(key: str, what: str, unit: str, value: float, goal: str = "") -> None:
        report.add(system.name, Figure(f"memory.{key}", what, unit, False, goal), value)

    for builders in (1, 1000):
        system.prepare(simple(["true"], builders=builders))
        system.start_all()
        system.quiet()
        time.sleep(2)
        goal = "20" if builders == 1 else ""
        add(f"idle{builders}", f"server RSS idle, 1 worker, {builders} builders", "MB", rss(system) / 1e6, goal)
        system.stop()

    fleet = 40 if options.quick or (system.expected_rate < 30 and not options.full) else 100
    system.prepare(simple(["true"], workers=fleet))
    system.start()
    system.quiet()
    names = [worker.name for worker in system.setup.workers]
    starts = [system.start_worker(names[0])]
    system.quiet()
    one = rss(system)
    starts += [system.start_worker(name) for name in names[1:10]]
    begin = time.monotonic()
    for name in names[10:]:
        system.start_worker(name, wait=False)
    client = system.client()
    until("all workers connect", lambda: system.connected_count(client) == fleet, poll=0.02)
    rest = time.monotonic() - begin
    client.close()
    system.quiet()
    time.sleep(1)
    all_of_them = rss(system)
    processes = [process.pid for process in system.workers.values()]
    add("connected", f"server memory per connected worker, of {fleet}", "kB",
        (all_of_them - one) / (fleet - 1) / 1e3, "15")
    add("worker", "worker process RSS idle", "MB",
        statistics.median(procfs.status(pid, "VmRSS") for pid in processes) / 1e6, "6")
    add("private", "worker process private memory", "MB",
        statistics.median(procfs.private(pid) for pid in processes) / 1e6)
    add("start", "worker started until connected", "ms", 1e3 * statistics.median(starts))
    add("fleet", f"{fleet - 10} workers at once until connected", "s", rest)
    idle = 20 if options.full else 5
    meter = procfs.Meter(system.server_pids(), system.worker_pids())
    time.sleep(idle)
    usage = meter.stop()
    add("server_cpu", f"server CPU idle with {fleet} workers", "ms/s", 1e3 * usage.server / idle)
    add("worker_cpu", "worker CPU idle, each", "ms/s", 1e3 * usage.workers / idle / fleet)
    system.stop()


def rss(system: System) -> int:
    """The server's."""
    return procfs.rss(system.server_pids())
