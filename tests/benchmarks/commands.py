"""What a command on the host takes, how soon an aborted one is dead, and what a flood of output costs.

The reference captures output of which it reads everything into memory in the end; here it flows through.
"""

from rows import Row, Wrong, paired
from sandbox import looped
from world import World


def measure(world: World) -> list[Row]:
    """Rows for commands, aborts, and output."""
    here = looped([str(world.in_process), "commands"], world)
    reference = looped(world.reference_script("commands.py"), world)
    note = None
    if world.reference:
        try:
            reference()
        except Wrong as error:
            note, reference = f"the reference is not measured: {error}", None
    ours, theirs = paired(here, reference if world.reference else None, rounds=2, seconds=8)
    return [
        Row("command on the host", "ms", ours["command"], theirs.get("command"), note=note),
        Row("abort of a command until all is dead", "ms", ours["abort"], theirs.get("abort"), goal=50),
        Row("the same, 150 hostile descendants", "ms", ours["descendants"], goal=100, note="the reference leaves them running"),
        Row("output of a command", "GiB/s", ours["output"], theirs.get("output"), goal=1, more_is_better=True),
        Row("memory above idle meanwhile", "MiB", ours["memory"], theirs.get("memory"), goal=8, note="the reference for 300 MiB, here 1 GiB"),
    ]
