"""How many trivial builds a second, and what one costs."""

from __future__ import annotations

from dataclasses import dataclass

from bench import procfs
from bench.client import Load
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple

#: Name, workers, slots each, builders.
SHAPES = {"W1x8": (1, 8, 8), "W1x1": (1, 1, 1), "W8x1": (8, 1, 1)}
CLIENTS = 8
#: Cores that everything else may use before a run is repeated, once.
NOISE_MAX = 0.3


@dataclass(frozen=True)
class Run:
    """One measured run: until all was complete, and until the server was quiet again."""

    load: Load
    done: procfs.Usage
    usage: procfs.Usage


def run(system: System, report: Report, options: Options) -> None:
    """One measured run of each shape, on a server of its own."""
    for shape, (workers, slots, builders) in SHAPES.items():
        if shape != "W1x8" and not options.full:
            continue
        measure(system, report, options, shape, workers, slots, builders)


def measure(
    system: System, report: Report, options: Options, shape: str, workers: int, slots: int, builders: int
) -> None:
    """Runs one shape."""
    system.prepare(simple(["true"], builders=builders, workers=workers, slots=slots))
    system.start_all()
    client = system.client()
    system.warm_up(client, 16)
    # Busy for ten seconds at least, if it is fast.
    count = 300 if system.expected_rate > 30 or options.full else 60
    if system.expected_rate > 30:
        count = int(system.expected_rate * (3 if options.quick else 12))
    for _ in range(3 if options.full else 1):
        measured = once(system, count)
        if measured.done.noise > NOISE_MAX and (options.full or system.expected_rate > 30):
            again = once(system, count)
            measured = min(measured, again, key=lambda run: run.done.noise)
        done, usage = measured.done, measured.usage

        def add(key: str, what: str, unit: str, value: float, more: bool = False, goal: str = "") -> None:
            report.add(system.name, Figure(f"throughput.{shape}.{key}", f"{shape}: {what}", unit, more, goal), value)

        first = shape == "W1x8"
        add("rate", "trivial builds", "builds/s", count / done.seconds, True, "400" if first else "")
        add("accepted", "requests accepted", "requests/s", count / measured.load.seconds, True)
        add("server", "server CPU per build", "ms", 1e3 * usage.server / count, goal="1" if first else "")
        add("worker", "worker CPU per build", "ms", 1e3 * usage.workers / count)
        add("commands", "command CPU per build", "ms", 1e3 * usage.commands / count)
        add("rss", "server RSS afterwards", "MB", procfs.rss(system.server_pids()) / 1e6)
        report.add(system.name, Figure(f"throughput.{shape}.noise", f"{shape}: noise", "cores"), done.noise)
    system.stop()


def once(system: System, count: int) -> Run:
    """Asks for so many builds, and waits for them."""
    client = system.client()
    builders = system.builder_ids(client)
    procfs.wait_for_machine()
    meter = procfs.Meter(system.server_pids(), system.worker_pids())
    load, requests = system.request_many(builders, count, CLIENTS)
    system.wait_for_all(client, requests)
    done = meter.stop()
    system.quiet()
    usage = meter.stop()
    if load.errors or len(set(requests)) != count:
        raise RuntimeError(f"{system.name}: {load.errors} errors, {len(set(requests))} requests instead of {count}")
    system.check_success(client)
    client.close()
    return Run(load, done, usage)
