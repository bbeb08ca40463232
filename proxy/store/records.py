"""What the rooms above say to the ledger, and what it says back."""

from dataclasses import dataclass

from proxy.core.ledger import State
from proxy.core.money import Usd


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that we mean to buy: who asked for what.

    `path` is without its query, which may hold secrets.
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


@dataclass(frozen=True, slots=True)
class Hold:
    """One amount to be counted before it can be taken.

    `amount` is in the asset's smallest unit, `usd` the same in dollars. `wallet` and `nonce` are
    None for a call that the price table prices. `scopes` are the sums it counts in; `terms` is
    JSON from which the very same payment header can be built again.
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
