"""Receipts are claims: one that fits settles, any other leaves a doubt, and none is none."""

import base64
import json
from typing import Any

import pytest

from proxy.core.http import Headers
from proxy.core.x402.receipt import Doubt, Settled, judge_receipt, read_receipt
from tests.x402.offers import PAYEE, WALLET

TX = "0x" + "ab" * 32
SIGNED: dict[str, Any] = {"network": "eip155:8453", "payer": WALLET.address, "amount": 10_000}
GOOD: dict[str, Any] = {
    "success": True,
    "transaction": TX,
    "network": "eip155:8453",
    "payer": WALLET.address,
}


def encoded(value: Any, name: bytes = b"PAYMENT-RESPONSE") -> Headers:
    """An answer's headers with a receipt in them."""
    text = value if isinstance(value, str) else json.dumps(value)
    return ((name, base64.b64encode(text.encode())),)


def judged(**changes: Any) -> Settled | Doubt | None:
    """The verdict on a good receipt with some changes; `...` leaves a key out."""
    document = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    verdict = read_receipt(encoded(document), **SIGNED)
    assert verdict == judge_receipt(document, **SIGNED)
    return verdict


@pytest.mark.parametrize("name", [b"PAYMENT-RESPONSE", b"X-PAYMENT-RESPONSE", b"payment-response"])
def test_receipt_that_fits(name: bytes) -> None:
    """Under either header, it settles and names the transaction."""
    assert read_receipt(encoded(GOOD, name), **SIGNED) == Settled(TX)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": ...},
        {"network": "base"},
        {"payer": ...},
        {"payer": ""},
        {"payer": None},
        {"payer": WALLET.address.lower()},
        {"amount": ""},
        {"amount": None},
        {"amount": "10000"},
        {"amount": "9999"},
        {"amount": "1"},
        {"errorReason": None, "extensions": {"x": 1}},
    ],
)
def test_ways_to_write_one_that_fits(changes: dict[str, Any]) -> None:
    """Sellers leave things out, write version 1's names, other cases, or the amount besides."""
    assert judged(**changes) == Settled(TX)


@pytest.mark.parametrize(
    "tx", [..., "", None, "0x", "ab" * 32, TX + "0", TX + "\n", 5, "0x" + "g" * 64]
)
def test_no_transaction(tx: Any) -> None:
    """A transaction that is none is not shown, and success is still claimed."""
    assert judged(transaction=tx) == Settled("")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"success": False}, "failed"),
        ({"success": ...}, "failed"),
        ({"success": None}, "failed"),
        ({"success": 1}, "failed"),
        ({"success": "true"}, "failed"),
        ({"success": False, "errorReason": "settlement_pending"}, "failed"),
        ({"network": "eip155:1"}, "another network"),
        ({"network": "base-sepolia"}, "another network"),
        ({"network": ""}, "another network"),
        ({"network": None}, "another network"),
        ({"network": 8453}, "another network"),
        ({"network": []}, "another network"),
        ({"payer": PAYEE}, "another payer"),
        ({"payer": "somebody"}, "another payer"),
        ({"amount": "10001"}, "more than was authorized"),
        ({"amount": str(2**256)}, "more than was authorized"),
        ({"amount": "1e1"}, "more than was authorized"),
        ({"amount": "-1"}, "more than was authorized"),
        ({"amount": "0"}, "more than was authorized"),
        ({"amount": 10_000}, "more than was authorized"),
        ({"amount": 1.5}, "more than was authorized"),
        ({"amount": False}, "more than was authorized"),
        ({"amount": []}, "more than was authorized"),
    ],
)
def test_receipt_that_does_not_fit(changes: dict[str, Any], reason: str) -> None:
    """Forged, pending, foreign or greedy: a doubt, which keeps the transaction it names."""
    verdict = judged(**changes)
    assert isinstance(verdict, Doubt)
    assert reason in verdict.reason
    assert verdict.tx == TX


@pytest.mark.parametrize("document", [None, [], '"paid"', 1, True, [GOOD]])
def test_receipt_that_is_no_object(document: Any) -> None:
    """Anything but an object is a doubt."""
    assert read_receipt(encoded(document), **SIGNED) == Doubt("the receipt is not a JSON object")


@pytest.mark.parametrize(
    "value",
    [
        b"", b"paid", b"!!!", TX.encode(), b"\xff\xfe", base64.b64encode(b"{"),
        base64.b64encode(b'{"success": true, "success": true}'),
        base64.b64encode(b'{"success": true, "amount": NaN}'),
        base64.b64encode(b"[" * 20_000),
        base64.b64encode(json.dumps(GOOD).encode()).rstrip(b"=") + b"-",
        base64.b64encode("\ufeff".encode() + json.dumps(GOOD).encode()),
    ],
)  # fmt: skip
def test_garbage(value: bytes) -> None:
    """What cannot be read is a doubt and no error: the money may well be gone."""
    assert read_receipt(((b"PAYMENT-RESPONSE", value),), **SIGNED) == Doubt(
        "the receipt is not base64 of JSON"
    )


def test_too_large() -> None:
    """A receipt of megabytes is not read."""
    found = read_receipt(((b"PAYMENT-RESPONSE", b"A" * 65_537),), **SIGNED)
    assert found == Doubt("the receipt is too large to read")


def test_no_receipt() -> None:
    """An answer without one says nothing at all."""
    assert read_receipt(((b"Content-Type", b"text/plain"),), **SIGNED) is None


def test_bare_transaction() -> None:
    """BlockRun's `X-Payment-Receipt` is the transaction alone."""
    assert read_receipt(((b"X-Payment-Receipt", TX.encode()),), **SIGNED) == Settled(TX)


@pytest.mark.parametrize(
    "value",
    [b"", b"0x", TX.encode()[:-1], TX.encode() + b"0", b"paid", b"\xff" * 66, b" " + TX.encode()],
)
def test_bare_garbage(value: bytes) -> None:
    """What is no transaction is no receipt either."""
    assert read_receipt(((b"X-Payment-Receipt", value),), **SIGNED) is None


def test_bare_transaction_does_not_hide_a_failure() -> None:
    """Beside a receipt that says no, a bare transaction settles nothing."""
    headers = ((b"X-Payment-Receipt", TX.encode()), *encoded({**GOOD, "success": False}))
    assert isinstance(read_receipt(headers, **SIGNED), Doubt)


def test_reason_quotes_nothing() -> None:
    """What a seller wrote does not come back in our words."""
    verdict = judged(success=False, errorReason="canary", network="canary", payer="canary")
    assert isinstance(verdict, Doubt)
    assert "canary" not in verdict.reason
