"""The ledger's rules.

What counts against a cap, how a hold moves from state to state, and when a new one is let in.

The promise is that what was taken plus what could still be taken never passes a cap. It is kept by
counting *holds*: amounts that somebody may take. A hold is written, durably, before the signature
that it stands for exists, and it counts in full from then on.

            reserve (one transaction: caps, payees, the switch)
    (none) ────────────────► RESERVED ──never sent──────────────────────► VOID
                                │ sent
                                ▼
                              SENT ──receipt────────────────────────────► SETTLED
                                │ no receipt, restart
                                ▼
                             UNKNOWN ──receipt, chain: used, by hand────► SETTLED
                                │
                                ├─chain: cancelled──────────────────────► CANCELLED
                                ├─chain: past validBefore and unused────► EXPIRED
                                └─by hand, once it is dead──────────────► VOID

VOID, CANCELLED and EXPIRED count no longer; nothing else gives money back. A signature that has
left is a bearer cheque: a seller's word that it took nothing frees nothing, nor does silence, nor
our own clock. A process that died with a hold RESERVED may have sent it, so a restart counts it as
UNKNOWN. (A call that the price table prices has no signature that anybody could cash; where the
provider declines it with a 4xx, it is DECLINED and so VOID.)

What takes money always wins, whenever it comes: a nonce that the chain shows as used is SETTLED and
counts, also where a person or an earlier look said otherwise.

A hold counts in three ways. While its authorization is alive it is *held*, which counts in every
window whatever its age, and (unless settled) *outstanding*. When the authorization dies by the
clock, plus a margin, it was either taken or it never will be: it leaves the outstanding cap and is
booked as *taken* at that moment, the latest at which the money can have moved, and from there it
leaves each window by age. Windows roll; a calendar day would let twice the cap through at
midnight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from proxy.core.config import Caps
from proxy.core.errors import Refusal
from proxy.core.money import Usd, format_usd

WINDOWS: Final[Mapping[str, int]] = {
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
}
"""The rolling windows, in seconds; a month is 30 days."""

DEATH_MARGIN_S: Final = 60
"""How long after `validBefore` by our clock a hold still counts as alive.

Chains and machines disagree about the time.
"""

EVERYTHING: Final = "all"


class State(StrEnum):
    """What is known of a hold."""

    RESERVED = "reserved"
    SENT = "sent"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    VOID = "void"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Evidence(StrEnum):
    """What happened to a hold, and so why its state may change."""

    SENT = "sent"
    """It left, and the provider settles it later."""
    NEVER_SENT = "never_sent"
    """No byte of the request left this machine."""
    DECLINED = "declined"
    """The provider declined a call that nothing was signed for."""
    RECEIPT = "receipt"
    """The provider says that it took the money."""
    NO_RECEIPT = "no_receipt"
    """It left, and whatever came back is no receipt: silence, an error, a second 402."""
    RESTART = "restart"
    """The daemon died with it in flight."""
    CHAIN_USED = "chain_used"
    """The token's contract logged AuthorizationUsed for its nonce, at a safe block."""
    CHAIN_CANCELLED = "chain_cancelled"
    """The contract logged AuthorizationCanceled for its nonce, at a safe block."""
    CHAIN_UNUSED = "chain_unused"
    """A safe block's time is past its validBefore, and at that block its nonce is unused."""
    HAND_SETTLED = "hand_settled"
    """A person says that it was taken."""
    HAND_VOID = "hand_void"
    """A person says that it was not; heard only once it is dead."""


_E: Final = Evidence
_S: Final = State

TRANSITIONS: Final[Mapping[State, Mapping[Evidence, State]]] = {
    State.RESERVED: {
        _E.SENT: _S.SENT,
        _E.NEVER_SENT: _S.VOID,
        _E.DECLINED: _S.VOID,
        _E.RECEIPT: _S.SETTLED,
        _E.NO_RECEIPT: _S.UNKNOWN,
        _E.RESTART: _S.UNKNOWN,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.CANCELLED,
        _E.CHAIN_UNUSED: _S.EXPIRED,
    },
    State.SENT: {
        _E.SENT: _S.SENT,
        _E.DECLINED: _S.VOID,
        _E.RECEIPT: _S.SETTLED,
        _E.NO_RECEIPT: _S.UNKNOWN,
        _E.RESTART: _S.UNKNOWN,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.CANCELLED,
        _E.CHAIN_UNUSED: _S.EXPIRED,
    },
    State.UNKNOWN: {
        _E.SENT: _S.UNKNOWN,
        _E.RECEIPT: _S.SETTLED,
        _E.NO_RECEIPT: _S.UNKNOWN,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.CANCELLED,
        _E.CHAIN_UNUSED: _S.EXPIRED,
        _E.HAND_SETTLED: _S.SETTLED,
        _E.HAND_VOID: _S.VOID,
    },
    # A receipt is the seller's word. The chain's outranks it, in either direction.
    State.SETTLED: {
        _E.SENT: _S.SETTLED,
        _E.NEVER_SENT: _S.SETTLED,
        _E.RECEIPT: _S.SETTLED,
        _E.NO_RECEIPT: _S.SETTLED,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.CANCELLED,
        _E.CHAIN_UNUSED: _S.EXPIRED,
    },
    # By a person's word, while its answer was still on the way: the receipt outranks them.
    State.VOID: {
        _E.SENT: _S.VOID,
        _E.NEVER_SENT: _S.VOID,
        _E.RECEIPT: _S.SETTLED,
        _E.NO_RECEIPT: _S.VOID,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.VOID,
        _E.CHAIN_UNUSED: _S.VOID,
    },
    State.CANCELLED: {
        _E.SENT: _S.CANCELLED,
        _E.NEVER_SENT: _S.CANCELLED,
        _E.RECEIPT: _S.CANCELLED,
        _E.NO_RECEIPT: _S.CANCELLED,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.CANCELLED,
        _E.CHAIN_UNUSED: _S.CANCELLED,
    },
    State.EXPIRED: {
        _E.SENT: _S.EXPIRED,
        _E.NEVER_SENT: _S.EXPIRED,
        _E.RECEIPT: _S.EXPIRED,
        _E.NO_RECEIPT: _S.EXPIRED,
        _E.CHAIN_USED: _S.SETTLED,
        _E.CHAIN_CANCELLED: _S.EXPIRED,
        _E.CHAIN_UNUSED: _S.EXPIRED,
    },
}
"""From state and evidence to state.

A pair that is missing here is a bug in the caller and raises KeyError.
"""

