"""How long a large configuration takes to be read and checked, in each spelling."""

from __future__ import annotations

import resource
import subprocess
import time
from pathlib import Path

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple
from bench.systems.ironmaster import Ironmaster

#: Steps of each builder.
STEPS = 3


def run(system: System, report: Report, options: Options) -> None:
    """Builders of three steps, each with a worker of its own label and a scheduler of its own."""
    if not isinstance(system, Ironmaster):
        return
    builders = 1000 if options.quick else 10_000
    system.prepare(simple(["true"]))
    for spelling, name, text in (("TOML", "large.toml", toml(builders)), ("Starlark", "large.star", starlark(builders))):
        (system.folder / name).write_text(text)
        command = [str(system.programs / "ironmaster"), "check", name]
        for _ in range(3):
            procfs.wait_for_machine()
            wall, cpu = timed(command, system.folder)
            what = f"check of {builders} builders in {spelling}"
            report.add(system.name, Figure(f"configuration.{spelling}.wall", what, "s", False), wall)
            report.add(system.name, Figure(f"configuration.{spelling}.cpu", f"processor time of it, {spelling}", "s", False), cpu)


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor time of a command that must succeed."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def toml(builders: int) -> str:
    """As a program would write it."""
    lines = []
    for n in range(100):
        lines += ["[[worker]]", f'name = "w{n}"', f'token = "token-of-worker-{n:06}"', f'labels = ["l{n}"]']
    for n in range(builders):
        lines += ["[[builder]]", f'name = "b{n}"', f'workers = ["label:l{n % 100}"]', "[builder.env]", f'CC = "cc-{n % 7}"']
        for step in range(STEPS):
            lines += ["[[builder.step]]", 'type = "shell"', f'name = "s{step}"', f'command = ["make", "part-{step}", "N={n}"]']
        lines += ["[[scheduler]]", f'name = "on-{n}"', 'type = "single_branch"', 'branch = "main"', f'files = ["part-{n}/**"]', f'builders = ["b{n}"]']
    return "\n".join(lines) + "\n"


def starlark(builders: int) -> str:
    """The same with loops."""
    return f"""
for n in range(100):
    worker("w%d" % n, token = "token-of-worker-" + ("000000" + str(n))[-6:], labels = ["l%d" % n])

def made(n):
    return builder(
        "b%d" % n,
        workers = ["label:l%d" % (n % 100)],
        env = {{"CC": "cc-%d" % (n % 7)}},
        steps = [
            shell(["make", "part-%d" % step, "N=%d" % n], name = "s%d" % step)
            for step in range({STEPS})
        ],
    )

for n in range({builders}):
    scheduler("on-%d" % n, type = "single_branch", branch = "main", files = ["part-%d/**" % n], builders = [made(n)])
"""
