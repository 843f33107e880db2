"""What is measured, and where: the programs, the reference if it is installed, a directory for everything that is written."""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from processes import run
from rows import OutOfTime, Wrong

HERE = Path(__file__).resolve().parent
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class World:
    """Programs, inputs and scratch space of one run of the benchmarks; the scratch space goes with it."""

    task_data = HERE / "sbuild.json"
    worker = HERE / "worker.json"

    def __init__(self, root: Path, binaries: Path):
        self.runtime = binaries.resolve() / "task-runtime"
        # Calls the library in a loop, where starting a process would hide what is measured.
        self.in_process = binaries.resolve() / "in-process"
        # The same, built without the compiler of components.
        self.without_compiler = root / "target/without-compiler/release/in-process"
        built = root / "tasks/target/wasm32-unknown-unknown/release"
        self.tasks = Path(os.environ.get("TASK_RUNTIME_TASKS") or built).absolute()
        self.python = Path("/usr/bin/python3")
        missing = [str(path) for path in (self.runtime, self.in_process, self.tasks / "sbuild.wasm") if not path.exists()]
        if missing:
            raise SystemExit(f"bench: not built: {', '.join(missing)}; `make bench` builds them first")

    def __enter__(self) -> "World":
        # The users of sandboxes must be able to pass through, which they cannot in /root or a home directory.
        self.scratch = Path(tempfile.mkdtemp(prefix="task-runtime-bench-", dir="/var/tmp"))
        self.scratch.chmod(0o755)
        try:
            self.reference = self._reference_version()
            # Every benchmark is about compiled tasks.
            run([str(self.runtime), "compile"], self.environment())
        except (Wrong, OutOfTime) as error:
            self.__exit__()
            raise SystemExit(f"bench: the tasks cannot be compiled: {error}") from None
        return self

    def __exit__(self, *_exception) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def environment(self, store: Path | None = None) -> dict[str, str]:
        """The environment of both sides; the same few variables, so that nobody's shell is measured."""
        return {
            "PATH": SYSTEM_PATH,
            "HOME": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "TASK_RUNTIME_TASKS": str(self.tasks),
            "TASK_RUNTIME_STORE": str(store or self.scratch / "store"),
            "TASK_RUNTIME_CACHE": str(self.scratch / "cache"),
        }

    def reference_script(self, name: str, *arguments: object) -> list[str]:
        """The command that runs a script of reference/ with the interpreter for which the reference is installed."""
        return [str(self.python), str(HERE / "reference" / name), *map(str, arguments)]

    def description(self) -> str:
        """What is compared with what, and on which machine."""
        load = os.getloadavg()[0]
        return (
            f"here: {self.runtime}\n"
            f"reference: {self.reference or 'not installed; .ci/set-up-machine reference installs it'}\n"
            f"machine: {os.cpu_count()} CPUs, Linux {platform.release()}, load {load:.1f}"
        )

    def _reference_version(self) -> str | None:
        """The version of the reference, none if it is not installed."""
        if not self.python.exists():
            return None
        found = subprocess.run(
            [str(self.python), "-c", "import debusine.worker, importlib.metadata as m; print(m.version('debusine'))"],
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        return f"Debusine {found.stdout.strip()}" if found.returncode == 0 else None
