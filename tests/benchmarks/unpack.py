"""What the first use of an image costs: its files unpacked, beside tar(1).

The image holds files of this machine, many and small ones for the most part, not compressed: decompression costs both sides the same.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path
from time import perf_counter

from rows import Row, Samples, paired
from sandbox import looped
from world import World

CONTENT = ("usr/lib/python3", "usr/lib/python3.11", "usr/share/perl", "usr/share/perl5", "usr/share/doc", "usr/share/zoneinfo")


def measure(world: World) -> list[Row]:
    """One row."""
    image = world.scratch / "large.tar"
    there = [path for path in CONTENT if Path("/", path).exists()]
    subprocess.run(["tar", "-C", "/", "--owner=0", "--group=0", "--numeric-owner", "-cf", str(image), *there], check=True, stderr=subprocess.DEVNULL)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    here = looped([str(world.in_process), "unpack", str(image), digest, str(world.scratch / "unpacked")], world)
    ours, theirs = paired(here, lambda: tar(image, world.scratch / "by-tar"), rounds=3, seconds=12)
    size = image.stat().st_size >> 20
    image.unlink()
    return [Row(f"first unpack of an image of {size} MiB", "ms", ours["unpack"], theirs["unpack"], note="the other side is tar(1)")]


def tar(image: Path, directory: Path) -> dict[str, Samples]:
    """Milliseconds that tar needs, with what it wrote on disk, as here."""
    directory.mkdir()
    start = perf_counter()
    subprocess.run(["tar", "-C", str(directory), "-xf", str(image)], check=True)
    subprocess.run(["sync", "--file-system", str(directory)], check=True)
    taken = (perf_counter() - start) * 1000
    shutil.rmtree(directory)
    return {"unpack": [taken]}
