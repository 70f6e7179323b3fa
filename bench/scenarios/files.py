"""How fast a file gets from a worker to the server, and from the server to a worker."""

from __future__ import annotations

import filecmp
import time

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.scenarios.logs import text_file
from bench.systems.base import Builder, Setup, System, simple


def run(system: System, report: Report, options: Options) -> None:
    """One file there and back. The times are those of whole builds, a copy and a comparison of the file on the worker included."""
    label, size = ("10 MB", 10_000_000) if options.quick else ("100 MB", 100_000_000)
    path = text_file(system.folder.parent, size)
    setup = simple(["true"])
    names = [worker.name for worker in setup.workers]
    up = Builder("up", ["cp", str(path), "file"], names, upload=("file", "uploaded"))
    down = Builder("down", ["cmp", str(path), "file"], names, download=("uploaded", "file"))
    system.prepare(Setup([up, down, *setup.builders], setup.workers))
    system.start_all()
    client = system.client()
    upload, download, true = system.builder_ids(client)
    system.wait(client, [system.request(client, true)])
    for key, what, builder in [("up", "from worker to server", upload), ("down", "from server to worker", download)]:
        system.quiet()
        procfs.wait_for_machine()
        server = system.server_pids()
        idle = procfs.rss(server)
        procfs.reset_peak(server)
        meter = procfs.Meter(server, system.worker_pids())
        begin = time.monotonic()
        [result] = system.wait(client, [system.request(client, builder)], poll=0.01)
        seconds = time.monotonic() - begin
        usage = meter.stop()
        if result:
            raise RuntimeError(f"{system.name}: the build that moves a file ended with {result}")
        rate = Figure(f"files.{label}.{key}", f"{label} file {what}", "MB/s", True)
        report.add(system.name, rate, path.stat().st_size / 1e6 / seconds)
        cpu = Figure(f"files.{label}.{key}.server", f"{label} file {what}: server CPU", "s")
        report.add(system.name, cpu, usage.server)
        peak = Figure(f"files.{label}.{key}.peak", f"{label} file {what}: server RSS, peak over idle", "MB")
        report.add(system.name, peak, (procfs.peak(server) - idle) / 1e6)
    if not filecmp.cmp(path, system.uploaded("uploaded"), shallow=False):
        raise RuntimeError(f"{system.name}: the uploaded file differs")
    system.stop()
