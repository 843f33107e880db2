"""A worker in the place of the reference's: its start, its idleness, a large file in both directions, and a real build.

Both sides serve the same server, the small one of debusine.py, in turn.
"""

import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from debusine import Artifact, Server, digests
from rows import Row, Samples, Wrong, paired
from world import SYSTEM_PATH, World

REFERENCE = Path("/usr/bin/debusine-worker")
TOKEN = "0123456789abcdef" * 4
MIB = 1 << 20

# MiB that an idle worker may take, and one with a large file in its hands.
IDLE = 12
PEAK = IDLE + 8

# Bytes of the file that is fetched and uploaded.
LARGE = 500 * MIB


class Worker:
    """One side: how it is started, and where it lives."""

    def __init__(self, command: list[str], home: Path, environment: dict[str, str]):
        self.command = command
        self.home = home
        self.environment = environment | {"HOME": str(home)}

    def configure(self, server: Server):
        """Points it to a server that knows it already."""
        directory = self.home / ".config/debusine/worker"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.ini").write_text(f"[General]\napi-url = {server.address}/api\n")
        token = directory / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)

    @contextmanager
    def working(self, server: Server):
        """The process, from its start until it has ended; the server has accepted its metadata. Yields it, and the seconds that took."""
        self.configure(server)
        server.accepted.clear()
        start = perf_counter()
        with (self.home / "log").open("wb") as log:
            process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if not server.accepted.wait(20):
                raise Wrong(f"{self.command[0]}: no metadata within 20 s: {self.last_words()}")
            yield Process(process.pid), perf_counter() - start
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return (self.home / "log").read_text(errors="replace")[-2000:]


class Process:
    """What the kernel knows of a process."""

    def __init__(self, number: int):
        self.place = Path(f"/proc/{number}")

    def memory(self, key: str) -> float:
        """`VmRSS` or `VmHWM`, in MiB."""
        lines = (self.place / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    def forget_peak(self):
        """From now on the peak is that of what comes (proc_pid_clear_refs(5))."""
        (self.place / "clear_refs").write_text("5")

    def processor_time(self) -> float:
        """Seconds of all its threads; of those that live, to the nanosecond (kernel documentation, sched-stats)."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in (self.place / "task").iterdir()) / 1e9


def measure(world: World) -> list[Row]:
    """Rows for the life of a worker."""
    here, reference = sides(world)
    rows = start_and_idleness(world, here, reference)
    rows += large_file(world, here, reference)
    shutil.rmtree(here.home, ignore_errors=True)
    return rows


def sides(world: World) -> tuple[Worker, Worker | None]:
    """Ours, and the reference's if that is installed."""
    ours, theirs = world.scratch / "worker-here", world.scratch / "worker-reference"
    for home in (ours, theirs):
        home.mkdir(exist_ok=True)
    command = [str(world.runtime), "worker", "--configuration", str(ours / ".config/debusine/worker"), "--spool", str(ours / "spool")]
    here = Worker(command, ours, world.environment(world.scratch / "worker-store"))
    if not REFERENCE.exists():
        return here, None
    return here, Worker([str(REFERENCE)], theirs, {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "TMPDIR": str(world.scratch)})


def start_and_idleness(world: World, here: Worker, reference: Worker | None) -> list[Row]:
    """From the start of the process to metadata that the server has accepted; then nothing happens."""
    server = Server()

    def lived(worker: Worker) -> dict[str, Samples]:
        with worker.working(server) as (process, seconds):
            sleep(0.5)
            before = process.processor_time()
            sleep(1)
            used = process.processor_time() - before
            return {"start": [seconds * 1000], "idle": [process.memory("VmRSS")], "processor": [used * 60_000]}

    lived(here)  # compiles the tasks, and asks which architectures there are
    ours, theirs = paired(lambda: lived(here), (lambda: lived(reference)) if reference else None, rounds=5, seconds=20)
    server.close()
    return [
        Row("worker, start to metadata accepted", "ms", ours.get("start"), theirs.get("start"), goal=250),
        Row("worker, idle: resident memory", "MiB", ours.get("idle"), theirs.get("idle"), goal=IDLE),
        Row("worker, idle: processor time", "ms/min", ours.get("processor"), theirs.get("processor"), goal=5),
    ]


def large_file(world: World, here: Worker, reference: Worker | None) -> list[Row]:
    """The task mergeuploads fetches an upload with a large file, and uploads what it made of it: the same files."""
    server = Server({1: upload_with_a_large_file(world.scratch / "upload")})

    def carried(worker: Worker) -> dict[str, Samples]:
        with worker.working(server) as (process, _):
            sleep(0.5)
            process.forget_peak()
            begun = process.processor_time()
            work = server.offer("mergeuploads", {"input": {"uploads": [1]}}, {"input_uploads_ids": [1]})
            try:
                if not work.created.wait(60):
                    raise Wrong(f"{worker.command[0]}: no upload within 60 s: {worker.last_words()}")
                fetched = {"fetch": [process.processor_time() - begun], "fetch memory": [process.memory("VmHWM")]}
                process.forget_peak()
                begun = process.processor_time()
            finally:
                work.go_on.set()
            if not work.completed.wait(60) or work.result != "success":
                raise Wrong(f"{worker.command[0]}: {work.result or 'no result within 60 s'}: {worker.last_words()}")
            return fetched | {"upload": [process.processor_time() - begun], "upload memory": [process.memory("VmHWM")]}

    ours, theirs = paired(lambda: carried(here), (lambda: carried(reference)) if reference else None, rounds=2, seconds=60)
    server.close()
    above = f"the goal: {IDLE} MiB idle, and 8 above it"
    return [
        Row("500 MiB download: processor time", "s", ours.get("fetch"), theirs.get("fetch"), goal=1),
        Row("500 MiB download: peak resident memory", "MiB", ours.get("fetch memory"), theirs.get("fetch memory"), goal=PEAK, note=above),
        Row("500 MiB upload: processor time", "s", ours.get("upload"), theirs.get("upload")),
        Row("500 MiB upload: peak resident memory", "MiB", ours.get("upload memory"), theirs.get("upload memory"), goal=PEAK, note=above),
    ]


def upload_with_a_large_file(directory: Path) -> Artifact:
    """An upload of one package; that is a file of zeros, for nobody looks into it."""
    directory.mkdir()
    package = directory / "big_1.0_amd64.deb"
    with package.open("wb") as content:
        content.truncate(LARGE)
    found = digests(package)
    lines = {
        "Format": "1.8", "Date": "Thu, 01 Jan 2026 00:00:00 +0000", "Source": "big", "Binary": "big", "Architecture": "amd64", "Version": "1.0",
        "Distribution": "unstable", "Maintainer": "Nobody <nobody@example.org>", "Description": "\n big - a large file", "Changes": "\n big (1.0) unstable",
        "Checksums-Sha1": f"\n {found['sha1']} {LARGE} {package.name}", "Checksums-Sha256": f"\n {found['sha256']} {LARGE} {package.name}",
        "Files": f"\n {found['md5']} {LARGE} devel optional {package.name}",
    }
    changes = directory / "big_1.0_amd64.changes"
    changes.write_text("".join(f"{key}: {value}\n".replace(": \n", ":\n") for key, value in lines.items()))
    files = [{"md5sum": found["md5"], "size": str(LARGE), "section": "devel", "priority": "optional", "name": package.name}]
    data = {"type": "dpkg", "changes_fields": {"Source": "big", "Version": "1.0", "Architecture": "amd64", "Files": files}}
    return Artifact("debian:upload", data, {changes.name: changes, package.name: package})
