#!/usr/bin/env python3
"""A small worker for Ironmaster: docs/worker-protocol.md, "What a small worker may leave out", in practice.

It runs one command at a time and kills it when the connection is lost. Needs Python 3.11 and the package `websockets`:
IRONMASTER_WORKER_TOKEN=… minimal-worker.py ws://127.0.0.1:8010/worker NAME BASEDIR"""
import asyncio, base64, json, os, platform, shutil, signal, struct, subprocess, sys, tempfile, time, uuid
from pathlib import Path
import websockets

URL, NAME, BASE, NEVER = sys.argv[1], sys.argv[2], Path(sys.argv[3]).resolve(), 10**12
HELLO = {"type": "hello", "protocol_min": 1, "protocol_max": 1, "name": NAME, "instance": uuid.uuid4().hex,
         "token": os.environ.pop("IRONMASTER_WORKER_TOKEN", ""),
         "capabilities": {"kills_on_disconnect": True, "max_commands": 1, "exact_bytes": True, "shuts_down": True},
         "info": {"os": platform.system().lower(), "arch": platform.machine(), "hostname": platform.node(), "basedir": str(BASE)}}

def below_base(path, follow=True):
    """A path below the base directory; no link on the way may lead out."""
    real = (BASE / path).resolve() if follow else (BASE / path).parent.resolve() / Path(path).name
    if os.path.isabs(path) or ".." in Path(path).parts or not real.is_relative_to(BASE):
        raise ValueError(f"{path} leads out of the base directory")
    return real

def file(type, path, mode=0, offset=0, content_base64="", **_):
    """The verbs about files that steps need; returns the outcome's value."""
    at = below_base(path, follow=type != "remove")
    if type == "put":
        at.parent.mkdir(parents=True, exist_ok=True)
        with open(at, "r+b" if offset else "wb") as target:
            target.truncate(offset)
            target.seek(offset)
            target.write(base64.b64decode(content_base64))
        at.chmod(mode)
    elif type == "remove":
        shutil.rmtree(at) if at.is_dir() and not at.is_symlink() else at.unlink(missing_ok=True)
    elif type == "stat":
        kind, info = "dir" if at.is_dir() else "file", at.stat()
        return {"type": kind, "size": info.st_size, "mode": info.st_mode & 0o7777, "mtime_us": info.st_mtime_ns // 1000}
    else:
        raise ValueError("this worker does not have it")

class Command:
    def __init__(self, send, window, start):
        self.send, self.window, self.id, self.verb = send, window, start["id"], start["verb"]
        self.sent, self.acked, self.moved = 0, 0, asyncio.Event()
        self.interrupted = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self.run())
    async def drop(self):
        self.task.cancel()
        await asyncio.wait([self.task])
    async def run(self):
        begun = time.monotonic()
        try:
            outcome = (await self.exec(**self.verb) if self.verb["type"] == "exec"
                       else {"type": "value", "value": file(**self.verb)})
        except (OSError, ValueError) as error:
            failure = "not_found" if isinstance(error, FileNotFoundError) else "io" if isinstance(error, OSError) else "invalid"
            outcome = {"type": "failed", "kind": failure, "message": f"{self.verb['type']}: {error}"}
        await self.send(json.dumps({"type": "exited", "id": self.id, "outcome": outcome, "output_end": self.sent,
                                    "duration_ms": int((time.monotonic() - begun) * 1000)}))
    async def output(self, stream, data):
        while self.sent + len(data) > self.acked + self.window:  # What is not read makes the command wait.
            self.moved.clear()
            await self.moved.wait()
        head = struct.pack(">BBQIIQ", 1, stream, *map(int, self.id.split(".")), self.sent)
        self.sent += len(data)
        await self.send(head + data)
    async def exec(self, argv, workdir=None, env=None, timeout_silence_ms=None, timeout_total_ms=None,
                   interrupt_signal="TERM", grace_ms=10000, max_output_bytes=None, initial_stdin=None, **_):
        variables = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
        try:
            (cwd := below_base(workdir or ".")).mkdir(parents=True, exist_ok=True)
            stdin, pipe = tempfile.TemporaryFile(), subprocess.PIPE
            stdin.write((initial_stdin or "").encode())
            stdin.seek(0)
            process = subprocess.Popen(argv, cwd=cwd, env=variables, stdin=stdin, stdout=pipe, stderr=pipe, start_new_session=True)
        except (OSError, ValueError) as error:
            return {"type": "start_failed", "message": f"cannot run {argv[0]!r}: {error}"}
        ending, begun, heard, room = None, time.monotonic(), time.monotonic(), max_output_bytes or NEVER
        total, silence = (timeout_total_ms or NEVER) / 1000, (timeout_silence_ms or NEVER) / 1000
        async def pump(stream, pipe):
            nonlocal ending, heard, room
            while data := await asyncio.to_thread(os.read, pipe.fileno(), 65536):
                if len(data) > room:
                    ending = ending or {"type": "output_limit"}
                    os.killpg(process.pid, signal.SIGKILL)
                await self.output(stream, data[:room])
                heard, room = time.monotonic(), max(0, room - len(data))
        async def watch():
            nonlocal ending
            while not ending:
                ends = {"total": begun + total, "silence": heard + silence}
                kind = min(ends, key=ends.get)
                if ends[kind] <= time.monotonic():
                    ending = {"type": "timeout", "kind": kind, "after": "interrupt"}
                elif (await asyncio.wait([self.interrupted], timeout=ends[kind] - time.monotonic()))[0]:
                    ending = {"type": "interrupted", "reason": self.interrupted.result()}
            os.killpg(process.pid, getattr(signal, f"SIG{interrupt_signal}"))
            await asyncio.sleep(grace_ms / 1000)
            ending.update({"after": "kill"} if "after" in ending else {})
            os.killpg(process.pid, signal.SIGKILL)
        pumps, watcher = asyncio.gather(pump(0, process.stdout), pump(1, process.stderr)), asyncio.create_task(watch())
        try:  # It is not reaped before the end: so long the number of its process group stays taken.
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            watcher.cancel()
            await asyncio.wait([pumps], timeout=2)  # What it left behind may hold the pipes, but not for long.
        finally:
            watcher.cancel()
            pumps.cancel() if asyncio.current_task().cancelling() else None
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        await pumps
        return ending or ({"type": "exit", "code": code} if code >= 0 else {"type": "signal", "signal": -code})

