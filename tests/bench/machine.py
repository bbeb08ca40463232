"""The machine: its cores, what it says of a process, and what must be known to read the numbers.

The proxy gets the first core and everything else the others, where there are two: nothing that is
compared then competes with its own load. Linux only, since /proc is.
"""

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

if sys.platform != "linux":
    raise SystemExit("the benchmarks need Linux: they read /proc and choose their cores")

ALL_CORES: Final = frozenset(os.sched_getaffinity(0))
PROXY_CORES: Final = frozenset(sorted(ALL_CORES)[:1])
OTHER_CORES: Final = ALL_CORES - PROXY_CORES or ALL_CORES
LIBRARIES: Final = ("aiohttp", "uvloop", "coincurve", "eth-account", "x402")
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@contextmanager
def on(cores: Collection[int]) -> Iterator[None]:
    """Stay on some cores for a while; what is started there stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used, its own and the kernel's for it."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def memory_mib(pid: int, what: str) -> float:
    """A line of /proc/PID/status: VmRSS is what a process holds, VmHWM the most it ever held."""
    lines = (_PROC / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def nginx_path() -> str | None:
    """Where nginx is; distributions put it where a user's PATH may not look."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def sync_ms(folder: Path, count: int = 100) -> float:
    """The median time to write a page at the end of a file and have it on the disk."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def facts() -> dict[str, str]:
    """What the numbers hold for."""
    load_1, load_5, _ = os.getloadavg()
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores, {len(ALL_CORES)} of them used",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "SQLite": sqlite3.sqlite_version,
        "nginx": _nginx_version(),
        "Load before": f"{load_1:.2f} in the last minute, {load_5:.2f} in the last five",
    }


def _cpu_model() -> str:
    lines = (_PROC / "cpuinfo").read_text().splitlines()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def _nginx_version() -> str:
    path = nginx_path()
    if path is None:
        return "not installed; `apt-get install nginx-light` adds its rows"
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2]
