"""A program whose disk fails: `python -m tests.power.sweeper DIR SEED FAULT:NTH…`.

For each fault (a number in `layer.FAULTS`) and operation it starts a copy of itself, which opens a
ledger of its own below DIR, buys, closes it and opens it again, while that operation fails. Then
the disk is well again, and it must be possible to buy. Beside `DIR/FAULT:NTH` there stand
afterwards what it said, `….said`, and `….killed`: its files as a kill would have left them, at the
moment before the disk got well.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
import traceback
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

from proxy.store import LedgerUnavailableError
from tests.power import layer
from tests.power.buyer import shop
from tests.power.chance import dice_of
from tests.power.heard import Say, saying
from tests.power.oracle import WALLS
from tests.store.books import Books, Clock, opened

SESSIONS, ROUNDS, BUYERS = 2, 4, 3
CHECKPOINT_PAGES = 40
PATIENCE_S = 20
"""Who waits for the ledger for so long waits for ever."""


def main() -> None:
    """Try one fault after the other, each in a process of its own."""
    directory, seed, *plans = sys.argv[1:]
    for plan in plans:
        if not (child := os.fork()):
            _alone(Path(directory, plan), int(seed), *map(int, plan.split(":")))
        os.waitpid(child, 0)


def _alone(place: Path, seed: int, fault: int, nth: int) -> None:
    said = os.open(f"{place}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(word: str, **details: Any) -> None:
        os.write(said, (saying(word, **details) + "\n").encode())

    try:
        place.mkdir()
        layer.fail(layer.FAULTS[fault], nth)
        asyncio.run(_patiently(Story(place, seed, say)))
    except BaseException:  # noqa: BLE001 - told to whoever listens; this process ends here
        say("broke", problem=traceback.format_exc())
    finally:
        os._exit(0)


async def _patiently(story: "Story") -> None:
    async with asyncio.timeout(PATIENCE_S):
        await story.live()


class Story:
    """What one process does with one ledger."""

    def __init__(self, place: Path, seed: int, say: Say) -> None:
        self.place, self.say = place, say
        self.dice = dice_of(seed)
        self.clock, self.numbers = Clock(), count(1)

    async def live(self) -> None:
        """Buy while the disk may fail, in several sessions, and once more when it is well."""
        for session in range(SESSIONS):
            async with AsyncExitStack() as stack:
                if (books := await self._opened(stack)) is not None:
                    await self._buy(books)
                if session == SESSIONS - 1:
                    self._get_well()
                    books = books or await self._opened(stack)
                    assert books is not None
                    await shop(books, self.dice, self.say, BUYERS)
                    self.say("usage", walls=await books.ledger.usage(WALLS))
        self.say("done")

    async def _opened(self, stack: AsyncExitStack) -> Books | None:
        try:
            fresh = await stack.enter_async_context(opened(self.place, self.clock))
        except (OSError, sqlite3.Error) as problem:
            self.say("not started", problem=repr(problem))
            return None
        self.say("opened")
        connection = fresh.ledger._writer._connection
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return Books(fresh.ledger, self.clock, self.numbers)

    async def _buy(self, books: Books) -> None:
        for _ in range(ROUNDS):
            await shop(books, self.dice, self.say, BUYERS)
        try:
            await books.exposure()
        except LedgerUnavailableError as problem:
            self.say("unread", problem=str(problem))
        except sqlite3.Error as problem:
            self.say("unread, raw", problem=repr(problem))

    def _get_well(self) -> None:
        self.say("well", seen=layer.seen())
        layer.calm()
        shutil.copytree(self.place, f"{self.place}.killed")


if __name__ == "__main__":
    main()
