"""What the sandbox saw: every request as it came in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEPT_MAX: Final = 10_000
"""A sandbox may run for days; older requests than this are forgotten."""


@dataclass(slots=True)
class Seen:
    """One request.

    `path` is the request target as sent, query included. Header names and values are in the order
    and the case of the wire, each byte one character (latin-1). `status` is 0 while the answer is
    open, and stays 0 where the connection was closed without one.
    """

    provider: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    status: int = 0

    def header(self, name: str) -> str | None:
        """The first value under a name in any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def recorder(provider: str, requests: list[Seen]) -> Middleware:
    """Build the middleware that writes requests down; outermost, it sees what was answered."""

    @web.middleware
    async def record(request: web.Request, handler: Next) -> web.StreamResponse:
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.raw_headers]
        seen = Seen(provider, request.method, request.raw_path, headers)
        requests.append(seen)
        del requests[:-KEPT_MAX]
        seen.body = await request.read()
        response = await handler(request)
        transport = request.transport
        if response.prepared or (transport is not None and not transport.is_closing()):
            seen.status = response.status
        return response

    return record
