"""What the door's tests stand on: a real door on loopback, what it serves, and a bare socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from proxy.core.config import Config
from proxy.core.http import Reply, Request
from proxy.gate.connection import Bounds
from proxy.gate.handler import Callback, Serve, no_callback
from proxy.gate.server import Door
from proxy.metrics import Metrics

PATIENCE_S = 10
TOKEN = "fbx_canary-of-agent-1"


def config(**changes: Any) -> Config:
    """A valid config with some keys changed."""
    document: dict[str, Any] = {
        "listen": "127.0.0.1:8402",
        "caps": {"per_request": "1.00", "day": "none"},
        "providers": {"shop": {"kind": "http", "base_url": "https://shop.example"}},
    }
    return Config.model_validate(document | changes)


@dataclass
class Log:
    """A logger that keeps what it is told; the lines of the pages are kept with the others."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def debug(self, event: str, **fields: object) -> None:
        """Keep a line that is of interest to few."""
        self.info(event, **fields)

    def info(self, event: str, **fields: object) -> None:
        """Keep a line."""
        assert event == "request"
        self.lines.append(fields)
        self.changed.set()

    def exception(self, event: str, **fields: object) -> None:
        """Keep a fault."""
        self.faults.append({"event": event, **fields})

    async def line(self, number: int = 0) -> dict[str, Any]:
        """Wait for a request's line."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.lines) <= number:
                self.changed.clear()
                await self.changed.wait()
        return self.lines[number]


class FakeAdmin:
    """An `Admin` with little to say; it remembers what it was asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.ready = True
        self.asked: list[tuple[int, str | None, str | None]] = []
        self.broken = False
        self.paused: str | None = None

    def healthz(self) -> Mapping[str, object]:
        """See `Admin`."""
        return {"status": "ok"}

    async def readyz(self) -> tuple[bool, Mapping[str, object]]:
        """See `Admin`."""
        return self.ready, {"ready": self.ready}

    def health(self) -> Mapping[str, object]:
        """See `Admin`."""
        return {"status": "ok", "wallet": None}

    async def metrics(self) -> bytes:
        """See `Admin`."""
        return self._metrics.render()

    async def status(self) -> Mapping[str, object]:
        """See `Admin`."""
        if self.broken:
            raise RuntimeError("the ledger is gone")
        return {"version": "0", "paused": False}

    async def payments(
        self, limit: int, before: str | None, state: str | None
    ) -> Mapping[str, object]:
        """See `Admin`."""
        self.asked.append((limit, before, state))
        return {"payments": []}

    async def jobs(self) -> Mapping[str, object]:
        """See `Admin`."""
        return {"jobs": []}

    async def portraits(self) -> Mapping[str, object]:
        """See `Admin`."""
        return {"portraits": []}

    async def pause(self, reason: str | None) -> Mapping[str, object]:
        """See `Admin`."""
        self.paused = self.paused if reason is None else reason
        return {"paused": self.paused is not None}

    def config(self) -> Mapping[str, object]:
        """See `Admin`."""
        return {"providers": {}}


class Wire:
    """A client that says exactly the bytes it is told to, and reads exactly what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def until(self, mark: bytes) -> bytes:
        """Read up to and including a mark."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readuntil(mark)

    async def exactly(self, count: int) -> bytes:
        """Read a number of bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(count)

    async def some(self) -> bytes:
        """Read what one packet brings."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(65_536)

    async def rest(self) -> bytes:
        """Read until the other side ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(-1)

    async def answer(self) -> "Heard":
        """Read one answer that has a Content-Length, or none and no body."""
        head = await self.until(b"\r\n\r\n")
        heard = Heard.of(head)
        length = heard.headers.get(b"content-length", b"0")
        return Heard(heard.status, heard.headers, await self.exactly(int(length)))

    def hang_up(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()


@dataclass(frozen=True)
class Heard:
    """An answer, its header names in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Take apart an answer's bytes."""
        head, _, body = data.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        pairs = (each.partition(b": ") for each in fields)
        return cls(
            int(line.split(b" ")[1]), {name.lower(): value for name, _, value in pairs}, body
        )

    @property
    def code(self) -> str:
        """The daemon's error code, empty where the answer is not the daemon's refusal."""
        return self.headers.get(b"farebox-error", b"").decode()


@dataclass
class House:
    """A door that is open, and what stands around it."""

    door: Door
    port: int
    log: Log
    metrics: Metrics
    admin: FakeAdmin
    served: list[Request]

    @property
    def url(self) -> str:
        """Where an ordinary client finds the door."""
        return f"http://127.0.0.1:{self.port}"

    async def wire(self) -> Wire:
        """Connect a bare socket."""
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, data: bytes) -> Heard:
        """Say something and read until the connection ends; HOST in it is a host of the door."""
        async with await self.wire() as wire:
            await wire.say(data.replace(b"HOST", b"127.0.0.1:%d" % self.port))
            return Heard.of(await wire.rest())


async def plain(request: Request) -> Reply:
    """Serve a request by saying what was asked."""
    body = b"".join([chunk async for chunk in request.body.chunks()])
    return Reply(200, "OK", ((b"X-Served", b"yes"),), body or request.target.encode())


@asynccontextmanager
async def opened(
    serve: Serve = plain,
    *,
    bounds: Bounds | None = None,
    settings: Callable[[], Config] | None = None,
    listening: socket.socket | None = None,
    callback: Callback = no_callback,
    **changes: Any,
) -> AsyncIterator[House]:
    """Open a door on a free port, with some keys of the config changed."""
    snapshot = config(**changes)
    listening = listening or socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0)
    metrics, log, served = Metrics(), Log(), list[Request]()

    async def remember(request: Request) -> Reply:
        served.append(request)
        return await serve(request)

    admin = FakeAdmin(metrics)
    door = Door(
        serve=remember,
        admin=admin,
        config=settings or (lambda: snapshot),
        logger=log,
        metrics=metrics,
        bounds=bounds or Bounds(),
        inherited=(listening,),
        callback=callback,
    )
    name = listening.getsockname()
    port = name[1] if isinstance(name, tuple) else 0
    await door.start()
    try:
        yield House(door, port, log, metrics, admin, served)
    finally:
        await door.stop(0)
