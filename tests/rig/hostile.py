"""A seller that lies: it takes real payments through the real facilitator, and misbehaves by path.

`GET {url}/{vice}` (or POST) first asks for a payment, and shows the vice either in that challenge
(`CHALLENGES`) or in what it does once it is paid (`AFTER_PAYMENT`). It writes down all that it is
sent, so that a test can say: exactly one signature ever left the wallet.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from eth_account import Account

from tests.rig.chain import NETWORK, USDC, USDC_DOMAIN, Chain
from tests.rig.goods import PAYMENT_HEADERS, authorization

PRICE: Final = 10_000
"""One cent, in the token's smallest unit."""

LATER_PRICE: Final = 50 * PRICE
LARGE_BYTES: Final = 70_000
HUGE_BYTES: Final = 2 * 1024 * 1024
TOO_MANY_OFFERS: Final = 17
NO_TRANSACTION: Final = "0x" + "ab" * 32
HALVES: Final = (b"the first half;", b"the second half;")

Json = dict[str, Any]


@dataclass(frozen=True)
class Sighting:
    """One request as it arrived."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def payment(self) -> Json | None:
        """The authorization that the request carried: from, nonce, value and signature."""
        for name, value in self.headers:
            if name.lower() in PAYMENT_HEADERS:
                return authorization(value)
        return None


@dataclass
class HostileSeller:
    """The running seller; `elsewhere` is another origin of its, to which it sends people."""

    facilitator_url: str
    pay_to: str
    url: str = ""
    elsewhere: str = ""
    sightings: list[Sighting] = field(default_factory=list)
    strayed: list[Sighting] = field(default_factory=list)
    settled: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def payments(self) -> list[Json]:
        """Every payment that was shown to us, repeats included, at either origin."""
        return [seen.payment for seen in self.sightings + self.strayed if seen.payment is not None]

    @property
    def nonces(self) -> set[str]:
        """The distinct nonces that were ever shown to us."""
        return {payment["nonce"] for payment in self.payments}

    async def ask_facilitator(self, action: str, payment: Json, offer: Json) -> Json:
        """Have the official facilitator verify or settle a payment."""
        body = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": offer}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.facilitator_url}/{action}", json=body) as response,
        ):
            verdict: Json = await response.json()
            return verdict

    async def settle(self, visit: "Visit") -> Json:
        """Take the money that a request offers, for real."""
        receipt = await self.ask_facilitator("settle", visit.payment, visit.payment["accepted"])
        self.settled += bool(receipt["success"])
        return receipt


@dataclass(frozen=True)
class Visit:
    """One paid request, as a vice sees it; `payment` is the whole decoded payload."""

    seller: HostileSeller
    request: web.Request
    payment: Json


Vice = Callable[[Visit], Awaitable[web.StreamResponse]]
Challenger = Callable[[HostileSeller, web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running_hostile_seller(
    chain: Chain, facilitator_url: str
) -> AsyncIterator[HostileSeller]:
    """Serve the seller and its other origin; every connection is cut when the block ends."""
    seller = HostileSeller(facilitator_url, chain.new_payer().address)

    async def serve(request: web.Request) -> web.StreamResponse:
        seller.sightings.append(await _sighting(request))
        vice = request.match_info["vice"]
        header = request.headers.get("PAYMENT-SIGNATURE")
        if header is None:
            return await CHALLENGES.get(vice, honest_challenge)(seller, request)
        payment = json.loads(base64.b64decode(header, validate=True))
        return await AFTER_PAYMENT.get(vice, deliver)(Visit(seller, request, payment))

    async def stray(request: web.Request) -> web.StreamResponse:
        seller.strayed.append(await _sighting(request))
        return web.Response(text="you should not be here")

    async with _site("/{vice}", serve) as url, _site("/{rest:.*}", stray) as elsewhere:
        seller.url, seller.elsewhere = url, elsewhere
        try:
            yield seller
        finally:
            seller.released.set()


# What a challenge can be.


def offer(seller: HostileSeller, **changes: Any) -> Json:
    """Write one entry of `accepts`: honest, but for the changes."""
    honest = {
        "scheme": "exact",
        "network": NETWORK,
        "amount": str(PRICE),
        "asset": USDC,
        "payTo": seller.pay_to,
        "maxTimeoutSeconds": 60,
        "extra": dict(USDC_DOMAIN),
    }
    return honest | changes


def challenge(request: web.Request, *offers: Any, error: str = "") -> web.Response:
    """Answer 402 with a version 2 challenge."""
    return web.Response(
        status=402, headers={"PAYMENT-REQUIRED": _challenge_header(request, offers, error)}
    )


async def honest_challenge(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    """Ask for one cent, as an honest seller would."""
    return challenge(request, offer(seller))


def offering(**changes: Any) -> Challenger:
    """Make a challenger whose only offer has these changes."""

    async def answer(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
        return challenge(request, offer(seller, **changes))

    return answer


async def _many_offers(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    return challenge(request, *[offer(seller)] * TOO_MANY_OFFERS)


async def _new_payee_each_time(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    return challenge(request, offer(seller, payTo=Account.create().address))


async def _two_challenges(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    response = challenge(request, offer(seller))
    response.headers.add(
        "PAYMENT-REQUIRED", _challenge_header(request, (offer(seller, amount="1"),), "")
    )
    return response


async def _large_header(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    return challenge(request, offer(seller), error="x" * LARGE_BYTES)


async def _huge_header(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    return challenge(request, offer(seller), error="x" * HUGE_BYTES)


async def _not_base64(_: HostileSeller, __: web.Request) -> web.StreamResponse:
    return web.Response(status=402, headers={"PAYMENT-REQUIRED": "{not base64}"})


async def _endless_body(_: HostileSeller, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=402, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"x402Version": 1, "accepts": [')
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 65_536)
    return response


async def _duplicate_keys(seller: HostileSeller, _: web.Request) -> web.StreamResponse:
    text = json.dumps({"x402Version": 2, "accepts": [offer(seller)]})
    twice = text.replace('"amount":', f'"amount": "{LATER_PRICE}", "amount":')
    return web.Response(
        status=402, headers={"PAYMENT-REQUIRED": base64.b64encode(twice.encode()).decode()}
    )


async def _redirect_at_once(seller: HostileSeller, _: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": f"{seller.elsewhere}/stolen"})


async def _free_stream(seller: HostileSeller, request: web.Request) -> web.StreamResponse:
    return await _in_two_halves(seller, request, {})


CHALLENGES: Final[Mapping[str, Challenger]] = {
    "accepts_17": _many_offers,
    "accepts_nothing": lambda _seller, request: _answered(challenge(request)),
    "amount_exponent": offering(amount="1e6"),
    "amount_fraction": offering(amount="10000.5"),
    "amount_negative": offering(amount="-10000"),
    "amount_number": offering(amount=PRICE),
    "amount_zero": offering(amount="0"),
    "amount_above_uint256": offering(amount=str(2**256)),
    "asset_unknown": offering(asset="0x000000000000000000000000000000000000dEaD"),
    "changing_pay_to": _new_payee_each_time,
    "domain_wrong_name": offering(extra={"name": "USD Coin", "version": "2"}),
    "domain_wrong_version": offering(extra={"name": "USDC", "version": "1"}),
    "duplicate_keys": _duplicate_keys,
    "endless_402_body": _endless_body,
    "free_stream": _free_stream,
    "flow_unknown": offering(extra=USDC_DOMAIN | {"paymentFlow": "subscription"}),
    "huge_challenge_header": _huge_header,
    "large_challenge_header": _large_header,
    "network_mainnet": offering(network="eip155:8453"),
    "not_base64": _not_base64,
    "pay_to_zero": offering(payTo="0x" + "0" * 40),
    "permit2": offering(extra=USDC_DOMAIN | {"assetTransferMethod": "permit2"}),
    "redirect_307": _redirect_at_once,
    "scheme_unknown": offering(scheme="batch-settlement"),
    "timeout_tiny": offering(maxTimeoutSeconds=3),
    "two_challenges": _two_challenges,
}


# What can happen after a payment.


async def deliver(visit: Visit) -> web.StreamResponse:
    """Take the money and hand out the goods, honestly."""
    return web.json_response({"goods": "delivered"}, headers=_receipt(await _settled(visit)))


async def _repeat_402_unsettled(visit: Visit) -> web.StreamResponse:
    accepted = visit.payment["accepted"]
    verdict = await visit.seller.ask_facilitator("verify", visit.payment, accepted)
    assert verdict["isValid"], verdict
    return challenge(visit.request, offer(visit.seller), error="payment again, please")


async def _repeat_402_settled(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    return challenge(visit.request, offer(visit.seller), error="payment again, please")


async def _overcharge(visit: Visit) -> web.StreamResponse:
    return challenge(
        visit.request, offer(visit.seller, amount=str(LATER_PRICE)), error="too little"
    )


async def _other_payee(visit: Visit) -> web.StreamResponse:
    payee = Account.create().address
    return challenge(visit.request, offer(visit.seller, payTo=payee), error="wrong payee")


async def _settle_then_drop(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    return _hang_up(visit)


async def _drop_before_answer(visit: Visit) -> web.StreamResponse:
    return _hang_up(visit)


async def _settle_then_500(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    return web.json_response({"goods": "broken"}, status=500)


async def _settle_then_break_off(visit: Visit) -> web.StreamResponse:
    receipt = await _settled(visit)
    response = web.StreamResponse(headers=_receipt(receipt) | {"Content-Length": "1000"})
    await response.prepare(visit.request)
    await response.write(HALVES[0])
    await visit.seller.released.wait()
    return _hang_up(visit, response)


async def _hold_then_deliver(visit: Visit) -> web.StreamResponse:
    await visit.seller.released.wait()
    return await deliver(visit)


async def _paid_stream(visit: Visit) -> web.StreamResponse:
    return await _in_two_halves(visit.seller, visit.request, _receipt(await _settled(visit)))


async def _settle_then_stall(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    await visit.seller.released.wait()
    return _hang_up(visit)


async def _stall(visit: Visit) -> web.StreamResponse:
    await visit.seller.released.wait()
    return _hang_up(visit)


async def _redirect_after_payment(visit: Visit) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": f"{visit.seller.elsewhere}/stolen"})


async def _success_false_but_settled(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    lie = {"success": False, "errorReason": "unexpected_settle_error", "transaction": ""}
    return web.json_response({}, status=402, headers=_receipt(lie | {"network": NETWORK}))


async def _settlement_pending(_: Visit) -> web.StreamResponse:
    pending = {"success": False, "errorReason": "settlement_pending", "network": NETWORK}
    claim = _receipt(pending | {"transaction": NO_TRANSACTION})
    return web.json_response({}, status=402, headers=claim)


async def _replay_complaint(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    complaint = "invalid_exact_evm_nonce_already_used"
    return challenge(visit.request, offer(visit.seller), error=complaint)


async def _receipt_claims_more(visit: Visit) -> web.StreamResponse:
    receipt = await _settled(visit)
    more = receipt | {"amount": str(LATER_PRICE)}
    return web.json_response({"goods": "delivered"}, headers=_receipt(more))


async def _receipt_of_another(visit: Visit) -> web.StreamResponse:
    receipt = await _settled(visit)
    another = receipt | {"payer": Account.create().address}
    return web.json_response({"goods": "delivered"}, headers=_receipt(another))


async def _receipt_garbage(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    return web.json_response({"goods": "delivered"}, headers={"PAYMENT-RESPONSE": "%%%"})


async def _no_receipt(visit: Visit) -> web.StreamResponse:
    await _settled(visit)
    return web.json_response({"goods": "delivered"})


async def _odd_headers(visit: Visit) -> web.StreamResponse:
    receipt = _receipt(await _settled(visit))
    return web.json_response({"goods": "delivered"}, headers=receipt | {"X-Shop": "Café 東京"})


AFTER_PAYMENT: Final[Mapping[str, Vice]] = {
    "deliver": deliver,
    "drop_before_answer": _drop_before_answer,
    "hold_then_deliver": _hold_then_deliver,
    "no_receipt": _no_receipt,
    "odd_headers": _odd_headers,
    "other_payee": _other_payee,
    "overcharge": _overcharge,
    "paid_stream": _paid_stream,
    "receipt_claims_more": _receipt_claims_more,
    "receipt_garbage": _receipt_garbage,
    "receipt_of_another": _receipt_of_another,
    "redirect_after_payment": _redirect_after_payment,
    "repeat_402_settled": _repeat_402_settled,
    "repeat_402_unsettled": _repeat_402_unsettled,
    "replay_complaint": _replay_complaint,
    "settle_then_500": _settle_then_500,
    "settle_then_break_off": _settle_then_break_off,
    "settle_then_drop": _settle_then_drop,
    "settle_then_stall": _settle_then_stall,
    "settlement_pending": _settlement_pending,
    "stall": _stall,
    "success_false_but_settled": _success_false_but_settled,
}


# Parts.


async def _settled(visit: Visit) -> Json:
    receipt = await visit.seller.settle(visit)
    assert receipt["success"], receipt
    return receipt


async def _in_two_halves(
    seller: HostileSeller, request: web.Request, headers: dict[str, str]
) -> web.StreamResponse:
    """Send one half, and the other when the test allows it."""
    response = web.StreamResponse(headers=headers | {"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(HALVES[0])
    await seller.released.wait()
    await response.write(HALVES[1])
    return response


def _hang_up(visit: Visit, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Reset the connection; what is returned goes nowhere."""
    if visit.request.transport is not None:
        visit.request.transport.abort()
    return response or web.Response()


def _receipt(claim: Json) -> dict[str, str]:
    return {"PAYMENT-RESPONSE": base64.b64encode(json.dumps(claim).encode()).decode()}


def _challenge_header(request: web.Request, offers: tuple[Any, ...], error: str) -> str:
    document = {"x402Version": 2, "error": error, "accepts": list(offers)}
    document["resource"] = {"url": str(request.url)}
    return base64.b64encode(json.dumps(document).encode()).decode()


async def _answered(response: web.StreamResponse) -> web.StreamResponse:
    return response


async def _sighting(request: web.Request) -> Sighting:
    headers = tuple(request.headers.items())
    return Sighting(request.method, request.path, headers, await request.read())


@asynccontextmanager
async def _site(
    path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
