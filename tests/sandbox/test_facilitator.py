"""The facilitator: every refusal of the official one, in its order, and money that moves once."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from eth_account import Account

from proxy.sandbox import Facilitator
from proxy.sandbox.facilitator import Payment, Refused, Settlement, Terms, Verified
from proxy.sandbox.signatures import Authorization
from tests.sandbox.buyer import Clock, sign

NOW = 1_800_000_000
BALANCE = 1_000_000
TERMS = Terms("500000")
ACCOUNT = Account.create()
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

PAYLOAD = "invalid_exact_evm_payload_"
WIRE = {"payTo": TERMS.pay_to, "amount": TERMS.amount, "maxTimeoutSeconds": 300}


@dataclass(frozen=True)
class Case:
    """A payment that is wrong in one way, and the code it is refused with."""

    reason: str
    signed: dict[str, Any] = field(default_factory=dict)
    domain: dict[str, Any] = field(default_factory=dict)
    payment: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)


REFUSALS = {
    "scheme": Case("unsupported_scheme", payment={"scheme": "upto"}),
    "scheme of the terms": Case("unsupported_scheme", terms={"scheme": "upto"}),
    "network": Case("network_mismatch", payment={"network": "eip155:84532"}),
    "no domain": Case("missing_eip712_domain", terms={"extra": {}}),
    "no version": Case("missing_eip712_domain", terms={"extra": {"name": "USD Coin"}}),
    "recipient": Case(PAYLOAD + "recipient_mismatch", {"to": ACCOUNT.address}),
    "too little": Case(PAYLOAD + "authorization_value_mismatch", {"value": 499_999}),
    "too much": Case(PAYLOAD + "authorization_value_mismatch", {"value": 500_001}),
    "broken amount": Case(PAYLOAD + "authorization_value_mismatch", terms={"amount": "5e5"}),
    "expired": Case(PAYLOAD + "authorization_valid_before", {"validBefore": NOW - 1}),
    "five seconds left": Case(PAYLOAD + "authorization_valid_before", {"validBefore": NOW + 5}),
    "not yet valid": Case(PAYLOAD + "authorization_valid_after", {"validAfter": NOW + 1}),
    "another chain": Case(PAYLOAD + "signature", domain={"chainId": 84532}),
    "another name": Case(PAYLOAD + "signature", domain={"name": "USDC"}),
    "another version": Case(PAYLOAD + "signature", domain={"version": "1"}),
    "another token": Case(PAYLOAD + "signature", domain={"verifyingContract": TERMS.pay_to}),
    "another signer": Case(PAYLOAD + "signature", {"from": TERMS.pay_to}),
    "token's name": Case(
        "invalid_exact_evm_token_name_mismatch",
        domain={"name": "USDC"},
        terms={"extra": {"name": "USDC", "version": "2"}},
    ),
    "token's version": Case(
        "invalid_exact_evm_token_version_mismatch",
        domain={"version": "1"},
        terms={"extra": {"name": "USD Coin", "version": "1"}},
    ),
    "balance": Case(
        "invalid_exact_evm_insufficient_balance",
        {"value": BALANCE + 1},
        terms={"amount": str(BALANCE + 1)},
    ),
    # The order: what is earlier in the specification's list is what is reported.
    "scheme before all": Case("unsupported_scheme", {"value": 1}, payment={"scheme": "upto"}),
    "recipient before value": Case(
        PAYLOAD + "recipient_mismatch", {"to": ACCOUNT.address, "value": 1}
    ),
    "value before time": Case(
        PAYLOAD + "authorization_value_mismatch", {"value": 1, "validBefore": 1}
    ),
    "time before signature": Case(
        PAYLOAD + "authorization_valid_before", {"validBefore": 1}, domain={"chainId": 1}
    ),
}


def _payment(
    domain: dict[str, Any] | None = None, changed: dict[str, Any] | None = None, **wire: Any
) -> Payment:
    extra = {"extra": dict(TERMS.extra), "asset": TERMS.asset}
    signed = sign(ACCOUNT, {**WIRE, **extra}, NOW, domain, **(changed or {})) | wire
    authorization = Authorization.parse(signed["authorization"], signed["signature"])
    return Payment("exact", TERMS.network, None, authorization)


@pytest.fixture
def facilitator() -> Facilitator:
    """A facilitator on a clock that stands still."""
    return Facilitator(BALANCE, Clock(NOW))


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(facilitator: Facilitator, case: Case) -> None:
    """x402, what a facilitator checks: each fault has its code, and nothing moves."""
    payment = replace(_payment(case.domain, case.signed), **case.payment)
    terms = replace(TERMS, **case.terms)
    assert facilitator.verify(payment, terms) == Refused(case.reason)
    assert facilitator.settle(payment, terms) == Refused(case.reason)
    assert facilitator.refusals == [case.reason] * 2
    assert facilitator.balance_of(ACCOUNT.address) == BALANCE
    assert facilitator.settled == []


def test_settlement(facilitator: Facilitator) -> None:
    """A good payment verifies as often as one likes, settles once, and then its nonce is burnt."""
    payment = _payment()
    assert facilitator.verify(payment, TERMS) == Verified(ACCOUNT.address)
    assert facilitator.verify(payment, TERMS) == Verified(ACCOUNT.address)
    assert facilitator.verified == 2
    moved = facilitator.settle(payment, TERMS)
    assert isinstance(moved, Settlement)
    assert payment.authorization is not None
    assert moved == Settlement(
        moved.tx,
        ACCOUNT.address,
        TERMS.pay_to,
        500_000,
        payment.authorization.nonce,
        "eip155:8453",
    )
    assert len(bytes.fromhex(moved.tx.removeprefix("0x"))) == 32
    assert facilitator.balance_of(ACCOUNT.address.lower()) == BALANCE - 500_000
    assert facilitator.balance_of(TERMS.pay_to) == 500_000
    assert facilitator.is_used(ACCOUNT.address, moved.nonce)
    burnt = Refused("invalid_exact_evm_nonce_already_used")
    assert facilitator.verify(payment, TERMS) == burnt
    assert facilitator.settle(payment, TERMS) == burnt
    assert facilitator.payer_of(payment, TERMS) == ACCOUNT.address
    assert repr(facilitator) == "<Facilitator verified=2 settled=1>"


def test_a_balance_is_spent_once(facilitator: Facilitator) -> None:
    """Three payments of half a balance: all verify, the third does not settle."""
    payments = [_payment() for _ in range(3)]
    assert all(isinstance(facilitator.verify(p, TERMS), Verified) for p in payments)
    outcomes = [facilitator.settle(payment, TERMS) for payment in payments]
    assert [isinstance(outcome, Settlement) for outcome in outcomes] == [True, True, False]
    assert outcomes[2] == Refused("invalid_exact_evm_insufficient_balance")
    assert facilitator.balance_of(ACCOUNT.address) == 0


def test_the_last_second_is_good(facilitator: Facilitator) -> None:
    """The limits of the window themselves are inside it."""
    payment = _payment(changed={"validAfter": NOW, "validBefore": NOW + 6})
    assert isinstance(facilitator.verify(payment, TERMS), Verified)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("value", 500000),
        ("value", "5e5"),
        ("value", "-1"),
        ("value", "0x7a120"),
        ("validBefore", str(1 << 256)),
        ("nonce", "0x00"),
        ("nonce", "00" * 32),
        ("from", "me"),
        ("to", None),
    ],
)
def test_malformed_authorizations(facilitator: Facilitator, key: str, value: object) -> None:
    """x402, the wire form: decimal strings, addresses and a nonce of 32 bytes, or nothing."""
    signed = sign(ACCOUNT, {**WIRE, "extra": dict(TERMS.extra), "asset": TERMS.asset}, NOW)
    message = signed["authorization"] | {key: value}
    assert Authorization.parse(message, signed["signature"]) is None
    payment = Payment("exact", TERMS.network, None, None)
    assert facilitator.verify(payment, TERMS) == Refused("invalid_payload")
    assert facilitator.payer_of(payment, TERMS) is None


def _twin(signature: str) -> str:
    """The other valid signature of the same message: s in the upper half, v flipped."""
    raw = bytes.fromhex(signature[2:])
    high = ORDER - int.from_bytes(raw[32:64])
    return "0x" + (raw[:32] + high.to_bytes(32) + bytes([55 - raw[64]])).hex()


def _with_v(signature: str, v: int) -> str:
    return f"{signature[:-2]}{v:02x}"


@pytest.mark.parametrize(
    "bend",
    [
        lambda _good: "0x" + "00" * 65,
        lambda _good: "0x" + "ff" * 64 + "1b",
        lambda _good: "0x" + "ff" * 32 + "00" * 31 + "011b",
        lambda good: _with_v(good, int(good[-2:], 16) - 27),
        lambda good: _with_v(good, 55 - int(good[-2:], 16)),
        _twin,
    ],
    ids=["zeros", "out of range", "r out of range", "v of 0 or 1", "flipped v", "high s"],
)
def test_bent_signatures(facilitator: Facilitator, bend: Any) -> None:
    """x402, signing: 65 bytes, v of 27 or 28, s in the lower half; all else is no signature."""
    signed = sign(ACCOUNT, {**WIRE, "extra": dict(TERMS.extra), "asset": TERMS.asset}, NOW)
    authorization = Authorization.parse(signed["authorization"], bend(signed["signature"]))
    payment = Payment("exact", TERMS.network, None, authorization)
    assert facilitator.verify(payment, TERMS) == Refused(PAYLOAD + "signature")


@pytest.mark.parametrize("signature", [None, "0x", "0x" + "00" * 64, "00" * 65, "0x" + "zz" * 65])
def test_signatures_of_another_form(signature: object) -> None:
    """What is not 0x and 65 bytes is malformed, not merely wrong."""
    signed = sign(ACCOUNT, {**WIRE, "extra": dict(TERMS.extra), "asset": TERMS.asset}, NOW)
    assert Authorization.parse(signed["authorization"], signature) is None
    assert Authorization.parse("no object", signed["signature"]) is None
