"""What the ledger's tests stand on: a clock that they own, and short ways to say what is bought."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from proxy.core.clock import Clocks
from proxy.core.errors import Refusal
from proxy.core.ledger import DEATH_MARGIN_S, Evidence, Limit, State
from proxy.core.money import Usd
from proxy.store import Hold, Intent, Ledger, Reserved, onchain, schema, views
from proxy.store.people import People

START = 1_700_000_000
LIFE_S = 300
DEATH_S = LIFE_S + DEATH_MARGIN_S
"""How long after its reservation a hold leaves the outstanding cap."""

SHOP = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
WALLET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"

INTENT = Intent("", None, "shop", "/v1/*", "POST", "/v1/things", bytes(32))
HOLD = Hold(
    amount=0, usd=Usd(0), decimals=6, network="eip155:8453", asset=USDC, pay_to=SHOP, wallet=WALLET,
    nonce=bytes(32), valid_after=0, valid_before=1, scopes=("all",), terms="{}",
)  # fmt: skip


@dataclass
class Clock:
    """A machine's clocks, moved by hand: time passes when `now` is set on."""

    now: float = START
    skew: float = 0
    boot: int = 1

    def __call__(self) -> float:
        """What the wall clock says."""
        return self.now

    def jump(self, seconds: float) -> None:
        """Set the wall clock; no time passes."""
        self.now += seconds
        self.skew += seconds

    def reboot(self, seconds: float = 0) -> None:
        """Start the machine anew, with its wall clock off by so much more."""
        self.boot += 1
        self.jump(seconds)

    @property
    def clocks(self) -> Clocks:
        """As the ledger takes them."""
        return Clocks(self, lambda: self.now - self.skew, f"boot {self.boot}")


@dataclass
class Books:
    """A ledger and its clock, with a fresh nonce and a fresh payment for every reservation."""

    ledger: Ledger
    clock: Clock
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def sale(self, usd: int, **changes: Any) -> tuple[Intent, Hold]:
        """Something to buy: fields of the intent and of the hold may be named."""
        number = next(self.numbers)
        now = int(self.clock())
        intent = replace(INTENT, payment=f"pay_{number:06}")
        hold = replace(
            HOLD,
            usd=Usd(usd),
            amount=usd,
            nonce=number.to_bytes(32, "big"),
            valid_before=now + LIFE_S,
        )
        wanted = {k: v for k, v in changes.items() if k in Intent.__dataclass_fields__}
        others = {k: v for k, v in changes.items() if k not in wanted}
        return replace(intent, **wanted), replace(hold, **others)

    async def reserve(self, usd: int, *limits: Limit, **changes: Any) -> Reserved | Refusal:
        """Reserve for a fresh sale."""
        return await self.ledger.reserve(*self.sale(usd, **changes), limits)

    async def bought(self, usd: int, *limits: Limit, **changes: Any) -> Reserved:
        """Reserve for a fresh sale that must be let in."""
        verdict = await self.reserve(usd, *limits, **changes)
        assert isinstance(verdict, Reserved), verdict
        return verdict

    async def refused(self, usd: int, *limits: Limit, **changes: Any) -> Refusal:
        """Try to reserve for a fresh sale that must not be let in."""
        verdict = await self.reserve(usd, *limits, **changes)
        assert isinstance(verdict, Refusal), verdict
        return verdict

    async def become(self, reserved: Reserved, *story: Evidence) -> State:
        """Let a hold live through some evidence."""
        state = State.RESERVED
        for evidence in story:
            state = await self.ledger.resolve(reserved, evidence)
        return state

    async def exposure(self) -> int:
        """All that counts."""
        return await self.ledger.read(views.exposure)

    async def unfrozen(self) -> int:
        """Accept what is known of foreign uses by now, as a person does; how many were open."""
        return self.people().unfreeze(await self.ledger.read(onchain.frozen))

    def people(self) -> People:
        """A person beside the daemon, at the same file."""
        return People(self.ledger.path.parent, self.clock.clocks)


def limit(window: str, usd: int, scope: str = "all") -> Limit:
    """One cap."""
    return Limit(scope, window, Usd(usd))


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None) -> AsyncIterator[Books]:
    """A ledger of a directory, open as long as the block lasts."""
    clock = clock or Clock()
    ledger = await Ledger.open(directory, clock.clocks)
    try:
        yield Books(ledger, clock)
    finally:
        await ledger.close()


def rows(directory: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Look into the file from outside."""
    db = sqlite3.connect(directory / schema.FILE_NAME)
    try:
        return db.execute(query, parameters).fetchall()
    finally:
        db.close()


async def gathered(*work: Any) -> list[Any]:
    """Run everything at once; exceptions are results."""
    return list(await asyncio.gather(*work, return_exceptions=True))
