"""How many pairs of tasks and workers are answered in a second: tasks of mixed kinds, all different, and workers that all differ.

Here everything between reading and printing is measured: the workers parsed, the tasks configured, the pairs answered. The reference asks objects
that it has made before.
"""

import json

from processes import run
from rows import Row, Samples, Side, Wrong, paired
from world import World

TASKS = 1000
WORKERS = 1000


def measure(world: World) -> list[Row]:
    """Rows for the rate, how it grows with a second processor, and what one more worker costs."""
    tasks_file, workers_file = world.scratch / "tasks.jsonl", world.scratch / "workers.jsonl"
    tasks_file.write_text("".join(json.dumps(task) + "\n" for task in tasks(world)))
    workers_file.write_text("".join(json.dumps(worker) + "\n" for worker in workers(world)))
    arguments = [str(tasks_file), str(workers_file)]
    answers: set[float] = set()
    here = looped([str(world.in_process), "matching", *arguments], world, answers)
    reference = looped(world.reference_script("matching.py", *arguments), world, answers)
    ours, theirs = paired(here, reference if world.reference else None, rounds=5, seconds=20)
    if len(answers) != 1:
        raise Wrong(f"matching: the shares of yes differ: {sorted(answers)}")
    one, two = ours["pairs_per_microsecond_1"], ours["pairs_per_microsecond_2"]
    scaling = [both / single for single, both in zip(one, two)]
    kept = theirs.get("pairs_per_microsecond_1")
    return [
        Row("match: pairs, one processor", "M/s", one, kept, goal=3, more_is_better=True, note="the reference asks objects made before"),
        Row("match: a second processor", "times", scaling, goal=1.8, more_is_better=True),
        Row(f"match: one more worker, {TASKS} tasks", "ms", [us / 1000 for us in ours["microseconds_column"]]),
    ]


def looped(command: list[str], world: World, answers: set[float]) -> Side:
    """A side that runs this command, which prints its measurements as JSON."""

    def side() -> dict[str, Samples]:
        found = json.loads(run(command, world.environment()).output)
        answers.add(round(found.pop("yes"), 6))
        return {name: [value] for name, value in found.items()}

    return side


def tasks(world: World) -> list[dict]:
    """Tasks of three kinds in turn; no two have the same data."""
    sbuild = json.loads(world.task_data.read_text())
    bootstrap = {
        "bootstrap_options": {"architecture": "amd64", "variant": "apt"},
        "bootstrap_repositories": [{"mirror": "http://deb.example.org/debian", "suite": "bookworm", "components": ["main"]}],
    }

    def task(number: int) -> dict:
        if number % 3 == 0:
            return {"task": "sbuild", "data": sbuild | {"input": {"source_artifact": number}}}
        if number % 3 == 1:
            return {"task": "noop", "data": {"task_configuration": number}}
        options = bootstrap["bootstrap_options"] | {"extra_packages": [f"package-{number}"]}
        return {"task": "mmdebstrap", "data": bootstrap | {"bootstrap_options": options}}

    return [task(number) for number in range(TASKS)]


def workers(world: World) -> list[dict]:
    """A farm; no two workers say the same of themselves."""
    model = json.loads(world.worker.read_text()) | {"noop:version": 1}
    architectures = (model["system:architectures"], ["riscv64"])
    return [
        model
        | {"system:ram_in_bytes": (number + 1) << 30, "system:architectures": architectures[number % 2], "mmdebstrap:available": number % 3 != 0}
        for number in range(WORKERS)
    ]
