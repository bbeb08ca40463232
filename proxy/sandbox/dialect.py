"""Three ways of asking for money over HTTP: BlockRun's own, version 2 as specified, and version 1.

A request picks one with `?challenge=`: `blockrun` (the default), `standard` or `v1`. A dialect
knows where the challenge stands, which header a payment comes in, and how a receipt looks. It
decides nothing.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from proxy.sandbox import money
from proxy.sandbox.facilitator import Payment, Terms
from proxy.sandbox.signatures import Authorization
from proxy.sandbox.wire import Json, reply

_FRESH: Final = {"Cache-Control": "no-store"}
_V1: Final = 1
_V2: Final = 2


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing for sale: where, what, and on which terms."""

    url: str
    description: str
    terms: Terms

    def entry(self) -> Json:
        """The version 2 `accepts` entry, which a payer echoes verbatim."""
        return {
            "scheme": self.terms.scheme,
            "network": self.terms.network,
            "amount": self.terms.amount,
            "asset": self.terms.asset,
            "payTo": self.terms.pay_to,
            "maxTimeoutSeconds": self.terms.max_timeout_s,
            "extra": dict(self.terms.extra),
        }

    def price(self) -> Json:
        """The price as BlockRun writes it beside a challenge."""
        amount = self.terms.amount
        return {
            "amount": money.dollars(int(amount)) if amount.isdigit() else amount,
            "currency": "USD",
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What the seller says became of a payment; `tx` is "" where it claims that nothing moved."""

    success: bool
    tx: str
    payer: str
    amount: str
    reason: str | None = None

    def settlement(self) -> Json:
        """The `settlement` field of BlockRun's bodies."""
        body: Json = {
            "success": self.success,
            "tx_hash": self.tx or None,
            "network": money.NETWORK_V1,
        }
        return body if self.reason is None else {**body, "error": self.reason}


class Dialect(Protocol):
    """What differs between the ways of asking."""

    def terms(self, amount: str) -> Terms:
        """The terms for an amount, with the network's name as this dialect writes it."""
        ...

    def challenge(self, offer: Offer, error: str | None) -> web.Response:
        """The 402; `error` is why a payment was not good, None where none was sent."""
        ...

    def read(self, headers: Mapping[str, str]) -> Payment | None:
        """The payment in a request's headers. Garbage counts as none, as officially."""
        ...

    def receipt(self, report: Report) -> dict[str, str]:
        """The headers that tell a payer what became of its payment."""
        ...


class _BlockRun:
    def terms(self, amount: str) -> Terms:
        return Terms(amount)

    def challenge(self, offer: Offer, error: str | None) -> web.Response:
        body: Json = {"error": "Payment Required", "price": offer.price()}
        if error is not None:
            body = {"error": "Payment verification failed", "details": error}
        headers = {"X-Payment-Required": _challenge_v2(offer, error), **_FRESH}
        return reply(body, 402, headers)

    def read(self, headers: Mapping[str, str]) -> Payment | None:
        for name in ("PAYMENT-SIGNATURE", "X-Payment"):
            if name in headers:
                return _payment_v2(headers[name])
        return None

    def receipt(self, report: Report) -> dict[str, str]:
        headers = _Standard().receipt(report)
        return {**headers, "X-Payment-Receipt": report.tx} if report.success else headers


class _Standard:
    def terms(self, amount: str) -> Terms:
        return Terms(amount)

    def challenge(self, offer: Offer, error: str | None) -> web.Response:
        return reply({}, 402, {"PAYMENT-REQUIRED": _challenge_v2(offer, error), **_FRESH})

    def read(self, headers: Mapping[str, str]) -> Payment | None:
        return _payment_v2(headers.get("PAYMENT-SIGNATURE", ""))

    def receipt(self, report: Report) -> dict[str, str]:
        return {
            "PAYMENT-RESPONSE": _encode(_settle_response(report, money.NETWORK)),
            "Cache-Control": "private",
        }


class _Version1:
    def terms(self, amount: str) -> Terms:
        return Terms(amount, network=money.NETWORK_V1)

    def challenge(self, offer: Offer, error: str | None) -> web.Response:
        entry: Json = {
            "scheme": offer.terms.scheme,
            "network": offer.terms.network,
            "maxAmountRequired": offer.terms.amount,
            "resource": offer.url.partition("?")[0],  # the official servers lose the query here
            "description": offer.description,
            "mimeType": "application/json",
            "payTo": offer.terms.pay_to,
            "maxTimeoutSeconds": offer.terms.max_timeout_s,
            "asset": offer.terms.asset,
            "extra": dict(offer.terms.extra),
        }
        error = error or "X-PAYMENT header is required"
        return reply({"x402Version": _V1, "error": error, "accepts": [entry]}, 402, _FRESH)

    def read(self, headers: Mapping[str, str]) -> Payment | None:
        payload = _decode(headers.get("X-PAYMENT", ""))
        if payload is None or payload.get("x402Version") != _V1:
            return None
        return _payment(payload, payload, None)

    def receipt(self, report: Report) -> dict[str, str]:
        return {"X-PAYMENT-RESPONSE": _encode(_settle_response(report, money.NETWORK_V1))}


DIALECTS: Final[dict[str, Dialect]] = {
    "blockrun": _BlockRun(),
    "standard": _Standard(),
    "v1": _Version1(),
}


def _challenge_v2(offer: Offer, error: str | None) -> str:
    resource = {
        "url": offer.url,
        "description": offer.description,
        "mimeType": "application/json",
    }
    return _encode(
        {
            "x402Version": _V2,
            "error": error or "Payment required",
            "resource": resource,
            "accepts": [offer.entry()],
        }
    )


def _payment_v2(header: str) -> Payment | None:
    payload = _decode(header)
    if payload is None or payload.get("x402Version") != _V2:
        return None
    accepted = payload.get("accepted", {})
    return _payment(payload, accepted if isinstance(accepted, dict) else {}, accepted)


def _payment(payload: Json, named: Json, accepted: object) -> Payment:
    inner = payload.get("payload")
    inner = inner if isinstance(inner, dict) else {}
    authorization = Authorization.parse(inner.get("authorization"), inner.get("signature"))
    return Payment(str(named.get("scheme")), str(named.get("network")), accepted, authorization)


def _settle_response(report: Report, network: str) -> Json:
    body: Json = {
        "success": report.success,
        "transaction": report.tx,
        "network": network,
        "payer": report.payer,
        "amount": report.amount,
    }
    return body if report.reason is None else {**body, "errorReason": report.reason}


def _encode(body: Json) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def _decode(header: str) -> Json | None:
    try:
        body = json.loads(base64.b64decode(header, validate=True))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
