"""What the ledger and the chain have to say to each other.

Which authorizations are to be asked after, how far the chain's log was read, and which nonces of
our wallet were used that nobody here ever signed.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.core.ledger import DEATH_MARGIN_S, OPEN, State
from proxy.core.money import Usd
from proxy.store.records import ForeignUse, Watched

_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN))
_SIGNED: Final = (
    "SELECT h.id, h.payment, h.nonce, h.state, h.chain, h.usd, p.decimals, p.pay_to, h.valid_before"
    " FROM hold h JOIN payment p ON p.id = h.payment"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """An authorization of ours, for holding what the chain says against what was signed.

    `chain` is what it said so far; `decimals` are the asset's.
    """

    hold: int
    payment: str
    nonce: bytes
    state: State
    chain: str
    usd: Usd
    decimals: int
    pay_to: str
    valid_before: int


def watch_open(db: sqlite3.Connection, network: str) -> None:
    """Ask after what is open on a network, also if it was signed before there was anyone to ask."""
    db.execute(
        "UPDATE hold SET chain = 'watched' WHERE chain = '' AND nonce IS NOT NULL"
        f" AND state IN ({_OPEN}) AND payment IN (SELECT id FROM payment WHERE network = ?"
        f" AND state IN ({_OPEN}))",
        (network,),
    )


def watched(db: sqlite3.Connection, network: str) -> tuple[Watched, ...]:
    """The authorizations on a network of which the chain has not spoken yet, oldest first."""
    rows = db.execute(
        "SELECT h.payment, h.id, h.wallet, p.asset, h.nonce, p.amount, h.valid_before,"
        " p.created_at, h.state"
        " FROM hold h JOIN payment p ON p.id = h.payment"
        " WHERE h.chain = 'watched' AND p.network = ? ORDER BY h.valid_before, h.id",
        (network,),
    )
    return tuple(
        Watched(payment, hold, wallet, asset, nonce, int(amount), valid_before, created_at, state)
        for payment, hold, wallet, asset, nonce, amount, valid_before, created_at, state in rows
    )


def cursors(db: sqlite3.Connection, network: str) -> dict[tuple[str, str], tuple[int, int]]:
    """How far the log was read, by token and wallet (in small letters).

    Up to which block, and the chain's time from which all uses must be ours.
    """
    rows = db.execute(
        "SELECT asset, wallet, block, since FROM chain_cursor WHERE network = ?", (network,)
    )
    return {(asset, wallet): (block, since) for asset, wallet, block, since in rows}


def advance(
    db: sqlite3.Connection, network: str, asset: str, wallet: str, block: int, since: int
) -> None:
    """Note how far the log was read; it never goes back."""
    db.execute(
        "INSERT INTO chain_cursor VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT DO UPDATE SET block = max(block, ?4)",
        (network, asset.lower(), wallet.lower(), block, since),
    )


def signed(
    db: sqlite3.Connection, network: str, asset: str, wallet: str, nonces: Iterable[bytes]
) -> dict[bytes, Signed]:
    """Those of some nonces that this ledger signed for just this token on just this network.

    Whoever has the key can use one of our nonces elsewhere, and that is not ours.
    """
    found = {}
    for nonce in nonces:
        row = db.execute(
            f"{_SIGNED} WHERE h.wallet = ? AND h.nonce = ? AND p.network = ?"
            " AND lower(p.asset) = ?",
            (wallet, nonce, network, asset.lower()),
        ).fetchone()
        if row is not None:
            found[nonce] = _read(row)
    return found


def dying(
    db: sqlite3.Connection, network: str, asset: str, wallet: str, chain_time: int, now: int
) -> tuple[Signed, ...]:
    """The watched authorizations of a wallet that are dead by the chain's time, oldest first.

    And by the ledger's, so that a chain that is ahead takes nothing off the caps too early.
    """
    rows = db.execute(
        f"{_SIGNED} WHERE h.chain = 'watched' AND h.valid_before <= ? AND"
        " h.valid_before + h.lag_s <= ? AND h.wallet = ? AND p.network = ? AND lower(p.asset) = ?"
        " ORDER BY h.valid_before, h.id",
        (chain_time, now - DEATH_MARGIN_S, wallet, network, asset.lower()),
    )
    return tuple(map(_read, rows))


def noted(db: sqlite3.Connection, network: str, asset: str, wallet: str) -> frozenset[bytes]:
    """The nonces whose foreign use is known already, accepted or not."""
    rows = db.execute(
        "SELECT nonce FROM foreign_use WHERE wallet = ? AND network = ? AND asset = ?",
        (wallet.lower(), network, asset.lower()),
    )
    return frozenset(nonce for (nonce,) in rows)


def freeze(db: sqlite3.Connection, uses: Iterable[ForeignUse], now: int) -> int:
    """Note uses that are not ours; how many of them are new."""
    new = 0
    for use in uses:
        new += db.execute(
            "INSERT OR IGNORE INTO foreign_use VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (use.wallet.lower(), use.network, use.asset.lower(), use.nonce, use.tx, now),
        ).rowcount
    return new


def frozen(db: sqlite3.Connection, wallet: str | None = None) -> tuple[ForeignUse, ...]:
    """The uses for which a wallet (or any) signs nothing."""
    rows = db.execute(
        "SELECT wallet, network, asset, nonce, tx, seen_at FROM foreign_use"
        " WHERE accepted_at IS NULL AND (?1 IS NULL OR wallet = ?1) ORDER BY seen_at, nonce",
        (None if wallet is None else wallet.lower(),),
    )
    return tuple(ForeignUse(*row) for row in rows)


def unfreeze(db: sqlite3.Connection, uses: Iterable[ForeignUse], now: int) -> int:
    """Accept foreign uses that a person was shown, by their word; how many were open."""
    return db.executemany(
        "UPDATE foreign_use SET accepted_at = ? WHERE accepted_at IS NULL"
        " AND wallet = ? AND network = ? AND asset = ? AND nonce = ?",
        [(now, use.wallet, use.network, use.asset, use.nonce) for use in uses],
    ).rowcount


def _read(row: tuple[int, str, bytes, str, str, int, int, str, int]) -> Signed:
    hold, payment, nonce, state, chain, usd, decimals, pay_to, valid_before = row
    return Signed(
        hold, payment, nonce, State(state), chain, Usd(usd), decimals, pay_to, valid_before
    )
