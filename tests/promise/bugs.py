"""Planted bugs: buyers that each break one rule, as real payers do.

Each must be found by the machine; see `tests.promise.test_promise`.
"""

# ruff: noqa: D102, ARG002 - each class says what its one method gets wrong

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from proxy.core.clock import Clocks
from proxy.core.ledger import Evidence, Limit, State
from proxy.core.money import Usd
from proxy.store import Finding, Watched, sums
from proxy.store.resolving import resolve
from tests.promise.buyer import Answer, Buyer, Order, Purchase, limits_for, on_file
from tests.promise.model import Cheque, Word, World
from tests.promise.oracle import Caps

DAY_S: Final = 86_400
_TO_VOID: Final = {
    State.RESERVED: Evidence.NEVER_SENT,
    State.SENT: Evidence.DECLINED,
    State.UNKNOWN: Evidence.HAND_VOID,
}
"""The evidence that gives money back, by the state of the hold."""


class _Releasing(Buyer):
    """Gives the money back on some answers."""

    releases: frozenset[Answer] = frozenset()

    async def hear(self, purchase: Purchase, answer: Answer) -> None:
        if answer not in self.releases or purchase.reserved is None:
            await super().hear(purchase, answer)
            return
        hold = purchase.reserved.hold
        ((state,),) = await self.ledger.ask(
            lambda db: db.execute("SELECT state FROM hold WHERE id = ?", (hold,)).fetchall()
        )
        if State(state) in _TO_VOID:
            await self.record(purchase, _TO_VOID[State(state)])


class ReleasesOnTimeout(_Releasing):
    """Silence, so nothing was taken."""

    releases = frozenset({Answer.TIMEOUT})


class ReleasesOn402(_Releasing):
    """The seller asks again, so it did not take the first one."""

    releases = frozenset({Answer.SECOND_402})


class ReleasesOnError(_Releasing):
    """The connection broke or the seller failed, so nothing was taken."""

    releases = frozenset({Answer.RESET, Answer.FAULT_500})


class ReleasesOnDenial(_Releasing):
    """The seller says that it took nothing."""

    releases = frozenset({Answer.DENIAL})


class SignsBeforeReserving(Buyer):
    """What the ledger refuses has left by then."""

    async def pay(self, purchase: Purchase, limits: Sequence[Limit]) -> Purchase | None:
        self.world.let_out(purchase.cheque)
        await self.reserve(purchase, limits)
        return purchase


class LooksBeforeItCounts(Buyer):
    """Checks the caps, then counts: two at once both fit."""

    async def reserve(self, purchase: Purchase, limits: Sequence[Limit]) -> bool:
        refusal = await self.ledger.would_admit(Usd(purchase.cheque.usd), limits)
        await asyncio.sleep(0)
        return refusal is None and await super().reserve(purchase, ())


class CountsWhatWasReported(Buyer):
    """Checks the caps, and counts when the receipt is there."""

    async def pay(self, purchase: Purchase, limits: Sequence[Limit]) -> Purchase | None:
        price = Usd(purchase.cheque.usd)
        if await self.ledger.would_admit(price, limits) is not None:
            return None
        self.world.let_out(purchase.cheque)
        return purchase

    async def hear(self, purchase: Purchase, answer: Answer) -> None:
        if answer is Answer.RECEIPT and purchase.reserved is None:
            await self.reserve(purchase, ())
        await super().hear(purchase, answer)


class GoesByTheOldCaps(Buyer):
    """A purchase that is under way does not hear of a tighter cap."""

    def limits(self, order: Order, begun: Caps, current: Caps) -> tuple[Limit, ...]:
        return limits_for(order, begun)


class SignsAnewUnderTheOldHold(Buyer):
    """A further authorization of a payment, while the first one is alive, and one hold for both."""

    async def renew(self, purchase: Purchase, caps: Caps) -> Purchase | None:
        renewed = self.draft(purchase.order, purchase.payment)
        renewed.reserved = purchase.reserved
        self.world.let_out(renewed.cheque)
        return renewed


