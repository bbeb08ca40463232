"""What the rooms above say to the ledger, and what it says back."""

from dataclasses import dataclass

from proxy.core.errors import Refusal
from proxy.core.http import Headers
from proxy.core.ledger import State
from proxy.core.money import Usd


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that we mean to buy: who asked for what.

    `path` is without its query, which may hold secrets. An idempotency key is good for
    `retention_s`.
    """

    payment: str
    client: str | None
    provider: str
    route: str
    method: str
    path: str
    body_sha256: bytes
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    retention_s: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """One amount to be counted before it can be taken.

    `amount` is in the asset's smallest unit, `usd` the same in dollars. `wallet` and `nonce` are
    None for a call that the price table prices. `scopes` are the sums it counts in; `terms` is
    JSON from which the very same payment header can be built again. `pin` has the payee pinned;
    `watched` has the chain asked after it; `thing` names what is bought, for `jump_ratio`: how many
    millionths of its last price refuse it.
    """

    amount: int
    usd: Usd
    decimals: int
    network: str
    asset: str
    pay_to: str
    wallet: str | None
    nonce: bytes | None
    valid_after: int
    valid_before: int
    scopes: tuple[str, ...]
    terms: str
    pin: bool = False
    watched: bool = False
    thing: bytes = b""
    jump_ratio: int | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """A hold that is durable and counted: now it may be signed."""

    payment: str
    hold: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A hold as it stands in the ledger, with what is needed to build its header again."""

    payment: str
    hold: int
    state: State
    network: str
    asset: str
    pay_to: str
    wallet: str
    nonce: bytes
    valid_after: int
    valid_before: int
    terms: str


@dataclass(frozen=True, slots=True)
class Memory:
    """An id that a provider gave out. `kind` is `job` or `asset`.

    `poll_path` is the daemon's own path and query, exactly as the provider wrote it; `answer` is a
    job's final answer, kept so that it can be had again.
    """

    id: str
    kind: str
    provider: str
    model: str = ""
    poll_path: str = ""
    payment: str | None = None
    client: str | None = None
    state: str = ""
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as its client got it; `body` is None where it was too large to keep."""

    status: int
    reason: str
    headers: Headers
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Keyed:
    """What is known under an idempotency key."""

    fingerprint: bytes
    payment: str
    state: State
    answer: KeptAnswer | None

    def refusal(self, fingerprint: bytes) -> Refusal | None:
        """Why a request under this key gets no answer; None if its own is here."""
        if self.fingerprint != fingerprint:
            message = "this Idempotency-Key was used for another request"
            return Refusal("idempotency_mismatch", message, payment=self.payment)
        if self.answer is not None and self.answer.body is not None:
            return None
        if self.answer is not None or self.state is State.SETTLED:
            message = "this was paid for, and its answer was not kept"
            return Refusal("result_not_kept", message, payment=self.payment)
        message = (
            f"the payment under this Idempotency-Key is {self.state.value}: nothing is paid again"
        )
        return Refusal("payment_pending", message, payment=self.payment)


@dataclass(frozen=True, slots=True)
class Watched:
    """An authorization that the chain is asked after. `amount` is in the asset's smallest unit."""

    payment: str
    hold: int
    wallet: str
    asset: str
    nonce: bytes
    amount: int
    valid_before: int
    created_at: int
    state: str


@dataclass(frozen=True, slots=True)
class ForeignUse:
    """A nonce of our wallet that was used on chain and that this ledger never signed."""

    wallet: str
    network: str
    asset: str
    nonce: bytes
    tx: str
    seen_at: int = 0
