"""Carrying a visit's requests to its provider.

The client's own, or a poll for its job, with a payment or without.

A body that streams from the client can fail on the client's side while it is on its way up. That
is the client's doing, and must not look like the provider's, so whatever broke the body is
remembered here and told instead.
"""

import time
from collections.abc import AsyncIterator
from typing import Final

from proxy.core.crossing import to_provider
from proxy.core.errors import Refused
from proxy.core.http import OF_A_BODY, Body, Headers, without
from proxy.core.routing import upstream_url
from proxy.metrics import Metrics
from proxy.replies import broken, unreachable
from proxy.upstream import Answer, BrokenError, Call, NeverSentError, Upstream
from proxy.visit import Visit

_NOT_FOR_POLLS: Final = OF_A_BODY | {b"accept-encoding"}
"""What speaks of the submission's body; and it is the daemon that reads a poll's answer."""


class Carrier:
    """Sends what visits want sent, and times the answers."""

    def __init__(self, upstream: Upstream, metrics: Metrics) -> None:
        self._upstream = upstream
        self._metrics = metrics

    async def send(self, visit: Visit, payment: Headers = ()) -> Answer:
        """Send the client's request.

        NeverSentError or BrokenError if no answer comes, Refused if its body fails.
        """
        request = visit.request
        source: Body = request.body if visit.spool is None else visit.spool
        body = _ClientBody(source)
        url = upstream_url(visit.config, visit.route, request.target)
        headers = _headers(visit, request.headers, payment)
        try:
            if source.length == 0:
                return await self._carry(visit, request.method, url, headers)
            return await self._carry(
                visit, request.method, url, headers, body.chunks(), source.length
            )
        except BrokenError:
            if body.failure is not None:
                raise body.failure from None
            raise

    async def send_unpaid(self, visit: Visit) -> Answer:
        """Send the client's request without a payment.

        `Refused` if the provider does not answer.
        """
        try:
            return await self.send(visit)
        except NeverSentError as problem:
            raise unreachable(visit.provider, problem) from problem
        except BrokenError as problem:
            raise broken(visit.provider, problem) from problem

    async def poll(self, visit: Visit, url: str, payment: Headers = ()) -> Answer:
        """Ask after a visit's job at a URL of its provider; errors as for `send`."""
        headers = _headers(visit, without(visit.request.headers, _NOT_FOR_POLLS), payment)
        return await self._carry(visit, "GET", url, headers)

    async def _carry(
        self,
        visit: Visit,
        method: str,
        url: str,
        headers: Headers,
        body: AsyncIterator[bytes] | None = None,
        length: int | None = None,
    ) -> Answer:
        config = visit.config
        call = Call(
            method, url, headers, body, length, config.connect_timeout_s, config.read_timeout_s
        )
        started = time.monotonic()
        try:
            return await self._upstream.send(call)
        finally:
            self._metrics.upstream(visit.provider, time.monotonic() - started)


class _ClientBody:
    def __init__(self, source: Body) -> None:
        self._source = source
        self.failure: Refused | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._source.chunks():
                yield chunk
        except Refused as failure:
            self.failure = failure
            raise


def _headers(visit: Visit, headers: Headers, payment: Headers) -> Headers:
    return to_provider(headers, cookies=visit.config.cookies, key=visit.key, payment=payment)
