"""Handing a provider's answer on as it came.

A JSON answer is read first where it may hold links, ids or a receipt; what it gives out is
remembered before the client hears of it.
"""

from dataclasses import dataclass
from typing import Any, Final

import structlog

from proxy.core.http import Reply, get
from proxy.core.ledger import State
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.payer import ACCEPTED, Payer, Purchase
from proxy.relay import streamed, whole
from proxy.replies import broken, json_answer, plain_body
from proxy.store import Ledger, LedgerUnavailableError, Memory
from proxy.upstream import Answer, BrokenError
from proxy.visit import Visit

_log = structlog.get_logger()
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A reply, the payment behind it, and the paid job that it began, if there are such."""

    reply: Reply
    purchase: Purchase | None = None
    job: Memory | None = None


class Delivery:
    """Turns answers into replies."""

    def __init__(self, ledger: Ledger, payer: Payer) -> None:
        self._ledger = ledger
        self._payer = payer

    async def hand_on(self, visit: Visit, answer: Answer, purchase: Purchase | None) -> Delivered:
        """Hand the answer on as it came, and know of its payment whatever there is to know.

        An order that was accepted, and of which no job came to be known, is in doubt: nobody will
        ask after it with its payment.
        """
        try:
            delivered = await self._read(visit, answer, purchase)
        except BrokenError as problem:
            self._doubt(purchase, "half an answer")
            raise broken(
                visit.provider, problem, None if purchase is None else purchase.id
            ) from problem
        if delivered.job is None:
            self._doubt(purchase, "an order that was accepted, and no job")
        return delivered

    def _doubt(self, purchase: Purchase | None, why: str) -> None:
        if purchase is not None and purchase.state is State.SENT:
            self._payer.lost(purchase, why)

    async def _read(self, visit: Visit, answer: Answer, purchase: Purchase | None) -> Delivered:
        """Read a JSON answer first where it may hold links, ids or a receipt."""
        if not _is_read_first(visit, answer, purchase):
            return Delivered(streamed(visit, answer, purchase), purchase)
        body, is_whole = await answer.read(ANSWER_BYTES_MAX)
        if not is_whole:
            return Delivered(streamed(visit, answer, purchase, body), purchase)
        answer.close()
        fields = json_answer(plain_body(answer.headers, body) or b"")
        self._payer.read_body(purchase, visit, answer, fields)
        job = await self._remember(visit, answer, fields, purchase)
        return Delivered(whole(visit, answer, body, purchase), purchase, job)

    async def _remember(
        self, visit: Visit, answer: Answer, fields: dict[str, Any], purchase: Purchase | None
    ) -> Memory | None:
        """Store the ids that an answer gives out before the client hears of them.

        Give back the paid job among them, if it is to be asked after.
        """
        if answer.status not in _SUCCESS:
            return None
        request = visit.request
        payment = None if purchase is None else purchase.id
        memories = [
            Memory(
                id=given.id,
                kind=given.kind,
                provider=visit.provider,
                model=given.model,
                poll_path=given.poll_url,
                payment=payment if given.kind == "job" else None,
                client=request.client,
            )
            for given in visit.lore.given_out(request.method, request.path, visit.fields, fields)
        ]
        if not memories:
            return None
        try:
            await self._ledger.remember(memories)
        except LedgerUnavailableError as problem:
            # It may be paid for: the client gets its answer, and with it the only copy of the ids.
            ids = [memory.id for memory in memories]
            _log.error("ids_not_remembered", ids=ids, provider=visit.provider, problem=str(problem))
            return None
        if purchase is None or not purchase.signed or answer.status != ACCEPTED:
            return None
        return next((memory for memory in memories if memory.kind == "job"), None)


def _is_read_first(visit: Visit, answer: Answer, purchase: Purchase | None) -> bool:
    """Whether an answer is read before it is handed on.

    JSON of a sane size, of a call that we paid for or gave a key.

    One that cost nothing streams, unless its declared length says that it is short and there
    already.
    """
    keyed = visit.key is not None
    if (visit.config.pay is None and not keyed) or visit.request.method == "HEAD":
        return False
    media = (get(answer.headers, b"content-type") or b"").split(b";")[0].strip().lower()
    if media != b"application/json" and not media.endswith(b"+json"):
        return False
    length = get(answer.headers, b"content-length")
    if length is None:
        return purchase is not None or keyed
    return length.isdigit() and int(length) <= ANSWER_BYTES_MAX
