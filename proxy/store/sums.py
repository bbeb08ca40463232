"""The running sums: every change to what counts, and the look-ups that admission makes.

`balance` holds what is alive, by scope; `taken` what was booked, each row with the total so far,
so that the sum of any window is the difference of two rows, found by index, however long the
ledger grows.
"""

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from proxy.core.ledger import DEATH_MARGIN_S, OPEN, State


class Sums:
    """`proxy.core.ledger.Book` over an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def held(self, scope: str) -> int:
        """See `Book.held`."""
        return self._balance(scope)[0]

    def outstanding(self, scope: str) -> int:
        """See `Book.outstanding`."""
        return self._balance(scope)[1]

    def taken(self, scope: str, since: int | None) -> int:
        """See `Book.taken`."""
        return running(self._db, scope) - (0 if since is None else self._running_at(scope, since))

    def frees_at(self, scope: str, since: int, excess: int) -> int | None:
        """See `Book.frees_at`."""
        wanted = self._running_at(scope, since) + excess
        _, last_at, booked = _last(self._db, scope)
        if booked < wanted:
            at = _when_covered(wanted - booked, self._alive(scope))
            return None if at is None else max(at, last_at)
        # Totals grow with time: the first second at which there was enough, by halving.
        seconds = range(since, last_at)
        return since + bisect_left(seconds, wanted, key=lambda at: self._running_at(scope, at))

    def dies_at(self, scope: str, excess: int) -> int | None:
        """See `Book.dies_at`."""
        outstanding = ((at, usd) for at, usd, state in self._holds(scope) if state in OPEN)
        return _when_covered(excess, outstanding)

    def _alive(self, scope: str) -> Iterator[tuple[int, int]]:
        return ((at, usd) for at, usd, _ in self._holds(scope))

    def _holds(self, scope: str) -> Iterator[tuple[int, int, State]]:
        """The alive holds of a scope, next to die first: few, and asked for only by a refusal."""
        rows = self._db.execute(
            "SELECT valid_before + lag_s, usd, state, scopes FROM hold WHERE booked = 0"
            " ORDER BY valid_before + lag_s"
        )
        for before, usd, state, scopes in rows:
            if scope in json.loads(scopes):
                yield before + DEATH_MARGIN_S, usd, State(state)

    def _balance(self, scope: str) -> tuple[int, int]:
        row = self._db.execute(
            "SELECT held, outstanding FROM balance WHERE scope = ?", (scope,)
        ).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _running_at(self, scope: str, at: int) -> int:
        row = self._db.execute(
            "SELECT running FROM taken WHERE scope = ? AND at <= ?"
            " ORDER BY at DESC, seq DESC LIMIT 1",
            (scope, at),
        ).fetchone()
        return 0 if row is None else int(row[0])


def running(db: sqlite3.Connection, scope: str) -> int:
    """All that was ever booked in a scope."""
    return _last(db, scope)[2]


def add(db: sqlite3.Connection, scopes: Iterable[str], *, held: int, outstanding: int) -> None:
    """Change what is alive in some scopes."""
    for scope in scopes:
        changed = db.execute(
            "UPDATE balance SET held = held + ?, outstanding = outstanding + ? WHERE scope = ?",
            (held, outstanding, scope),
        ).rowcount
        if not changed:
            db.execute("INSERT INTO balance VALUES (?, ?, ?)", (scope, held, outstanding))


def book_the_dead(db: sqlite3.Connection, now: int) -> None:
    """Book every hold whose authorization has died.

    It was taken by then at the latest, or never will be.
    """
    dead = db.execute(
        "SELECT id, valid_before + lag_s, usd, state, scopes FROM hold"
        " WHERE booked = 0 AND valid_before + lag_s <= ? ORDER BY valid_before + lag_s, id",
        (now - DEATH_MARGIN_S,),
    ).fetchall()
    for hold, before, usd, state, scopes in dead:
        still_open = State(state) in OPEN
        names = json.loads(scopes)
        add(db, names, held=-usd, outstanding=-usd if still_open else 0)
        for scope in names:
            _book(db, scope, before + DEATH_MARGIN_S, hold, usd)
        db.execute("UPDATE hold SET booked = 1 WHERE id = ?", (hold,))


def give_back(
    db: sqlite3.Connection,
    hold: int,
    usd: int,
    scopes: Iterable[str],
    *,
    booked: bool,
    is_open: bool = True,
) -> None:
    """Stop counting a hold that provably never moves; `is_open` if it was outstanding so far."""
    if not booked:
        add(db, scopes, held=-usd, outstanding=-usd if is_open else 0)
        db.execute("UPDATE hold SET booked = 1 WHERE id = ?", (hold,))
        return
    for scope in scopes:
        row = db.execute(
            "SELECT at, seq FROM taken WHERE scope = ? AND hold = ? ORDER BY at DESC, seq DESC"
            " LIMIT 1",
            (scope, hold),
        ).fetchone()
        # One that was forgotten was before all that are left, so it is in all of their totals.
        at, seq = (0, 0) if row is None else row
        db.execute(
            "UPDATE taken SET running = running - ? WHERE scope = ? AND (at, seq) >= (?, ?)",
            (usd, scope, at, seq),
        )
        db.execute(
            "UPDATE taken SET usd = 0 WHERE scope = ? AND at = ? AND seq = ?", (scope, at, seq)
        )


def take_back(db: sqlite3.Connection, hold: int, usd: int, scopes: Iterable[str], now: int) -> None:
    """Count again what was given back and then turned out to be taken: it is booked as of now."""
    for scope in scopes:
        _book(db, scope, now, hold, usd)


def _last(db: sqlite3.Connection, scope: str) -> tuple[int, int, int]:
    """A scope's last row: its number, when it was booked, and the total up to it."""
    row: tuple[int, int, int] | None = db.execute(
        "SELECT seq, at, running FROM taken WHERE scope = ? ORDER BY at DESC, seq DESC LIMIT 1",
        (scope,),
    ).fetchone()
    return row or (0, 0, 0)


def _when_covered(amount: int, freed: Iterable[tuple[int, int]]) -> int | None:
    """When what is freed, given as times and dollars in order, first covers an amount."""
    for at, usd in freed:
        amount -= usd
        if amount <= 0:
            return at
    return None


def _book(db: sqlite3.Connection, scope: str, at: int, hold: int, usd: int) -> None:
    seq, last_at, total = _last(db, scope)
    # The list stays ordered in time: a hold booked late is booked at the last moment seen, which
    # keeps it in its windows longer.
    db.execute(
        "INSERT INTO taken VALUES (?, ?, ?, ?, ?, ?)",
        (scope, seq + 1, max(at, last_at), hold, usd, total + usd),
    )
