"""What a crash costs: of the server, and of a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.client import until
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import System, simple

REQUESTS = 20
SLOTS = 4


def run(system: System, report: Report, options: Options) -> None:
    """Kills the server once, and a worker once."""
    server(system, report)
    worker(system, report)


def command(marks: Path, seconds: int) -> list[str]:
    """Says when it starts and when it ends."""
    return ["sh", "-c", f'echo "S $(date +%s.%N)" >> {marks}; sleep {seconds}; echo "E $(date +%s.%N)" >> {marks}']


def times(marks: Path, kind: str) -> list[float]:
    """When commands have started (`S`) or ended (`E`)."""
    if not marks.exists():
        return []
    return [float(line.split()[1]) for line in marks.read_text().splitlines() if line.startswith(kind)]


def new_marks(system: System) -> Path:
    """A file for marks, empty."""
    marks = system.folder.parent / f"marks-{system.folder.name}"
    marks.unlink(missing_ok=True)
    return marks


def server(system: System, report: Report) -> None:
    """SIGKILL of the server in the middle of builds."""
    marks = new_marks(system)
    system.prepare(simple(command(marks, 5), workers=SLOTS))
    system.start_all()
    client = system.client()
    [builder] = system.builder_ids(client)
    requests = [system.request(client, builder) for _ in range(REQUESTS)]
    until("four have ended, eight have started",
          lambda: len(times(marks, "E")) >= SLOTS and len(times(marks, "S")) >= 2 * SLOTS)
    time.sleep(2)
    assert system.server is not None
    killed = time.time()
    system.server.kill()
    system.server.wait()
    time.sleep(1)
    system.start()
    answers = time.time() - killed
    client = system.client()
    results = system.wait(client, requests)
    started = [at - killed for at in times(marks, "S") if at > killed]
    twice = sum(
        len(client.get(f"builds?buildrequestid={request}")["builds"]) > 1 for request in requests
    )
    system.stop()

    def add(key: str, what: str, unit: str, value: float, better: bool | None = False) -> None:
        report.add(system.name, Figure(f"crash.server.{key}", f"server killed: {what}", unit, better), value)

    add("success", f"requests of {REQUESTS} that end in success", "requests", results.count(0), None)
    add("twice", "requests built more than once", "requests", twice)
    add("starts", f"commands started for {REQUESTS} requests", "commands", len(times(marks, "S")), None)
    add("answers", "until HTTP answers", "s", answers)
    add("first", "until the next command starts", "s", started[0])
    add("fourth", "until the fourth starts", "s", started[3])


def worker(system: System, report: Report) -> None:
    """SIGKILL of the worker process, not of its command."""
    marks = new_marks(system)
    system.prepare(simple(command(marks, 8)))
    system.start_all()
    client = system.client()
    [builder] = system.builder_ids(client)
    request = system.request(client, builder)
    until("the command starts", lambda: times(marks, "S"), poll=0.01)
    time.sleep(1)
    process = system.workers.pop("worker-1")
    os.kill(process.pid, 9)
    process.wait()
    killed = time.time()
    time.sleep(1)
    system.start_worker("worker-1", wait=False)
    [result] = system.wait(client, [request])
    complete = time.time() - killed
    time.sleep(max(0.0, 9 - (time.time() - killed)))
    builds = client.get(f"builds?buildrequestid={request}&order=buildid")["builds"]
    first = builds[0]["complete_at"] - killed
    survived = len(times(marks, "E")) - 1
    system.stop()

    def add(key: str, what: str, unit: str, value: float, better: bool | None = False) -> None:
        report.add(system.name, Figure(f"crash.worker.{key}", f"worker killed: {what}", unit, better), value)

    add("ended", "until its build is over", "s", max(0.0, first))
    add("complete", "until the request is complete (8 s of it the command's)", "s", complete)
    add("result", "the request's result", "0 is success", result, None)
    add("orphan", "orphaned commands that ran on to their end", "commands", max(0, survived))
