"""What pages and the command line read of the ledger.

It needs no running daemon, and changes nothing.
"""

import json
import sqlite3
from typing import Any, Final

from proxy.core.ledger import Limit, State, count
from proxy.core.money import Usd, format_usd
from proxy.store.sums import Sums

PAGE_MAX: Final = 1000
_COLUMNS: Final = (
    "id",
    "created_at",
    "client",
    "provider",
    "route",
    "method",
    "path",
    "network",
    "asset",
    "pay_to",
    "amount",
    "usd",
    "state",
    "job",
    "tx",
    "http_status",
    "note",
)


def payments(
    db: sqlite3.Connection, *, limit: int = 50, before: str | None = None, state: str | None = None
) -> dict[str, Any]:
    """The newest payments, with their authorizations: `{"payments": [...], "next"?.

    Id to go on before}`.
    """
    limit = max(1, min(limit, PAGE_MAX))
    # A condition that is not asked for is left out, for the other's index to be used.
    asked = [
        (f"{what} ?", value) for what, value in (("id <", before), ("state =", state)) if value
    ]
    where = " AND ".join(what for what, _ in asked) or "TRUE"
    rows = db.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM payment WHERE {where} ORDER BY id DESC LIMIT ?",
        (*(value for _, value in asked), limit + 1),
    ).fetchall()
    page: dict[str, Any] = {"payments": [_payment(db, row) for row in rows[:limit]]}
    if len(rows) > limit:
        page["next"] = rows[limit - 1][0]
    return page


def payment(db: sqlite3.Connection, id_: str) -> dict[str, Any] | None:
    """One payment, or None."""
    row = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM payment WHERE id = ?", (id_,)).fetchone()
    return None if row is None else _payment(db, row)


def jobs(db: sqlite3.Connection, *, limit: int = 100) -> dict[str, Any]:
    """The newest jobs: `{"jobs".

    [{id, provider, model, state, created_at, payment?, result?, clip?: {state, bytes?, note?}}]}`.
    """
    rows = db.execute(
        "SELECT m.id, m.provider, m.model, m.state, m.created_at, m.payment, m.answer,"
        " c.state, c.bytes, c.note FROM memory m"
        " LEFT JOIN clip c ON c.provider = m.provider AND c.job = m.id"
        " WHERE m.kind = 'job' ORDER BY m.created_at DESC, m.rowid DESC LIMIT ?",
        (limit,),
    )
    names = ("id", "provider", "model", "state", "created_at", "payment")
    found = []
    for *values, answer, clip, bytes_, note in rows:
        job = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        found.append({**job, **_result(answer), **_clip(clip, bytes_, note)})
    return {"jobs": found}


def _clip(state: str | None, bytes_: int | None, note: str | None) -> dict[str, Any]:
    """What became of a job's clip on this disk, where anything was tried."""
    if state is None:
        return {}
    known = {"state": state, "bytes": bytes_, "note": note or None}
    return {"clip": {name: value for name, value in known.items() if value is not None}}


def _result(answer: bytes | None) -> dict[str, Any]:
    """A job's kept answer, where it is JSON; a provider may have answered with anything."""
    try:
        return {} if answer is None else {"result": json.loads(answer)}
    except (ValueError, RecursionError):
        return {}


def caps(db: sqlite3.Connection, limits: tuple[Limit, ...], now: int) -> list[dict[str, str]]:
    """How full each limit is: `[{scope, window, limit, settled, live, free}]`, in dollars.

    `live` is what is alive and could still be taken or was just taken; `settled` is what was
    booked in the window.
    """
    book = Sums(db)
    return [_usage(book, limit, now) for limit in limits]


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many payments are in each state, the forgotten ones too."""
    found = dict(db.execute("SELECT state, payments FROM tally").fetchall())
    return {state.value: found[state] for state in State}


def spent(db: sqlite3.Connection) -> Usd:
    """All that was ever settled, in dollars."""
    (total,) = db.execute("SELECT usd FROM tally WHERE state = 'settled'").fetchone()
    return Usd(total)


def exposure(db: sqlite3.Connection) -> Usd:
    """All that counts at this moment: taken, or still takeable."""
    book = Sums(db)
    return Usd(book.held("all") + book.taken("all", None))


def _payment(db: sqlite3.Connection, row: tuple[Any, ...]) -> dict[str, Any]:
    found = {
        name: value for name, value in zip(_COLUMNS, row, strict=True) if value not in (None, "")
    }
    found["usd"] = format_usd(found["usd"])
    found["authorizations"] = [
        {
            "nonce": "0x" + nonce.hex(),
            "valid_after": after,
            "valid_before": before,
            "state": state,
            **({"evidence": evidence} if evidence else {}),
        }
        for nonce, after, before, state, evidence in db.execute(
            "SELECT nonce, valid_after, valid_before, state, evidence FROM hold"
            " WHERE payment = ? AND nonce IS NOT NULL ORDER BY id",
            (found["id"],),
        )
    ]
    return found


def _usage(book: Sums, limit: Limit, now: int) -> dict[str, str]:
    counted = count(limit, book, now)
    live = book.outstanding(limit.scope) if limit.window != "per_request" else 0
    return {
        "scope": limit.scope,
        "window": limit.window,
        "limit": format_usd(limit.usd),
        "settled": format_usd(counted - min(live, counted)),
        "live": format_usd(min(live, counted)),
        "free": format_usd(max(0, limit.usd - counted)),
    }
