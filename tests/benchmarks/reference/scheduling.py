"""The reference's can-run-on in a loop: DATA WORKER FARM, files of JSON. Prints what one question takes, and the shares of yes, as JSON."""

import json
import sys
from time import perf_counter

from debusine.tasks import BaseTask
from debusine.tasks.models import TaskTypes

ANEW = 2_000
KEPT = 50

data, worker, farm = (open(path).read() for path in sys.argv[1:4])
sbuild = BaseTask.class_from_name(TaskTypes.WORKER, "sbuild")

yes = 0
start = perf_counter()
for _ in range(ANEW):
    yes += sbuild(json.loads(data)).can_run_on(json.loads(worker))
anew = perf_counter() - start
report = {"microseconds_anew": anew / ANEW * 1e6, "yes_anew": yes / ANEW}

start = perf_counter()
labels = 0
for _ in range(ANEW):
    labels += len(sbuild(json.loads(data)).get_label())
report["microseconds_label"] = (perf_counter() - start) / ANEW * 1e6
if not labels:
    sys.exit("sbuild has no label")

task = sbuild(json.loads(data))
workers = json.loads(farm)
yes = 0
start = perf_counter()
for _ in range(KEPT):
    for metadata in workers:
        yes += task.can_run_on(metadata)
kept = perf_counter() - start
pairs = KEPT * len(workers)
report |= {"pairs_per_microsecond_kept": pairs / kept / 1e6, "yes_kept": yes / pairs}
print(json.dumps(report))
