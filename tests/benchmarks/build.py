"""A real build of a Debian package by a worker, from the announcement of work to the result: fetch, sbuild, upload.

Each side builds twice: with nothing in its caches, as after its installation, and again, as a worker does all day. It needs a system to build in, and takes that of the demo (make demo).
"""

import json
import os
import subprocess
from pathlib import Path
from time import perf_counter

from debusine import Artifact, Server
from rows import Row, Wrong
from worker import Worker, sides
from world import World

PACKAGE = "hello"
CHECKOUT = Path(__file__).resolve().parents[2]

# Seconds that a build may take.
LONGEST = 200


def measure(world: World) -> list[Row]:
    """A row for the first build, and one for the next."""
    names = [f"worker, sbuild of {PACKAGE}, image to be fetched", f"worker, sbuild of {PACKAGE}, image in the cache"]
    system = demo_system(world)
    if system is None:
        return [Row(what, "s", note="not measured: there is no system to build in; make demo makes one") for what in names]
    server = Server({1: source(world), 2: system})
    here, reference = sides(world)
    rows = []
    for what in names:
        ours = [built(here, server)]
        theirs = [built(reference, server)] if reference else None
        rows.append(Row(what, "s", ours, theirs))
    server.close()
    return rows


def built(worker: Worker, server: Server) -> float:
    """Seconds that a build takes."""
    data = {"input": {"source_artifact": 1}, "environment": "debian/match:codename=bookworm", "host_architecture": architecture()}
    dynamic_data = {
        "subject": PACKAGE, "environment_id": 2, "input_source_artifact_id": 1, "input_extra_binary_artifacts_ids": [],
        "binnmu_maintainer": "Debusine <noreply@localhost>", "configuration_context": "bookworm",
    }
    with worker.working(server):
        begun = perf_counter()
        work = server.offer("sbuild", data, dynamic_data)
        if not work.completed.wait(LONGEST) or work.result != "success":
            raise Wrong(f"{worker.command[0]}: {work.result or f'no result within {LONGEST} s'}: {worker.last_words()}")
        return perf_counter() - begun


def demo_system(world: World) -> Artifact | None:
    """The system tarball that the demo made, if it has."""
    demo = Path(os.environ.get("TASK_RUNTIME_DEMO") or f"/var/tmp/task-runtime-demo-{os.environ.get('USER', 'root')}")
    if not (demo / "store").is_dir():
        return None
    ask = [str(world.runtime), "--json", "--store", str(demo / "store"), "artifact"]
    found = json.loads(printed([*ask, "list", "--category", "debian:system-tarball"]))
    if not found:
        return None
    tarball, place = found[-1], world.scratch / "system"
    printed([*ask, "export", str(tarball["id"]), str(place)])
    data = tarball["data"]
    return Artifact("debian:system-tarball", data, {data["filename"]: place / data["filename"]})


def source(world: World) -> Artifact:
    """The source package, from this machine's mirror."""
    place = world.scratch / "source"
    place.mkdir()
    dsc = Path(printed([str(CHECKOUT / ".ci/debian-source"), PACKAGE, str(place)]).strip())
    fields = dict(line.split(": ", 1) for line in dsc.read_text().splitlines() if ": " in line and not line.startswith(" "))
    data = {"name": fields["Source"], "version": fields["Version"], "type": "dpkg", "dsc_fields": {"Source": fields["Source"], "Version": fields["Version"]}}
    return Artifact("debian:source-package", data, {path.name: path for path in sorted(place.iterdir())})


def architecture() -> str:
    """Debian's name for this machine's processor."""
    return printed(["/usr/bin/dpkg", "--print-architecture"]).strip()


def printed(command: list[str]) -> str:
    """What a program printed."""
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode:
        raise Wrong(f"{' '.join(command)}: exit status {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout
