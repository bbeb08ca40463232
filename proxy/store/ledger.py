"""The ledger as the daemon uses it: reserve before signing, resolve afterwards, look things up.

Every method that changes something is one transaction on the writer thread. `reserve` returns only
when the hold is on the disk; whoever awaits it may then let a signature leave, and nobody else
may.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from proxy.core.errors import Refusal
from proxy.core.ledger import CREDITED, OPEN, Evidence, Limit, State, admit, step
from proxy.core.money import Usd
from proxy.store import memory, schema, sums, views
from proxy.store.records import Hold, Intent, Memory, Reserved, Stored
from proxy.store.writer import Writer

T = TypeVar("T")


class Ledger:
    """The one ledger of a state directory. `clock` gives Unix seconds.

    A clock that goes back is not followed.
    """

    def __init__(self, path: Path, writer: Writer, clock: Callable[[], float], latest: int) -> None:
        self.path = path
        self._writer = writer
        self._clock = clock
        self._latest = latest

    @classmethod
    async def open(cls, state_dir: Path, clock: Callable[[], float]) -> "Ledger":
        """Open or make the ledger's file, and count what a crash left behind as unknown."""
        path = state_dir / schema.FILE_NAME
        connection = await asyncio.to_thread(_open, path)
        (latest,) = connection.execute(
            "SELECT max(coalesce((SELECT max(created_at) FROM payment), 0),"
            " coalesce((SELECT max(at) FROM taken), 0))"
        ).fetchone()
        return cls(path, Writer(connection, asyncio.get_running_loop()), clock, latest)

    async def close(self) -> None:
        """Finish what was queued and close the file."""
        await self._writer.close()

    async def reserve(
        self, intent: Intent, hold: Hold, limits: Iterable[Limit]
    ) -> Reserved | Refusal:
        """Count a hold under every limit, durably, or say which limit, pin or switch forbids it."""
        every = tuple(limits)
        return await self._writer.submit(
            lambda db: _reserve(db, intent, hold, every, self._now(), self._lag_s())
        )

    async def would_admit(self, price: Usd, limits: Iterable[Limit]) -> Refusal | None:
        """Decide as `reserve` would, and change nothing."""
        every = tuple(limits)
        return await self._writer.submit(lambda db: _verdict(db, every, price, self._now()))

    def resolve(
        self,
        reserved: Reserved,
        evidence: Evidence,
        *,
        tx: str = "",
        note: str = "",
        http_status: int | None = None,
    ) -> "asyncio.Future[State]":
        """Record what became of a hold. It need not be awaited.

        If it is lost, the hold stays counted, the safe side.
        """
        return self._writer.submit(
            lambda db: _resolve(db, reserved, evidence, tx, note, http_status)
        )

    async def remember(self, memories: Iterable[Memory]) -> None:
        """Store ids that a provider gave out, before the client hears of them."""
        every = tuple(memories)
        await self._writer.submit(lambda db: memory.remember(db, every, self._now()))

    async def recall(self, kind: str, id_: str) -> tuple[Memory, ...]:
        """Everything known under an id: more than one where two providers gave out the same."""
        return await self._writer.submit(lambda db: memory.recall(db, kind, id_))

    async def live_hold(self, payment: str, alive_for_s: int) -> Stored | None:
        """The newest authorization of a payment that lives for at least so many seconds more."""
        return await self._writer.submit(
            lambda db: _live_hold(db, payment, int(self._clock()) + alive_for_s)
        )

    async def in_doubt(
        self,
        fingerprint: bytes,
        alive_for_s: int,
        *,
        unanswered: bool,
        but: frozenset[str] = frozenset(),
    ) -> Stored | None:
        """The living authorization of an identical request whose outcome is unknown.

        It was answered with an error or, with `unanswered` the only case, not at all. Payments in
        `but` are passed over.
        """
        alive_at = int(self._clock()) + alive_for_s
        return await self._writer.submit(
            lambda db: _in_doubt(db, fingerprint, alive_at, unanswered=unanswered, but=but)
        )

    async def state_of(self, payment: str) -> State | None:
        """What a payment is, all its authorizations considered; None for one that is not known."""
        row = await self._writer.submit(
            lambda db: db.execute("SELECT state FROM payment WHERE id = ?", (payment,)).fetchone()
        )
        return None if row is None else State(row[0])

    async def usage(self, limits: Iterable[Limit]) -> list[dict[str, str]]:
        """How full some limits are at this moment."""
        every = tuple(limits)
        return await self._writer.submit(lambda db: _usage(db, every, self._now()))

    async def probe(self) -> None:
        """Change nothing durably: LedgerUnavailableError unless a write reaches the disk."""
        await self._writer.submit(schema.touch)

    async def flush(self) -> None:
        """Wait until everything that was handed in before is durable."""
        await self._writer.submit(lambda _: None)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a reading query on a connection of its own, beside the writer."""
        await self.flush()
        return await asyncio.to_thread(_read, self.path, query)

    def _now(self) -> int:
        """The time, which never goes back.

        A clock set back must not bring money back into a window.
        """
        self._latest = max(self._latest, int(self._clock()))
        return self._latest

    def _lag_s(self) -> int:
        """How far the clock is behind the latest time seen.

        What is signed after a clock was set back expires at a time that the ledger may have behind
        it: without the difference the hold would be born dead, and outside every window.
        """
        return max(0, self._latest - int(self._clock()))


def _open(path: Path) -> sqlite3.Connection:
    connection = schema.connect(path)
    try:
        schema.migrate(connection)
        connection.execute("BEGIN IMMEDIATE")
        _recover(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _recover(db: sqlite3.Connection) -> None:
    """Count what was in flight when the process died as unknown: it may have left."""
    rows = db.execute(
        "SELECT id, payment, state FROM hold WHERE state IN ('reserved','sent')"
    ).fetchall()
    for hold, payment, state in rows:
        _set_state(db, hold, payment, step(State(state), Evidence.RESTART))


def _reserve(
    db: sqlite3.Connection,
    intent: Intent,
    hold: Hold,
    limits: tuple[Limit, ...],
    now: int,
    lag_s: int,
) -> Reserved | Refusal:
    known = db.execute(
        "SELECT network, asset, pay_to, amount FROM payment WHERE id = ?", (intent.payment,)
    ).fetchone()
    refusal = _verdict(db, limits, hold.usd, now)
    if refusal is None and known is not None:
        refusal = _renewal_refusal(db, known, intent, hold)
    # The pin comes last, since it is written: what is refused leaves no trace.
    if refusal := refusal or _pin_refusal(db, intent.provider, hold, now):
        return refusal
    if known is None:
        _insert_payment(db, intent, hold, now)
    id_ = _insert_hold(db, intent.payment, hold, lag_s)
    if known is not None:
        _set_state(db, id_, intent.payment, State.RESERVED)
    sums.add(db, hold.scopes, held=hold.usd, outstanding=hold.usd)
    return Reserved(intent.payment, id_)


def _verdict(
    db: sqlite3.Connection, limits: tuple[Limit, ...], price: Usd, now: int
) -> Refusal | None:
    paused = db.execute("SELECT reason FROM pause").fetchone()
    if paused is not None:
        return Refusal(
            "paused", f"paying is paused: {paused[0]}" if paused[0] else "paying is paused"
        )
    sums.book_the_dead(db, now)
    return admit(limits, sums.Sums(db), price, now)


def _pin_refusal(db: sqlite3.Connection, provider: str, hold: Hold, now: int) -> Refusal | None:
    """Pin the first payee of a provider on a network; refuse another one later."""
    if not hold.pin:
        return None
    key = (provider, hold.network)
    row = db.execute("SELECT pay_to FROM pin WHERE provider = ? AND network = ?", key).fetchone()
    if row is None:
        db.execute("INSERT INTO pin VALUES (?, ?, ?, ?)", (*key, hold.pay_to.lower(), now))
        return None
    if row[0] == hold.pay_to.lower():
        return None
    message = (
        f"{provider} was paid at {row[0]} on {hold.network} before and now asks for "
        f"{hold.pay_to}; if that is right, "
        f"list both under providers.{provider}.pay.pay_to"
    )
    return Refusal("payee_not_allowed", message)


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


def _insert_hold(db: sqlite3.Connection, payment: str, hold: Hold, lag_s: int) -> int:
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


def _resolve(
    db: sqlite3.Connection,
    reserved: Reserved,
    evidence: Evidence,
    tx: str,
    note: str,
    http_status: int | None,
) -> State:
    usd, text, scopes, booked = db.execute(
        "SELECT usd, state, scopes, booked FROM hold WHERE id = ?", (reserved.hold,)
    ).fetchone()
    before = State(text)
    after = step(before, evidence)
    if before in OPEN and after in CREDITED:
        sums.give_back(db, reserved.hold, usd, json.loads(scopes), booked=bool(booked))
    elif before in OPEN and after not in OPEN and not booked:
        sums.add(db, json.loads(scopes), held=0, outstanding=-usd)
    _set_state(db, reserved.hold, reserved.payment, after)
    db.execute(
        "UPDATE payment SET tx = CASE ?1 WHEN '' THEN tx ELSE ?1 END, note = ?2,"
        " http_status = coalesce(?3, http_status) WHERE id = ?4",
        (tx, note, http_status, reserved.payment),
    )
    return after


def _set_state(db: sqlite3.Connection, hold: int, payment: str, state: State) -> None:
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


def _usage(db: sqlite3.Connection, limits: tuple[Limit, ...], now: int) -> list[dict[str, str]]:
    sums.book_the_dead(db, now)
    return views.caps(db, limits, now)


def _in_doubt(
    db: sqlite3.Connection,
    fingerprint: bytes,
    alive_at: int,
    *,
    unanswered: bool,
    but: frozenset[str],
) -> Stored | None:
    error = 1000 if unanswered else 400
    rows = db.execute(
        "SELECT id FROM payment WHERE fingerprint = ? AND state = 'unknown' AND job IS NULL"
        " AND coalesce(http_status, 1000) >= ? ORDER BY id DESC",
        (fingerprint, error),
    ).fetchall()
    found = (_live_hold(db, payment, alive_at) for (payment,) in rows if payment not in but)
    return next((hold for hold in found if hold is not None), None)


def _live_hold(db: sqlite3.Connection, payment: str, alive_at: int) -> Stored | None:
    row = db.execute(
        "SELECT h.payment, h.id, h.state, p.network, p.asset, p.pay_to, h.wallet, h.nonce,"
        " h.valid_after, h.valid_before, h.terms"
        " FROM hold h JOIN payment p ON p.id = h.payment"
        " WHERE h.payment = ? AND h.nonce IS NOT NULL AND h.valid_before >= ?"
        " AND h.state IN ('reserved','sent','unknown','settled') ORDER BY h.id DESC LIMIT 1",
        (payment, alive_at),
    ).fetchone()
    if row is None:
        return None
    payment, hold, state, *rest = row
    return Stored(payment, hold, State(state), *rest)


def _read(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    connection = schema.connect(path, read_only=True)
    try:
        return query(connection)
    finally:
        connection.close()
