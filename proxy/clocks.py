"""The machine's clocks."""

import time
from pathlib import Path
from typing import Final

from proxy.core.clock import Clocks

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UPTIME: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts sleep where the system can tell it; elsewhere a sleep looks like a jump ahead."""


def machine_clocks() -> Clocks:
    """The wall clock, the uptime and this boot's id, which a service manager may hide."""
    try:
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    return Clocks(time.time, lambda: time.clock_gettime(_UPTIME), boot_id)
