"""The reference's sandbox: IMAGE, a system tarball. Prints milliseconds for start, command and stop as JSON."""

import json
import sys
from pathlib import Path
from time import perf_counter

from debusine.tasks.executors.unshare import UnshareInstance

STARTS = 2
COMMANDS = 5

report: dict[str, list[float]] = {"start": [], "command": [], "stop": []}


def timed(what: str, work):
    """Calls it, and notes how long that took."""
    start = perf_counter()
    result = work()
    report[what].append((perf_counter() - start) * 1000)
    return result


for _ in range(STARTS):
    instance = UnshareInstance(Path(sys.argv[1]))
    timed("start", instance.start)
    try:
        for _ in range(COMMANDS):
            ended = timed("command", lambda: instance.run(["/bin/true"], run_as_root=True))
            if ended.returncode != 0:
                sys.exit(f"the command ended with {ended.returncode}: {ended.stderr.decode().strip()}")
    finally:
        timed("stop", instance.stop)
print(json.dumps(report))
