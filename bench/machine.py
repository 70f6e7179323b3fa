"""The machine: what it is, and what it can do at most."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Callable


def facts(folder: Path) -> list[str]:
    """What a reader needs to know to judge figures."""
    processor = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1e6
    mount = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", folder], capture_output=True, text=True
    ).stdout.split()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    return [
        f"{os.cpu_count()} × {processor}, {memory:.0f} GB, {' on '.join(mount) or 'unknown file system'}",
        f"Linux {platform.release()}, Python {platform.python_version()}, commit {commit}",
        f"load average at the beginning {os.getloadavg()[0]:.2f}",
    ]


def spawns(seconds: float = 2.0) -> float:
    """Processes a second: fork and exec of `true`, two at a time on each core."""
    true = "/bin/true"
    script = f"""
import os, sys, time
end = time.monotonic() + {seconds}
count = 0
while time.monotonic() < end:
    os.waitpid(os.posix_spawn({true!r}, ["true"], {{}}), 0)
    count += 1
print(count)
"""
    runners = [
        subprocess.Popen(["python3", "-S", "-E", "-c", script], stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)
    ]
    return sum(int(runner.communicate()[0]) for runner in runners) / seconds


def _per_second(work: Callable[[], None], seconds: float) -> float:
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        work()
        count += 1
    return count / (time.monotonic() - begin)


def syncs(folder: Path, seconds: float = 2.0) -> float:
    """fdatasync calls a second, each after 4 KiB more at the end of a file."""
    path = folder / "sync"
    with path.open("wb", buffering=0) as file:

        def work() -> None:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())

        rate = _per_second(work, seconds)
    path.unlink()
    return rate
