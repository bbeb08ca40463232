"""A buyer that goes by the daemon's rules, on the real ledger and a real file.

Reserve, then let the authorization leave, then record what came back; ask the chain at its safe
block; count after a crash what was in flight. Each rule is one small method, so that a planted bug
(`tests.promise.bugs`) breaks just that one.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Final

from proxy.core.clock import Clocks
from proxy.core.errors import Refusal
from proxy.core.ledger import Evidence, Limit
from proxy.core.money import Usd
from proxy.store import Finding, Hold, Intent, Ledger, Reserved, Watched, onchain, schema
from proxy.store.people import People
from tests.promise.model import Cheque, Word, World
from tests.promise.oracle import Caps

NETWORK: Final = "eip155:8453"
USDC: Final = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
WALLET: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SHOP: Final = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
BACKDATE_S: Final = 600


class Fate(Enum):
    """What becomes of an authorization once it is reserved for."""

    LEAVES = auto()
    UNREACHABLE = auto()
    """The provider cannot be reached: no byte leaves."""
    LINGERS = auto()
    """It leaves later, or never if the daemon dies first."""


class Answer(Enum):
    """What a seller answers, whatever it did or will do."""

    RECEIPT = auto()
    LATER = auto()
    """Accepted; it settles later."""
    TIMEOUT = auto()
    RESET = auto()
    SECOND_402 = auto()
    FAULT_500 = auto()
    DENIAL = auto()
    """`success: false`."""


@dataclass(frozen=True, slots=True)
class Order:
    """Something to buy."""

    usd: int
    scopes: tuple[str, ...]
    life_s: int
    fate: Fate = Fate.LEAVES
    backdated: bool = False


@dataclass(slots=True)
class Purchase:
    """An order with its authorization; `reserved` is None where a bug let it out unreserved."""

    order: Order
    payment: str
    cheque: Cheque
    reserved: Reserved | None = None


class Buyer:
    """Buys, hears answers, asks the chain and restarts, as the daemon does."""

    def __init__(self, world: World, place: Path) -> None:
        self.world = world
        self.place = place
        self.ledger: Ledger
        self.cancelling: set[bytes] = set()
        self._numbers = count(1)

    @property
    def clocks(self) -> Clocks:
        """The machine's clocks."""
        return self.world.clocks

    def accept_clock(self) -> None:
        """A person beside the daemon accepts the wall clock."""
        People(self.place, self.clocks).accept_clock()

    def resolve_by_hand(self, payment: str, tx: str | None) -> None:
        """A person beside the daemon says what became of a payment; it may not be heard."""
        People(self.place, self.clocks).resolve(payment, tx, "a test")

    async def open(self) -> None:
        """Open the ledger. Syncing is left out: it makes the same file, only slower."""
        self.ledger = await Ledger.open(self.place, self.clocks)
        self.ledger._writer._connection.execute("PRAGMA synchronous = OFF")

    async def restart(self, *, crash: bool) -> None:
        """Stop, or die and leave the files as they are at this moment; then begin again."""
        if crash:
            copy = shutil.copytree(self.place, self.place.with_name(f"at-{next(self._numbers)}"))
            await self.ledger.close()
            shutil.rmtree(self.place)
            self.place = Path(copy)
        else:
            await self.ledger.close()
        self.before_opening()
        await self.open()

    def before_opening(self) -> None:
        """Nothing: the ledger itself counts what was in flight."""

    # Paying.

    async def buy(self, orders: Sequence[Order], begun: Caps, current: Caps) -> list[Purchase]:
        """Buy several things at once; gives what was let in.

        The caps they began under and those that are in force by now both bind.
        """
        made = await asyncio.gather(
            *(self.pay(self.draft(o), self.limits(o, begun, current)) for o in orders)
        )
        return [purchase for purchase in made if purchase is not None]

    def limits(self, order: Order, begun: Caps, current: Caps) -> tuple[Limit, ...]:
        """Every cap that an order has to fit under."""
        return (*limits_for(order, begun), *limits_for(order, current))

    async def renew(self, purchase: Purchase, caps: Caps) -> Purchase | None:
        """Get a further authorization for a payment, if the earlier ones are dead."""
        limits = limits_for(purchase.order, caps)
        return await self.pay(self.draft(purchase.order, purchase.payment), limits)

    def draft(self, order: Order, payment: str | None = None) -> Purchase:
        """Write an authorization, by the wall clock."""
        number = next(self._numbers)
        wall = self.world.wall()
        after = wall - BACKDATE_S if order.backdated else 0
        nonce = number.to_bytes(32, "big")
        cheque = Cheque(nonce, order.usd, order.scopes, after, wall + order.life_s)
        return Purchase(order, payment or f"pay_{number:06}", cheque)

    async def pay(self, purchase: Purchase, limits: Sequence[Limit]) -> Purchase | None:
        """Reserve, then send; None if the ledger refuses."""
        if not await self.reserve(purchase, limits):
            return None
        await self.send(purchase)
        return purchase

    async def reserve(self, purchase: Purchase, limits: Sequence[Limit]) -> bool:
        """Have it counted."""
        verdict = await self.ledger.reserve(_intent(purchase), _hold(purchase), limits)
        if isinstance(verdict, Refusal):
            return False
        purchase.reserved = verdict
        return True

    async def send(self, purchase: Purchase) -> None:
        """Let it leave, unless there is nobody to send it to."""
        if purchase.order.fate is Fate.LEAVES:
            self.world.let_out(purchase.cheque)
        elif purchase.order.fate is Fate.UNREACHABLE:
            await self.record(purchase, Evidence.NEVER_SENT)

    # What became of it.

    async def hear(self, purchase: Purchase, answer: Answer) -> None:
        """Record what a seller's answer is evidence of: only a receipt is more than silence."""
        if answer is Answer.RECEIPT:
            await self.record(purchase, Evidence.RECEIPT)
        elif answer is Answer.LATER:
            await self.record(purchase, Evidence.SENT)
        else:
            await self.record(purchase, Evidence.NO_RECEIPT)

    async def record(self, purchase: Purchase, evidence: Evidence) -> None:
        """Tell the ledger."""
        if purchase.reserved is not None:
            await self.ledger.resolve(purchase.reserved, evidence)

    async def reconcile(self) -> None:
        """Ask the chain after everything that it has not spoken of yet."""
        rows = await self.ledger.ask(lambda db: onchain.watched(db, NETWORK))
        findings = [found for row in rows if (found := self.finding(row)) is not None]
        cursor = (NETWORK, USDC, WALLET, self.world.chain.safe, 0)
        await self.ledger.conclude(findings, (), cursor)

    def finding(self, row: Watched) -> Finding | None:
        """What the chain says of an authorization, read at the safe block alone."""
        return self.read_at(row, self.world.chain.safe)

    def read_at(self, row: Watched, block_at: int) -> Finding | None:
        """What the chain says of an authorization at a block."""
        word = self.world.chain.seen(row.nonce, block_at)
        if word is Word.USED:
            return Finding(row.hold, Evidence.CHAIN_USED, chain="used")
        if word is Word.CANCELLED:
            return Finding(row.hold, Evidence.CHAIN_CANCELLED, chain="cancelled")
        if block_at >= row.valid_before:
            return Finding(row.hold, Evidence.CHAIN_UNUSED, chain="unused")
        return None


def limits_for(order: Order, caps: Caps) -> tuple[Limit, ...]:
    """The caps of an order's scopes."""
    return tuple(
        Limit(scope, window, Usd(cap))
        for (scope, window), cap in caps.items()
        if scope in order.scopes
    )


def on_file(place: Path) -> sqlite3.Connection:
    """Open a closed ledger's file."""
    return schema.connect(place / schema.FILE_NAME)


def _intent(purchase: Purchase) -> Intent:
    return Intent(purchase.payment, None, "shop", "/v1/*", "POST", "/v1/things", bytes(32))


def _hold(purchase: Purchase) -> Hold:
    cheque = purchase.cheque
    return Hold(
        amount=cheque.usd,
        usd=Usd(cheque.usd),
        decimals=6,
        network=NETWORK,
        asset=USDC,
        pay_to=SHOP,
        wallet=WALLET,
        nonce=cheque.nonce,
        valid_after=cheque.valid_after,
        valid_before=cheque.valid_before,
        scopes=cheque.scopes,
        terms="{}",
        watched=True,
    )
