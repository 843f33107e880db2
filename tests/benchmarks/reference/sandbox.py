"""The reference's sandbox: IMAGE, a system tarball. Prints milliseconds for start, commands, files and stop as JSON."""

import json
import sys
import tempfile
from pathlib import Path, PurePath
from time import perf_counter

from debusine.tasks.executors.unshare import UnshareInstance

STARTS = 2
COMMANDS = 5

# One after the other: a thousand would need a quarter of a minute, so that fewer are pushed, and what a thousand need is reckoned.
PUSHED = 10
THOUSAND = 1000

report: dict[str, list[float]] = {"start": [], "command": [], "as_user": [], "push": [], "pull": [], "stop": []}


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
        instance.create_user()
        for _ in range(COMMANDS):
            timed("as_user", lambda: instance.run(["/bin/true"], run_as_root=False))
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory) / "pushed"
            source.mkdir()
            for number in range(PUSHED):
                (source / str(number)).write_bytes(b"x" * 1024)
            timed("push", lambda: instance.directory_push(source, PurePath("/tmp"), user="root", group="root"))
            report["push"][-1] *= THOUSAND / PUSHED
            timed("pull", lambda: instance.file_pull(PurePath("/tmp/pushed/0"), Path(directory) / "pulled"))
    finally:
        timed("stop", instance.stop)
print(json.dumps(report))
