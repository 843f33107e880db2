"""What all tasks take to be there: time to load them, memory, and whether memory grows with calls. The reference's tasks are part of its process."""

import json
from pathlib import Path

from processes import run
from rows import Row
from world import World

# Fresh instances after which memory is compared.
INSTANCES = 1_000_000


# How often the tasks are loaded, each time by a process of its own.
LOADS = 7


def measure(world: World) -> list[Row]:
    """Rows for load, memory and growth."""
    loads = loaded(world.in_process, world)
    tasks = loads[0]["tasks"]
    grown = footprint(world.in_process, world, INSTANCES)["grown_mebibytes"]
    return [
        Row(f"load {tasks} compiled tasks", "ms", [load["load_milliseconds"] for load in loads], goal=3),
        Row(f"resident with {tasks} tasks", "MiB", [load["resident_mebibytes"] for load in loads], goal=20),
        Row("growth over a million fresh instances", "MiB", [grown], goal=1),
        without_compiler(world),
    ]


def without_compiler(world: World) -> Row:
    """The same memory of a build without a compiler, which loads what the full one has compiled."""
    row = Row("resident with all tasks, no compiler", "MiB", goal=12)
    if not world.without_compiler.exists():
        row.note = "not measured: not built; `make bench` builds it"
        return row
    # It has no way to make up for code that it cannot load: then it fails.
    row.here = [load["resident_mebibytes"] for load in loaded(world.without_compiler, world)]
    return row


def loaded(program: Path, world: World) -> list[dict]:
    """What so many processes say that load all tasks. Another one before them compiles what is not compiled, and remembers the files."""
    return [footprint(program, world, 0) for _ in range(LOADS + 1)][1:]


def footprint(program: Path, world: World, instances: int) -> dict:
    """What a process says that loads all tasks, and then makes so many instances."""
    return json.loads(run([str(program), "footprint", str(instances)], world.environment()).output)
