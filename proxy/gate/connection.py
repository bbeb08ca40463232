"""One client's connection: aiohttp's protocol with the limits that it lacks.

aiohttp bounds a line and a header, but neither the time nor the bytes that a whole head may take,
nor how many connections there are; and it logs the bytes that it could not parse. Here a head has a
deadline from its first byte (a new connection from its start), connections are counted, and a head
that is refused is answered in our own words without a look back at it.

An exchange whose client hangs up is cancelled (aiohttp's `handler_cancellation`).
"""

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from yarl import URL

from proxy.core.errors import Refusal
from proxy.core.http import Reply
from proxy.gate.answer import Answer, whole

LINE_BYTES_MAX: Final = 64 * 1024
"""A request line or one header; payment headers of other tools run to tens of kilobytes."""
HEADERS_MAX: Final = 128
HEAD_BYTES_MAX: Final = 256 * 1024
"""A whole head that has not ended: with `Bounds.connections_max` of them this bounds the memory."""

_METHOD_LINE: Final = re.compile(r"\n +b['\"][!#$%&*+.^_`|~0-9A-Za-z-]+ ")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The door's limits beside those that the config sets."""

    connections_max: int = 1024
    """Beyond it a connection is told 503: the rest keeps being served."""
    keepalive_s: float = 30
    """How long a connection may idle between requests."""
    body_idle_s: float = 30
    """How long a body may stall."""
    send_stall_s: float = 300
    """How long a client may take nothing of an answer."""


class Porter(Protocol):
    """Who answers at the door, requests and what never became one."""

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        ...

    def refused(self, refusal: Refusal) -> Reply:
        """Answer what could not be read as a request."""
        ...

    def overloaded(self) -> Reply:
        """Answer a connection too many."""
        ...

    def fault(self, failure: BaseException) -> None:
        """Hear of a bug in the door."""
        ...


class Listener(web.Server):
    """What the listening sockets hand their connections to.

    `header_s` gives the deadline for a head, now; `counted` is told how many connections there are.
    """

    def __init__(
        self,
        porter: Porter,
        bounds: Bounds,
        header_s: Callable[[], float],
        counted: Callable[[int], None],
    ) -> None:
        super().__init__(porter, handler_cancellation=True)
        self.porter = porter
        self.bounds = bounds
        self.header_s = header_s
        self._counted = counted

    def __call__(self) -> "Connection":
        """Make the protocol of one more connection."""
        return Connection(self, self._loop)

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Give a request line without a target, which aiohttp's parser lets by, an empty one."""
        if not message.path:
            message = message._replace(path="", url=URL("/"))
        return super()._make_request(message, payload, protocol, writer, task)

    @property
    def full(self) -> bool:
        """Whether there are more connections than may be."""
        return len(self._connections) > self.bounds.connections_max

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection in."""
        super().connection_made(handler, transport)
        self._counted(len(self._connections))

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Count a connection out: aiohttp keeps it until its handler has ended."""
        super().connection_lost(handler, exc)
        task = handler._task_handler  # noqa: SLF001 - only the task knows when it has ended
        if handler in self._connections and task is not None:
            task.add_done_callback(lambda _: self._counted(len(self._connections)))
        self._counted(len(self._connections))


class Connection(web.RequestHandler):
    """A client's connection."""

    __slots__ = ("_head_bytes", "_head_timer", "_listener", "unix")

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            listener,
            loop=loop,
            keepalive_timeout=listener.bounds.keepalive_s,
            access_log=None,  # type: ignore[arg-type] # None is how it is turned off
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self._listener = listener
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self.unix = False

    @property
    def idle(self) -> bool:
        """Whether no request is being served or waits to be."""
        return not self._messages and not self._request_in_progress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the head's deadline, or turn the client away."""
        super().connection_made(transport)
        if self._task_handler is not None:
            self._task_handler.add_done_callback(self._ended)
        connection = transport.get_extra_info("socket")
        self.unix = connection is not None and connection.family == socket.AF_UNIX
        if self._listener.full:
            self._turn_away(self._listener.porter.overloaded())
        else:
            self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and keep the time and the size of a head that is not whole yet."""
        super().data_received(data)
        if self._messages:
            self._break_bodies()
        if not self.idle or self.transport is None:
            self._disarm()
        elif (self._head_timer or self._waiter) and data.strip(b"\r\n"):
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(Refusal("headers_too_large", "the headers are too large"))
            elif self._head_timer is None:
                self._arm()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's; it quotes the client's bytes
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, without a word of it in the log."""
        refusal = _parse_refusal(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            refusal = Refusal("internal_error", "a fault of ours; the log says more")
            self._listener.porter.fault(exc or RuntimeError(refusal.message))
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        return Answer(self._listener.porter.refused(refusal), close=True)

    def log_exception(self, *_args: Any, **_kw: Any) -> None:  # noqa: ANN401 - aiohttp's signature
        """Stay silent: what aiohttp says here may quote the client, whose body broke off late."""

    def _process_keepalive(self) -> None:
        """Close an idle connection, unless its next head is under way: that has its own time."""
        if self._head_timer is None or not self._head_bytes:
            super()._process_keepalive()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Leave no connection open whose task has stumbled: nobody would ever answer it."""
        if task.cancelled():
            self.force_close()
        elif (failure := task.exception()) is not None:
            self._listener.porter.fault(failure)
            self.force_close()

    def _break_bodies(self) -> None:
        """End the bodies that will never be whole, since the parser failed in the midst of them.

        aiohttp queues the failure behind the request whose body it was, and leaves that waiting.
        """
        if not isinstance(getattr(self._messages[-1][0], "exc", None), HttpProcessingError):
            return
        bodies = [body for message, body in self._messages if not hasattr(message, "exc")]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof():
                body.set_exception(web.RequestPayloadError("the body cannot be parsed"))

    def _arm(self) -> None:
        self._head_timer = self._loop.call_later(self._listener.header_s(), self._head_late)

    def _disarm(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(Refusal("request_timeout", "the head of the request took too long"))
        else:
            # A browser's spare connection would take a 408 for the answer to its next request.
            self.force_close()

    def _refuse(self, refusal: Refusal) -> None:
        self._turn_away(self._listener.porter.refused(refusal))

    def _turn_away(self, reply: Reply) -> None:
        self._disarm()
        if self.transport is not None:
            self.transport.write(whole(reply))
        self.force_close()


def _parse_refusal(exc: BaseException | None) -> Refusal:
    """Tell what a parser's complaint means to the client; its message quotes the client's bytes."""
    message = str(exc)
    if isinstance(exc, LineTooLong) or "Too many headers" in message:
        return Refusal("headers_too_large", "the request line or the headers are too large")
    if isinstance(exc, BadHttpMethod):
        if "HTTPS" in message:
            return Refusal(
                "bad_request", "this port speaks http: write http:// instead of https://"
            )
        if _METHOD_LINE.search(message):
            return Refusal("method_not_allowed", "this method is not served here")
    return Refusal("bad_request", "the request could not be parsed as HTTP/1.1")
