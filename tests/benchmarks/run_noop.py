"""How long `run noop` takes, from the start of the process to its end: every stage, its logs, its result, in a store of its own.

The reference needs a server to run anything.
"""

import shutil

from processes import run
from rows import Row, Samples, paired
from world import World


def measure(world: World) -> list[Row]:
    """One row."""
    data = world.scratch / "noop.json"
    data.write_text('{"result": true}')
    store = world.scratch / "noop-store"

    def here() -> dict[str, Samples]:
        shutil.rmtree(store, ignore_errors=True)
        ended = run([str(world.runtime), "run", "noop", "--data", str(data)], world.environment(store))
        return {"run": [ended.seconds * 1000]}

    ours, _ = paired(here, None, rounds=21, seconds=12)
    note = "the store is made anew each time; the reference needs a server to run a task"
    return [Row("run noop, start to end", "ms", ours.get("run"), goal=30, note=note)]
