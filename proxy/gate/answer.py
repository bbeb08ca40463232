"""An answer's head, byte for byte: the provider's, with our framing and nothing else of ours.

aiohttp's responses fill in a Content-Type, a Date and a Server and keep headers as text, which
changes bytes above 127. `Answer` therefore builds the head itself, from bytes, and leaves to
aiohttp what it does well: chunks, backpressure, keep-alive. What is ours in a head is framing:
Content-Length where all of the body is at hand, `Transfer-Encoding: chunked` where its end is not
known, and `Connection`.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter

from proxy.core.http import HOP_BY_HOP, Header, Headers, Reply

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_UNSAFE_VALUE: Final = re.compile(rb"[\x00\r\n]")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BODILESS: Final = (204, 304)
_CHUNKED: Final = (b"Transfer-Encoding", b"chunked")


class Answer(web.StreamResponse):
    """A `Reply` in the clothes of an aiohttp response.

    aiohttp calls `prepare` and `write_eof` on whatever a handler returns. A whole body is written
    by these two, a streamed one by `send`.
    """

    def __init__(self, reply: Reply, *, close: bool = False) -> None:
        super().__init__(status=reply.status, reason="")
        self.reply = reply
        self.bodiless = False
        self.declared: int | None = None
        self.framed = True
        self._closes = close

    @property
    def stream(self) -> StreamWriter:
        """The connection's writer; there is one once the answer is prepared."""
        return cast("StreamWriter", self._payload_writer)

    async def write_eof(self, data: bytes = b"") -> None:
        """Write what is left: all of a whole body, or the mark that ends a streamed one."""
        body = self.reply.body
        if isinstance(body, bytes) and not self.bodiless:
            data = body
        await super().write_eof(data)

    def send_head(self) -> None:
        """Send the head, unless it is out or nothing more is to be written."""
        if self._payload_writer is not None and not self._eof_sent:
            self.stream.send_headers()

    def abandon(self) -> None:
        """Write nothing more, and have aiohttp write nothing more either."""
        self._eof_sent = True
        self._keep_alive = False

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._req = request
        self._payload_writer = request.writer
        http11 = request.version >= (1, 1)
        self.bodiless = request.method == "HEAD" or self.reply.status in _BODILESS
        kept, added = self._length()
        endless = not self.bodiless and self.declared is None
        if endless and http11:
            self.stream.enable_chunking()
            added = (*added, _CHUNKED)
        self.framed = http11 or not endless
        self._keep_alive = request.keep_alive and not self._closes and self.framed
        if not self._keep_alive:
            added = (*added, (b"Connection", b"close"))
        elif not http11:
            added = (*added, (b"Connection", b"keep-alive"))
        # aiohttp offers no way to hand over a head of bytes; its writer sends what lies here.
        self.stream._headers_buf = head_bytes(self.reply, kept, added)  # noqa: SLF001
        return self.stream

    def _length(self) -> tuple[Header | None, Headers]:
        """Give the reply's Content-Length if it stays, and ours if one is added."""
        sent = [h for h in self.reply.headers if h[0].lower() == b"content-length"]
        known = sent[0] if sent and len({value.strip() for _, value in sent}) == 1 else None
        if known is not None and not _LENGTH.fullmatch(known[1].strip()):
            known = None
        if self.bodiless:
            return known, ()
        if not isinstance(self.reply.body, bytes):
            self.declared = None if known is None else int(known[1])
            return known, ()
        self.declared = len(self.reply.body)
        if known is not None and int(known[1]) == self.declared:
            return known, ()
        return None, ((b"Content-Length", b"%d" % self.declared),)


def head_bytes(reply: Reply, length: Header | None, added: Headers) -> bytes:
    """Write a head: status line, the reply's own headers in their order, then ours.

    A header that would break the head apart is left out: better so than to lose an answer that was
    paid for.
    """
    reason = reply.reason.encode("utf-8", "surrogateescape")
    reason = b" ".join(_UNSAFE_VALUE.sub(b" ", reason).split())
    lines = [b"HTTP/1.1 %d %s" % (reply.status, reason)]
    lines += (b"%s: %s" % header for header in _own(reply.headers, length))
    lines += (b"%s: %s" % header for header in added)
    return b"\r\n".join((*lines, b"", b""))


def _own(headers: Headers, length: Header | None) -> Iterator[Header]:
    for header in headers:
        name, value = header
        key = name.lower()
        if key in HOP_BY_HOP or not _TOKEN.fullmatch(name) or _UNSAFE_VALUE.search(value):
            continue
        if key != b"content-length":
            yield header
        elif header is length:
            yield header
            length = None


def whole(reply: Reply) -> bytes:
    """Write a whole answer that ends its connection, for where aiohttp has no request to answer."""
    body = reply.body if isinstance(reply.body, bytes) else b""
    added = ((b"Content-Length", b"%d" % len(body)), (b"Connection", b"close"))
    return head_bytes(reply, None, added) + body


def phrase(status: int) -> str:
    """Name a status as RFC 9110 does."""
    return HTTPStatus(status).phrase
