"""What a person changes in the ledger by hand, beside a running daemon or without one.

Each is one transaction on a connection of its own; the daemon meets its effect in the next
transaction of its writer.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.core.clock import Clocks
from proxy.core.ledger import State
from proxy.store import onchain, payees, quotes, resolving, schema, switch
from proxy.store.records import ForeignUse
from proxy.store.timekeeping import steady_clock, write_anchor


@dataclass(frozen=True, slots=True)
class People:
    """The ledger's file in a person's hands; it is made where there is none yet.

    Every method raises OSError, sqlite3.Error or SchemaError where the file cannot be changed.
    """

    state_dir: Path
    clocks: Clocks

    def pause(self, reason: str) -> None:
        """Turn the kill switch on."""
        with self._changing() as (db, now):
            switch.pause(db, reason, "command", now)

    def resume(self) -> bool:
        """Turn the kill switch off; False where the file PAUSE would turn it on again."""
        if (self.state_dir / switch.FILE).exists():
            return False
        with self._changing() as (db, _):
            switch.resume(db)
        return True

    def accept_clock(self) -> None:
        """Take the wall clock for right, after it jumped."""
        with self._changing() as (db, _):
            write_anchor(db, steady_clock(db, self.clocks).accept())

    def resolve(self, payment: str, tx: str | None, who: str) -> State | str:
        """Settle or void a payment whose outcome is unknown; a string says why not."""
        with self._changing() as (db, now):
            return resolving.resolve_by_hand(db, payment, tx, who, now)

    def accept_payee(self, provider: str, network: str, pay_to: str) -> None:
        """Let a provider be paid at an address."""
        with self._changing() as (db, now):
            payees.accept(db, provider, network, pay_to, now)

    def forget_payee(self, provider: str, network: str, pay_to: str) -> bool:
        """Unpin an address; False if it was not known."""
        with self._changing() as (db, _):
            return payees.forget(db, provider, network, pay_to)

    def forget_prices(self, provider: str) -> int:
        """Take the next prices of a provider for its usual ones; how many were forgotten."""
        with self._changing() as (db, _):
            return quotes.forget(db, provider)

    def unfreeze(self, uses: Iterable[ForeignUse]) -> int:
        """Accept the foreign uses of a key that a person was shown; how many were open."""
        with self._changing() as (db, now):
            return onchain.unfreeze(db, uses, now)

    @contextmanager
    def _changing(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = schema.connect(self.state_dir / schema.FILE_NAME)
        try:
            schema.migrate(db)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db, steady_clock(db, self.clocks).now()
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()
