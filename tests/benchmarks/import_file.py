"""What the import of a 500 MiB file into the store takes: time, and memory above that of a process that has nothing to do."""

import os
import shutil
from pathlib import Path

from processes import TIME, peak_memory
from rows import Row, Samples, paired
from world import World

SIZE = 500  # MiB


def measure(world: World) -> list[Row]:
    """A row for memory, one for time."""
    memory = Row(f"import of {SIZE} MiB: peak memory above idle", "MiB", goal=16)
    time = Row(f"import of {SIZE} MiB: start to end", "s")
    why = impossible(world)
    if why:
        memory.note = time.note = f"not measured: {why}"
        return [memory, time]
    big, small = write(world.scratch / "big", SIZE), write(world.scratch / "small", 0)
    store = world.scratch / "import-store"

    def peak(*arguments: str) -> tuple[float, float]:
        megabytes, ended = peak_memory([str(world.runtime), *arguments], world.environment(store))
        return megabytes, ended.seconds

    def artifact(path: Path) -> tuple[float, float]:
        return peak("artifact", "import", "--category", "debusine:test", "--data", "{}", str(path))

    def here() -> dict[str, Samples]:
        shutil.rmtree(store, ignore_errors=True)
        artifact(small)
        idle, _ = peak("artifact", "list")
        used, seconds = artifact(big)
        return {"above": [used - idle], "idle": [idle], "seconds": [seconds]}

    ours, _ = paired(here, None, rounds=5, seconds=10)
    big.unlink()
    shutil.rmtree(store)
    memory.here, time.here = ours["above"], ours["seconds"]
    memory.note = f"idle is `artifact list`, {min(ours['idle']):.1f} MiB at its peak"
    return [memory, time]


def impossible(world: World) -> str | None:
    """Why this cannot be measured on this machine."""
    if not TIME.exists():
        return f"{TIME} is missing; .ci/set-up-machine bench installs it"
    free = shutil.disk_usage(world.scratch).free >> 20
    if free < 3 * SIZE:
        return f"{world.scratch.parent} has {free} MiB left, which is too little for the file and its copy"
    return None


def write(path: Path, mebibytes: int) -> Path:
    """A file of so many MiB that no file system can leave out or compress; a few bytes more, so that it is never empty."""
    with path.open("wb") as file:
        file.write(b"begins\n")
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))
    return path
