"""What a sandbox takes: its start on an image that is in the cache, commands in it, files into it and out of it, its end.

The image is a few programs of this machine, so that it is made in a moment. The reference unpacks its image at every start: with
a real system of 300 MB it needs many seconds more than here.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from time import perf_counter

from processes import run
from rows import Row, Samples, Side, Wrong, paired
from world import World

PROGRAMS = ("/bin/sh", "/bin/true", "/usr/bin/cat", "/usr/bin/chmod", "/usr/bin/chown", "/usr/bin/getent", "/usr/bin/id", "/usr/bin/mkdir", "/sbin/runuser")
USERS = b"root:x:0:0:root:/root:/bin/sh\n_debusine:x:1000:1000::/tmp:/bin/sh\n"
BUBBLEWRAP = Path("/usr/bin/bwrap")


def measure(world: World) -> list[Row]:
    """A row each for start, commands, files, end."""
    image = world.scratch / "system.tar.xz"
    make_image(image)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    here = looped([str(world.in_process), "sandbox", str(image), digest, str(world.scratch / "sandboxes")], world)
    reference = looped(world.reference_script("sandbox.py", image), world)
    note = None
    try:
        here()
    except Wrong as error:
        return [Row("sandbox", "", note=f"not measured: {error}")]
    if world.reference:
        try:
            reference()
        except Wrong as error:
            note, reference = f"the reference is not measured: {error}", None
    ours, theirs = paired(here, reference if world.reference else None, rounds=3, seconds=10)
    return [
        Row("sandbox: start on a small cached image", "ms", ours["start"], theirs.get("start"), goal=15, note=note),
        Row("sandbox: one command as root", "ms", ours["command"], theirs.get("command"), goal=1),
        Row("sandbox: one command as the user", "ms", ours["as_user"], theirs.get("as_user"), goal=1),
        Row("sandbox: push of 1000 files of 1 KiB", "ms", ours["push"], theirs.get("push"), goal=100),
        Row("sandbox: pull of one file", "ms", ours["pull"], theirs.get("pull"), goal=0.1),
        Row("sandbox: end", "ms", ours["stop"], theirs.get("stop")),
        *bubblewrap(),
    ]


def bubblewrap() -> list[Row]:
    """The same kinds of namespaces by bubblewrap, around one command: start and end in one."""
    if not BUBBLEWRAP.exists():
        return []
    command = [str(BUBBLEWRAP), "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]
    samples = []
    for _ in range(20):
        start = perf_counter()
        subprocess.run(command, check=True)
        samples.append((perf_counter() - start) * 1000)
    return [Row("bubblewrap: start, one command, end", "ms", None, samples, note="for comparison; it shares the host's files")]


def looped(command: list[str], world: World) -> Side:
    """A side that runs this command, which prints lists of milliseconds as JSON."""

    def side() -> dict[str, Samples]:
        return json.loads(run(command, world.environment()).output)

    return side


def make_image(path: Path) -> None:
    """A system tarball, as small as one can be in which a shell runs."""
    with tarfile.open(path, "w:xz") as archive:
        for name in ("", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
            add(archive, name, tarfile.DIRTYPE, 0o755)
        for name in ("bin", "sbin", "lib", "lib64"):
            add(archive, name, tarfile.SYMTYPE, 0o777, link=f"usr/{name}")
        add(archive, "etc/passwd", tarfile.REGTYPE, 0o644, USERS)
        add(archive, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\n_debusine:x:1000:\n")
        directories = set()
        for file in programs_and_libraries():
            # Debian has merged /bin and /lib into /usr.
            inside = file.lstrip("/") if file.startswith("/usr/") else f"usr{file}"
            parent = os.path.dirname(inside)
            if parent not in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64") and parent not in directories:
                directories.add(parent)
                add(archive, parent, tarfile.DIRTYPE, 0o755)
            add(archive, inside, tarfile.REGTYPE, 0o755, Path(file).read_bytes())


def programs_and_libraries() -> list[str]:
    """The files that the programs need, as ldd(1) tells."""
    listing = subprocess.run(["ldd", *PROGRAMS], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listing)
    return [*PROGRAMS, *sorted(set(libraries))]


def add(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
    """Adds a member that belongs to root."""
    member = tarfile.TarInfo(f"./{name}")
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(content)
    archive.addfile(member, io.BytesIO(content))