OPEN: Final = frozenset({State.RESERVED, State.SENT, State.UNKNOWN})
"""The money may still move, so far as we know."""

CREDITED: Final = frozenset({State.VOID, State.CANCELLED, State.EXPIRED})
"""The money provably never moves: nothing counts."""


def step(state: State, evidence: Evidence) -> State:
    """The state that follows; KeyError if the evidence makes no sense there."""
    return TRANSITIONS[state][evidence]


@dataclass(frozen=True, slots=True)
class Limit:
    """One cap of one scope.

    `window` is a key of `WINDOWS`, or `per_request`, `call`, `total`, `outstanding`.
    """

    scope: str
    window: str
    usd: Usd

    @property
    def code(self) -> str:
        """The error code of a refusal by this cap."""
        return f"cap_{self.window}"


class Book(Protocol):
    """The sums that admission needs, as they stand inside the reserving transaction.

    All in millionths of a dollar.
    """

    def held(self, scope: str) -> int:
        """What is alive: settled or not, it counts in every window."""
        ...

    def outstanding(self, scope: str) -> int:
        """What is alive and not known to be settled."""
        ...

    def taken(self, scope: str, since: int | None) -> int:
        """What was booked as taken after a Unix time; ever, for None."""
        ...

    def frees_at(self, scope: str, since: int, excess: int) -> int | None:
        """When the window that began at `since` has slid past `excess` of what counts in it.

        What is alive leaves it after what was taken, by the time at which it dies. None if the
        window holds less than that.
        """
        ...

    def dies_at(self, scope: str, excess: int) -> int | None:
        """When outstanding holds of at least `excess` have died; None if there is less."""
        ...


def limits_of(scope: str, caps: Caps) -> tuple[Limit, ...]:
    """The limits that a block of caps sets for a scope."""
    named = (
        (window, getattr(caps, window))
        for window in ("per_request", *WINDOWS, "total", "outstanding")
    )
    return tuple(Limit(scope, window, usd) for window, usd in named if usd is not None)


def admit(limits: Iterable[Limit], book: Book, price: Usd, now: int) -> Refusal | None:
    """Decide whether a hold of `price` fits under every limit.

    The first that it would pass refuses it.
    """
    for limit in limits:
        if count(limit, book, now) + price > limit.usd:
            return _refusal(limit, book, price, now)
    return None


def count(limit: Limit, book: Book, now: int) -> int:
    """What already counts against a limit; nothing, for one that looks at a single call."""
    if limit.window in ("per_request", "call"):
        return 0
    if limit.window == "outstanding":
        return book.outstanding(limit.scope)
    since = None if limit.window == "total" else now - WINDOWS[limit.window]
    return book.held(limit.scope) + book.taken(limit.scope, since)


def _refusal(limit: Limit, book: Book, price: Usd, now: int) -> Refusal:
    counted = count(limit, book, now)
    scope = "" if limit.scope == EVERYTHING else f" for {limit.scope}"
    window = limit.window.replace("_", " ")
    cap = f"the {window} cap of {format_usd(limit.usd)} USD{scope}"
    message = f"{format_usd(price)} USD does not fit under {cap}"
    if counted:
        message += f": {format_usd(counted)} USD is spent or could still be taken"
    return Refusal(
        limit.code,
        message,
        retry_after_s=_retry_after_s(limit, book, counted + price - limit.usd, price, now),
    )


def _retry_after_s(limit: Limit, book: Book, excess: int, price: Usd, now: int) -> int | None:
    """When there will be room, as far as it can be known.

    Never earlier, and None where waiting does not help.
    """
    if price > limit.usd or limit.window in ("per_request", "call", "total"):
        return None
    if limit.window == "outstanding":
        dies_at = book.dies_at(limit.scope, excess)
        return max(1, dies_at - now) if dies_at is not None else 1
    length_s = WINDOWS[limit.window]
    frees_at = book.frees_at(limit.scope, now - length_s, excess)
    return max(1, frees_at + length_s - now) if frees_at is not None else length_s
