"""The story of one payment, from a 402 to its receipt.

    a 402: choose the terms, reserve, sign, send once more, read the receipt, hand the answer on

What is signed is what was checked; what leaves was counted before. After the paid send nothing is
signed again, whatever comes back: a second 402, a 500, silence. What is done here is to be done to
its end: whoever calls shields it from the client.
"""

from collections.abc import Coroutine
from typing import Any, Final

from proxy.carrier import Carrier
from proxy.challenges import read_terms
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply
from proxy.core.money import Usd, format_usd, usd_of
from proxy.core.x402.terms import Terms
from proxy.delivery import Delivered, Delivery
from proxy.payer import ACCEPTED, Payer, Purchase
from proxy.relay import whole
from proxy.replies import broken, unreachable
from proxy.store import Ledger
from proxy.upstream import Answer, BrokenError, NeverSentError
from proxy.visit import Visit
from proxy.wallet import Wallet

TOO_LATE_S: Final = 10
"""An authorization with less than this to live is not sent any more.

No facilitator would settle it.
"""

Work = Coroutine[Any, Any, Delivered]
"""What must come to its end once it has begun, whoever waits for it."""


class Checkout:
    """Pays, and hands on what was paid for."""

    def __init__(self, ledger: Ledger, carrier: Carrier, payer: Payer, delivery: Delivery) -> None:
        self._ledger = ledger
        self._carrier = carrier
        self._payer = payer
        self._delivery = delivery
        self._shown: set[str] = set()

    async def sale(self, visit: Visit, wallet: Wallet, answer: Answer) -> Work | Reply:
        """How to pay what a 402 asks for: anew, or by a payment in doubt of the same request.

        A 402 that asks for nothing is its own answer.
        """
        terms = await read_terms(visit, wallet, answer)
        if isinstance(terms, bytes):
            return whole(visit, answer, terms, None)
        if isinstance(terms, Refusal):
            raise Refused(terms)
        if (again := await self._in_doubt(visit, wallet)) is not None:
            return self._ask_again(visit, *again)
        return self._buy(visit, wallet, terms)

    async def _in_doubt(self, visit: Visit, wallet: Wallet) -> tuple[Purchase, Headers] | None:
        """The payment of an identical request whose outcome is unknown, to be shown once more.

        It is the one that counts already, so it costs nothing anew. Where the provider documents
        that its errors take nothing, only one that was never answered is shown again. One that is
        being shown belongs to a request at the same time, which is a purchase of its own.
        """
        fresh = visit.config.after_refusal == "fresh"
        while True:
            stored = await self._ledger.in_doubt(
                visit.fingerprint, TOO_LATE_S, unanswered=fresh, but=frozenset(self._shown)
            )
            if stored is None:
                return None
            if stored.payment not in self._shown:
                break
        again = self._payer.again(visit, wallet, stored)
        if again is not None:
            self._shown.add(stored.payment)
        return again

    async def _ask_again(self, visit: Visit, purchase: Purchase, headers: Headers) -> Delivered:
        """Send once more with the payment that was sent before: one nonce settles once."""
        price = usd_of(purchase.amount, purchase.decimals)
        try:
            if any(price > limit.usd for limit in visit.call_limits):
                message = "the open payment for this is above the call's cap"
                raise Refused(Refusal("cap_call", message))
            visit.story.update(payment=purchase.id, usd=format_usd(price), again=True)
            answer = await self._send_paid(visit, purchase, headers, again=True)
            is_job = visit.lore.starts_paid_job(visit.request.method, visit.request.path)
            accepted = is_job and answer.status == ACCEPTED
            self._payer.answered(purchase, answer, more_to_come=accepted)
        finally:
            self._shown.discard(purchase.id)
        return await self._delivery.hand_on(visit, answer, purchase)

    async def _buy(self, visit: Visit, wallet: Wallet, terms: Terms) -> Delivered:
        """Reserve, sign, send once more, and read what came of it."""
        is_job = visit.lore.starts_paid_job(visit.request.method, visit.request.path)
        purchase, headers = await self._payer.authorize(
            visit, wallet, terms, visit.lifetime_s(is_job=is_job)
        )
        visit.story.update(
            payment=purchase.id, usd=format_usd(terms.price), pay_to=terms.offer.pay_to
        )
        answer = await self._send_paid(visit, purchase, headers)
        self._payer.answered(purchase, answer, more_to_come=is_job and answer.status == ACCEPTED)
        return await self._delivery.hand_on(visit, answer, purchase)

    async def count(self, visit: Visit, price: Usd) -> Delivered:
        """Count a call that the price table prices, send it, and judge it by its status."""
        purchase = await self._payer.count(visit, price)
        visit.story.update(payment=purchase.id, usd=format_usd(price))
        answer = await self._send_paid(visit, purchase, ())
        self._payer.priced_answered(purchase, answer.status)
        return await self._delivery.hand_on(visit, answer, purchase)

    async def _send_paid(
        self, visit: Visit, purchase: Purchase, headers: Headers, *, again: bool = False
    ) -> Answer:
        """Let the payment leave.

        Only a connection that was never made gives it back, and not if it has left before.
        """
        try:
            return await self._carrier.send(visit, headers)
        except NeverSentError as problem:
            if not again:
                await self._payer.never_sent(purchase)
            raise unreachable(visit.provider, problem) from problem
        except BrokenError as problem:
            self._payer.lost(purchase, "no answer")
            raise broken(visit.provider, problem, purchase.id) from problem
        except BaseException:
            self._payer.lost(purchase, "the daemon stopped waiting")
            raise
