"""Forgetting what is old: payments, their holds, and what was booked before every window.

One turn looks at a few rows and is one piece of the writer's work, so that nobody who pays waits
for it. What leaves changes no sum: the newest row that was booked before the time in question stays
in each scope, and carries all that went before it; the tally counts what was, not what is kept.

A payment goes when it is older than the time in question and each of its authorizations was dead
and booked by then, whatever became of it: an unknown one that nobody resolved stays counted in
`total`. It stays where something may still be said of it: while the chain is asked after it, or
could be read back to it and would not find it here; and the newest one stays, since its number is
not to be given out again.
"""

import sqlite3
from typing import Final

from proxy.core.ledger import DEATH_MARGIN_S

PAYMENTS_A_TURN: Final = 100
ROWS_A_TURN: Final = 500


def forget(db: sqlite3.Connection, before: int, after: int) -> int | None:
    """Look at the next payments after a row number, and forget those from before a time.

    Gives the number to go on after, and None when there are none left: they are in order of time.
    """
    looked_at = db.execute(
        "SELECT rowid, id, created_at FROM payment WHERE rowid > ?"
        " AND rowid < (SELECT max(rowid) FROM payment) ORDER BY rowid LIMIT ?",
        (after, PAYMENTS_A_TURN),
    ).fetchall()
    for number, payment, created_at in looked_at:
        if created_at >= before:
            return None
        if not _may_be_asked_for(db, payment, before):
            _forget_payment(db, payment)
        after = number
    return after if looked_at else None


def forget_booked(db: sqlite3.Connection, before: int, scope: str) -> bool:
    """Forget some of what was booked in a scope before a time; whether there may be more.

    The time must lie before the longest window's beginning.
    """
    found = db.execute(
        "DELETE FROM taken WHERE (scope, at, seq) IN (SELECT scope, at, seq FROM taken"
        " WHERE scope = ?1 AND (at, seq) < (SELECT at, seq FROM taken WHERE scope = ?1"
        " AND at <= ?2 ORDER BY at DESC, seq DESC LIMIT 1) ORDER BY at, seq LIMIT ?3)",
        (scope, before, ROWS_A_TURN),
    )
    return found.rowcount == ROWS_A_TURN


def scopes(db: sqlite3.Connection) -> list[str]:
    """Every scope in which something ever counted."""
    return [scope for (scope,) in db.execute("SELECT scope FROM balance ORDER BY scope")]


def _may_be_asked_for(db: sqlite3.Connection, payment: str, before: int) -> bool:
    row = db.execute(
        "SELECT 1 FROM hold WHERE payment = ?1 AND (booked = 0 OR state IN ('reserved', 'sent')"
        " OR valid_before + lag_s + ?2 > ?3 OR chain = 'watched' OR (chain = '' AND EXISTS"
        " (SELECT 1 FROM chain_cursor WHERE wallet = lower(hold.wallet)))) LIMIT 1",
        (payment, DEATH_MARGIN_S, before),
    ).fetchone()
    return row is not None


def _forget_payment(db: sqlite3.Connection, payment: str) -> None:
    """Forget a payment with its key and its job; an asset that it bought stays."""
    db.execute("DELETE FROM keyed WHERE payment = ?", (payment,))
    db.execute("DELETE FROM memory WHERE payment = ? AND kind = 'job'", (payment,))
    db.execute("UPDATE memory SET payment = NULL WHERE payment = ?", (payment,))
    db.execute("DELETE FROM hold WHERE payment = ?", (payment,))
    db.execute("DELETE FROM payment WHERE id = ?", (payment,))
