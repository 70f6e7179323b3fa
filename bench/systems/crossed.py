"""One system's master with the other's workers: how much of what is measured is the worker's doing."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.systems.base import free_port
from bench.systems.buildbot import Buildbot
from bench.systems.ironmaster import Ironmaster, guards, token


@dataclass
class BuildbotWithOurs(Buildbot):
    """A stock Buildbot master whose workers are ours, in the folders that `create-worker` made."""

    #: Where cargo puts release programs.
    ours: Path = Path("target/release")

    name = "Buildbot, our worker"

    def worker_command(self, name: str) -> tuple[list[str], Path]:
        return [str(self.ours / "ironmaster-worker"), "buildbot", str(self.folder / name)], self.folder

    def worker_pids(self) -> list[int]:
        return super().worker_pids() + guards(self.workers.values())


@dataclass
class IronmasterWithStock(Ironmaster):
    """Our master whose workers are stock ones, over Perspective Broker."""

    #: Where stock Buildbot's programs are.
    stock: Path = Path(".tools/buildbot-4.3.0/bin")
    pb_port: int = 0

    name = "Ironmaster, stock worker"
    # The worker's, at most.
    expected_rate = 60.0

    def create(self) -> None:
        super().create()
        self.pb_port = free_port()
        for worker in self.setup.workers:
            subprocess.run(
                [str(self.stock / "buildbot-worker"), "create-worker", str(self.folder / worker.name),
                 f"127.0.0.1:{self.pb_port}", worker.name, token(worker)],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )

    def write_configuration(self) -> None:
        super().write_configuration()
        with (self.folder / "ci.toml").open("a") as out:
            out.write(f'[pb]\nlisten = "127.0.0.1:{self.pb_port}"\n')

    def worker_command(self, name: str) -> tuple[list[str], Path]:
        twistd = [str(self.stock / "twistd"), "--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"]
        return twistd, self.folder / name
