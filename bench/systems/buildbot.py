"""Buildbot 4.3.0, master and worker from PyPI, set up as its documentation says."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench import procfs
from bench.systems.base import System, free_port, simple


def install(root: Path) -> Path:
    """Sees to it that Buildbot is there, in a virtual environment below `.tools`; returns its programs' folder."""
    said = subprocess.run([root / "scripts/buildbot.sh", "4.3.0"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(said.stdout.strip()).resolve()


@dataclass
class Buildbot(System):
    """A master with its default database and its workers."""

    programs: Path = Path(".tools/buildbot-4.3.0/bin")
    worker_port: int = 0

    name = "Buildbot"
    protocols = ("pb",)
    expected_rate = 3.5

    def environment(self) -> dict[str, str]:
        # The master looks for its version control programs and plugins on the path.
        return {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run(
            [str(self.programs / str(arguments[0])), *map(str, arguments[1:])],
            check=True, cwd=self.folder, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )

    def create(self) -> None:
        self.worker_port = free_port()
        self._run("buildbot", "create-master", self.folder / "master")
        for worker in [] if self.setup.played else self.setup.workers:
            self._run("buildbot-worker", "create-worker", self.folder / worker.name,
                      f"127.0.0.1:{self.worker_port}", worker.name, "secret")
        self.write_configuration()
        self._run("buildbot", "upgrade-master", "--quiet", self.folder / "master")

    def write_configuration(self) -> None:
        definition = {
            "http": self.port,
            "workers_at": self.worker_port,
            "workers": [[worker.name, worker.slots] for worker in self.setup.workers],
            "builders": [
                [builder.name, builder.command, builder.workers, builder.download, builder.upload]
                for builder in self.setup.builders
            ],
        }
        text = CONFIGURATION.replace("@DEFINITION@", repr(json.dumps(definition)))
        (self.folder / "master" / "master.cfg").write_text(text)

    def server_command(self) -> tuple[list[str], Path]:
        twistd = [str(self.programs / "twistd"), "--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"]
        return twistd, self.folder / "master"

    def uploaded(self, name: str) -> Path:
        return self.folder / "master" / name

    def worker_address(self, protocol: str) -> str:
        return f"127.0.0.1:{self.worker_port}"

    def password(self) -> str:
        return "secret"

    def worker_command(self, name: str) -> tuple[list[str], Path]:
        twistd = [str(self.programs / "twistd"), "--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"]
        return twistd, self.folder / name

    def _database(self) -> Path:
        return self.folder / "master" / "state.sqlite"

    def storage(self) -> int:
        # Logs and everything else are in the database.
        return procfs.tree_size(self._database().parent) - self._twistd_logs()

    def _twistd_logs(self) -> int:
        return sum(path.stat().st_size for path in self._database().parent.glob("*.log*"))

    def reloads(self) -> int:
        logs = sorted(self._database().parent.glob("twistd.log*"))
        return sum(path.read_text(errors="replace").count("configuration update complete") for path in logs)

    def fill(self, builds: int) -> None:
        self.setup = simple(["true"], builders=10)
        self.write_configuration()
        # Its first start makes the rows of builders and the worker.
        self.start()
        client = self.client()
        builders = self.builder_ids(client)
        master = client.get("masters")["masters"][0]["masterid"]
        worker = client.get("workers")["workers"][0]["workerid"]
        client.close()
        self.stop_server()
        if builds:
            with sqlite3.connect(self._database()) as database:
                _fill(database, builds, builders, master, worker)
            database.close()


def _fill(database: sqlite3.Connection, builds: int, builders: list[int], master: int, worker: int) -> None:
    """Rows as the master itself leaves them behind."""
    at = 1_700_000_000
    numbers = range(1, builds + 1)

    def many(table: str, columns: str, rows: object) -> None:
        marks = ",".join("?" * (columns.count(",") + 1))
        database.executemany(f"insert into {table} ({columns}) values ({marks})", rows)  # type: ignore[arg-type]

    def builder(number: int) -> int:
        return builders[(number - 1) % len(builders)]

    many("sourcestamps", "id,ss_hash,branch,revision,repository,codebase,project,created_at",
         ((n, f"{n:040x}", "main", f"{n:040d}", "https://example.org/repository.git", "", "", at + n) for n in numbers))
    many("buildsets", "id,reason,submitted_at,complete,complete_at,results",
         ((n, "bench", at + n, 1, at + n + 2, 0) for n in numbers))
    many("buildset_sourcestamps", "buildsetid,sourcestampid", ((n, n) for n in numbers))
    many("buildset_properties", "buildsetid,property_name,property_value",
         ((n, "scheduler", '["bench", "Scheduler"]') for n in numbers))
    many("buildrequests", "id,buildsetid,builderid,priority,complete,results,submitted_at,complete_at,waited_for",
         ((n, n, builder(n), 0, 1, 0, at + n, at + n + 2, 0) for n in numbers))
    many("buildrequest_claims", "brid,masterid,claimed_at", ((n, master, at + n) for n in numbers))
    many("builds", "id,number,builderid,buildrequestid,workerid,masterid,started_at,complete_at,locks_duration_s,"
         "state_string,results",
         ((n, (n - 1) // len(builders) + 1, builder(n), n, worker, master, at + n, at + n + 2, 0, "build successful", 0)
          for n in numbers))
    many("build_properties", "buildid,name,value,source",
         ((n, f"property{index}", json.dumps(f"value {index} of build {n}"), "Build")
          for n in numbers for index in range(5)))
    many("steps", "number,name,buildid,started_at,locks_acquired_at,complete_at,state_string,results,urls_json,hidden",
         ((index, f"step{index}", n, at + n, at + n, at + n + 1, "finished", 0, "[]", 0)
          for n in numbers for index in range(3)))
    database.commit()


CONFIGURATION = '''\
import json
from buildbot.plugins import changes, schedulers, steps, util, worker

definition = json.loads(@DEFINITION@)
names = [builder[0] for builder in definition["builders"]]

def factory(command, download, upload):
    made = util.BuildFactory()
    if download:
        made.addStep(steps.FileDownload(mastersrc=download[0], workerdest=download[1]))
    made.addStep(steps.ShellCommand(command=command))
    if upload:
        made.addStep(steps.FileUpload(workersrc=upload[0], masterdest=upload[1]))
    return made

c = BuildmasterConfig = {
    "buildbotNetUsageData": None,
    "title": "bench",
    "titleURL": "http://127.0.0.1/",
    "buildbotURL": "http://127.0.0.1:%d/" % definition["http"],
    "db": {"db_url": "sqlite:///state.sqlite"},
    "protocols": {"pb": {"port": "tcp:%d:interface=127.0.0.1" % definition["workers_at"]}},
    "www": {
        "port": "tcp:%d:interface=127.0.0.1" % definition["http"],
        "plugins": {},
        "change_hook_dialects": {"base": True},
    },
    "collapseRequests": False,
    "workers": [worker.Worker(name, "secret", max_builds=slots) for name, slots in definition["workers"]],
    "builders": [
        util.BuilderConfig(name=name, workernames=workers, factory=factory(command, download, upload))
        for name, command, workers, download, upload in definition["builders"]
    ],
    "schedulers": [
        schedulers.ForceScheduler(name="force", builderNames=names),
        schedulers.AnyBranchScheduler(name="changes", treeStableTimer=None, builderNames=names),
    ],
}
'''
