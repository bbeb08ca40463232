"""What the protocol's tests stand on: challenges as sellers write them, keys that all know."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from proxy.core.errors import Refusal
from proxy.core.http import Headers
from proxy.core.x402.assets import AssetTable
from proxy.core.x402.challenge import (
    Challenge,
    Malformed,
    challenge_in_body,
    challenge_in_headers,
)
from proxy.core.x402.terms import Allowed, Terms, choose
from proxy.wallet import Wallet

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
WALLET = Wallet(KEY)
NOW = 1_740_672_089
NONCE = bytes.fromhex("f3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480")
PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
BASE_USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
ASSETS = AssetTable()
EVERYWHERE = tuple(sorted(ASSETS.networks()))

V2: Mapping[str, Any] = {
    "scheme": "exact",
    "network": "eip155:8453",
    "amount": "10000",
    "asset": BASE_USDC,
    "payTo": PAYEE,
    "maxTimeoutSeconds": 60,
    "extra": {"name": "USD Coin", "version": "2"},
}
V1: Mapping[str, Any] = {
    "scheme": "exact",
    "network": "base",
    "maxAmountRequired": "10000",
    "resource": "https://api.example.com/premium-data",
    "description": "",
    "mimeType": "application/json",
    "payTo": PAYEE,
    "maxTimeoutSeconds": 60,
    "asset": BASE_USDC,
    "extra": {"name": "USD Coin", "version": "2"},
}


def entry(version: int = 2, **changes: Any) -> dict[str, Any]:
    """One entry of `accepts`; a change to `...` leaves the key out."""
    whole = {**(V2 if version == 2 else V1), **changes}
    return {key: value for key, value in whole.items() if value is not ...}


def document(*accepts: Any, version: Any = 2, **more: Any) -> dict[str, Any]:
    """A challenge; without entries, one with a good one."""
    return {"x402Version": version, "accepts": list(accepts) or [entry(version)], **more}


def header(value: bytes | str | Mapping[str, Any], name: bytes = b"PAYMENT-REQUIRED") -> Headers:
    """A 402's headers that carry a challenge: bytes as they are, all else encoded."""
    if isinstance(value, bytes):
        return ((name, value),)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ((name, base64.b64encode(text.encode("utf-8", "surrogatepass"))),)


def read(value: bytes | str | Mapping[str, Any]) -> Challenge:
    """Read a challenge from a header: it must be one."""
    challenge = challenge_in_headers(header(value))
    assert isinstance(challenge, Challenge), challenge
    return challenge


def malformed(value: bytes | str | Mapping[str, Any]) -> str:
    """Read a challenge from a header, and from a body as well: both must refuse it alike."""
    found = challenge_in_headers(header(value))
    assert isinstance(found, Malformed), found
    if not isinstance(value, bytes):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        inside = challenge_in_body(text.encode("utf-8", "surrogatepass"))
        assert inside in (found, None), inside
    return found.reason


def allowed(
    *, networks: tuple[str, ...] = ("eip155:8453",), payees: tuple[str, ...] | None = None
) -> Allowed:
    """What the tests' provider may be paid with."""
    return Allowed(networks, ASSETS, payees, WALLET.address)


def terms(*accepts: Any, version: int = 2, may: Allowed | None = None) -> Terms:
    """The terms chosen of some entries: there must be acceptable ones."""
    chosen = choose(read(document(*accepts, version=version)), may or allowed())
    assert isinstance(chosen, Terms), chosen
    return chosen


def refusal(*accepts: Any, version: int = 2, may: Allowed | None = None) -> Refusal:
    """The refusal of some entries: there must be none acceptable."""
    chosen = choose(read(document(*accepts, version=version)), may or allowed())
    assert isinstance(chosen, Refusal), chosen
    return chosen
