"""The provider: a bare asyncio protocol in a process of its own, as fast as Python gets.

`/free/…` answers at once, `/free/down/N` with N bytes; `/paid/…` asks for a payment and takes
anything for one. Bodies are counted and thrown away.
"""

import asyncio
import json
import sys
from typing import Final, cast

import uvloop

from tests.bench.wire import ANSWER, CHALLENGE, PAID_ANSWER, content_length, split_head

_PIECE: Final = bytes(256 * 1024)
_DOWN: Final = b"/free/down/"


class Provider(asyncio.Protocol):
    """One connection to the provider."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body_left = 0
        self._answer = b""
        self._down_left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read a request; answer once its body is there."""
        if self._body_left:
            self._body_left -= len(data)
        else:
            self._buffer += data
            found = split_head(self._buffer)
            if found is None:
                return
            head, start = found
            self._body_left = content_length(head) - (len(self._buffer) - start)
            self._buffer = b""
            self._decide(head)
        if self._body_left == 0:
            self._transport.write(self._answer)
            self._pump()

    def pause_writing(self) -> None:
        """Wait: the other side is slower."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._pump()

    def _decide(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        if target.startswith(_DOWN):
            self._down_left = int(target[len(_DOWN) :])
            length = b"Content-Length: %d\r\n\r\n" % self._down_left
            self._answer = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n" + length
        elif target.startswith(b"/paid/"):
            paid = b"\r\npayment-signature:" in head.lower()
            self._answer = PAID_ANSWER if paid else CHALLENGE
        else:
            self._answer = ANSWER

    def _pump(self) -> None:
        while self._down_left and not self._paused:
            piece = _PIECE[: self._down_left]
            self._down_left -= len(piece)
            self._transport.write(piece)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=256)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
