"""What each provider is built on: where it stands, what time it is, how it misbehaves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from proxy.sandbox.faults import Faults, Stage, seconds
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.pace import Clock
from proxy.sandbox.wire import drop

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
Trouble = Callable[[web.Request, int, str], web.Response]
"""How a provider words an error: from the request, a status and a sentence."""

_STATUS = {"rate_limited": 429, "upstream_error": 502, "unavailable": 503, "gateway_timeout": 504}
_WORDS = {
    "rate_limited": "Rate limit exceeded",
    "upstream_error": "Upstream provider failure",
    "unavailable": "Service temporarily unavailable",
    "gateway_timeout": "Gateway timeout",
}


@dataclass(frozen=True, slots=True)
class Site:
    """One provider's ground. `origin` is its scheme, host and port; `trouble` writes its errors."""

    provider: str
    origin: str
    options: SandboxOptions
    clock: Clock
    trouble: Trouble
    faults: Faults

    @web.middleware
    async def door(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Refuse a fault that nobody knows, and wait where one asks for slowness."""
        problem = self.faults.problem(request)
        if problem is not None:
            return self.trouble(request, 400, problem)
        if self.faults.take(request, Stage.DOOR):
            await asyncio.sleep(seconds(request))
        return await handler(request)

    def misbehaving(self, handler: Next) -> Next:
        """Wrap a handler that sells nothing, so that the general faults strike in its place."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return self.general_fault(request) or await handler(request)

        return guarded

    def general_fault(self, request: web.Request) -> web.Response | None:
        """The answer of a general fault, where the request asks for one."""
        name = self.faults.take(request, Stage.ANY)
        if name is None:
            return None
        if name == "drop":
            return drop(request)
        return self.trouble(request, _STATUS[name], _WORDS[name])
