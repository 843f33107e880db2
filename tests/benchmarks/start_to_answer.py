"""How long a process takes from its start to the answer of one `can-run-on`.

Both sides read the same two files; the reference imports what a worker of it imports.
"""

import json

from processes import run
from rows import Row, Samples, Wrong, paired
from world import World


def measure(world: World) -> list[Row]:
    """One row."""
    misfit = unsuitable(world)
    for worker, expected in ((world.worker, True), (misfit, False)):
        answers = [ask_here(world, worker)[1]]
        if world.reference:
            answers.append(ask_reference(world, worker)[1])
        if any(answer is not expected for answer in answers):
            raise Wrong(f"can-run-on answers {answers} for {worker.name}, where {expected} is right")

    def here() -> dict[str, Samples]:
        return {"answer": [ask_here(world, world.worker)[0]]}

    def reference() -> dict[str, Samples]:
        return {"answer": [ask_reference(world, world.worker)[0]]}

    ours, theirs = paired(here, reference if world.reference else None, rounds=21, seconds=14)
    return [Row("process start to one can-run-on", "ms", ours.get("answer"), theirs.get("answer"), goal=8)]


def ask_here(world: World, worker) -> tuple[float, bool]:
    """Milliseconds, and the answer."""
    command = [str(world.runtime), "--json", "can-run-on", "sbuild", "--data", str(world.task_data), "--worker", str(worker)]
    ended = run(command, world.environment(), expected=(0, 1))
    try:
        answer = json.loads(ended.output)["can_run"]
    except (ValueError, KeyError, TypeError):
        raise Wrong(f"can-run-on: no answer in {ended.output!r}") from None
    return ended.seconds * 1000, answer


def ask_reference(world: World, worker) -> tuple[float, bool]:
    """The same of the reference."""
    command = world.reference_script("can_run_on.py", world.task_data, worker)
    ended = run(command, world.environment())
    return ended.seconds * 1000, json.loads(ended.output)


def unsuitable(world: World):
    """A worker of another architecture: an answer that is always yes would be quick too."""
    metadata = json.loads(world.worker.read_text())
    metadata["system:architectures"] = ["riscv64"]
    path = world.scratch / "another-architecture.json"
    path.write_text(json.dumps(metadata))
    return path
