"""A service manager in miniature: it starts the daemon as systemd would and hears what it says.

Nothing waits for a time to pass. What is waited for is a word on the notification socket, an answer
or the end of the process; the deadline is there so that a fault fails a test instead of holding it.
"""

import asyncio
import fcntl
import itertools
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

PATIENCE_S: Final = 20
DATAGRAM_BYTES_MAX: Final = 4096
SPARE_FD_MIN: Final = 100

_OF_SYSTEMD: Final = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
    }
)
"""What our own service manager may have said to us is not for the daemon under test."""

_numbers = itertools.count()


class Service:
    """One daemon, started with `variables` as its unit would set them."""

    def __init__(self, process: Process, notices: socket.socket) -> None:
        self.process = process
        self._notices = notices

    @property
    def pid(self) -> int:
        """The daemon's own process id."""
        return self.process.pid

    async def told(self, word: str) -> dict[str, str]:
        """Wait for a notice with this word in it, and give all of that notice."""
        async with asyncio.timeout(PATIENCE_S):
            while word not in (notice := await self._next_notice()):
                pass
        return notice

    async def _next_notice(self) -> dict[str, str]:
        """Wait for a notice; a daemon that ends instead has its last words shown."""
        loop = asyncio.get_running_loop()
        hearing = asyncio.ensure_future(loop.sock_recv(self._notices, DATAGRAM_BYTES_MAX))
        ending = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait((hearing, ending), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                raise AssertionError(f"the daemon ended: {await self.ended()}")
            return dict(line.split("=", 1) for line in hearing.result().decode().splitlines())
        finally:
            hearing.cancel()
            ending.cancel()

    def untold(self) -> list[str]:
        """List the notices that have come and were not waited for."""
        notices = []
        while True:
            try:
                notices.append(self._notices.recv(DATAGRAM_BYTES_MAX).decode())
            except BlockingIOError:
                return notices

    def signal(self, number: signal.Signals) -> None:
        """Send the daemon, and nobody else, a signal."""
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Wait for the daemon's end: its exit code, and all that it wrote to standard error."""
        async with asyncio.timeout(PATIENCE_S):
            _, errors = await self.process.communicate()
        return self.process.returncode or 0, errors.decode()


@asynccontextmanager
async def started(
    config: Path,
    *,
    listening: socket.socket | None = None,
    abstract: bool = False,
    **variables: str,
) -> AsyncIterator[Service]:
    """Start a daemon; what is left of it when the block ends is killed by its id."""
    name = f"notify-{os.getpid()}-{next(_numbers)}"
    address = f"\0{name}" if abstract else str(config.with_name(name))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(address)
        notices.setblocking(False)  # noqa: FBT003 - its only signature
        variables["NOTIFY_SOCKET"] = address.replace("\0", "@")
        process = await _spawn(config, listening, variables)
        try:
            yield Service(process, notices)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def _spawn(
    config: Path, listening: socket.socket | None, variables: dict[str, str]
) -> Process:
    kept = {name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD}
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    if listening is None:
        return await _execute(command, kept | variables)
    spare = fcntl.fcntl(listening.fileno(), fcntl.F_DUPFD, SPARE_FD_MIN)
    try:
        handed_on = f'exec 3<&{spare} {spare}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"'
        return await _execute(["bash", "-c", handed_on, *command], kept | variables, spare)
    finally:
        os.close(spare)


async def _execute(command: list[str], environ: dict[str, str], *fds: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, env=environ, pass_fds=fds, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def get(door: Path, path: str) -> Any:
    """Ask the daemon behind a unix socket for a page of its own."""
    connector = aiohttp.UnixConnector(str(door))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://localhost{path}") as answer,
    ):
        return await answer.json()
