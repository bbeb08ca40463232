"""A provider's answer on its way to a client.

Its body piece by piece, held by nobody, or read and with its links turned.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from proxy.core.http import Headers, Reply, get
from proxy.core.links import rewrite_links
from proxy.payer import PAYMENT_REQUIRED, Purchase
from proxy.upstream import Answer
from proxy.visit import Visit


def streamed(visit: Visit, answer: Answer, purchase: Purchase | None, begun: bytes = b"") -> Reply:
    """The provider's answer, its body passed on as it comes.

    `begun` is what was read of it already.
    """
    return Reply(
        answer.status,
        answer.reason,
        _headers(visit, answer, purchase),
        Relay(answer, visit.close, begun),
    )


def whole(visit: Visit, answer: Answer, body: bytes, purchase: Purchase | None) -> Reply:
    """The provider's answer, read to its end.

    The links in it lead back through the daemon, unless it is compressed: then it stays as it is.
    """
    encoded = get(answer.headers, b"content-encoding") not in (None, b"identity")
    linked = body if encoded else rewrite_links(body, visit.link)
    return Reply(answer.status, answer.reason, _headers(visit, answer, purchase), linked)


class Relay(AsyncIterator[bytes]):
    """Yields what was read already and then the rest.

    And lets go of everything however it ends, also if it never began.
    """

    def __init__(self, answer: Answer, release: Callable[[], None], begun: bytes = b"") -> None:
        self._answer = answer
        self._release = release
        self._begun = begun
        self._chunks = answer.chunks()

    def __aiter__(self) -> "Relay":
        return self

    async def __anext__(self) -> bytes:
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        try:
            return await anext(self._chunks)
        except asyncio.CancelledError:
            self._chunks = self._answer.chunks()  # whoever reads it closes it, or goes on
            raise
        except BaseException:
            self.close()
            raise

    def put_back(self, begun: bytes) -> None:
        """Yield again what was read already."""
        self._begun = begun + self._begun

    async def aclose(self) -> None:
        """Stop, wherever it is."""
        self.close()

    def close(self) -> None:
        """The same, from where nothing can be awaited."""
        self._answer.close()
        self._release()


def _headers(visit: Visit, answer: Answer, purchase: Purchase | None) -> Headers:
    """The answer's headers.

    With what the client is told of the payment, and that a second 402 was not paid.
    """
    headers = visit.headers_for_client(answer)
    if purchase is None:
        return headers
    visit.story.update(
        payment=purchase.id, payment_state=purchase.state.value, tx=purchase.tx or None
    )
    rejected: Headers = (
        ((b"Farebox-Error", b"payment_rejected"),) if answer.status == PAYMENT_REQUIRED else ()
    )
    return (*headers, purchase.header(), *rejected)
