"""The story of one request at the door, from its head to its line in the log.

Judge the head; answer from our own pages or have it served; write the answer; tell what happened.
`serve` is cancelled when its client hangs up, and when the daemon stops and will not wait longer:
what must be finished regardless of the client (a payment that is out) is for `serve` to shield.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import unquote

from aiohttp import web

from proxy.core.config import Config
from proxy.core.errors import STATUS, Refusal, Refused
from proxy.core.http import Reply, Request, get, get_all
from proxy.core.paths import CALLBACKS
from proxy.gate.admin import Pages
from proxy.gate.answer import Answer
from proxy.gate.body import IncomingBody
from proxy.gate.connection import Bounds, Connection
from proxy.gate.guard import Admitted, Head, check, is_own_page
from proxy.gate.refusals import overloaded_reply, refusal_reply
from proxy.gate.respond import Delivery, send

Serve = Callable[[Request], Awaitable[Reply]]
Callback = Callable[[str, str | None], Awaitable[Reply]]
"""Takes what stands behind the callback's path, and the query."""

OURS = "farebox"
"""The provider that metrics name where none served the request."""

_CODES = frozenset({*STATUS, "overloaded", "payment_rejected", ""})
"""What may be a label: our codes, one of which goes on a provider's own answer, and none."""


class Logger(Protocol):
    """The part of a structlog logger that the door uses."""

    def debug(self, event: str, **fields: object) -> object:
        """Log what is of interest when looking for a fault."""
        ...

    def info(self, event: str, **fields: object) -> object:
        """Log what happened."""
        ...

    def exception(self, event: str, **fields: object) -> object:
        """Log a fault of ours with its traceback."""
        ...


class DoorMetrics(Protocol):
    """What the door counts; `proxy.metrics.Metrics` is one."""

    def request(self, provider: str, status: int, error: str) -> None:
        """Count a request that was answered."""
        ...

    def connections(self, count: int) -> None:
        """Set how many connections are open."""
        ...


@dataclass(slots=True)
class Line:
    """What is known of a request so far: its log line, in the making."""

    id: str
    started: float
    method: str = ""
    path: str = ""
    client: str | None = None
    status: int = 0
    error: str = ""
    body: IncomingBody | None = None
    delivery: Delivery = field(default_factory=Delivery)
    story: dict[str, object] = field(default_factory=dict)


