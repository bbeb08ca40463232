"""What a person should hear of: states of the ledger that wait for somebody to do something.

The daemon's pages, its metrics and its log tell of them, and so does the command line, so each look
goes by an index and costs what is open, not what was ever paid. A code is one of a closed set and
fit for a label; a message says what to do.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.core.ledger import DEATH_MARGIN_S, OPEN
from proxy.core.money import format_usd
from proxy.store import clips, onchain, payees

PAUSED: Final = "paused"
WALLET_FROZEN: Final = "wallet_frozen"
PAYMENT_UNKNOWN: Final = "payment_unknown"
PAYEE_WAITING: Final = "payee_waiting"
CLIP_WAITING: Final = "clip_waiting"
CODES: Final = (PAUSED, WALLET_FROZEN, PAYMENT_UNKNOWN, PAYEE_WAITING, CLIP_WAITING)
"""All codes that there are, the order in which they are told."""

USES_TOLD_MAX: Final = 20
"""Whoever has the key may use it often; one use is enough to know it."""

_BY: Final = {
    "command": "by farebox pause",
    "page": "from the daemon's page",
    "file": "by the file PAUSE",
    "config": "by the config",
}
_OPEN: Final = ", ".join(f"'{state}'" for state in sorted(OPEN))


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that waits for a person, and since when (Unix seconds)."""

    code: str
    message: str
    since: int


def alerts(db: sqlite3.Connection, now: int) -> list[Alert]:
    """All that waits for a person at the ledger's time `now`."""
    return [*_paused(db), *_frozen(db), *_unknown(db, now), *_waiting(db), *_clips(db, now)]


def _paused(db: sqlite3.Connection) -> Iterator[Alert]:
    for at, reason, source in db.execute("SELECT at, reason, source FROM pause"):
        because = f": {reason}" if reason else ""
        yield Alert(PAUSED, f"nothing is paid: paused {_BY[source]}{because}", at)


def _frozen(db: sqlite3.Connection) -> Iterator[Alert]:
    uses = onchain.frozen(db)
    for use in uses[:USES_TOLD_MAX]:
        message = (
            f"somebody else has the key of {use.wallet}: they used nonce 0x{use.nonce.hex()} on"
            f" {use.network} in transaction {use.tx}; nothing is signed with it any more, so move"
            " the money to a new wallet"
        )
        yield Alert(WALLET_FROZEN, message, use.seen_at)
    if len(uses) > USES_TOLD_MAX:
        message = f"and {len(uses) - USES_TOLD_MAX} more uses of keys by somebody else"
        yield Alert(WALLET_FROZEN, message, uses[USES_TOLD_MAX].seen_at)


def _unknown(db: sqlite3.Connection, now: int) -> Iterator[Alert]:
    count, oldest = db.execute(
        "SELECT count(*), min(id) FROM payment WHERE state = 'unknown'"
    ).fetchone()
    if not count:
        return
    (since,) = db.execute("SELECT created_at FROM payment WHERE id = ?", (oldest,)).fetchone()
    counted, alive = _tied_up(db, now)
    which = "payment" if count == 1 else f"{count} payments, the oldest of them"
    message = (
        f"unknown outcome of {which} {oldest}: {format_usd(counted)} USD counts as spent, of which"
        f" {format_usd(alive)} USD can still be taken"
    )
    yield Alert(PAYMENT_UNKNOWN, message, since)


def _tied_up(db: sqlite3.Connection, now: int) -> tuple[int, int]:
    """What counts of the payments with unknown outcomes, and how much of it is alive."""
    counted, alive = db.execute(
        "SELECT coalesce(sum(h.usd), 0), coalesce(sum(h.usd)"
        " FILTER (WHERE h.valid_before + h.lag_s > ?), 0)"
        # CROSS: the payments first, which are few, and by their index.
        " FROM payment p CROSS JOIN hold h ON h.payment = p.id"
        f" WHERE p.state = 'unknown' AND h.state IN ({_OPEN})",
        (now - DEATH_MARGIN_S,),
    ).fetchone()
    return int(counted), int(alive)


def _waiting(db: sqlite3.Connection) -> Iterator[Alert]:
    for payee in payees.listed(db):
        if payee["state"] == "waiting":
            provider, address = payee["provider"], payee["pay_to"]
            message = (
                f"{provider} asks to be paid at {address} on {payee['network']}, where it never"
                f" was; if that is right: farebox payees accept {provider} {address}"
            )
            yield Alert(PAYEE_WAITING, message, payee["first_seen"])


def _clips(db: sqlite3.Connection, now: int) -> Iterator[Alert]:
    found = clips.delayed(db, now)
    if found is None:
        return
    which = (
        "a finished clip is not on this disk yet,"
        if found.count == 1
        else f"{found.count} finished clips are not on this disk yet, the oldest"
    )
    message = f"{which} {found.provider}'s {found.job}: {found.note}"
    yield Alert(CLIP_WAITING, message, found.since)
