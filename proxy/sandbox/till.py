"""The story of one sale: ask, verify, work, take the money, hand over the goods.

That order is BlockRun's: nothing is taken before the work is done, and what fails costs nothing.
Faults strike between the steps, so that each leaves the money where its sentence in the table says.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from proxy.sandbox import money
from proxy.sandbox.dialect import DIALECTS, Dialect, Offer, Report
from proxy.sandbox.facilitator import Facilitator, Payment, Refused, Settlement
from proxy.sandbox.faults import Stage, seconds
from proxy.sandbox.site import Site
from proxy.sandbox.wire import Json, drop, reply, reset_halfway, stream


@dataclass(frozen=True, slots=True)
class Goods:
    """What a buyer gets: one piece, or the events of a stream."""

    pieces: tuple[bytes, ...]
    content_type: str = "application/json"

    @classmethod
    def of(cls, body: Json) -> "Goods":
        """A JSON object."""
        return cls((json.dumps(body).encode(),))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Work that is done and not yet handed over.

    `keep` books it under the transaction's hash, "" where none was taken, and happens even if the
    answer never arrives; `goods` words the answer, without a trace of the payment where the report
    is None.
    """

    keep: Callable[[str], None]
    goods: Callable[[Report | None], Goods]


@dataclass(frozen=True, slots=True)
class Sale:
    """One request for something that costs; `fault` is what is wrong with the offer."""

    request: web.Request
    dialect: Dialect
    offer: Offer
    fault: str | None


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody whose payment is good; `amount` is what it is good for."""

    address: str
    amount: str
    payment: Payment


class Declined(Exception):  # noqa: N818 - it carries an answer and is no error of ours
    """The work failed: the answer that says so. Nothing is taken."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.body: Json = {"error": error}


Work = Callable[[Buyer], Awaitable[Delivery]]


