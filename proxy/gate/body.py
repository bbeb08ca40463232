"""What a request brings: its content, read as it comes and never held.

Whatever goes wrong with it is the client's doing, so it is told as a `Refused` of ours: whoever
passes the bytes on to a provider must not take it for a failure of the provider.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from proxy.core.errors import Refusal, Refused

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class IncomingBody:
    """A `proxy.core.http.Body` over one request's stream.

    A client that announced `Expect: 100-continue` is told to go on when the content is first asked
    for, and not before: what is refused is never sent.
    """

    __slots__ = ("_awaited", "_idle_s", "_length", "_raw", "bytes_read", "failed", "stalled")

    def __init__(
        self, raw: web.BaseRequest, length: int | None, *, expects: bool, idle_s: float
    ) -> None:
        self._raw = raw
        self._length = length
        self._awaited = expects and length != 0
        self._idle_s = idle_s
        self.bytes_read = 0
        self.failed = False
        self.stalled = False

    @property
    def length(self) -> int | None:
        """How many bytes the client declared; None for a chunked body, 0 for none."""
        return self._length

    @property
    def unasked(self) -> bool:
        """Whether the client still waits to be told that it may send."""
        return self._awaited

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content as it comes; each wait for more of it has a deadline."""
        if self._length == 0:
            return
        self._ask()
        stream = self._raw.content
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    chunk = await stream.readany()
            except TimeoutError:
                self.failed = self.stalled = True
                raise Refused(
                    Refusal("request_timeout", f"the body stalled for {self._idle_s:g} seconds")
                ) from None
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is the client's
                # Bad chunk framing, or a client that left: the stream raises several types, and
                # their messages quote the client's bytes.
                self.failed = True
                problem = f"the body could not be read ({type(failure).__name__})"
                raise Refused(Refusal("bad_request", problem)) from None
            if not chunk:
                return
            self.bytes_read += len(chunk)
            yield chunk

    def _ask(self) -> None:
        waiting, self._awaited = self._awaited, False
        transport = self._raw.transport
        if not waiting or transport is None or transport.is_closing():
            return
        if self._raw.writer.output_size == 0 and self._raw.content.total_bytes == 0:
            transport.write(_CONTINUE)