class ExpiresByTheWallClock(Buyer):
    """It is past its validBefore here, so it is past it there."""

    def finding(self, row: Watched) -> Finding | None:
        found = super().finding(row)
        if found is None and self.world.wall() >= row.valid_before:
            return Finding(row.hold, Evidence.CHAIN_UNUSED, chain="unused")
        return found


class BelievesTheNewestBlock(Buyer):
    """Reads the chain at its head, which may still be replaced."""

    def finding(self, row: Watched) -> Finding | None:
        return self.read_at(row, self.world.chain.now)


class TakesUsedForCancelled(Buyer):
    """Has cancelled it and sees `authorizationState` true: that is what a use looks like too."""

    def finding(self, row: Watched) -> Finding | None:
        found = super().finding(row)
        if found is not None and found.chain == Word.USED and row.nonce in self.cancelling:
            return Finding(row.hold, Evidence.CHAIN_CANCELLED, chain="cancelled")
        return found


class ReleasesOnRestart(Buyer):
    """What was in flight when it died has surely failed."""

    def before_opening(self) -> None:
        db = on_file(self.place)
        rows = db.execute("SELECT id, state FROM hold WHERE state IN ('reserved', 'sent')")
        for hold, state in rows.fetchall():
            resolve(db, Finding(hold, _TO_VOID[State(state)]), self.world.true)
        db.close()


class VoidsByHandAtOnce(Buyer):
    """Hears a person who says that nothing was taken, while it still can be."""

    def resolve_by_hand(self, payment: str, tx: str | None) -> None:
        if tx is not None:
            super().resolve_by_hand(payment, tx)
            return
        db = on_file(self.place)
        query = "SELECT id FROM hold WHERE payment = ? AND state = 'unknown'"
        for (hold,) in db.execute(query, (payment,)).fetchall():
            resolve(db, Finding(hold, Evidence.HAND_VOID), self.ledger.now())
        db.close()


class BooksAtTheReceipt(Buyer):
    """Counts a payment as taken when the receipt comes, not when it can be taken no more."""

    async def hear(self, purchase: Purchase, answer: Answer) -> None:
        await super().hear(purchase, answer)
        if answer is Answer.RECEIPT and purchase.reserved is not None:
            hold, now = purchase.reserved.hold, self.ledger.now()
            await self.ledger.ask(lambda db: _book(db, hold, purchase.cheque, now))


class CountsByTheCalendarDay(Buyer):
    """The day's cap begins anew at midnight."""

    def __init__(self, world: World, place: Path) -> None:
        super().__init__(world, place)
        self._bought: list[tuple[int, Purchase]] = []

    async def reserve(self, purchase: Purchase, limits: Sequence[Limit]) -> bool:
        today = self.world.wall() // DAY_S
        news = [bought.cheque for day, bought in self._bought if day == today]
        for limit in limits:
            spent = sum(cheque.usd for cheque in news if limit.scope in cheque.scopes)
            if limit.window == "day" and spent + purchase.cheque.usd > limit.usd:
                return False
        others = [limit for limit in limits if limit.window != "day"]
        if not await super().reserve(purchase, others):
            return False
        self._bought.append((today, purchase))
        return True


class GoesByTheWallClockAlone(Buyer):
    """Takes the wall clock for the time that passes: set ahead, it empties every window."""

    @property
    def clocks(self) -> Clocks:
        return Clocks(self.world.wall, self.world.wall, f"boot {self.world.boot}")


def _book(db: sqlite3.Connection, hold: int, cheque: Cheque, now: int) -> None:
    """Move an amount from what is alive to what was taken."""
    (booked,) = db.execute("SELECT booked FROM hold WHERE id = ?", (hold,)).fetchone()
    if not booked:
        sums.add(db, cheque.scopes, held=-cheque.usd, outstanding=0)
        sums.take_back(db, hold, cheque.usd, cheque.scopes, now)
        db.execute("UPDATE hold SET booked = 1 WHERE id = ?", (hold,))
