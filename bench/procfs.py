"""What the kernel knows of processes: processor time, memory, and who else uses the machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cpu:
    """Processor seconds: of processes themselves, and of children that they have waited for."""

    own: float = 0.0
    children: float = 0.0

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.own + other.own, self.children + other.children)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.own - other.own, self.children - other.children)


def cpu(pids: Iterable[int]) -> Cpu:
    """Of these processes together; those that are gone count nothing."""
    total = Cpu()
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        user, system, children_user, children_system = (int(field) / TICK for field in fields[11:15])
        total += Cpu(user + system, children_user + children_system)
    return total


def busy() -> float:
    """Processor seconds that the whole machine has used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / TICK


def children(pid: int) -> list[int]:
    """Living children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            continue
    return found


def status(pid: int, key: str) -> int:
    """A line of /proc/PID/status that is given in kB, in bytes (`VmRSS`, `VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def rss(pids: Iterable[int]) -> int:
    """Resident memory of these processes, in bytes."""
    return sum(status(pid, "VmRSS") for pid in pids)


def peak(pids: Iterable[int]) -> int:
    """Largest resident memory since `reset_peak`, in bytes."""
    return sum(status(pid, "VmHWM") for pid in pids)


def reset_peak(pids: Iterable[int]) -> None:
    """Has `peak` begin anew."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def private(pid: int) -> int:
    """Memory that would be free if the process ended, in bytes."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            total += int(line.split()[1]) * 1024
    return total


def tree_size(path: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def wait_for_quiet(pids: Iterable[int], limit: float = 30.0) -> float:
    """Waits until these processes use less than 3 % of a core for a second; returns how long that took, without
    that second."""
    pids = list(pids)
    begin = time.monotonic()
    calm_since, before = begin, cpu(pids).own
    while time.monotonic() - begin < limit:
        time.sleep(0.25)
        now = cpu(pids).own
        # The kernel counts in hundredths: three of them in a second, and one a look.
        if now - before > 0.03:
            calm_since, before = time.monotonic(), now
        if time.monotonic() - calm_since >= 1.0:
            break
    return max(0.0, time.monotonic() - begin - 1.0)


#: How long a run waits for a quiet machine at most, in seconds.
patience = 20.0


def wait_for_machine(limit: float = 20.0) -> None:
    """Waits until the machine uses less than 0.3 cores."""
    begin = time.monotonic()
    while time.monotonic() - begin < min(limit, patience):
        before, at = busy(), time.monotonic()
        time.sleep(0.5)
        if (busy() - before) / (time.monotonic() - at) < 0.3:
            return


class Meter:
    """Processor time of a server, its workers and everybody else, from its making until `stop`."""

    def __init__(self, server: list[int], workers: list[int]) -> None:
        self.server, self.workers = server, workers
        self.begin = self.read()

    def read(self) -> tuple[float, Cpu, Cpu, float, float]:
        times = os.times()
        client = times.user + times.system + times.children_user + times.children_system
        return (time.monotonic(), cpu(self.server), cpu(self.workers), client, busy())

    def stop(self) -> Usage:
        """How much it was."""
        at, server, workers, client, all_of_it = (
            after - before for after, before in zip(self.read(), self.begin, strict=True)  # type: ignore[operator]
        )
        # What the load generator used belongs to the client, which has waited for its end.
        others = all_of_it - server.own - server.children - workers.own - workers.children - client
        return Usage(at, server.own + server.children, workers.own, workers.children, max(0.0, others) / max(at, 0.01))


@dataclass(frozen=True)
class Usage:
    """Processor seconds during `seconds`; `noise` is in cores: what neither the system used nor its client."""

    seconds: float
    server: float
    workers: float
    commands: float
    noise: float
