"""The door itself: it opens, it is open, it closes.

Opening binds every address or none. Closing stops accepting at once, ends idle connections, lets
requests in flight finish for a while and cancels what is left.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.http import HttpRequestParser

from proxy.core.config import Config
from proxy.gate.admin import Admin, Pages
from proxy.gate.connection import Bounds, Connection, Listener
from proxy.gate.handler import Callback, DoorMetrics, Handler, Logger, Serve, no_callback
from proxy.gate.sockets import BACKLOG, DoorError, open_sockets, remove_stale

AIOHTTP_MIN: Final = (3, 14, 4)
"""Earlier ones let some forms of request smuggling through."""
C_PARSER: Final = "aiohttp._http_parser"
_KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""asyncio's own tidying would remove the file of a socket that systemd owns."""
LAST_GOODBYE_S: Final = 0.5
"""What a connection without a request may still take when the door closes."""


class Door:
    """Where clients come in.

    `serve` answers what is for a provider and raises `Refused` to refuse; it is cancelled when its
    client hangs up. `config` gives the snapshot in force. `inherited` are listening sockets from
    systemd, taken instead of the config's addresses. `callback` answers phones.
    """

    def __init__(
        self,
        *,
        serve: Serve,
        admin: Admin,
        config: Callable[[], Config],
        logger: Logger,
        metrics: DoorMetrics,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        inherited: Sequence[socket.socket] = (),
        callback: Callback = no_callback,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._bounds = bounds
        self._inherited = tuple(inherited)
        self._handler = Handler(
            serve, Pages(admin), config, logger, metrics, time.monotonic, bounds, callback
        )
        self._opened: tuple[socket.socket, ...] = ()
        self._files: tuple[Path, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._listener: Listener | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the door is open, as `listen` writes it."""
        return tuple(_written(each) for each in self._inherited or self._opened)

    async def start(self) -> None:
        """Open the door; `DoorError` says what stands in the way."""
        require_sound_parser()
        if not self._inherited:
            self._opened = open_sockets(self._config().listen)
            self._files = tuple(
                Path(each.getsockname()) for each in self._opened if each.family == socket.AF_UNIX
            )
        listening = self._inherited or self._opened
        self._handler.ports = frozenset(
            each.getsockname()[1] for each in listening if each.family != socket.AF_UNIX
        )
        self._listener = Listener(
            self._handler,
            self._bounds,
            lambda: self._config().limits.header_s,
            self._metrics.connections,
        )
        for each in listening:
            self._servers.append(await _serve_on(each, self._listener))

    async def stop(self, drain_s: float) -> None:
        """Close the door: nobody new, what is under way gets `drain_s`, then it is cancelled."""
        self._handler.stopping = True
        for server in self._servers:
            server.close()
        for path in self._files:
            remove_stale(path)
        if self._listener is None:
            return
        await asyncio.sleep(0)  # let what has just arrived become a request
        for connection in self._listener.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()
        if self._handler.in_flight:
            await asyncio.wait(self._handler.in_flight, timeout=drain_s)
        late = tuple(self._handler.in_flight)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._listener.shutdown(LAST_GOODBYE_S)


def require_sound_parser(
    version: str = aiohttp.__version__, parser: type = HttpRequestParser
) -> None:
    """Refuse to serve with an HTTP parser that lets ambiguous requests through."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    if numbers < AIOHTTP_MIN:
        raise DoorError(f"aiohttp {version} is too old: install 3.14.4 or later")
    if parser.__module__ != C_PARSER:
        raise DoorError(
            "aiohttp runs without its C parser, whose strictness the door relies on: install a "
            "wheel of aiohttp that has it, and unset AIOHTTP_NO_EXTENSIONS"
        )


async def _serve_on(listening: socket.socket, listener: Listener) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listening.family == socket.AF_UNIX:
        keep = _KEEP_FILE if isinstance(loop, asyncio.BaseEventLoop) else {}
        return await loop.create_unix_server(listener, sock=listening, backlog=BACKLOG, **keep)
    return await loop.create_server(listener, sock=listening, backlog=BACKLOG)


def _written(listening: socket.socket) -> str:
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