async def serve(socket):  # One connection to the master.
    await socket.send(json.dumps(HELLO))
    welcome, command = json.loads(await asyncio.wait_for(socket.recv(), 30)), None
    if welcome["type"] == "refused" and not welcome["retry"]:
        sys.exit(f"error: the master refuses this worker: {welcome['reason']}")
    try:
        while True:  # The master pings when there is nothing to say.
            message = json.loads(await asyncio.wait_for(socket.recv(), welcome["heartbeat_ms"] * 2.5 / 1000))
            kind, mine = message["type"], command is not None and command.id == message.get("id")
            if kind == "ping":
                await socket.send(json.dumps({"type": "pong", "nonce": message["nonce"]}))
            elif kind == "start" and not mine:
                command = Command(socket.send, welcome["window_bytes"], message)
            elif kind == "ack" and mine:
                command.acked = message["offset"]
                command.moved.set()
            elif kind == "interrupt" and mine and not command.interrupted.done():
                command.interrupted.set_result(message["reason"])
            elif kind == "forget":
                if mine:
                    await command.drop()
                    command = None
                await socket.send(json.dumps({"type": "forgotten", "id": message["id"]}))
            elif kind == "shut_down":
                if command:
                    await command.drop()
                    await socket.send(json.dumps({"type": "lost", "id": command.id, "reason": "the worker was ended"}))
                await socket.send(json.dumps({"type": "goodbye", "reason": message["reason"]}))
                sys.exit(0)
    finally:
        if command:
            await command.drop()

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    while True:
        try:
            async with websockets.connect(URL, compression=None, max_size=2**21, ping_interval=None) as socket:
                await serve(socket)
        except (OSError, KeyError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            print(f"no connection: {error!r}; trying again", flush=True)
        await asyncio.sleep(1)

asyncio.run(main())
