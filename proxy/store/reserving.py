"""The reserving transaction: everything that can forbid a payment, and the hold that counts it.

One look at one state of the ledger decides: the switch, the wallet, the clock, the caps, the terms
of a payment that is there already, its key, its price and its payee. What is refused leaves no
trace but a payee's name; what is let in is counted before anybody hears of it.
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from proxy.core.clock import SteadyClock
from proxy.core.errors import Refusal
from proxy.core.ledger import Limit, State, admit
from proxy.core.money import Usd
from proxy.store import keyed, onchain, payees, quotes, sums, switch
from proxy.store.records import Hold, Intent, Reserved
from proxy.store.resolving import set_state
from proxy.store.timekeeping import read_anchor, write_anchor


def reserve(
    db: sqlite3.Connection,
    intent: Intent,
    hold: Hold,
    limits: Sequence[Limit],
    clock: SteadyClock,
    pause_file: Path,
) -> Reserved | Refusal:
    """Count a hold, or say what forbids it."""
    refusal = verdict(db, limits, hold.usd, clock, pause_file, hold.wallet)
    now = clock.now()
    known = db.execute(
        "SELECT network, asset, pay_to, amount FROM payment WHERE id = ?", (intent.payment,)
    ).fetchone()
    if refusal is None and known is not None:
        refusal = _renewal_refusal(db, known, intent, hold)
    if refusal is None and hold.jump_ratio is not None and known is None:
        refusal = quotes.check(db, intent.provider, hold.thing, hold.usd, hold.jump_ratio)
    if refusal is None and known is None:
        refusal = keyed.check(db, intent, now)
    # The payee comes last, since it is written: what is refused for another reason pins nobody.
    if refusal is None and hold.pin:
        refusal = payees.check(db, intent.provider, hold.network, hold.pay_to, now)
    if refusal is not None:
        return refusal
    if known is None:
        _insert_payment(db, intent, hold, now)
        keyed.bind(db, intent, now)
        if hold.jump_ratio is not None:
            quotes.note(db, intent.provider, hold.thing, hold.usd, now)
    id_ = _insert_hold(db, intent.payment, hold, clock.lag_s(), now)
    if known is not None:
        set_state(db, id_, intent.payment, State.RESERVED)
    sums.add(db, hold.scopes, held=hold.usd, outstanding=hold.usd)
    return Reserved(intent.payment, id_)


def verdict(
    db: sqlite3.Connection,
    limits: Sequence[Limit],
    price: Usd,
    clock: SteadyClock,
    pause_file: Path,
    wallet: str | None,
) -> Refusal | None:
    """What forbids a payment, whoever it is for: the switch, the wallet, the clock, a cap."""
    problem = clock_problem(db, clock)
    now = clock.now()
    switch.latch_file(db, pause_file, now)
    reason = switch.paused(db)
    if reason is not None:
        return Refusal("paused", f"paying is paused: {reason}" if reason else "paying is paused")
    if wallet is not None and (uses := onchain.frozen(db, wallet)):
        return Refusal("wallet_frozen", _frozen_message(wallet, uses[0].tx))
    if problem is not None:
        return Refusal("ledger_unavailable", f"nothing is signed: {problem}")
    sums.book_the_dead(db, now)
    return admit(limits, sums.Sums(db), price, now)


def clock_problem(db: sqlite3.Connection, clock: SteadyClock) -> str | None:
    """Say how the wall clock has jumped, unless a person accepted it in the file since."""
    before = clock.anchor
    jump_s = clock.jump_s()
    if jump_s and (anchor := read_anchor(db)) is not None:
        clock.follow(anchor)
        jump_s = clock.jump_s()
    if clock.anchor is not before:
        write_anchor(db, clock.anchor)
    if not jump_s:
        return None
    where = "ahead" if jump_s > 0 else "back"
    return (
        f"the clock jumped {abs(jump_s)} s {where}; it goes on when the clock is right again, or"
        " after farebox resume --accept-clock"
    )


def _frozen_message(wallet: str, tx: str) -> str:
    return (
        f"an authorization of {wallet} that was never signed here was used on chain ({tx}):"
        " somebody else has its key, so nothing is signed; move the money to a new wallet"
    )


def _insert_payment(db: sqlite3.Connection, intent: Intent, hold: Hold, now: int) -> None:
    _insert(
        db,
        "payment",
        id=intent.payment,
        created_at=now,
        client=intent.client,
        provider=intent.provider,
        route=intent.route,
        method=intent.method,
        path=intent.path,
        body_sha256=intent.body_sha256,
        fingerprint=intent.fingerprint,
        idempotency_key=intent.idempotency_key,
        network=hold.network,
        asset=hold.asset,
        decimals=hold.decimals,
        pay_to=hold.pay_to,
        amount=str(hold.amount),
        usd=hold.usd,
        state=State.RESERVED,
    )


def _insert_hold(db: sqlite3.Connection, payment: str, hold: Hold, lag_s: int, now: int) -> int:
    return _insert(
        db,
        "hold",
        payment=payment,
        wallet=hold.wallet,
        nonce=hold.nonce,
        valid_after=hold.valid_after,
        valid_before=hold.valid_before,
        lag_s=lag_s,
        usd=hold.usd,
        state=State.RESERVED,
        scopes=json.dumps(hold.scopes),
        terms=hold.terms,
        chain="watched" if hold.watched else "",
        reserved_at=now,
    )


def _insert(db: sqlite3.Connection, table: str, **columns: object) -> int:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    cursor = db.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks})",
        tuple(columns.values()),
    )
    return cursor.lastrowid or 0


def _renewal_refusal(
    db: sqlite3.Connection, known: tuple[str, str, str, str], intent: Intent, hold: Hold
) -> Refusal | None:
    """A further authorization of one payment: on the same or better terms, and none beside it."""
    network, asset, pay_to, amount = known
    same = (network, asset.lower(), pay_to.lower()) == (
        hold.network,
        hold.asset.lower(),
        hold.pay_to.lower(),
    )
    if not same or hold.amount > int(amount):
        message = "the provider asks for other terms than the job was paid on"
        return Refusal("payee_not_allowed", message, payment=intent.payment)
    live = db.execute(
        "SELECT 1 FROM hold WHERE payment = ? AND (booked = 0 OR state = 'settled') LIMIT 1",
        (intent.payment,),
    ).fetchone()
    if live is None:
        return None
    message = "an authorization of this payment is alive or was taken: it is not signed again"
    return Refusal("payment_pending", message, payment=intent.payment)
