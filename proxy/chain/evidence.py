"""What the log of a token proves about the authorizations that were signed, and about others.

Nothing is asked or written here: blocks, events and rows in, steps of the ledger out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.chain.rpc import ChainUnavailableError, Trouble
from proxy.core.ledger import Evidence
from proxy.core.money import format_units, format_usd, usd_of
from proxy.core.x402.assets import BUILT_IN
from proxy.core.x402.eip3009 import Block, Cancelled, Event, Moved, Used
from proxy.store import Finding, ForeignUse, Watched
from proxy.store.onchain import Signed

_RANK: Final = {"": 0, "watched": 0, "unused": 1, "cancelled": 2, "used": 3}
"""What the chain said of a nonce is only ever overruled by what counts more."""

AHEAD_S: Final = 3600
STALE_S: Final = 3600
"""A safe block from the future, or one this old, is no base for conclusions.

Safe blocks are some minutes old where all is well.
"""

Position = tuple[int, int]
"""Up to which block the log was read, and since when (chain time) each use must be ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A wallet and a token, what is watched of it, and how far its log was read, if it was."""

    token: str
    wallet: str
    watched: tuple[Watched, ...]
    position: Position | None


@dataclass(frozen=True, slots=True)
class Step:
    """A finding about one authorization, and what the ledger knew of it before."""

    signed: Signed
    finding: Finding


@dataclass(slots=True)
class Reading:
    """What the log says up to a block: how each nonce ended, and what each transaction moved."""

    up_to: int
    ends: dict[bytes, Used | Cancelled] = field(default_factory=dict)
    moved: dict[str, list[Moved]] = field(default_factory=dict)

    def add(self, events: Iterable[Event], up_to: int) -> None:
        """Take in what follows. A nonce that is both used and cancelled (a lie) counts as used."""
        self.up_to = up_to
        for event in events:
            if isinstance(event, Moved):
                self.moved.setdefault(event.tx, []).append(event)
            elif not isinstance(self.ends.get(event.nonce), Used):
                self.ends[event.nonce] = event


def judge(safe: Block, seen: Block | None, read_up_to: int, now: float) -> None:
    """Whether a block can be the newest safe one of the chain that was read so far.

    ChainUnavailableError if it cannot: `seen` is the last one that could (None for none), the log
    was read up to block `read_up_to`, and `now` is our own time (Unix seconds).
    """
    if safe.number < max(read_up_to, 0 if seen is None else seen.number):
        raise ChainUnavailableError(Trouble.BEHIND, "the node is behind what it said before")
    if safe.time > now + AHEAD_S:
        raise ChainUnavailableError(Trouble.AHEAD, "the node's clock is ahead of ours")
    if safe.time < now - STALE_S:
        raise ChainUnavailableError(Trouble.BEHIND, "the node's last safe block is too old")
    if seen is None:
        return
    if safe.time < seen.time or (safe.number == seen.number and safe != seen):
        raise ChainUnavailableError(Trouble.CONTRADICTION, "a safe block changed")


def pairs_of(
    network: str,
    watched: Sequence[Watched],
    cursors: Mapping[tuple[str, str], Position],
    wallet: str | None,
) -> list[Pair]:
    """What to look at: all that is watched, and the current wallet wherever it can be robbed."""
    holds: dict[tuple[str, str], list[Watched]] = {}
    spelled: dict[tuple[str, str], tuple[str, str]] = {}
    for hold in watched:
        key = hold.asset.lower(), hold.wallet.lower()
        spelled.setdefault(key, (hold.asset, hold.wallet))
        holds.setdefault(key, []).append(hold)
    if wallet is not None:
        tokens = [asset.address for asset in BUILT_IN if asset.network == network]
        tokens += [token for token, owner in cursors if owner == wallet.lower()]
        for token in tokens:
            spelled.setdefault((token.lower(), wallet.lower()), (token, wallet))
    return [
        Pair(token, owner, tuple(holds.get(key, ())), cursors.get(key))
        for key, (token, owner) in spelled.items()
    ]


def taken(reading: Reading, known: Mapping[bytes, Signed]) -> list[Step]:
    """The authorizations of ours that were used."""
    return [
        Step(
            signed, _finding(signed, end, Evidence.CHAIN_USED, "used", _difference(reading, signed))
        )
        for signed, end in _news(reading, known)
        if isinstance(end, Used)
    ]


def cancelled(reading: Reading, known: Mapping[bytes, Signed]) -> list[Step]:
    """The authorizations of ours that the wallet took back, by the log's word alone."""
    return [
        Step(signed, _finding(signed, end, Evidence.CHAIN_CANCELLED, "cancelled"))
        for signed, end in _news(reading, known)
        if isinstance(end, Cancelled)
    ]


def unused(signed: Signed) -> Step:
    """An authorization that died and was never used."""
    return Step(signed, Finding(signed.hold, Evidence.CHAIN_UNUSED, chain="unused"))


def foreign(
    network: str, pair: Pair, reading: Reading, known: Mapping[bytes, Signed]
) -> list[tuple[ForeignUse, int]]:
    """The uses, with their blocks, that somebody else must have signed.

    Of nonces that are not ours, and of ours for another amount or payee: a token moves exactly
    what the key has signed.
    """
    return [
        (ForeignUse(pair.wallet, network, pair.token, end.nonce, end.tx), end.block)
        for end in reading.ends.values()
        if isinstance(end, Used) and _is_foreign(reading, end, known.get(end.nonce))
    ]


def _is_foreign(reading: Reading, end: Used, signed: Signed | None) -> bool:
    return signed is None or (end.tx in reading.moved and bool(_difference(reading, signed)))


def _news(
    reading: Reading, known: Mapping[bytes, Signed]
) -> Iterator[tuple[Signed, Used | Cancelled]]:
    """The ends that say more of an authorization than was known."""
    for nonce, signed in known.items():
        end = reading.ends[nonce]
        kind = "used" if isinstance(end, Used) else "cancelled"
        if _RANK[kind] > _RANK[signed.chain]:
            yield signed, end


def _finding(
    signed: Signed, end: Used | Cancelled, evidence: Evidence, chain: str, note: str = ""
) -> Finding:
    return Finding(signed.hold, evidence, tx=end.tx, note=note, chain=chain)


def _difference(reading: Reading, signed: Signed) -> str:
    """How what moved in a use's transaction differs from what was signed; empty if it does not.

    Compared in dollars, as it is counted. One transaction may use several authorizations.
    """
    moved = reading.moved.get(reading.ends[signed.nonce].tx, [])
    if any(
        (each.pay_to, usd_of(each.amount, signed.decimals)) == (signed.pay_to.lower(), signed.usd)
        for each in moved
    ):
        return ""
    ours = f"{format_usd(signed.usd)} USD to {signed.pay_to} was signed"
    theirs = ", ".join(
        f"{format_units(each.amount, signed.decimals)} to {each.pay_to}" for each in moved
    )
    return f"{ours}, and the chain shows {theirs or 'no transfer'}"
