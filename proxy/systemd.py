"""What systemd wants to hear: that the daemon is ready, reloading, stopping, and alive."""

import os
import socket
import time
from typing import Final

_MICROSECONDS: Final = 1_000_000


def notify(*states: str) -> None:
    """Tell systemd, if it listens.

    `READY=1`, `RELOADING=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + address[1:] if address[0] == "@" else address)
        channel.sendall("\n".join(states).encode())


def reloading() -> None:
    """Tell systemd that a reload begins; it wants to know when, to tell it from an earlier one."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_s() -> float | None:
    """How often systemd wants a sign of life from this process; None where it wants none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(microseconds) / _MICROSECONDS
