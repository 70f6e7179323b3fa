"""`python3 -m bench`: measures Ironmaster beside Buildbot. `make bench` calls it."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Iterator

from bench import machine, procfs
from bench.client import Generator, be_preferred
from bench.report import Report
from bench.scenarios import Options, burst, configuration, crash, files, fleet, history, latency, logs, memory, startup, throughput
from bench.systems.base import System
from bench.systems.buildbot import Buildbot, install
from bench.systems.crossed import BuildbotWithOurs, IronmasterWithStock
from bench.systems.ironmaster import Ironmaster

ROOT = Path(__file__).resolve().parent.parent

SCENARIOS: dict[str, ModuleType] = {
    "throughput": throughput,
    "latency": latency,
    "logs": logs,
    "files": files,
    "memory": memory,
    "startup": startup,
    "configuration": configuration,
    "history": history,
    "crash": crash,
    "burst": burst,
    "fleet": fleet,
}
#: These vary most with what else the machine does.
REPEATED = ("throughput", "latency", "burst")


def main() -> int:
    arguments = parse()
    os.chdir(ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
    programs = target / "release"
    if arguments.build:
        build(programs)
    generator = Generator(programs / "examples/load")
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=target))
    systems: list[System] = []
    if arguments.crossed:
        stock = install(ROOT)
        if arguments.crossed == "worker":
            systems.append(BuildbotWithOurs(folder / "ours", generator, programs=stock, ours=programs))
        else:
            systems.append(IronmasterWithStock(folder / "ours", generator, programs=programs, stock=stock))
        systems.append(Buildbot(folder / "buildbot", generator, programs=stock))
    elif arguments.only != "buildbot":
        systems.append(Ironmaster(folder / "ironmaster", generator, programs=programs))
    if not arguments.crossed and arguments.only != "ironmaster":
        systems.append(Buildbot(folder / "buildbot", generator, programs=install(ROOT)))
    # What was started is ended, also when somebody stops us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(arguments.full, arguments.quick)
    report = Report([system.name for system in systems])
    status = 0
    try:
        facts = machine.facts(folder)
        if not be_preferred():
            report.note("not run by root, so at the same priority as everything else on the machine")
        for name, round_, system in plan(arguments.scenarios, systems, arguments.rounds, options):
            said, known = time.monotonic(), {key: len(values) for key, values in report.values.items()}
            try:
                SCENARIOS[name].run(system, report, options)
            except Exception as error:  # Figures of the others are worth having.
                status = 1
                report.note(f"{name} of {system.name} failed: {error}")
                print(f"{name} of {system.name} failed: {error!r}", file=sys.stderr)
                if not arguments.keep_going:
                    raise
            finally:
                system.stop()
            print(f"{name}, round {round_}, {system.name}: {time.monotonic() - said:.0f} s", file=sys.stderr)
            for line in report.news(known):
                print("   ", line, file=sys.stderr)
            sys.stderr.flush()
        if arguments.limits:
            limits(report, programs, folder)
    finally:
        for system in systems:
            system.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(f"- {fact}" for fact in facts))
    print()
    print(report.table())
    return status


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="which ones; all if none is named")
    parser.add_argument("--only", choices=["ironmaster", "buildbot"], help="measure this system alone")
    parser.add_argument("--crossed", choices=["worker", "master"],
                        help="beside all of Buildbot: its master with our worker, or our master with its worker (throughput and logs)")
    parser.add_argument("--full", action="store_true", help="all sizes and repetitions (about an hour)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--rounds", type=int, default=2, help="how often at most each system has its turn")
    parser.add_argument("--limits", action="store_true", help="also measure what the machine can do at most")
    parser.add_argument("--build", action="store_true", help="compile the programs first")
    parser.add_argument("--keep", action="store_true", help="leave the servers' folders behind")
    parser.add_argument("--keep-going", action="store_true", help="go on after a scenario that failed")
    parser.add_argument("--patience", type=float, default=procfs.patience, metavar="SECONDS",
                        help="how long to wait for a quiet machine before each run (it may never be quiet)")
    arguments = parser.parse_args()
    procfs.patience = arguments.patience
    arguments.scenarios = arguments.scenarios or (["throughput", "logs"] if arguments.crossed else list(SCENARIOS))
    return arguments


def plan(names: list[str], systems: list[System], most: int, options: Options) -> Iterator[tuple[str, int, System]]:
    """In turn: A B, and once more A B where the machine's noise matters most."""
    for name in names:
        rounds = 2 if options.full or (name in REPEATED and not options.quick) else 1
        for round_ in range(1, min(most, rounds) + 1):
            for system in systems:
                yield name, round_, system


def build(programs: Path) -> None:
    """The programs that are measured and those that measure, in release builds."""
    cargo = ["cargo", "build", "--locked", "--release", "--quiet"]
    subprocess.run([*cargo, "-p", "ironmaster", "-p", "ironmaster-worker"], check=True)
    subprocess.run([*cargo, "-p", "ironmaster-store", "--example", "make_history"], check=True)
    # It needs the standard library only; cargo would compile everything that the room's tests need.
    subprocess.run([*cargo, "-p", "ironmaster-worker", "--example", "fleet"], check=True)
    (programs / "examples").mkdir(exist_ok=True)
    rustc = ["rustc", "--edition", "2024", "-O", "crates/api/examples/load.rs", "-o", programs / "examples/load"]
    subprocess.run(rustc, check=True)


def limits(report: Report, programs: Path, folder: Path) -> None:
    """What the machine can do, and what share of it was reached."""
    spawns, syncs = machine.spawns(), machine.syncs(folder)
    report.note(f"this machine forks and executes `true` {spawns:,.0f} times a second with all its cores")
    rates = report.values.get(("throughput.W1x8.rate", "Ironmaster"))
    if rates:
        report.note(f"of that, Ironmaster's builds reach {max(rates) / spawns:.0%}")
    report.note(f"fdatasync of 4 KiB more: {syncs:,.0f} times a second")


if __name__ == "__main__":
    sys.exit(main())
