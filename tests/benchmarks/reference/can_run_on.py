"""The reference's answer to one can-run-on: DATA WORKER, both files of JSON. Prints true or false."""

import json
import sys

# What debusine-worker imports when it starts.
import debusine.worker  # noqa: F401
from debusine.tasks import BaseTask
from debusine.tasks.models import TaskTypes

with open(sys.argv[1]) as file:
    data = json.load(file)
with open(sys.argv[2]) as file:
    worker = json.load(file)
sbuild = BaseTask.class_from_name(TaskTypes.WORKER, "sbuild")
print(json.dumps(sbuild(data).can_run_on(worker)))
