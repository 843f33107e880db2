"""What all tasks take to be there: time to load them, memory, and whether memory grows with calls. The reference's tasks are part of its process."""

import json

from processes import run
from rows import Row
from world import World

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
    ]