class Till:
    """Sell things for imaginary money."""

    def __init__(self, site: Site, facilitator: Facilitator) -> None:
        self._site = site
        self._faults = site.faults
        self._facilitator = facilitator

    def open(self, request: web.Request, price: int, description: str) -> Sale:
        """Put something up for sale; `?price=` overrides what it costs, in USD."""
        if "price" in request.query:
            price = money.units(request.query["price"])
        dialect = DIALECTS[request.query.get("challenge", "blockrun")]
        fault = self._faults.take(request, Stage.OFFER)
        terms = dialect.terms(str(price))
        match fault:
            case "bad_challenge":
                terms = replace(terms, amount="1e6")
            case "wrong_domain":
                terms = replace(terms, extra={"name": "USDC", "version": money.USDC_VERSION})
            case "new_payee":
                terms = replace(terms, pay_to=money.OTHER_SELLER)
        url = f"{self._site.origin}{request.raw_path}"
        return Sale(request, dialect, Offer(url, description, terms), fault)

    async def sell(self, sale: Sale, work: Work, *, absorbs: bool = False) -> web.StreamResponse:
        """Walk through one sale that is finished within its request.

        `absorbs` says that a settlement that fails after the work is the seller's loss.
        """
        buyer = self.admit(sale)
        if isinstance(buyer, web.Response):
            return buyer
        answer = await self.stumble(sale)
        if answer is not None:
            return answer
        try:
            delivery = await work(buyer)
        except Declined as declined:
            return reply(declined.body, declined.status)
        return await self.collect(sale, buyer, delivery, absorbs=absorbs)

    def admit(self, sale: Sale) -> Buyer | web.Response:
        """Find out who pays; the 402 where nobody does, or not well."""
        payment = sale.dialect.read(sale.request.headers)
        if payment is None:
            return self.ask(sale, None)
        if payment.accepted is not None and not _same(payment.accepted, sale.offer.entry()):
            return self.ask(sale, "No matching payment requirements")
        verdict = self._facilitator.verify(payment, sale.offer.terms)
        if isinstance(verdict, Refused):
            return self.ask(sale, verdict.reason)
        return Buyer(verdict.payer, sale.offer.terms.amount, payment)

    def recognise(self, sale: Sale) -> str | None:
        """Who signed the payment that came along, spent or not."""
        payment = sale.dialect.read(sale.request.headers)
        return None if payment is None else self._facilitator.payer_of(payment, sale.offer.terms)

    def ask(self, sale: Sale, error: str | None) -> web.Response:
        """Answer 402 with the challenge, or with what a fault makes of it."""
        response = sale.dialect.challenge(sale.offer, error)
        if sale.fault == "two_challenges":
            for dialect in (DIALECTS["blockrun"], DIALECTS["standard"]):
                response.headers.update(dialect.challenge(sale.offer, error).headers)
        elif sale.fault == "no_challenge":
            response = reply({"error": "Payment Required"}, 402)
        return response

    async def stumble(self, sale: Sale) -> web.Response | None:
        """Let the faults strike that come between a good payment and the work."""
        general = self._site.general_fault(sale.request)
        if general is not None:
            return general
        match self._faults.take(sale.request, Stage.PAID):
            case "second_402":
                return self.ask(sale, None)
            case "drop_before_settle":
                return drop(sale.request)
            case "upload_failed":
                return reply({"error": "Upload to Token360 failed"}, 502)
            case "stall":
                await asyncio.sleep(seconds(sale.request))
        return None

    async def collect(
        self, sale: Sale, buyer: Buyer, delivery: Delivery, *, absorbs: bool = False
    ) -> web.StreamResponse:
        """Take the money and hand over the goods."""
        fault = self._faults.take(sale.request, Stage.SETTLE)
        terms = sale.offer.terms
        if fault == "absorbed":
            absorbs = True
            settled: Settlement | Refused = Refused("transaction_failed")
        else:
            settled = self._facilitator.settle(buyer.payment, terms)
        if isinstance(settled, Refused):
            report = Report(
                success=False,
                tx="",
                payer=buyer.address,
                amount=terms.amount,
                reason=settled.reason,
            )
            if not absorbs:
                return reply({}, 402, sale.dialect.receipt(report))
            delivery.keep("")
            return await self._hand_over(sale, delivery.goods(report), report)
        delivery.keep(settled.tx)
        report = Report(
            success=True, tx=settled.tx, payer=settled.payer, amount=str(settled.amount)
        )
        if fault is None:
            return await self._hand_over(sale, delivery.goods(report), report)
        return await self._cheat(fault, sale, delivery, report)

    async def _cheat(  # noqa: PLR0911 - one answer for each way to cheat
        self, fault: str, sale: Sale, delivery: Delivery, report: Report
    ) -> web.StreamResponse:
        """The money has moved: tell the buyer something else."""
        match fault:
            case "settle_false":
                lie = replace(report, success=False, tx="", reason="transaction_failed")
                return reply({}, 402, sale.dialect.receipt(lie))
            case "pending":
                lie = replace(report, success=False, reason="settlement_pending")
                return reply({}, 402, sale.dialect.receipt(lie))
            case "replay_complaint":
                return self.ask(sale, "invalid_exact_evm_nonce_already_used")
            case "settle_then_500":
                return reply({"error": "Internal server error"}, 500)
            case "settle_then_drop":
                return drop(sale.request)
            case "no_receipt":
                return await self._hand_over(sale, delivery.goods(None), None)
            case "overcharge_receipt":
                lie = replace(report, amount=f"{report.amount}0")
                return await self._hand_over(sale, delivery.goods(lie), lie)
        goods = delivery.goods(report)
        headers = {"Content-Type": goods.content_type, **sale.dialect.receipt(report)}
        return await reset_halfway(sale.request, b"".join(goods.pieces), headers)

    async def _hand_over(
        self, sale: Sale, goods: Goods, report: Report | None
    ) -> web.StreamResponse:
        headers = {"Content-Type": goods.content_type}
        if report is not None:
            headers |= sale.dialect.receipt(report)
        if len(goods.pieces) == 1:
            return web.Response(body=goods.pieces[0], headers=headers)
        trickles = self._faults.take(sale.request, Stage.BODY)
        pause_s = seconds(sale.request) if trickles else 0.0
        return await stream(sale.request, goods.pieces, headers, pause_s)


def _same(one: object, other: object) -> bool:
    """Compare as JSON: to Python 1, 1.0 and True are equal, to a seller they are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
