"""Keeping what was paid for, for a client that asks again.

An answer under an idempotency key is stored beside its payment, durably and before its client has
seen the end of it. Any paid answer whose client leaves in the middle is read on to its end, within
a size, so that the same request finds it. A stream is copied as it passes; it is never held back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply
from proxy.core.ledger import State
from proxy.delivery import Delivered
from proxy.payer import ERROR_CLASS
from proxy.relay import Relay
from proxy.shield import Shield
from proxy.store import KeptAnswer, Ledger, LedgerUnavailableError
from proxy.unclaimed import Unclaimed
from proxy.visit import Visit

_log = structlog.get_logger()
KEY_CHARS_MAX: Final = 255
READ_ON_S: Final = 600
"""How long the rest of an answer may take whose client has gone."""

Whole = Callable[[bytes | None], Awaitable[None]]


class Copied(AsyncIterator[bytes]):
    """A stream that is copied as it passes.

    `whole` gets the copy at its end (None if it was too long), `left` this stream if its reader
    goes before that and it can still be read from its beginning.
    """

    def __init__(
        self, source: Relay, bytes_max: int, whole: Whole, left: Callable[[], None]
    ) -> None:
        self._source = source
        self._bytes_max = bytes_max
        self._whole = whole
        self._left = left
        self._copy: bytearray | None = bytearray()
        self._over = False

    def __aiter__(self) -> "Copied":
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._next()
        if self._copy is not None:
            self._copy += chunk
            if len(self._copy) > self._bytes_max:
                self._copy = None
        return chunk

    async def rest(self) -> "bytes | Copied":
        """Read on for a reader that has gone: all of it.

        If that is too long to hold, this stream again, at its beginning.
        """
        held = b"" if self._copy is None else bytes(self._copy)
        self._copy = bytearray(held)
        try:
            while len(self._copy) <= self._bytes_max:
                self._copy += await self._next()
        except StopAsyncIteration:
            return bytes(self._copy)
        self._source.put_back(bytes(self._copy))
        self._copy = bytearray()
        return self

    async def aclose(self) -> None:
        """Stop, or let the rest be read on."""
        self.close()

    def close(self) -> None:
        """The same, from where nothing can be awaited."""
        if self._over or self._copy is None:
            self._source.close()
        else:
            self._left()

    def let_go(self) -> None:
        """Stop at once."""
        self._over = True
        self._source.close()

    async def _next(self) -> bytes:
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            self._over = True
            await self._whole(None if self._copy is None else bytes(self._copy))
            raise
        except asyncio.CancelledError:
            raise  # the reader's doing, not the stream's end
        except BaseException:
            self._over = True
            raise


class Keeping:
    """Keeps answers: under their keys in the ledger, and in memory for clients that hung up."""

    def __init__(self, ledger: Ledger, shield: Shield, unclaimed: Unclaimed) -> None:
        self._ledger = ledger
        self._shield = shield
        self._unclaimed = unclaimed

    async def answered_before(self, visit: Visit) -> tuple[KeptAnswer, str] | None:
        """The answer that is kept under a request's key, and its payment.

        None where the key is free; Refused where it belongs to something else or to a payment that
        is open.
        """
        key = visit.idempotency_key
        if key is None:
            return None
        if not 0 < len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
            message = f"an Idempotency-Key is 1 to {KEY_CHARS_MAX} printable characters of ASCII"
            raise Refused(Refusal("bad_request", message))
        retention_s = visit.snapshot.config.idempotency.retention_s
        known = await self._ledger.find_key(visit.request.client, key, retention_s)
        if known is None:
            return None
        refusal = known.refusal(visit.fingerprint)
        if refusal is not None:
            raise Refused(refusal)
        if known.answer is None:
            raise AssertionError("what is refused neither is answered")  # pragma: no cover
        return known.answer, known.payment

    async def keep(self, visit: Visit, delivered: Delivered) -> Delivered:
        """Keep a paid answer: all of it at once, or as its stream passes."""
        reply, purchase = delivered.reply, delivered.purchase
        if purchase is None:
            return delivered
        bytes_max = visit.snapshot.config.idempotency.body_bytes_max
        final = reply.status < ERROR_CLASS or purchase.state is State.SETTLED
        keyed = visit.idempotency_key is not None and final
        if isinstance(reply.body, bytes):
            if keyed:
                body = reply.body if len(reply.body) <= bytes_max else None
                await self._store(purchase.id, reply, body)
            reply.undelivered = partial(self.offer, visit, delivered)
            return delivered
        whole = partial(self._store, purchase.id, reply) if keyed else _nowhere
        if isinstance(reply.body, Relay):
            left = partial(self.offer, visit, delivered)
            reply.body = Copied(reply.body, bytes_max, whole, left)
        return delivered

    async def _store(self, payment: str, reply: Reply, body: bytes | None) -> None:
        """Keep an answer durably; what was paid for is handed over even if that fails."""
        answer = KeptAnswer(reply.status, reply.reason, reply.headers, body)
        try:
            await self._ledger.keep_answer(payment, answer)
        except LedgerUnavailableError as problem:
            _log.error("answer_not_kept", payment=payment, problem=str(problem))

    def hung_up(self, visit: Visit, task: asyncio.Future[Delivered]) -> None:
        """Keep in memory what nobody waits for any more, once it is there."""
        self._unclaimed.keep(visit, self._shield.start(_settled(task)))

    def offer(self, visit: Visit, delivered: Delivered) -> None:
        """Keep in memory what could not be handed over."""
        self._unclaimed.keep(visit, self._shield.start(_whole(delivered)))


async def _settled(task: asyncio.Future[Delivered]) -> Delivered:
    return await _whole(await task)


async def _whole(delivered: Delivered) -> Delivered:
    """Read a reply's stream to its end, or as far as it can be held."""
    stream = body = delivered.reply.body
    if isinstance(stream, Copied):
        try:
            async with asyncio.timeout(READ_ON_S):
                body = await stream.rest()
        except BaseException:
            stream.let_go()
            raise
    return replace(delivered, reply=replace(delivered.reply, body=body, undelivered=None))


async def _nowhere(_body: bytes | None) -> None:
    """Without a key nothing is stored."""
