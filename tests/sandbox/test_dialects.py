"""The ways of asking: BlockRun's own, version 2 as specified, and version 1."""

import json
from typing import Any

import pytest
from x402 import x402Client
from x402.http import x402HTTPClient
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

from tests.sandbox.buyer import PORTRAIT, Answer, Buyer, decode, encode, sign

ENROLL = "/v1/portrait/enroll"
STANDARD = f"{ENROLL}?challenge=standard"
VERSION_1 = f"{ENROLL}?challenge=v1"


async def _sdk_headers(buyer: Buyer, asked: Answer) -> dict[str, str]:
    client = x402Client()
    register_exact_evm_client(client, EthAccountSigner(buyer.account))
    headers, _payload = await x402HTTPClient(client).handle_402_response(
        dict(asked.headers), asked.body, f"{buyer.town.blockrun_url}{ENROLL}"
    )
    return dict(headers)


@pytest.mark.parametrize("url", [STANDARD, VERSION_1])
async def test_official_client(buyer: Buyer, url: str) -> None:
    """The official SDK understands the challenge, and its payment is good."""
    asked = await buyer.call("POST", url, PORTRAIT)
    answer = await buyer.call("POST", url, PORTRAIT, await _sdk_headers(buyer, asked))
    assert answer.status == 200
    assert buyer.spent == 500_000


async def test_standard_challenge(buyer: Buyer) -> None:
    """x402 version 2: the challenge is the PAYMENT-REQUIRED header alone, the body is {}."""
    asked = await buyer.call("POST", STANDARD, PORTRAIT)
    assert (asked.status, asked.json) == (402, {})
    assert "X-Payment-Required" not in asked.headers
    assert asked.challenge["resource"]["url"].endswith(STANDARD)


async def test_standard_reads_one_header(buyer: Buyer) -> None:
    """x402 version 2: a payment in X-PAYMENT is answered with a plain 402."""
    answer = await buyer.pay("POST", STANDARD, PORTRAIT, "X-PAYMENT")
    assert answer.status == 402
    assert answer.challenge["error"] == "Payment required"
    answer = await buyer.pay("POST", STANDARD, PORTRAIT)
    assert answer.status == 200
    assert "X-Payment-Receipt" not in answer.headers


async def test_standard_verify_failure(buyer: Buyer) -> None:
    """x402 version 2: a refused payment gets a fresh challenge with the reason in its error."""
    asked = await buyer.call("POST", STANDARD, PORTRAIT)
    headers = {"PAYMENT-SIGNATURE": buyer.payment(asked, validBefore=int(buyer.clock()) + 5)}
    answer = await buyer.call("POST", STANDARD, PORTRAIT, headers)
    assert (answer.status, answer.json) == (402, {})
    reason = "invalid_exact_evm_payload_authorization_valid_before"
    assert answer.challenge["error"] == reason


ECHOES: list[tuple[str, Any]] = [
    ("another timeout", {"maxTimeoutSeconds": 60}),
    ("a float timeout", {"maxTimeoutSeconds": 300.0}),
    ("a lower-cased payee", {"payTo": "0xe9030014f5dae217d0a152f02a043567b16c1abf"}),
    ("no version", {"extra": {"name": "USD Coin"}}),
    ("another amount", {"amount": "1"}),
    ("a key more", {"note": "hello"}),
]


@pytest.mark.parametrize("url", [ENROLL, STANDARD])
@pytest.mark.parametrize("changed", [row[1] for row in ECHOES], ids=[row[0] for row in ECHOES])
async def test_accepted_is_compared_deeply(buyer: Buyer, url: str, changed: Any) -> None:
    """x402 version 2: `accepted` must be the offered entry, verbatim."""
    asked = await buyer.call("POST", url, PORTRAIT)
    payload = decode(buyer.payment(asked))
    payload["accepted"] |= changed
    answer = await buyer.call("POST", url, PORTRAIT, {"PAYMENT-SIGNATURE": encode(payload)})
    assert answer.status == 402
    assert answer.challenge["error"] == "No matching payment requirements"


@pytest.mark.parametrize(
    "header",
    [
        "garbage!",
        encode([]),
        encode({"x402Version": 1}),
        encode({}),
        "",
        "e30",
    ],
)
async def test_garbage_counts_as_no_payment(buyer: Buyer, header: str) -> None:
    """x402: a header that is no payment is answered like none at all."""
    for url in (ENROLL, STANDARD, VERSION_1):
        headers = {"PAYMENT-SIGNATURE": header, "X-PAYMENT": header}
        if url == VERSION_1 and header == encode({"x402Version": 1}):
            continue
        answer = await buyer.call("POST", url, PORTRAIT, headers)
        assert (answer.status, answer.body) == (
            402,
            (await buyer.call("POST", url, PORTRAIT)).body,
        )


async def test_empty_payload(buyer: Buyer) -> None:
    """x402: a payload of the right version with nothing in it is refused by name."""
    headers = {"PAYMENT-SIGNATURE": encode({"x402Version": 2})}
    answer = await buyer.call("POST", ENROLL, PORTRAIT, headers)
    assert answer.json["details"] == "No matching payment requirements"
    answer = await buyer.call(
        "POST", VERSION_1, PORTRAIT, {"X-PAYMENT": encode({"x402Version": 1})}
    )
    assert answer.json["error"] == "invalid_payload"


async def test_version_1(buyer: Buyer) -> None:
    """x402 version 1: the body is the challenge, X-PAYMENT pays and X-PAYMENT-RESPONSE confirms."""
    asked = await buyer.call("POST", VERSION_1, PORTRAIT)
    (entry,) = asked.json["accepts"]
    assert asked.json["x402Version"] == 1
    assert entry["network"] == "base"
    assert entry["maxAmountRequired"] == "500000"
    assert entry["resource"] == f"{buyer.town.blockrun_url}{ENROLL}"
    signed = sign(buyer.account, entry | {"amount": entry["maxAmountRequired"]}, buyer.clock())
    header = encode({"x402Version": 1, "scheme": "exact", "network": "base", "payload": signed})
    answer = await buyer.call("POST", VERSION_1, PORTRAIT, {"X-PAYMENT": header})
    assert answer.status == 200
    assert decode(answer.headers["X-PAYMENT-RESPONSE"])["network"] == "base"
    assert buyer.spent == 500_000


async def test_switches(buyer: Buyer) -> None:
    """A price can be named, and a switch that cannot be meant is a 400."""
    asked = await buyer.call("POST", f"{ENROLL}?price=2.50", PORTRAIT)
    assert asked.json["price"]["amount"] == "2.500000"
    for bad in ("challenge=v9", "price=-1", "price=1e3", "price="):
        answer = await buyer.call("POST", f"{ENROLL}?{bad}", PORTRAIT)
        assert answer.status == 400, json.loads(answer.body)
