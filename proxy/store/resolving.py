"""What became of a hold: its state, and what that does to the sums.

The rules are `proxy.core.ledger`'s table; here its steps are taken, each with the change of the
sums that goes with it in the same transaction.
"""

import json
import sqlite3
from dataclasses import dataclass

from proxy.core.ledger import CREDITED, DEATH_MARGIN_S, OPEN, Evidence, State, step
from proxy.store import sums


@dataclass(frozen=True, slots=True)
class Finding:
    """Evidence about one hold, and what comes with it; the note replaces the payment's last one.

    An empty `tx` or `chain` changes nothing.
    """

    hold: int
    evidence: Evidence
    tx: str = ""
    note: str = ""
    http_status: int | None = None
    chain: str = ""


def resolve(db: sqlite3.Connection, finding: Finding, now: int) -> State:
    """Take the step that the evidence asks for, and keep the sums in step with it."""
    payment, usd, text, scopes, booked = db.execute(
        "SELECT payment, usd, state, scopes, booked FROM hold WHERE id = ?", (finding.hold,)
    ).fetchone()
    before = State(text)
    after = step(before, finding.evidence)
    names = json.loads(scopes)
    if before in CREDITED and after not in CREDITED:
        sums.take_back(db, finding.hold, usd, names, now)
    elif before not in CREDITED and after in CREDITED:
        is_open = before in OPEN
        sums.give_back(db, finding.hold, usd, names, booked=bool(booked), is_open=is_open)
    elif before in OPEN and after not in OPEN and not booked:
        sums.add(db, names, held=0, outstanding=-usd)
    if after is not before:
        db.execute(
            "UPDATE hold SET evidence = ? WHERE id = ?", (finding.evidence.value, finding.hold)
        )
    if finding.chain:
        db.execute("UPDATE hold SET chain = ? WHERE id = ?", (finding.chain, finding.hold))
    set_state(db, finding.hold, payment, after)
    db.execute(
        "UPDATE payment SET tx = CASE ?1 WHEN '' THEN tx ELSE ?1 END, note = ?2,"
        " http_status = coalesce(?3, http_status) WHERE id = ?4",
        (finding.tx, finding.note, finding.http_status, payment),
    )
    return after


def set_state(db: sqlite3.Connection, hold: int, payment: str, state: State) -> None:
    """A payment is settled once any of its authorizations is, and open while any of them is.

    Else it is what its newest one is.
    """
    db.execute("UPDATE hold SET state = ? WHERE id = ?", (state, hold))
    db.execute(
        "UPDATE payment SET state = (SELECT state FROM hold WHERE payment = ?1 ORDER BY"
        " state = 'settled' DESC, state IN ('reserved','sent','unknown') DESC, id DESC LIMIT 1)"
        " WHERE id = ?1",
        (payment,),
    )


def recover(db: sqlite3.Connection, now: int) -> None:
    """Count what was in flight when the process died as unknown: it may have left."""
    rows = db.execute("SELECT id FROM hold WHERE state IN ('reserved','sent')").fetchall()
    for (hold,) in rows:
        resolve(db, Finding(hold, Evidence.RESTART, note="the daemon stopped"), now)


def resolve_by_hand(
    db: sqlite3.Connection, payment: str, tx: str | None, who: str, now: int
) -> State | str:
    """Take a person's word for what became of a payment: its transaction, or None for nothing.

    Gives its new state, or says why their word cannot be taken.
    """
    row = db.execute("SELECT state FROM payment WHERE id = ?", (payment,)).fetchone()
    if row is None:
        return "there is no such payment"
    holds = db.execute(
        "SELECT id, valid_before + lag_s FROM hold WHERE payment = ?1 AND state = 'unknown'"
        # Which of several was taken, a transaction does not tell here: one that is alive may
        # still be, so it stays what it is.
        " ORDER BY valid_before + lag_s + ?2 > ?3, id DESC",
        (payment, DEATH_MARGIN_S, now),
    ).fetchall()
    if State(row[0]) is not State.UNKNOWN or not holds:
        return f"it is {row[0]}: only a payment whose outcome is unknown can be resolved by hand"
    if tx is not None:
        note = f"settled by the word of {who}"
        return resolve(db, Finding(holds[0][0], Evidence.HAND_SETTLED, tx=tx, note=note), now)
    dies_at = max(before for _, before in holds) + DEATH_MARGIN_S
    if dies_at > now:
        return f"its authorization can still be taken for {dies_at - now} s: void it after that"
    for hold, _ in holds:
        finding = Finding(hold, Evidence.HAND_VOID, note=f"void by the word of {who}")
        resolve(db, finding, now)
    return State.VOID
