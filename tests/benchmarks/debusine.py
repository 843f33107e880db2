"""A small Debusine server, the same for both sides: a real one would mostly measure itself.

It accepts a worker, hands out work requests, sends files, and swallows what is uploaded. What workers send is read and not checked.
"""

import base64
import hashlib
import io
import json
import re
import socket
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from rows import Wrong

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# daphne's, in seconds.
PING_EVERY = 20


@dataclass
class Artifact:
    """An artifact that tasks can fetch: the names of its files, and where their content is."""

    category: str
    data: dict
    files: dict[str, Path]


@dataclass
class Work:
    """A work request on its way, and what its worker has done so far."""

    document: dict
    completed: threading.Event = field(default_factory=threading.Event)
    result: str | None = None


class Server:
    """Serves one worker at a time."""

    def __init__(self, artifacts: dict[int, Artifact] | None = None):
        self.artifacts = artifacts or {}
        self.accepted = threading.Event()
        self.work: Work | None = None
        self.is_taken = True
        self.number = 1000
        self.websocket: socket.socket | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serving = threading.Thread(target=self.serve, daemon=True)
        self.serving.start()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        """No more workers."""
        # Closing alone does not wake who waits for a connection: the port would stay open.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.serving.join()
        self.listener.close()

    def offer(self, task: str, data: dict, dynamic_data: dict) -> Work:
        """Hands out a work request."""
        self.number += 1
        self.work = Work({
            "id": self.number, "task_name": task, "task_type": "Worker", "task_data": data, "dynamic_task_data": dynamic_data,
            "created_at": "2026-01-01T00:00:00Z", "started_at": None, "completed_at": None, "duration": None, "worker": 1,
            "priority_base": 0, "priority_adjustment": 0, "status": "pending", "result": "", "artifacts": [], "workspace": "System",
        })
        self.is_taken = False
        self.tell("work_request_available")
        return self.work

    def tell(self, text: str):
        """A message over the websocket."""
        if self.websocket is None:
            raise Wrong("no worker is connected")
        self.websocket.sendall(message(text))

    def serve(self):
        """Each connection has a thread, until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.attend, args=(connection,), daemon=True).start()

    def attend(self, connection: socket.socket):
        """One connection: requests one after the other, or the websocket."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = connection.makefile("rb")
        try:
            while request := stream.readline():
                headers = {}
                while (line := stream.readline().strip()):
                    name, _, value = line.partition(b":")
                    headers[name.strip().lower()] = value.strip()
                method, target, _ = request.decode().split(" ", 2)
                if "/ws/" in target:
                    self.welcome(connection, headers[b"sec-websocket-key"])
                    stream.read()
                    return
                self.answer(connection, stream, method, unquote(target), headers)
        except OSError:
            # The worker was ended, as all of them are in the end.
            pass
        finally:
            connection.close()

    def welcome(self, connection: socket.socket, key: bytes):
        """The handshake and the first two messages; then a ping now and then."""
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        connection.sendall(head + message("connected") + message("request_dynamic_metadata"))
        self.websocket = connection
        threading.Thread(target=self.ping, args=(connection,), daemon=True).start()

    def ping(self, connection: socket.socket):
        """Until the connection is gone."""
        pause = threading.Event()
        while not pause.wait(PING_EVERY):
            try:
                connection.sendall(b"\x89\x00")
            except OSError:
                return

    def answer(self, connection: socket.socket, stream, method: str, target: str, headers: dict[bytes, bytes]):
        """One request."""
        length = int(headers.get(b"content-length", 0))
        if headers.get(b"expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if method == "PUT" and "/files/" in target:
            self.swallow(stream, length)
            return self.answer_upload(connection, headers[b"content-range"].decode(), length)
        body = stream.read(length)
        if "dynamic-metadata" in target:
            reply(connection, 204)
            self.accepted.set()
        elif "get-next-for-worker" in target:
            if self.work is None or self.is_taken:
                return reply(connection, 204)
            self.is_taken = True
            reply(connection, 200, self.work.document)
        elif "/download/" in target:
            number, path = re.search(r"/artifact/(\d+)/download/(.*)", target).groups()
            files = self.artifacts[int(number)].files
            if path == "?archive=tar.gz":
                send_archive(connection, files)
            else:
                send_file(connection, files[path])
        elif method == "GET" and (asked := re.search(r"/artifact/(\d+)/?$", target)):
            reply(connection, 200, self.information(int(asked[1])))
        elif method == "POST" and target.endswith("/artifact/"):
            self.number += 1
            files = json.loads(body)["files"]
            reply(connection, 201, json.loads(body) | {"id": self.number, "created_at": "2026-01-01T00:00:00Z", "files_to_upload": list(files),
                                                       "download_tar_gz_url": self.address + "/none", "files": {}})
        elif "/artifact-relation/" in target:
            self.number += 1
            reply(connection, 201, json.loads(body) | {"id": self.number})
        elif "/completed/" in target:
            reply(connection, 200)
            self.work.result = json.loads(body)["result"]
            self.work.completed.set()
        else:
            reply(connection, 404, {"title": f"nothing is at {target}"})

    def information(self, number: int) -> dict:
        """What the server says of an artifact."""
        artifact = self.artifacts[number]
        place = f"{self.address}/debusine/System/artifact/{number}/download/"
        files = {
            path: {"size": content.stat().st_size, "checksums": {"sha256": digests(content)["sha256"]}, "type": "file", "url": place + path}
            for path, content in artifact.files.items()
        }
        return {
            "id": number, "workspace": "System", "category": artifact.category, "data": artifact.data, "created_at": "2026-01-01T00:00:00Z",
            "expire_at": None, "download_tar_gz_url": place + "?archive=tar.gz", "files_to_upload": [], "files": files,
        }

    def swallow(self, stream, length: int):
        """Reads a body of any size."""
        buffer = memoryview(bytearray(1 << 20))
        while length:
            length -= stream.readinto(buffer[: min(length, len(buffer))])

    def answer_upload(self, connection: socket.socket, content_range: str, length: int):
        """`bytes */SIZE` asks how much is there; else a part came."""
        part, size = content_range.removeprefix("bytes ").split("/")
        if part == "*":
            return reply(connection, 206, headers="Range: bytes=0-0\r\n")
        end = int(part.split("-")[1]) + 1 if length else 0
        if end == int(size):
            return reply(connection, 201)
        reply(connection, 200, headers=f"Range: bytes=0-{end}\r\n")


def message(text: str) -> bytes:
    """A text frame of the websocket with one of the server's messages."""
    document = json.dumps({"type": "websocket.send", "text": text}).encode()
    return bytes([0x81, len(document)]) + document


def reply(connection: socket.socket, status: int, document: dict | None = None, headers: str = ""):
    """An answer; JSON if there is a document."""
    body = b"" if document is None else json.dumps(document).encode()
    if document is not None:
        headers += "Content-Type: application/json\r\n"
    if status != 204:
        headers += f"Content-Length: {len(body)}\r\n"
    connection.sendall(f"HTTP/1.1 {status} Answer\r\n{headers}\r\n".encode() + body)


def send_file(connection: socket.socket, path: Path):
    """Without reading it here."""
    with path.open("rb") as content:
        size = path.stat().st_size
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendfile(content)


def send_archive(connection: socket.socket, files: dict[str, Path]):
    """All files of an artifact, as a compressed tarball."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for path, content in sorted(files.items(), reverse=True):
            archive.add(content, path)
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {body.tell()}\r\n\r\n".encode() + body.getvalue())


_known: dict[Path, dict[str, str]] = {}


def digests(path: Path) -> dict[str, str]:
    """Of a file's content, in hexadecimal digits; computed once."""
    if path not in _known:
        found = {name: hashlib.new(name) for name in ("md5", "sha1", "sha256")}
        with path.open("rb") as content:
            while part := content.read(1 << 20):
                for one in found.values():
                    one.update(part)
        _known[path] = {name: one.hexdigest() for name, one in found.items()}
    return _known[path]

