"""The client's side: small requests from here, heavy load by the program `load` (crates/api/examples/load.rs)."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable


class ApiError(RuntimeError):
    """A reply that is not 2xx."""


class Client:
    """One kept connection to a server's API."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.headers = {"Accept": "application/json", **(headers or {})}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: bytes | None = None, content: str = "application/json") -> bytes:
        """One exchange; a connection that was closed meanwhile is opened again."""
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = content
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                data = response.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                if attempt == 2:
                    raise
        if not 200 <= response.status < 300:
            raise ApiError(f"{method} {path}: {response.status} {data[:300]!r}")
        return data

    def get(self, path: str) -> Any:
        """A JSON document of the API."""
        return json.loads(self.call("GET", "/api/v2/" + path))

    def close(self) -> None:
        self.connection.close()


@dataclass(frozen=True)
class Load:
    """What the load generator saw."""

    seconds: float
    replies: int
    errors: int
    stalled: int
    bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Generator:
    """The load generator's program."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def get(self, port: int, connections: int, seconds: float, path: str) -> Load:
        """Asks for one path over kept connections."""
        return self._run("get", f"127.0.0.1:{port}", str(connections), str(seconds), path)

    def send(
        self, port: int, connections: int, headers: dict[str, str], requests: list[tuple[str, str]]
    ) -> tuple[Load, list[Any]]:
        """Sends each request (path, body) once; returns what it saw and the replies' JSON."""
        with tempfile.TemporaryDirectory() as folder:
            replies, heads, lines = (Path(folder, name) for name in ("replies", "headers", "requests"))
            heads.write_text("".join(f"{name}: {value}\n" for name, value in headers.items()))
            lines.write_text("".join(f"{path}\t{body}\n" for path, body in requests))
            load = self._run("send", f"127.0.0.1:{port}", str(connections), str(replies), str(heads), str(lines))
            return load, [_parsed(line) for line in replies.read_text(errors="replace").splitlines()]

    def _run(self, *arguments: str) -> Load:
        done = subprocess.run([self.program, *arguments], check=True, capture_output=True, text=True)
        return Load(**json.loads(done.stdout))


def _parsed(line: str) -> Any:
    """A reply's JSON; an empty object for what is none, as pages about errors are."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def until(what: str, condition: Callable[[], Any], timeout: float = 120.0, poll: float = 0.05) -> Any:
    """Waits until something is true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s for this: {what}")
        time.sleep(poll)


def be_preferred() -> bool:
    """Takes precedence over other programs until we end, if the machine lets us; children inherit it."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        # Where the kernel shares processors between sessions first, priorities count within one only.
        group = Path("/proc/self/autogroup")
        before = group.read_text().rpartition(" ")[2]
        group.write_text("-15")
        atexit.register(group.write_text, before)
    except FileNotFoundError:
        pass
    except PermissionError:
        return False
    return True
