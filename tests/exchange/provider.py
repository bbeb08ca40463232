"""A provider that is a script.

It logs every byte that it gets and answers exactly the bytes it is told to.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
NETWORK = "eip155:84532"
PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"


@dataclass(slots=True)
class Got:
    """One request as it arrived: its head verbatim, its body with the framing taken off."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n")[0].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in their order."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [
            (name, value) for name, _, value in (line.partition(": ") for line in lines) if name
        ]

    def header(self, name: str) -> str | None:
        """The first header of a name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def payment(self) -> dict[str, Any] | None:
        """The decoded payment, if it carries one."""
        value = self.header("PAYMENT-SIGNATURE") or self.header("X-PAYMENT")
        return None if value is None else json.loads(base64.b64decode(value))


Script = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Provider:
    """A listening server; `script` answers, `got` is the log."""

    script: Script
    got: list[Got] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _server: asyncio.Server | None = None
    _port: int = 0

    @property
    def url(self) -> str:
        """Its origin."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def paid(self) -> list[Got]:
        """The requests that carried a payment."""
        return [got for got in self.got if got.payment is not None]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def shut(self) -> None:
        """Listen no more, for a while."""
        assert self._server is not None
        self._port = self._server.sockets[0].getsockname()[1]
        self._server.close()

    async def reopen(self) -> None:
        """Listen again, where it did before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def until(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.got) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                got = Got(head[:-4])
                length = got.header("content-length")
                if length is not None:
                    got.body = await reader.readexactly(int(length))
                elif (got.header("transfer-encoding") or "") == "chunked":
                    got.body = await _dechunked(reader)
                async with self.arrived:
                    self.got.append(got)
                    self.arrived.notify_all()
                await self.script(got, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _dechunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body


def response(status: str, *headers: tuple[str, str], body: bytes = b"") -> bytes:
    """A whole response with a length."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def challenge(amount: str = "10000", pay_to: str = PAYEE, **more: object) -> dict[str, Any]:
    """A challenge of version 2 with one entry."""
    entry = {
        "scheme": "exact",
        "network": NETWORK,
        "amount": amount,
        "asset": USDC,
        "payTo": pay_to,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
        **more,
    }
    return {"x402Version": 2, "resource": {"url": "http://provider/x"}, "accepts": [entry]}


def b64(document: object) -> str:
    """The form in which headers carry JSON."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def asks(document: dict[str, Any] | None = None) -> bytes:
    """A 402 with its challenge in the header."""
    return response(
        "402 Payment Required", ("PAYMENT-REQUIRED", b64(document or challenge())), body=b"{}"
    )


def receipt(**more: object) -> tuple[str, str]:
    """A receipt's header."""
    document = {"success": True, "transaction": "0x" + "ab" * 32, "network": NETWORK, **more}
    return "PAYMENT-RESPONSE", b64(document)


def reply(got: Got, writer: asyncio.StreamWriter, answer: bytes) -> None:
    """Write an answer, without its body to a HEAD."""
    head, end, body = answer.partition(b"\r\n\r\n")
    writer.write(head + end + (b"" if got.line.startswith("HEAD") else body))


def sells(answer: bytes, document: dict[str, Any] | None = None) -> Script:
    """Ask for a payment, and answer whatever is paid for."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        reply(got, writer, answer if got.payment is not None else asks(document))

    return script


def answers(answer: bytes) -> Script:
    """Answer everything alike."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        reply(got, writer, answer)

    return script
