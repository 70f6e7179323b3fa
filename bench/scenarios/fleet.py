"""Very many workers that are only there: what each costs, and how they come back after a restart of the server."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import Setup, System, simple

#: Sessions of each protocol: the native one, and that of stock workers (Perspective Broker). The last is for `--full`.
SIZES = {"native": (1_000, 10_000), "pb": (100, 1_000)}


def run(system: System, report: Report, options: Options) -> None:
    """All sessions are made by one process, `fleet` (crates/worker/examples/fleet.rs)."""
    for kind, (usual, full) in SIZES.items():
        if kind in system.protocols:
            _run(system, report, kind, full if options.full else usual)


def _run(system: System, report: Report, kind: str, size: int) -> None:
    def add(key: str, what: str, unit: str, value: float) -> None:
        report.add(system.name, Figure(f"fleet.{kind}.{key}", f"{size:,} {kind} workers: {what}", unit, False, ""), value)

    setup = simple(["true"], workers=size)
    system.prepare(Setup(setup.builders, setup.workers, played=True))
    system.start()
    system.quiet()
    idle = procfs.rss(system.server_pids())
    command = [str(system.generator.program.parent / "fleet"), kind, system.worker_address(kind), str(size), system.password()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fleet:
        try:
            add("connect", "until all are connected", "s", _all(fleet)["seconds"])
            # So many signs of life are never quiet.
            time.sleep(3)
            add("memory", "server memory, each", "kB", (procfs.rss(system.server_pids()) - idle) / size / 1e3)
            meter = procfs.Meter(system.server_pids(), [])
            time.sleep(20)
            add("cpu", "server CPU idle", "ms/s", 1e3 * meter.stop().server / 20)
            system.stop_server()
            begin = time.monotonic()
            add("start", "restart until HTTP answers", "s", system.start())
            back = _all(fleet)
            add("back", "all back after the restart", "s", time.monotonic() - begin)
            add("peak", "most attempts to connect in 0.1 s meanwhile", "", back["peak"])
        finally:
            fleet.kill()
    system.stop()


def _all(fleet: subprocess.Popen[str]) -> dict[str, Any]:
    """What the fleet says when all of it is connected."""
    assert fleet.stdout is not None
    line = fleet.stdout.readline()
    if not line:
        raise RuntimeError("the fleet has ended")
    said: dict[str, Any] = json.loads(line)
    return said
