"""How quickly `can-run-on` is answered within one process.

Both sides get the same JSON, loop in a process of their own (in_process/scheduling.rs, reference/scheduling.py), print what one question took,
and tell how often the answer was yes.
"""

import json

from processes import run
from rows import Row, Samples, Side, Wrong, paired
from world import World

# Workers of the farm; every other one is of another architecture, so half of the answers are no.
WORKERS = 1000


def measure(world: World) -> list[Row]:
    """A row for objects made anew for each question, a row for objects that are kept."""
    farm = world.scratch / "farm.json"
    farm.write_text(json.dumps(workers(world)))
    arguments = [str(world.task_data), str(world.worker), str(farm)]
    here = looped([str(world.in_process), "scheduling", *arguments], world)
    reference = looped(world.reference_script("scheduling.py", *arguments), world)
    ours, theirs = paired(here, reference if world.reference else None, rounds=7, seconds=14)
    return [
        Row("can-run-on from JSON, task made anew", "µs", ours["anew"], theirs.get("anew"), goal=25, note="here a fresh instance each time"),
        Row("label from JSON, task made anew", "µs", ours["label"], theirs.get("label"), goal=25, note="likewise"),
        Row("can-run-on, task and workers kept", "M/s", ours["kept"], theirs.get("kept"), goal=3, more_is_better=True),
    ]


def looped(command: list[str], world: World) -> Side:
    """A side that runs this command, which prints its measurements as JSON."""

    def side() -> dict[str, Samples]:
        found = json.loads(run(command, world.environment()).output)
        if (found["yes_anew"], found["yes_kept"]) != (1, 0.5):
            raise Wrong(f"{command[0]}: the shares of yes are {found}, where 1 and 0.5 are right")
        return {"anew": [found["microseconds_anew"]], "label": [found["microseconds_label"]], "kept": [found["pairs_per_microsecond_kept"]]}

    return side


def workers(world: World) -> list[dict]:
    """A farm; no two workers say the same of themselves."""
    model = json.loads(world.worker.read_text())
    architectures = (model["system:architectures"], ["riscv64"])
    return [
        model | {"system:ram_in_bytes": (number + 1) << 30, "system:architectures": architectures[number % 2]}
        for number in range(WORKERS)
    ]
