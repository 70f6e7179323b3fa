"""What every system can do. Both speak the same HTTP API, so only starting and configuring them differs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench import procfs
from bench.client import ApiError, Client, Generator, Load, until


@dataclass(frozen=True)
class Builder:
    """A job with one command, and perhaps a file on its way to the worker before it, or from the worker after it."""

    name: str
    command: list[str]
    workers: list[str]
    #: A file of the server, and where the worker has it then.
    download: tuple[str, str] | None = None
    #: A file of the worker, and where the server has it then.
    upload: tuple[str, str] | None = None


@dataclass(frozen=True)
class Worker:
    """A machine that may connect."""

    name: str
    slots: int = 1


@dataclass(frozen=True)
class Setup:
    """A configuration, as every system can be given it."""

    builders: list[Builder]
    workers: list[Worker]
    #: No worker programs: somebody plays them.
    played: bool = False


@dataclass
class Running:
    """A request and what became of it."""

    request: int
    results: int


def simple(
    command: list[str], builders: int = 1, workers: int = 1, slots: int = 1
) -> Setup:
    """Builders that all run one command on any of the workers."""
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    return Setup(
        [Builder(f"builder {number}", command, names) for number in range(1, builders + 1)],
        [Worker(name, slots) for name in names],
    )


def free_port() -> int:
    """
    A port that was free a moment ago, and that no client is given as its own: while a server is restarted, one of many
    thousand clients that try to connect would take it (and even connect to itself), and the server would not get it back.
    """
    lowest_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(10_000, lowest_of_clients)))
            except OSError:
                continue
            return int(probe.getsockname()[1])


@dataclass
class System(ABC):
    """One server with its workers, in a folder of its own."""

    folder: Path
    generator: Generator
    setup: Setup = field(default_factory=lambda: simple(["true"]))
    port: int = 0
    server: subprocess.Popen[bytes] | None = None
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    name = ""
    #: What its workers may speak: `native`, `pb`.
    protocols: ClassVar[tuple[str, ...]] = ()
    #: More than that many builds a second: throughput needs a longer run.
    expected_rate = 3.0

    # -- what differs

    @abstractmethod
    def write_configuration(self) -> None:
        """Puts `setup` where the server reads it."""

    @abstractmethod
    def create(self) -> None:
        """Makes an empty server directory."""

    @abstractmethod
    def server_command(self) -> tuple[list[str], Path]:
        """How the server is started, and where."""

    @abstractmethod
    def worker_command(self, name: str) -> tuple[list[str], Path]:
        """How a worker is started, and where."""

    @abstractmethod
    def storage(self) -> int:
        """Bytes of everything that the server keeps."""

    @abstractmethod
    def fill(self, builds: int) -> None:
        """Puts finished builds into the database of a server that does not run. Replaces the configuration by ten builders."""

    @abstractmethod
    def reloads(self) -> int:
        """How many reloads the server says to have finished."""

    @abstractmethod
    def uploaded(self, name: str) -> Path:
        """Where the server has a file that a job has uploaded."""

    @abstractmethod
    def worker_address(self, protocol: str) -> str:
        """Where workers of that protocol connect, host and port."""

    @abstractmethod
    def password(self) -> str:
        """What a worker proves itself with; `%` stands for its name."""

    def headers(self) -> dict[str, str]:
        """What a request needs that changes something."""
        return {}

    # -- life

    def prepare(self, setup: Setup) -> None:
        """A new, empty server with this configuration; nothing runs yet."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.setup = setup
        self.create()
        self.write_configuration()

    def start(self) -> float:
        """Starts the server; returns the seconds until its API answers."""
        command, where = self.server_command()
        begin = time.monotonic()
        self.server = self._spawn(command, where, "server.log")
        while True:
            try:
                Client(self.port).get("builders?limit=1")
                return time.monotonic() - begin
            except (OSError, ApiError, ValueError):
                if self.server.poll() is not None:
                    raise RuntimeError(f"{self.name} ended: see {self.folder}/server.log") from None
            time.sleep(0.01)

    def start_worker(self, name: str, wait: bool = True) -> float:
        """Starts a worker; returns the seconds until the API shows it as connected."""
        command, where = self.worker_command(name)
        begin = time.monotonic()
        self.workers[name] = self._spawn(command, where, f"{name}.log")
        if wait:
            client = self.client()
            until(f"{name} connects", lambda: self.connected(client, name), poll=0.01)
        return time.monotonic() - begin

    def start_all(self) -> None:
        """Starts the server and all workers."""
        self.start()
        for worker in self.setup.workers:
            self.start_worker(worker.name)

    def connected(self, client: Client, name: str) -> bool:
        """Whether a worker is connected."""
        # Listed, because a master may know a worker only from its first connection on.
        found = [worker for worker in client.get("workers")["workers"] if worker["name"] == name]
        return bool(found and found[0]["connected_to"])

    def connected_count(self, client: Client) -> int:
        """How many workers are."""
        return sum(bool(worker["connected_to"]) for worker in client.get("workers")["workers"])

    def stop(self) -> None:
        """Ends everything, workers first, in good order if it can be had."""
        for process in self.workers.values():
            process.send_signal(signal.SIGTERM)
        for process in self.workers.values():
            _end(process)
        self.workers.clear()
        self.stop_server()

    def stop_server(self) -> None:
        """Ends the server in good order."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            _end(self.server)
            self.server = None

    def _spawn(self, command: list[str], where: Path, log: str) -> subprocess.Popen[bytes]:
        with open(self.folder / log, "ab") as output:
            return subprocess.Popen(
                command, cwd=where, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment()
            )

    def environment(self) -> dict[str, str]:
        """Of the server and the workers."""
        return dict(os.environ)

    # -- processes

    def server_pids(self) -> list[int]:
        """Processes that a user must run for the server."""
        return [self.server.pid] if self.server else []

    def worker_pids(self) -> list[int]:
        """Worker processes, without the commands that they run."""
        return [process.pid for process in self.workers.values()]

    def quiet(self) -> float:
        """Waits until the server has nothing left to do."""
        return procfs.wait_for_quiet(self.server_pids())

    # -- work

    def client(self) -> Client:
        """A connection of its own."""
        return Client(self.port, self.headers())

    def builder_ids(self, client: Client) -> list[int]:
        """Ids of the configured builders, in the order of `setup`."""
        ids = {builder["name"]: int(builder["builderid"]) for builder in client.get("builders")["builders"]}
        return [ids[builder.name] for builder in self.setup.builders]

    def request_body(self, builder: int) -> tuple[str, str]:
        """The call that asks for one build: path and body."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "force", "params": {"builderid": builder, "reason": "bench"}}
        return "/api/v2/forceschedulers/force", json.dumps(call)

    def request(self, client: Client, builder: int) -> int:
        """Asks for one build; returns the request's id."""
        path, body = self.request_body(builder)
        return request_id(json.loads(client.call("POST", path, body.encode())))

    def request_many(self, builders: list[int], count: int, connections: int) -> tuple[Load, list[int]]:
        """Asks for builds as fast as replies come, dealt over the builders."""
        calls = [self.request_body(builders[number % len(builders)]) for number in range(count)]
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.headers()}
        load, replies = self.generator.send(self.port, connections, headers, calls)
        return load, [request_id(reply) for reply in replies if "result" in reply]

    def change(self, client: Client, revision: str) -> None:
        """Tells of a change through the generic hook."""
        form = {
            "author": "Somebody <somebody@example.org>",
            "branch": "main",
            "revision": revision,
            "repository": "https://example.org/repository.git",
            "files": '["src/main.c"]',
            "comments": "a change",
        }
        body = urllib.parse.urlencode(form).encode()
        client.call("POST", "/change_hook/base", body, "application/x-www-form-urlencoded")

    def results(self, client: Client, request: int) -> int | None:
        """A complete request's result; none if it is not complete."""
        found = client.get(f"buildrequests/{request}?field=complete&field=results")["buildrequests"][0]
        return int(found["results"]) if found["complete"] else None

    def wait(self, client: Client, requests: list[int], timeout: float = 600.0, poll: float = 0.1) -> list[int]:
        """Waits until all are complete, asking for the newest first; returns their results."""
        results: dict[int, int] = {}
        left = sorted(requests, reverse=True)
        deadline = time.monotonic() + timeout
        while left:
            found = self.results(client, left[0])
            if found is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"request {left[0]} did not complete in {timeout:.0f} s")
                time.sleep(poll)
                continue
            results[left.pop(0)] = found
        return [results[request] for request in requests]

    def wait_for_all(self, client: Client, requests: list[int]) -> None:
        """As `wait`, for many requests that are all the server has: costs it ten small GETs a second."""
        newest = max(requests)
        until("the newest request is complete", lambda: self.results(client, newest) is not None, 900.0, 0.1)
        left = "buildrequests?complete=false&limit=1"
        until("no request is left", lambda: not client.get(left)["buildrequests"], 900.0, 0.1)

    def check_success(self, client: Client) -> None:
        """Not measured: all requests so far must have ended well."""
        for failed in client.get("buildrequests?results__ne=0&limit=1")["buildrequests"]:
            raise RuntimeError(f"{self.name}: request {failed['buildrequestid']} ended with {failed['results']}")

    def build_of(self, client: Client, request: int) -> int:
        """The newest build of a request."""
        return max(int(build["buildid"]) for build in client.get(f"builds?buildrequestid={request}")["builds"])

    def raw_log_path(self, client: Client, build: int) -> str:
        """Where the raw log of a build's only command is. (Buildbot has a step before it, which prepares the worker.)"""
        for step in reversed(client.get(f"builds/{build}/steps")["steps"]):
            for log in client.get(f"steps/{step['stepid']}/logs")["logs"]:
                if log["name"] == "stdio":
                    return f"/api/v2/logs/{log['logid']}/raw"
        raise RuntimeError(f"{self.name}: build {build} has no log \"stdio\"")

    def warm_up(self, client: Client, requests: int = 1) -> None:
        """Some builds before anything is measured."""
        builders = self.builder_ids(client)
        self.wait(client, [self.request(client, builders[number % len(builders)]) for number in range(requests)])
        self.quiet()


def request_id(reply: dict[str, object]) -> int:
    """The one request that a call has made."""
    if "result" not in reply:
        raise ApiError(str(reply)[:300])
    _set, requests = reply["result"]  # type: ignore[misc]
    [request] = requests.values()
    return int(request)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
