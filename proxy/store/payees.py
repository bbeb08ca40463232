"""Whom a provider has been paid at: pinned at the first payment, changed by a person alone."""

import sqlite3
from typing import Any

from proxy.core.errors import Refusal

_COLUMNS = ("provider", "network", "pay_to", "state", "first_seen", "accepted_at")


def check(
    db: sqlite3.Connection, provider: str, network: str, pay_to: str, now: int
) -> Refusal | None:
    """Pin the first payee of a provider on a network; refuse, and note, any that nobody accepted.

    Call it last: what is refused for another reason pins nobody.
    """
    known = dict(
        db.execute(
            "SELECT pay_to, state FROM payee WHERE provider = ? AND network = ?",
            (provider, network),
        ).fetchall()
    )
    pay_to = pay_to.lower()
    if known.get(pay_to) == "accepted":
        return None
    accepted = [address for address, state in known.items() if state == "accepted"]
    if not accepted:
        accept(db, provider, network, pay_to, now)
        return None
    if pay_to not in known:
        db.execute(
            "DELETE FROM payee WHERE provider = ? AND network = ? AND state = 'waiting'",
            (provider, network),
        )
        db.execute(
            "INSERT INTO payee VALUES (?, ?, ?, 'waiting', ?, NULL)",
            (provider, network, pay_to, now),
        )
    message = (
        f"{provider} was paid at {', '.join(sorted(accepted))} on {network} before and now asks"
        f" for {pay_to}; if that is right: farebox payees accept {provider} {pay_to}"
    )
    return Refusal("payee_not_allowed", message)


def accept(db: sqlite3.Connection, provider: str, network: str, pay_to: str, now: int) -> None:
    """Let a provider be paid at an address, beside those that it had before."""
    db.execute(
        "INSERT INTO payee VALUES (?1, ?2, ?3, 'accepted', ?4, ?4)"
        " ON CONFLICT DO UPDATE SET state = 'accepted', accepted_at = ?4",
        (provider, network, pay_to.lower(), now),
    )


def forget(db: sqlite3.Connection, provider: str, network: str, pay_to: str) -> bool:
    """Unpin an address; False if it was not known.

    When the last one goes, the next payment pins anew.
    """
    cursor = db.execute(
        "DELETE FROM payee WHERE provider = ? AND network = ? AND pay_to = ?",
        (provider, network, pay_to.lower()),
    )
    return cursor.rowcount > 0


def listed(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """All of them: `[{provider, network, pay_to, state, first_seen, accepted_at?}]`."""
    rows = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM payee ORDER BY provider, network, state")
    return [
        {name: value for name, value in zip(_COLUMNS, row, strict=True) if value is not None}
        for row in rows
    ]
