"""How fast output gets from a command into the server's storage, and out again."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

from bench import procfs
from bench.report import Figure, Report
from bench.scenarios import Options
from bench.systems.base import Builder, Setup, System, simple

LINE = 80
#: Different messages in a log: a long log repeats itself, but seldom within a few hundred lines.
MESSAGES = 1000


def run(system: System, report: Report, options: Options) -> None:
    """Files of several sizes; the last one by four workers at once."""
    sizes = [("100 MB", 100_000_000, 1)]
    if options.quick:
        sizes = [("10 MB", 10_000_000, 1)]
    if options.full:
        sizes = [("10 MB", 10_000_000, 1), *sizes, ("4 × 25 MB", 25_000_000, 4)]
    for label, size, workers in sizes:
        measure(system, report, label, text_file(system.folder.parent, size), workers)


def text_file(folder: Path, size: int) -> Path:
    """A log-like file: numbered lines of 80 bytes, the same everywhere. gzip makes about 40 % of it."""
    path = folder / f"log-{size}.txt"
    if path.exists() and path.stat().st_size == size:
        return path
    numbers = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(numbers.choices(letters, k=numbers.randint(3, 9))) for _ in range(400)]

    def message() -> str:
        kind = numbers.choice(["gcc -O2 -c", "PASS", "INFO", "warning:", "CXX", "ok"])
        place = "src/{}/{}.c:{}".format(*numbers.choices(words, k=2), numbers.randint(1, 2000))
        rest = " ".join(numbers.choices(words, k=4))
        return f"[{numbers.randint(0, 9999):4}] {kind} {place} {numbers.getrandbits(96):024x} {rest}"[:LINE - 11].ljust(LINE - 11)

    messages = [message() for _ in range(MESSAGES)]
    with path.open("w") as out:
        for line in range(size // LINE):
            out.write(f"{line:08} {numbers.choice(messages)}.\n")
    return path


def measure(system: System, report: Report, label: str, path: Path, workers: int) -> None:
    """One file through new servers."""
    size = path.stat().st_size
    setup = simple(["true"], workers=workers)
    names = [worker.name for worker in setup.workers]
    system.prepare(Setup([Builder("cat", ["cat", str(path)], names), *setup.builders], setup.workers))
    system.start_all()
    client = system.client()
    cat, true = system.builder_ids(client)
    system.wait(client, [system.request(client, true) for _ in range(workers)])
    system.quiet()
    procfs.wait_for_machine()
    server = system.server_pids()
    idle, before = procfs.rss(server), system.storage()
    procfs.reset_peak(server)
    begin = time.monotonic()
    meter = procfs.Meter(server, system.worker_pids())
    requests = [system.request(client, cat) for _ in range(workers)]
    results = system.wait(client, requests)
    seconds = time.monotonic() - begin
    late = system.quiet()
    usage = meter.stop()
    peak, grown = procfs.peak(server), system.storage() - before
    if any(results):
        raise RuntimeError(f"{system.name}: `cat` ended with {results}")
    total = size * workers
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    downloads = []
    for request in requests:
        where = system.raw_log_path(client, system.build_of(client, request))
        seconds_for_it, whole = download(system.port, where, size)
        body = body_of(whole)
        downloads.append(len(body) / 1e6 / seconds_for_it)
        lines = body.split(b"\n")
        kept = [line for line in lines if len(line) == LINE - 1 and line[:8].isdigit()]
        found = hashlib.sha256(b"\n".join(kept) + b"\n").hexdigest()
        if found != wanted:
            raise RuntimeError(f"{system.name}: the raw log differs from the file: {len(kept)} lines of {size // LINE}")
    system.stop()
    big = label == "100 MB"

    def add(key: str, what: str, unit: str, value: float, more: bool = False, goal: str = "") -> None:
        shown = Figure(f"logs.{label}.{key}", f"{label} log: {what}", unit, more, goal if big else "")
        report.add(system.name, shown, value)

    add("rate", "end to end", "MB/s", total / 1e6 / seconds, True, "200")
    add("late", "until the server is quiet, after that", "s", late)
    add("server", "server CPU", "s", usage.server)
    add("worker", "worker CPU", "s", usage.workers)
    add("peak", "server RSS, peak over idle", "MB", (peak - idle) / 1e6, goal="constant")
    add("storage", "storage", "MB", grown / 1e6, goal="7.5")
    add("download", "raw download", "MB/s", max(downloads), True, "500")


def download(port: int, path: str, size: int) -> tuple[float, bytes]:
    """How long an answer takes, and all of it. With as little work of our own as possible: into memory that is there already."""
    import socket

    whole = bytearray(b" ") * (size + size // 2)
    room, at = memoryview(whole), 0
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        while at < len(whole) and (received := connection.recv_into(room[at:at + (1 << 20)])):
            at += received
    return time.monotonic() - begin, bytes(room[:at])


def body_of(whole: bytes) -> bytes:
    """An answer's body."""
    head, _, body = whole.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    parts, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
