"""The reference's can-run-on for many tasks and workers: TASKS WORKERS, files of JSON lines. Prints pairs in a microsecond, and the share of yes."""

import json
import sys
from time import perf_counter

from debusine.tasks import BaseTask
from debusine.tasks.models import TaskTypes

tasks = []
with open(sys.argv[1]) as file:
    for line in file:
        described = json.loads(line)
        tasks.append(BaseTask.class_from_name(TaskTypes.WORKER, described["task"])(described["data"]))
with open(sys.argv[2]) as file:
    workers = [json.loads(line) for line in file]

yes = 0
start = perf_counter()
for task in tasks:
    for metadata in workers:
        yes += task.can_run_on(metadata)
pairs = len(tasks) * len(workers)
print(json.dumps({"pairs_per_microsecond_1": pairs / (perf_counter() - start) / 1e6, "yes": yes / pairs}))
