"""A buyer who says what he does: reserves, several at once, and records what became of each."""

import asyncio
import random
from typing import Final

from proxy.core.ledger import Evidence
from proxy.store import LedgerUnavailableError, Reserved
from tests.power.chance import dice_of
from tests.power.heard import Say
from tests.power.oracle import SCOPES
from tests.store.books import Books

STORIES: Final = (
    (),
    (Evidence.SENT,),
    (Evidence.SENT, Evidence.RECEIPT),
    (Evidence.RECEIPT,),
    (Evidence.NO_RECEIPT,),
    (Evidence.NO_RECEIPT, Evidence.RECEIPT),
    (Evidence.NEVER_SENT,),
)
STEP_S: Final = 20
"""How far time moves from one purchase to the next: the first holds die while others are made."""


async def shop(books: Books, dice: random.Random, say: Say, buyers: int) -> None:
    """Let some buy one thing each, at the same time."""
    books.clock.now += STEP_S
    say("time", now=int(books.clock.now))
    say("round")
    async with asyncio.TaskGroup() as group:
        for _ in range(buyers):
            group.create_task(_buy(books, dice_of(dice.random()), say))


async def _buy(books: Books, dice: random.Random, say: Say) -> None:
    scopes = ("all", *(scope for scope in SCOPES[1:] if dice.random() < 1 / 2))
    terms = "x" * dice.choice((10, 500, 3000))
    intent, hold = books.sale(dice.randint(1, 99), scopes=scopes, terms=terms, pin=True)
    payment = intent.payment
    say("asked", payment=payment, usd=hold.usd, scopes=scopes, valid_before=hold.valid_before)
    try:
        reserved = await books.ledger.reserve(intent, hold, ())
        assert isinstance(reserved, Reserved)
        say("reserved", payment=payment)
        for evidence in dice.choice(STORIES):
            say("claimed", payment=payment, evidence=evidence)
            await books.ledger.resolve(reserved, evidence)
            say("proved", payment=payment, evidence=evidence)
    except LedgerUnavailableError as problem:
        say("unavailable", problem=str(problem))
