"""A worker's start and idleness: from the start of the process to metadata that a server has accepted, and the memory it keeps then.

The server is a small one of this file's own, the same for both sides: a real one would mostly measure itself.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from time import perf_counter, sleep

from rows import Row, Samples, Wrong, paired
from world import World

REFERENCE = Path("/usr/bin/debusine-worker")
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TOKEN = "0123456789abcdef" * 4


class Server:
    """Accepts a worker, asks it for its metadata, and says nothing more."""

    def __init__(self):
        self.accepted = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Each connection has a thread, until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.attend, args=(connection,), daemon=True).start()

    def attend(self, connection: socket.socket):
        """One connection: requests, or the websocket."""
        stream = connection.makefile("rb")
        while request := stream.readline():
            headers = {}
            while (line := stream.readline().strip()):
                name, _, value = line.partition(b":")
                headers[name.strip().lower()] = value.strip()
            stream.read(int(headers.get(b"content-length", 0)))
            if b"/ws/" in request:
                self.welcome(connection, headers[b"sec-websocket-key"])
                stream.read()
                return
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            if b"dynamic-metadata" in request:
                self.accepted.set()

    def welcome(self, connection: socket.socket, key: bytes):
        """The handshake and the first two messages."""
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        frames = b""
        for text in ("connected", "request_dynamic_metadata"):
            message = json.dumps({"type": "websocket.send", "text": text}).encode()
            frames += bytes([0x81, len(message)]) + message
        connection.sendall(head + frames)


def configure(home: Path, server: Server) -> Path:
    """The directory of a worker's configuration, beneath its home."""
    directory = home / ".config/debusine/worker"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.ini").write_text(f"[General]\napi-url = http://127.0.0.1:{server.port}/api\n")
    token = directory / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    return directory


def lived(command: list[str], environment: dict[str, str], server: Server) -> dict[str, Samples]:
    """Starts a worker, lets it settle, and ends it."""
    server.accepted.clear()
    start = perf_counter()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not server.accepted.wait(20):
            raise Wrong(f"{command[0]}: no metadata within 20 s")
        seconds = perf_counter() - start
        sleep(0.5)
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return {"start": [seconds * 1000], "idle": [resident / 1024]}


def measure(world: World) -> list[Row]:
    """Two rows: time and memory."""
    server = Server()
    ours, theirs = world.scratch / "worker-here", world.scratch / "worker-reference"
    directory = configure(ours, server)
    configure(theirs, server)
    spool = ours / "spool"
    ours_environment = world.environment(world.scratch / "worker-store") | {"HOME": str(ours)}
    theirs_environment = {"HOME": str(theirs), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}

    def here() -> dict[str, Samples]:
        return lived([str(world.runtime), "worker", "--configuration", str(directory), "--spool", str(spool)], ours_environment, server)

    def reference() -> dict[str, Samples]:
        return lived([str(REFERENCE)], theirs_environment, server)

    here()  # compiles the tasks, and asks which architectures there are
    side = reference if REFERENCE.exists() and os.access(REFERENCE, os.X_OK) else None
    measured, compared = paired(here, side, rounds=5, seconds=15)
    server.listener.close()
    shutil.rmtree(ours, ignore_errors=True)
    return [
        Row("worker, start to metadata accepted", "ms", measured.get("start"), compared.get("start"), goal=250),
        Row("worker, idle: resident memory", "MiB", measured.get("idle"), compared.get("idle"), goal=12),
    ]
