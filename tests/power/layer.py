"""The layer between a program and its disk: how one is started on it, and what it says to it.

`layer.c` says what it does and how its log looks.
"""

import ctypes
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("layer.c")
FOR_EVER: Final = 1_000_000
PROGRAM_S: Final = 300
"""A program that takes longer hangs; the longest takes a few seconds."""


class Kind(IntFlag):
    """What can fail, as `layer.c` numbers it."""

    SYNC = 1
    WRITE = 2
    TRUNCATE = 4
    OPEN = 8
    UNLINK = 16
    SYNCDIR = 32
    READ = 64


ANY: Final = ~Kind.READ
"""All that changes a file, and opening one. Reads are many, and have a fault of their own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How an operation fails: which kinds are counted, with what, and for how long.

    With `half`, a write first takes half of what it was given, and says so.
    """

    name: str
    kinds: Kind
    error: int
    times: int = 1
    half: bool = False


FAULTS: Final = (
    Fault("EIO", ANY, errno.EIO),
    Fault("EIO from then on", ANY, errno.EIO, FOR_EVER),
    Fault("ENOSPC", ANY, errno.ENOSPC),
    Fault("ENOSPC from then on", ANY, errno.ENOSPC, FOR_EVER),
    Fault("EIO of a sync", Kind.SYNC | Kind.SYNCDIR, errno.EIO),
    Fault("EIO of a read", Kind.READ, errno.EIO),
    Fault("EIO of every read", Kind.READ, errno.EIO, FOR_EVER),
    Fault("short", Kind.WRITE, errno.ENOSPC, half=True),
    Fault("short, then ENOSPC", Kind.WRITE, errno.ENOSPC, 2, half=True),
    Fault("short, then ENOSPC from then on", Kind.WRITE, errno.ENOSPC, FOR_EVER, half=True),
)


def built(directory: Path) -> Path:
    """Compile the layer."""
    library = directory / "layer.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


def run(library: Path, directory: Path, module: str, *words: object, log: Path | None) -> None:
    """Run a program of this package over the layer, and wait for it."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "LAYER_DIR": str(directory.resolve()),
        **({} if log is None else {"LAYER_LOG": str(log)}),
    }
    command = [sys.executable, "-m", f"tests.power.{module}", str(directory.resolve())]
    command += [str(word) for word in words]
    subprocess.run(command, env=environment, timeout=PROGRAM_S, check=True)


# For the program under the layer.


def mark(text: str) -> None:
    """Write something into the log, at this moment of it."""
    ctypes.CDLL(None).layer_mark(text.encode())


def fail(fault: Fault, nth: int) -> None:
    """Let the nth operation from here on fail, and those that follow it if the fault says so."""
    ctypes.CDLL(None).layer_fail(nth, int(fault.kinds), fault.error, int(fault.half), fault.times)


def calm() -> None:
    """Let nothing fail any more."""
    ctypes.CDLL(None).layer_fail(0, 0, 0, 0, 0)


def seen() -> int:
    """How many operations there were of those that the fault counts."""
    return int(ctypes.CDLL(None).layer_seen())
