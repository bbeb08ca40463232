"""The ledger as the daemon uses it: reserve before signing, resolve afterwards, look things up.

Every method that changes something is one transaction on the writer thread. `reserve` returns only
when the hold is on the disk; whoever awaits it may then let a signature leave, and nobody else
may.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from proxy.core.clock import Clocks, SteadyClock
from proxy.core.errors import Refusal
from proxy.core.ledger import WINDOWS, Evidence, Limit, State
from proxy.core.money import Usd
from proxy.store import keyed, memory, onchain, portraits, retention, schema, sums, switch, views
from proxy.store.records import (
    ForeignUse,
    Hold,
    Intent,
    KeptAnswer,
    Keyed,
    Memory,
    Reserved,
    Stored,
)
from proxy.store.reserving import clock_problem, reserve, verdict
from proxy.store.resolving import Finding, recover, resolve
from proxy.store.timekeeping import steady_clock, write_anchor
from proxy.store.writer import LedgerUnavailableError, Writer

T = TypeVar("T")
RETENTION_MIN_S: Final = max(WINDOWS.values()) + 86_400
"""What a window still looks at is never forgotten, nor what it begins with."""
_YIELD: Final = 3
"""How much longer than it worked such work rests."""


class Ledger:
    """The one ledger of a state directory."""

    def __init__(self, path: Path, writer: Writer, clock: SteadyClock) -> None:
        self.path = path
        self._writer = writer
        self._clock = clock
        self._pause_file = path.with_name(switch.FILE)

    @classmethod
    async def open(cls, state_dir: Path, clocks: Clocks) -> "Ledger":
        """Open or make the ledger's file, and count what a crash left behind as unknown."""
        path = state_dir / schema.FILE_NAME
        connection, clock = await asyncio.to_thread(_open, path, clocks)
        return cls(path, Writer(connection, asyncio.get_running_loop()), clock)

    async def close(self) -> None:
        """Finish what was queued and close the file."""
        await self._writer.close()

    async def reserve(
        self, intent: Intent, hold: Hold, limits: Iterable[Limit]
    ) -> Reserved | Refusal:
        """Count a hold, durably, or say which cap, payee, key or switch forbids it."""
        every = tuple(limits)
        return await self._writer.submit(
            lambda db: reserve(db, intent, hold, every, self._clock, self._pause_file)
        )

    async def would_admit(
        self, price: Usd, limits: Iterable[Limit], wallet: str | None = None
    ) -> Refusal | None:
        """Decide as `reserve` would, and count nothing."""
        every = tuple(limits)
        return await self._writer.submit(
            lambda db: verdict(db, every, price, self._clock, self._pause_file, wallet)
        )

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
        finding = Finding(reserved.hold, evidence, tx, note, http_status)
        return self._writer.submit(lambda db: resolve(db, finding, self._clock.now()))

    async def conclude(
        self,
        findings: Sequence[Finding],
        foreign: Sequence[ForeignUse],
        cursor: tuple[str, str, str, int, int],
    ) -> tuple[list[State], int]:
        """Record what the chain says, and up to where it was read, in one transaction.

        Gives the states that follow and how many foreign uses are new.
        """
        return await self._writer.submit(
            lambda db: _conclude(db, findings, foreign, cursor, self._clock.now())
        )

    async def find_key(self, client: str | None, key: str, retention_s: int) -> Keyed | None:
        """What is known under a client's idempotency key."""
        return await self._writer.submit(
            lambda db: keyed.find(db, client, key, retention_s, self._clock.now())
        )

    async def keep_answer(self, payment: str, answer: KeptAnswer) -> None:
        """Keep a payment's answer under its key, durably."""
        await self._writer.submit(lambda db: keyed.keep(db, payment, answer))

    async def pause(self, reason: str, source: str) -> None:
        """Turn the kill switch on; see `proxy.store.switch`."""
        await self._writer.submit(lambda db: switch.pause(db, reason, source, self._clock.now()))

    async def clock_problem(self) -> str | None:
        """How the wall clock has jumped, if it has: nothing is signed then."""
        return await self._writer.submit(lambda db: clock_problem(db, self._clock))

    async def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query of `proxy.store.onchain` in turn with everything else."""
        return await self._writer.submit(query)

    async def remember(self, memories: Iterable[Memory]) -> None:
        """Store ids that a provider gave out, before the client hears of them."""
        every = tuple(memories)
        await self._writer.submit(lambda db: memory.remember(db, every, self._clock.now()))

    async def recall(self, kind: str, id_: str) -> tuple[Memory, ...]:
        """Everything known under an id: more than one where two providers gave out the same."""
        return await self._writer.submit(lambda db: memory.recall(db, kind, id_))

    async def live_hold(self, payment: str, alive_for_s: int) -> Stored | None:
        """The newest authorization of a payment that lives for at least so many seconds more."""
        return await self._writer.submit(
            lambda db: _live_hold(db, payment, int(self._clock.wall()) + alive_for_s)
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
        alive_at = int(self._clock.wall()) + alive_for_s
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
        return await self._writer.submit(lambda db: _usage(db, every, self._clock.now()))

    async def forget(self, retention_s: int) -> None:
        """Forget what is older than that, a little at a time: whoever pays goes in between."""
        before = self._clock.now() - max(retention_s, RETENTION_MIN_S)
        number: int | None = 0
        while number is not None:
            number = await self._in_turn(partial(retention.forget, before=before, after=number))
        for scope in await self._writer.submit(retention.scopes):
            while await self._in_turn(partial(retention.forget_booked, before=before, scope=scope)):
                pass

    async def _in_turn(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work for which nobody waits, and leave the writer to others for longer."""
        began = time.monotonic()
        result = await self._writer.submit(work)
        await asyncio.sleep((time.monotonic() - began) * _YIELD)
        return result

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

    async def job_of(self, payment: str) -> Memory | None:
        """The job that a payment pays for."""
        return await self._writer.submit(lambda db: memory.job_of(db, payment))

    def now(self) -> int:
        """The ledger's time: Unix seconds that never go back."""
        return self._clock.now()


def _open(path: Path, clocks: Clocks) -> tuple[sqlite3.Connection, SteadyClock]:
    connection = schema.connect(path)
    try:
        schema.migrate(connection)
        clock = steady_clock(connection, clocks)
        connection.execute("BEGIN IMMEDIATE")
        recover(connection, clock.now())
        portraits.free(connection)
        write_anchor(connection, clock.anchor)
        connection.execute("COMMIT")
        schema.sync_names(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection, clock


def _conclude(
    db: sqlite3.Connection,
    findings: Sequence[Finding],
    foreign: Sequence[ForeignUse],
    cursor: tuple[str, str, str, int, int],
    now: int,
) -> tuple[list[State], int]:
    states = [resolve(db, finding, now) for finding in findings]
    onchain.advance(db, *cursor)
    return states, onchain.freeze(db, foreign, now)


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
    try:
        with closing(schema.connect(path, read_only=True)) as connection:
            return query(connection)
    except sqlite3.DatabaseError as problem:
        raise LedgerUnavailableError(f"the ledger cannot be read: {problem}") from None
