"""A worker in the place of the reference's: its start, its idleness, a large file in both directions, and a real build.

Both sides serve the same server, the small one of debusine.py, in turn.
"""

import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import clock_gettime, perf_counter, sleep

from debusine import PING_EVERY, Artifact, Server, digests
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
        self.number = number
        self.place = Path(f"/proc/{number}")

    def memory(self, key: str) -> float:
        """`VmRSS` or `VmHWM`, in MiB."""
        lines = (self.place / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    def forget_peak(self):
        """From now on the peak is that of what comes (proc_pid_clear_refs(5))."""
        (self.place / "clear_refs").write_text("5")

    def processor_time(self) -> float:
        """Seconds of all its threads, also of those that have ended: its processor-time clock (clock_getcpuclockid(3))."""
        return clock_gettime(~self.number << 3 | 2)


def measure(world: World) -> list[Row]:
    """Rows for the life of a worker."""
    here, reference = sides(world)
    rows = start(world, here, reference)
    rows.append(idleness(here, reference))
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


def start(world: World, here: Worker, reference: Worker | None) -> list[Row]:
    """From the start of the process to metadata that the server has accepted; what it takes to wait then."""
    server = Server()

    def started(worker: Worker) -> dict[str, Samples]:
        with worker.working(server) as (process, seconds):
            sleep(0.5)
            return {"start": [seconds * 1000], "idle": [process.memory("VmRSS")]}

    started(here)  # compiles the tasks, and asks which architectures there are
    ours, theirs = paired(lambda: started(here), (lambda: started(reference)) if reference else None, rounds=5, seconds=20)
    server.close()
    return [
        Row("worker, start to metadata accepted", "ms", ours.get("start"), theirs.get("start"), goal=250),
        Row("worker, idle: resident memory", "MiB", ours.get("idle"), theirs.get("idle"), goal=IDLE),
    ]


def idleness(here: Worker, reference: Worker | None) -> Row:
    """Nothing happens but the server's pings. Both sides wait side by side: it takes a while, and costs nothing."""

    def waited(worker: Worker) -> Samples:
        server = Server()
        with worker.working(server) as (process, _):
            sleep(13)  # What belongs to the start: its helper threads wait ten seconds for more work, and end.
            before = process.processor_time()
            # As often as it is asked whether it is still there, so it is in any minute.
            sleep(PING_EVERY)
            used = process.processor_time() - before
        server.close()
        return [used * 1000 * 60 / PING_EVERY]

    sides = [worker for worker in (here, reference) if worker]
    with ThreadPoolExecutor(len(sides)) as both:
        ours, *theirs = both.map(waited, sides)
    return Row("worker, idle: processor time", "ms/min", ours, theirs[0] if theirs else None, goal=5)


def large_file(world: World, here: Worker, reference: Worker | None) -> list[Row]:
    """The task mergeuploads, twice. An upload that lacks its .changes file is fetched, and nothing can be done with it. A whole one is
    fetched, and its files are uploaded again."""
    upload = upload_with_a_large_file(world.scratch / "upload")
    rest = {name: content for name, content in upload.files.items() if not name.endswith(".changes")}
    server = Server({1: upload, 2: Artifact(upload.category, upload.data, rest)})

    def carried(worker: Worker) -> dict[str, Samples]:
        with worker.working(server) as (process, _):
            sleep(0.5)
            fetch, fetch_memory = done(server, worker, process, 2, "failure")
            both, both_memory = done(server, worker, process, 1, "success")
            return {"fetch": [fetch], "fetch memory": [fetch_memory], "both": [both], "both memory": [both_memory]}

    ours, theirs = paired(lambda: carried(here), (lambda: carried(reference)) if reference else None, rounds=2, seconds=60)
    server.close()
    above = f"the goal: {IDLE} MiB idle, and 8 above it"
    return [
        Row("500 MiB download: processor time", "s", ours.get("fetch"), theirs.get("fetch"), goal=1),
        Row("500 MiB download: peak resident memory", "MiB", ours.get("fetch memory"), theirs.get("fetch memory"), goal=PEAK, note=above),
        Row("500 MiB download and upload: processor time", "s", ours.get("both"), theirs.get("both")),
        Row("500 MiB download and upload: peak memory", "MiB", ours.get("both memory"), theirs.get("both memory"), goal=PEAK, note=above),
    ]


def done(server: Server, worker: Worker, process: Process, upload: int, expected: str) -> tuple[float, float]:
    """Has an upload merged; the processor time in seconds, and the most memory in MiB, from offer to result."""
    process.forget_peak()
    begun = process.processor_time()
    work = server.offer("mergeuploads", {"input": {"uploads": [upload]}}, {"input_uploads_ids": [upload]})
    if not work.completed.wait(60) or work.result != expected:
        raise Wrong(f"{worker.command[0]}: {work.result or 'no result within 60 s'}: {worker.last_words()}")
    return process.processor_time() - begun, process.memory("VmHWM")


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
