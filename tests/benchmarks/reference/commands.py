"""The reference's commands on the host. Prints milliseconds for command and abort, GiB/s and MiB above idle for output, as JSON."""

import json
import tempfile
import threading
from pathlib import Path
from time import perf_counter, sleep

from debusine.tasks import Lintian

COMMANDS = 10
ABORTS = 2
# Captured output is read into memory: less than a GiB, or the machine may have none left.
OUTPUT = 300 << 20


def task() -> Lintian:
    """A task that can run commands, without data: these are the scheduler's."""
    made = object.__new__(Lintian)
    made._debug_log_files_directory = None
    made._aborted = False
    made.executor_instance = None
    made.workspace_name = None
    import logging

    made.logger = logging.getLogger("reference")
    return made


def memory(field: str) -> float:
    """MiB that this process has, or had at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {field}")


report: dict[str, list[float]] = {"command": [], "abort": [], "output": [], "memory": []}
with tempfile.TemporaryDirectory() as directory:
    place = Path(directory)
    for _ in range(COMMANDS):
        runner = task()
        start = perf_counter()
        if runner.run_cmd(["/bin/true"], place) != 0:
            raise SystemExit("the command failed")
        report["command"].append((perf_counter() - start) * 1000)
    for _ in range(ABORTS):
        runner = task()
        thread = threading.Thread(target=lambda: runner.run_cmd(["sleep", "60"], place))
        thread.start()
        sleep(0.3)
        start = perf_counter()
        runner._aborted = True
        thread.join()
        report["abort"].append((perf_counter() - start) * 1000)
    runner = task()
    idle = memory("VmRSS")
    start = perf_counter()
    runner.run_cmd(["head", "-c", str(OUTPUT), "/dev/zero"], place, capture_stdout_filename="output")
    report["output"].append(OUTPUT / (1 << 30) / (perf_counter() - start))
    report["memory"].append(memory("VmHWM") - idle)
print(json.dumps(report))
