"""Requests that their clients gave a key (`Idempotency-Key`): one payment each, whatever happens.

The key is bound to its payment in the reserving transaction, so two requests under one key cannot
both pay, nor can a request after a crash. The answer is kept beside it once it is whole. A key is
forgotten when it is old and its payment can no longer move; one whose payment gave its money back
is free for the next attempt.
"""

import json
import sqlite3

from proxy.core.errors import Refusal
from proxy.core.http import Headers
from proxy.core.ledger import CREDITED, State
from proxy.store.records import Intent, KeptAnswer, Keyed

_FORGET_AT_ONCE = 100
"""Bounds what one reservation spends on the old ones."""


def find(
    db: sqlite3.Connection, client: str | None, key: str, retention_s: int, now: int
) -> Keyed | None:
    """What is known under a client's key; None where it is free, forgotten or given back."""
    row = db.execute(
        "SELECT k.fingerprint, k.payment, p.state, k.created_at, k.status, k.head, k.body,"
        " EXISTS (SELECT 1 FROM hold WHERE payment = p.id AND booked = 0)"
        " FROM keyed k JOIN payment p ON p.id = k.payment WHERE k.client = ? AND k.key = ?",
        (client or "", key),
    ).fetchone()
    if row is None:
        return None
    fingerprint, payment, text, created_at, status, head, body, alive = row
    state = State(text)
    if state in CREDITED or (not alive and created_at + retention_s <= now):
        return None
    answer = None if status is None else KeptAnswer(status, *_head(head), body)
    return Keyed(fingerprint, payment, state, answer)


def check(db: sqlite3.Connection, intent: Intent, now: int) -> Refusal | None:
    """Say to which payment a request's key is bound already; None where it is free."""
    if intent.idempotency_key is None:
        return None
    known = find(db, intent.client, intent.idempotency_key, intent.retention_s, now)
    return None if known is None else known.refusal(intent.fingerprint) or _answered(known)


def bind(db: sqlite3.Connection, intent: Intent, now: int) -> None:
    """Bind a key to a payment that was just made."""
    key = intent.idempotency_key
    if key is None:
        return
    _forget_old(db, now - intent.retention_s)
    db.execute(
        "INSERT OR REPLACE INTO keyed (client, key, fingerprint, payment, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (intent.client or "", key, intent.fingerprint, intent.payment, now),
    )


def keep(db: sqlite3.Connection, payment: str, answer: KeptAnswer) -> None:
    """Store a payment's answer under its key."""
    head = json.dumps(
        [answer.reason, [[n.decode("latin-1"), v.decode("latin-1")] for n, v in answer.headers]]
    )
    db.execute(
        "UPDATE keyed SET status = ?, head = ?, body = ? WHERE payment = ?",
        (answer.status, head, answer.body, payment),
    )


def _answered(known: Keyed) -> Refusal:
    """Another request under this key was faster, and its answer is there by now."""
    message = "this was just paid for under the same Idempotency-Key: ask again for its answer"
    return Refusal("payment_pending", message, payment=known.payment)


def _head(text: str) -> tuple[str, Headers]:
    reason, headers = json.loads(text)
    return reason, tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in headers)


def _forget_old(db: sqlite3.Connection, before: int) -> None:
    db.execute(
        "DELETE FROM keyed WHERE rowid IN (SELECT k.rowid FROM keyed k WHERE k.created_at <= ?"
        " AND NOT EXISTS (SELECT 1 FROM hold WHERE payment = k.payment AND booked = 0)"
        " ORDER BY k.created_at LIMIT ?)",
        (before, _FORGET_AT_ONCE),
    )