class Handler:
    """What aiohttp calls for each request."""

    def __init__(
        self,
        serve: Serve,
        pages: Pages,
        config: Callable[[], Config],
        logger: Logger,
        metrics: DoorMetrics,
        clock: Callable[[], float],
        bounds: Bounds,
        callback: Callback,
    ) -> None:
        self._serve = serve
        self._callback = callback
        self._pages = pages
        self._config = config
        self._logger = logger
        self._metrics = metrics
        self._clock = clock
        self._bounds = bounds
        self.ports: frozenset[int] = frozenset()
        self.stopping = False
        self.in_flight: set[asyncio.Task[object]] = set()

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        line = Line(new_id(), self._clock(), raw.method)
        task = asyncio.current_task()
        if task is not None:
            self.in_flight.add(task)
        try:
            return await self._answer(raw, line)
        finally:
            if task is not None:
                self.in_flight.discard(task)
            self._tell(line)

    def refused(self, refusal: Refusal) -> Reply:
        """Write the answer to something that never became a request, and log it."""
        line = Line(new_id(), self._clock(), status=refusal.status, error=refusal.code)
        self._tell(line)
        return refusal_reply(refusal, line.id)

    def overloaded(self) -> Reply:
        """Write the answer to a connection too many, and log it."""
        self._tell(Line(new_id(), self._clock(), status=503, error="overloaded"))
        return overloaded_reply()

    def fault(self, failure: BaseException) -> None:
        """Log a fault in the door itself."""
        self._logger.exception("door_fault", exc_info=failure)  # noqa: LOG004 - it is given

    async def _answer(self, raw: web.BaseRequest, line: Line) -> web.StreamResponse:
        config = self._config()
        connection = cast("Connection", raw.protocol)
        head = Head(raw.method, raw.raw_path, raw.raw_headers, raw.version, connection.unix)
        line.path = head.target.partition("?")[0]
        admitted = check(head, config, self.ports)
        if isinstance(admitted, Refusal):
            reply = refusal_reply(admitted, line.id)
        else:
            try:
                reply = await self._reply(_request(raw, head, admitted, line, self._bounds))
            except asyncio.CancelledError:
                line.delivery.client_gone = raw.transport is None
                raise
        line.status, line.story = reply.status, reply.story
        line.error = (get(reply.headers, b"farebox-error") or b"").decode("latin-1")
        answer = Answer(reply, close=self._closes(head, line))
        try:
            response = await send(raw, answer, line.delivery, stall_s=self._bounds.send_stall_s)
        finally:
            if line.delivery.client_gone and reply.undelivered is not None:
                reply.undelivered()
        if line.delivery.failure is not None:
            line.story["broken"] = type(line.delivery.failure).__name__
        if line.body is not None and line.body.stalled:
            raw.protocol.force_close()  # aiohttp would wait for the rest of it once more
        return response

    async def _reply(self, request: Request) -> Reply:
        try:
            if request.path.startswith(CALLBACKS):
                return await self._called_back(request)
            if is_own_page(request.path):
                return await self._pages.answer(
                    request.method, request.path, request.query, request.id
                )
            return await self._serve(request)
        except Refused as refused:
            reply = refusal_reply(refused.refusal, request.id)
            reply.story = refused.story | reply.story
            reply.headers = (*reply.headers, *refused.headers)
            return reply
        except Exception as failure:
            # The last resort: a bug behind the door must not close it.
            self._logger.exception("internal_error", id=request.id, exc_info=failure)
            refusal = Refusal("internal_error", f"a fault of ours; the log says more: {request.id}")
            return refusal_reply(refusal, request.id)

    async def _called_back(self, request: Request) -> Reply:
        """Answer at the callback: anybody may knock here, and none is passed on to a provider."""
        if request.method != "GET":
            message = "a verification's callback is for the GET of somebody's phone"
            return refusal_reply(Refusal("method_not_allowed", message, allow=("GET",)), request.id)
        state = request.path.removeprefix(CALLBACKS)
        return await self._callback(state, request.query)

    def _closes(self, head: Head, line: Line) -> bool:
        """Whether the connection ends with this answer.

        It does when the daemon stops; when nobody knows where the next request begins, since the
        head made no sense or the body broke; when a client was never told to send its body; and
        after a tunnel or an upgrade that was not given, for aiohttp's parser drops what follows it.
        """
        if line.body is None:
            lost, unasked = line.error == "bad_request", True
        else:
            lost, unasked = line.body.failed, line.body.unasked
        waits = unasked and get(head.headers, b"expect") is not None
        declined = head.method == "CONNECT" or get(head.headers, b"upgrade") is not None
        return self.stopping or lost or waits or declined

    def _tell(self, line: Line) -> None:
        provider = line.story.get("provider")
        known = isinstance(provider, str) and provider in self._config().providers
        error = line.error if line.error in _CODES else "other"
        self._metrics.request(str(provider) if known else OURS, line.status, error)
        own = is_own_page(line.path) and not line.error
        fields = dict(line.story)
        fields.update(
            id=line.id,
            client=line.client,
            method=line.method,
            path=_without_state(line.path),
            status=line.status,
            bytes_in=line.body.bytes_read if line.body is not None else 0,
            bytes_out=line.delivery.bytes_out,
            duration_ms=round((self._clock() - line.started) * 1000, 1),
            client_gone=line.delivery.client_gone,
            error=line.error or None,
        )
        fields.pop("event", None)
        (self._logger.debug if own else self._logger.info)("request", **fields)


def _request(
    raw: web.BaseRequest, head: Head, admitted: Admitted, line: Line, bounds: Bounds
) -> Request:
    """Build what is served, and let its line know of it."""
    expects = any(v.lower() == b"100-continue" for v in get_all(head.headers, b"expect"))
    expects = expects and head.version >= (1, 1)
    body = IncomingBody(raw, admitted.length, expects=expects, idle_s=bounds.body_idle_s)
    line.path, line.client, line.body = admitted.path, admitted.client, body
    return Request(
        id=line.id,
        method=head.method,
        path=admitted.path,
        query=admitted.query,
        headers=head.headers,
        body=body,
        host=admitted.host,
        client=admitted.client,
    )


def _without_state(path: str) -> str:
    """A path for the log: what stands behind a callback's is a secret, however it is written."""
    _, portrait, rest = unquote(path).lower().partition("/portrait")
    return f"{CALLBACKS}…" if portrait and "/callback/" in rest else path


async def no_callback(_state: str, _query: str | None) -> Reply:
    """Answer where nothing is ever called back."""
    raise Refused(Refusal("no_route", "nothing waits for this callback"))


def new_id() -> str:
    """Name a request, for the log and for whoever asks about it."""
    return f"req_{secrets.token_hex(8)}"
