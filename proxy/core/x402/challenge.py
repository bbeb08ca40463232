"""What a 402 offers to sell: found in one of three places, read within bounds, kept verbatim.

The challenge stands in `PAYMENT-REQUIRED`, else in `X-PAYMENT-REQUIRED`, else in a JSON body with
`accepts`; version 1 and version 2 are told apart by `x402Version`, wherever it stands. A reading
is done once, and what is signed later is signed from that reading. An entry of `accepts` that
makes no sense spoils itself, not its neighbours: it becomes a `BadOffer`, which can never be
chosen.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from proxy.core.http import Headers, get_all
from proxy.core.money import parse_amount
from proxy.core.strict_json import NotStrictJson, loads
from proxy.core.x402.assets import V1_NETWORKS

HEADER_BYTES_MAX: Final = 65_536
BODY_BYTES_MAX: Final = 1_048_576
OFFERS_MAX: Final = 16
"""Bounds on what a stranger may make us read.

Real challenges are a few kilobytes with one to four offers.
"""

TIMEOUT_S_MIN: Final = 10
"""A facilitator wants six seconds of validity when it settles.

Under ten a payment would likely be signed for nothing.
"""

HEADER_NAMES: Final = (b"payment-required", b"x-payment-required")
JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """One entry of `accepts` that is well formed. `raw` is the entry verbatim.

    Sellers compare it deeply.
    """

    scheme: str
    network: str
    amount: int
    asset: str
    pay_to: str
    max_timeout_s: int
    extra: JsonObject
    raw: JsonObject


@dataclass(frozen=True, slots=True)
class BadOffer:
    """One entry of `accepts` that nobody could sign, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A 402's offer to sell: at least one entry, good or bad.

    `extensions` and `resource` are version 2's, verbatim.
    """

    version: Literal[1, 2]
    offers: tuple[Offer | BadOffer, ...]
    resource: JsonObject | None = None
    extensions: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """The 402 carries something that claims to be a challenge and is none.

    The reason quotes nothing of it.
    """

    reason: str


def challenge_in_headers(headers: Headers) -> Challenge | Malformed | None:
    """Read the challenge that a 402's headers carry; None where there is no such header."""
    spellings = [get_all(headers, name) for name in HEADER_NAMES]
    values = {value for found in spellings for value in found}
    if not values:
        return None
    if len(values) > 1 or any(len(found) > 1 for found in spellings):
        return Malformed("two challenge headers")
    (value,) = values
    if len(value) > HEADER_BYTES_MAX:
        return Malformed(f"the challenge header is larger than {HEADER_BYTES_MAX} bytes")
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error:
        return Malformed("the challenge header is not standard base64")
    return _parse(decoded)


def challenge_in_body(body: bytes) -> Challenge | Malformed | None:
    """Read the challenge that a 402's JSON body is.

    None where the body is something else, such as a page for people.
    """
    if len(body) > BODY_BYTES_MAX:
        return Malformed(f"the 402's body is larger than {BODY_BYTES_MAX} bytes")
    if b'"accepts"' not in body:
        return None
    return _parse(body)


def _parse(data: bytes) -> Challenge | Malformed:
    try:
        document = loads(data)
    except NotStrictJson as problem:
        return Malformed(
            f"the challenge is {problem}"
            if "valid" in str(problem)
            else f"in the challenge {problem}"
        )
    if not isinstance(document, dict):
        return Malformed("the challenge is not a JSON object")
    version = document.get("x402Version")
    if version not in (1, 2) or isinstance(version, (bool, float)):
        return Malformed("the challenge's x402Version is neither 1 nor 2")
    accepts = document.get("accepts")
    if not isinstance(accepts, list) or not accepts:
        return Malformed("the challenge accepts nothing: `accepts` is empty or missing")
    if len(accepts) > OFFERS_MAX:
        return Malformed(
            f"the challenge has {len(accepts)} entries in `accepts`; at most {OFFERS_MAX} are read"
        )
    offers = tuple(_offer(entry, version) for entry in accepts)
    if version == 1:
        return Challenge(1, offers)
    resource, extensions = document.get("resource"), document.get("extensions")
    if not isinstance(resource, dict | None) or not isinstance(extensions, dict | None):
        return Malformed("the challenge's `resource` or `extensions` is not an object")
    return Challenge(2, offers, resource, extensions)


def _offer(entry: object, version: Literal[1, 2]) -> Offer | BadOffer:
    if not isinstance(entry, dict):
        return BadOffer("an entry of `accepts` is not an object")
    amount_key = "maxAmountRequired" if version == 1 else "amount"
    amount = parse_amount(entry.get(amount_key))
    if amount is None:
        return BadOffer(
            f"`{amount_key}` is not a string of 1 to 78 digits above zero and below 2**256"
        )
    scheme, network = entry.get("scheme"), entry.get("network")
    if not isinstance(scheme, str) or not isinstance(network, str):
        return BadOffer("`scheme` or `network` is not a string")
    asset, pay_to = entry.get("asset"), entry.get("payTo")
    if not isinstance(asset, str) or not isinstance(pay_to, str):
        return BadOffer("`asset` or `payTo` is not a string")
    timeout_s = entry.get("maxTimeoutSeconds")
    if not isinstance(timeout_s, int) or isinstance(timeout_s, bool) or timeout_s < TIMEOUT_S_MIN:
        return BadOffer(f"`maxTimeoutSeconds` is not an integer of at least {TIMEOUT_S_MIN}")
    extra = _extra(entry.get("extra"))
    if extra is None:
        return BadOffer("`extra` is neither an object nor a JSON string of one")
    return Offer(scheme, caip2(network, version), amount, asset, pay_to, timeout_s, extra, entry)


def _extra(value: object) -> JsonObject | None:
    """Some sellers write `extra` as a string of JSON.

    It is read through, and echoed as it stood.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        try:
            value = loads(value)
        except NotStrictJson:
            return None
    return value if isinstance(value, dict) else None


def caip2(network: str, version: int) -> str:
    """A network's CAIP-2 id: version 1 writes names, which an unknown one keeps."""
    return V1_NETWORKS.get(network, network) if version == 1 else network
