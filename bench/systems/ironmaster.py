"""Ironmaster, from this checkout's release build."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

from bench import procfs
from bench.systems.base import System, Worker, free_port, simple


@dataclass
class Ironmaster(System):
    """A master and its workers."""

    #: Where cargo puts release programs.
    programs: Path = Path("target/release")

    pb_port: int = 0

    name = "Ironmaster"
    protocols = ("native", "pb")
    expected_rate = 400.0

    def create(self) -> None:
        (self.folder / "state").mkdir(mode=0o700)

    def write_configuration(self) -> None:
        lines = [
            "[master]",
            f'listen = "127.0.0.1:{self.port}"',
            f'url = "http://127.0.0.1:{self.port}/"',
            'state_dir = "state"',
        ]
        if self.setup.played:
            self.pb_port = self.pb_port or free_port()
            lines += ["[pb]", f'listen = "127.0.0.1:{self.pb_port}"']
        for worker in self.setup.workers:
            lines += ["[[worker]]", f'name = "{worker.name}"', f'token = "{token(worker)}"', f"slots = {worker.slots}"]
        for builder in self.setup.builders:
            lines += [
                "[[builder]]",
                f"name = {json.dumps(builder.name)}",
                f"workers = {json.dumps(builder.workers)}",
                *transfer("download", builder.download),
                "[[builder.step]]",
                'type = "shell"',
                f"command = {json.dumps(builder.command)}",
                *transfer("upload", builder.upload),
            ]
        lines += ["[[scheduler]]", 'name = "force"', 'type = "force"', 'builders = ["*"]']
        lines += ["[[scheduler]]", 'name = "changes"', 'type = "any_branch"', 'builders = ["*"]']
        (self.folder / "ci.toml").write_text("\n".join(lines) + "\n")

    def uploaded(self, name: str) -> Path:
        return self.folder / "state/files" / name

    def worker_address(self, protocol: str) -> str:
        return f"127.0.0.1:{self.pb_port if protocol == 'pb' else self.port}"

    def password(self) -> str:
        return token(Worker("%"))

    def headers(self) -> dict[str, str]:
        return {"Authorization": "Bearer " + (self.folder / "state/admin.token").read_text().strip()}

    def server_command(self) -> tuple[list[str], Path]:
        return [str(self.programs / "ironmaster"), "start", "ci.toml"], self.folder

    def worker_command(self, name: str) -> tuple[list[str], Path]:
        worker = next(worker for worker in self.setup.workers if worker.name == name)
        (self.folder / f"{name}.token").write_text(token(worker))
        command = [str(self.programs / "ironmaster-worker"), "--master", f"ws://127.0.0.1:{self.port}"]
        command += ["--name", name, "--token-file", f"{name}.token", "--basedir", name]
        return command, self.folder

    def worker_pids(self) -> list[int]:
        return super().worker_pids() + guards(self.workers.values())

    def storage(self) -> int:
        return procfs.tree_size(self.folder / "state")

    def fill(self, builds: int) -> None:
        setup = simple(["true"], builders=10)
        self.setup = setup
        self.write_configuration()
        if builds:
            database = self.folder / "state/ironmaster.sqlite"
            subprocess.run([self.programs / "examples/make_history", database, str(builds)], check=True)

    def reloads(self) -> int:
        return (self.folder / "server.log").read_text(errors="replace").count("the configuration was reloaded")


def transfer(kind: str, paths: tuple[str, str] | None) -> list[str]:
    """The step that moves a file, if there is one to be moved."""
    if paths is None:
        return []
    return ["[[builder.step]]", f'type = "{kind}"', f'src = "{paths[0]}"', f'dest = "{paths[1]}"']


def guards(workers: Iterable[subprocess.Popen[bytes]]) -> list[int]:
    """Each of our workers has a guard, a second process that only waits."""
    found = []
    for process in workers:
        for child in procfs.children(process.pid):
            try:
                arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if arguments[1:2] == [b"guard"]:
                found.append(child)
    return found


def token(worker: Worker) -> str:
    """Nobody else's business, and nobody else's machine."""
    return f"token-of-{worker.name}"
