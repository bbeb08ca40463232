"""The facilitator: judges payments as the official one does and moves imaginary money.

It owns the balances and the burnt nonces. Its rules:

- Every check of the official facilitator, in its order, with its reason codes; the first that fails
  is the answer.
- A signature is recovered for real. Nothing here trusts what a payload says about itself.
- A nonce settles once. Verifying burns nothing and reserves nothing, as on a real chain.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.sandbox import ids, money
from proxy.sandbox.signatures import Authorization, Domain

MARGIN_S: Final = 6
"""An authorization must outlive the block that would carry it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a seller asks for. `amount` is the raw string of the challenge, a broken one too."""

    amount: str
    pay_to: str = money.SELLER
    scheme: str = "exact"
    network: str = money.NETWORK
    asset: str = money.USDC
    max_timeout_s: int = 300
    extra: Mapping[str, str] = field(
        default_factory=lambda: {"name": money.USDC_NAME, "version": money.USDC_VERSION}
    )

    def domain(self) -> Domain:
        """The EIP-712 domain that these terms tell a payer to sign under."""
        return Domain(
            self.extra.get("name", ""), self.extra.get("version", ""), money.CHAIN_ID, self.asset
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """What a payer sent; the authorization is None where it is malformed.

    `accepted` is the entry that a version 2 payload echoes; version 1 has none.
    """

    scheme: str
    network: str
    accepted: object
    authorization: Authorization | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Money that moved."""

    tx: str
    payer: str
    pay_to: str
    amount: int
    nonce: str
    network: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A payment that could be settled now."""

    payer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A payment that cannot; `reason` is the official code."""

    reason: str


class Facilitator:
    """Verify, settle, and remember.

    `verified` counts the payments found good, `refusals` lists the reason of each that was not,
    `settled` what moved.
    """

    def __init__(self, balance: int, clock: Callable[[], float] = time.time) -> None:
        self.verified = 0
        self.refusals: list[str] = []
        self.settled: list[Settlement] = []
        self._start = balance
        self._clock = clock
        self._moved: dict[str, int] = {}
        self._burnt: set[tuple[str, str]] = set()
        self._sellers = {money.SELLER.lower(), money.OTHER_SELLER.lower()}

    def __repr__(self) -> str:
        return f"<Facilitator verified={self.verified} settled={len(self.settled)}>"

    def balance_of(self, address: str) -> int:
        """What an address owns: payers start with the sandbox's balance, sellers with nothing."""
        key = address.lower()
        start = 0 if key in self._sellers else self._start
        return start + self._moved.get(key, 0)

    def is_used(self, payer: str, nonce: str) -> bool:
        """Whether this authorization was settled: the chain's `authorizationState`."""
        return (payer.lower(), nonce.lower()) in self._burnt

    def verify(self, payment: Payment, terms: Terms) -> Verified | Refused:
        """Judge a payment against the terms it was asked for."""
        verdict = self._judge(payment, terms)
        if isinstance(verdict, Refused):
            self.refusals.append(verdict.reason)
        else:
            self.verified += 1
        return verdict

    def settle(self, payment: Payment, terms: Terms) -> Settlement | Refused:
        """Judge once more, for time has passed; then burn the nonce and move the money."""
        verdict = self._judge(payment, terms)
        if isinstance(verdict, Refused):
            self.refusals.append(verdict.reason)
            return verdict
        assert payment.authorization is not None  # noqa: S101 - a malformed one was refused above
        authorization = payment.authorization
        amount = authorization.value
        self._burnt.add((verdict.payer.lower(), authorization.nonce))
        self._move(verdict.payer, -amount)
        self._move(terms.pay_to, amount)
        settlement = Settlement(
            ids.transaction(),
            verdict.payer,
            terms.pay_to,
            amount,
            authorization.nonce,
            terms.network,
        )
        self.settled.append(settlement)
        return settlement

    def payer_of(self, payment: Payment, terms: Terms) -> str | None:
        """Who signed, whatever else is wrong: so a buyer is known again after paying."""
        authorization = payment.authorization
        if authorization is None:
            return None
        signer = authorization.signer(terms.domain())
        return signer if signer and signer.lower() == authorization.payer.lower() else None

    def _judge(self, payment: Payment, terms: Terms) -> Verified | Refused:
        authorization = payment.authorization
        if authorization is None:
            return Refused("invalid_payload")
        reason = _mismatch(payment, authorization, terms) or self._too_late(authorization)
        if reason is not None:
            return Refused(reason)
        payer = self.payer_of(payment, terms)
        if payer is None:
            return Refused("invalid_exact_evm_payload_signature")
        reason = self._simulation(payer, authorization, terms)
        return Verified(payer) if reason is None else Refused(reason)

    def _too_late(self, authorization: Authorization) -> str | None:
        now = int(self._clock())
        if authorization.valid_before < now + MARGIN_S:
            return "invalid_exact_evm_payload_authorization_valid_before"
        if authorization.valid_after > now:
            return "invalid_exact_evm_payload_authorization_valid_after"
        return None

    def _simulation(self, payer: str, authorization: Authorization, terms: Terms) -> str | None:
        """What the token's contract itself would say."""
        if self.is_used(payer, authorization.nonce):
            return "invalid_exact_evm_nonce_already_used"
        if terms.extra["name"] != money.USDC_NAME:
            return "invalid_exact_evm_token_name_mismatch"
        if terms.extra["version"] != money.USDC_VERSION:
            return "invalid_exact_evm_token_version_mismatch"
        if self.balance_of(payer) < authorization.value:
            return "invalid_exact_evm_insufficient_balance"
        return None

    def _move(self, address: str, amount: int) -> None:
        key = address.lower()
        self._moved[key] = self._moved.get(key, 0) + amount


def _mismatch(payment: Payment, authorization: Authorization, terms: Terms) -> str | None:
    """The checks that need neither clock nor signature, in their order."""
    if payment.scheme != "exact" or terms.scheme != "exact":
        return "unsupported_scheme"
    if payment.network != terms.network:
        return "network_mismatch"
    if not terms.extra.get("name") or not terms.extra.get("version"):
        return "missing_eip712_domain"
    if authorization.to.lower() != terms.pay_to.lower():
        return "invalid_exact_evm_payload_recipient_mismatch"
    if str(authorization.value) != terms.amount:
        return "invalid_exact_evm_payload_authorization_value_mismatch"
    return None
