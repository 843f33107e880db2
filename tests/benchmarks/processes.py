"""Whole processes, as an operator starts them: how long they take, what they answer, how much memory they need."""

import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from rows import Wrong

TIME = Path("/usr/bin/time")


@dataclass
class Ended:
    """A process that has ended."""

    seconds: float
    status: int
    output: str


def run(arguments: list[str], environment: dict[str, str], expected: tuple[int, ...] = (0,)) -> Ended:
    """Runs a program from its start to its end; its output goes to a file, because a pipe would have to be read meanwhile."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        start = perf_counter()
        process = os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setpgroup=0)
        try:
            _, status, _ = os.wait4(process, 0)
        except BaseException:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        seconds = perf_counter() - start
        status = os.waitstatus_to_exitcode(status)
        if status not in expected:
            raise Wrong(f"{' '.join(arguments)}: exit status {status}: {text(errors) or text(output)}")
        return Ended(seconds, status, text(output))


def peak_memory(arguments: list[str], environment: dict[str, str]) -> tuple[float, Ended]:
    """The most resident memory that a program has, in MiB.

    Linux counts what the parent had before `exec` towards the child's peak, and this interpreter is bigger than what it measures:
    time(1), which is small, starts the program.
    """
    with tempfile.NamedTemporaryFile() as report:
        ended = run([str(TIME), "--format=%M", f"--output={report.name}", "--", *arguments], environment)
        return int(report.read()) / 1024, ended


def text(file) -> str:
    """What was written to a file."""
    file.seek(0)
    return file.read().decode(errors="replace").strip()
