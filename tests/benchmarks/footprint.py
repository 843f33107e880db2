"""What all tasks take to be there: time to load them, memory, and whether memory grows with calls. The reference's tasks are part of its process."""

import json

from processes import run
from rows import Row
from world import World

# Fresh instances after which memory is compared.
INSTANCES = 1_000_000


def measure(world: World) -> list[Row]:
    """Rows for load, memory and growth."""
    command = [str(world.in_process), "footprint"]
    # The second run finds what the first one remembered of the files.
    run([*command, "0"], world.environment())
    found = json.loads(run([*command, str(INSTANCES)], world.environment()).output)
    tasks = found["tasks"]
    return [
        Row(f"load {tasks} compiled tasks", "ms", [found["load_milliseconds"]], goal=3),
        Row(f"resident with {tasks} tasks", "MiB", [found["resident_mebibytes"]], goal=20),
        Row("growth over a million fresh instances", "MiB", [found["grown_mebibytes"]], goal=1),
        without_compiler(world),
    ]


def without_compiler(world: World) -> Row:
    """The same memory of a build without a compiler, which loads what the full one has compiled."""
    row = Row("resident with all tasks, no compiler", "MiB", goal=12)
    if not world.without_compiler.exists():
        row.note = "not measured: not built; `make bench` builds it"
        return row
    # It has no way to make up for code that it cannot load: then it fails.
    found = json.loads(run([str(world.without_compiler), "footprint", "0"], world.environment()).output)
    row.here = [found["resident_mebibytes"]]
    return row
