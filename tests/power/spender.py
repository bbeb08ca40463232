"""A program that buys over the layer: `… spender DIR SEED LEVEL ROUNDS KINDS NTH`.

It opens the ledger, buys, closes it and opens it again, and marks each step in the layer's log.
LEVEL is the `synchronous` that is forced upon the ledger, or `own`, which leaves it alone. The NTH
operation of some KINDS fails, counted from the first opening on; none does for 0.
"""

import asyncio
import errno
import sqlite3
import sys
from itertools import count
from pathlib import Path
from typing import Any

from tests.power import layer
from tests.power.buyer import shop
from tests.power.chance import dice_of
from tests.power.heard import saying
from tests.store.books import Books, Clock, opened

OWN = "own"
SESSIONS = 3
PATIENCE_S = 60
"""Who waits for the ledger for so long waits for ever."""
BUYERS = 4
CHECKPOINT_PAGES = 60
"""Far fewer than usual, so that the write-ahead log is emptied and begun anew several times."""


def main() -> None:
    """Buy."""
    directory, seed, level, rounds, kinds, nth = sys.argv[1:]
    layer.fail(layer.Fault("", layer.Kind(int(kinds)), errno.EIO), int(nth))
    story = _spend(Path(directory), int(seed), level, int(rounds))
    asyncio.run(asyncio.wait_for(story, PATIENCE_S))


async def _spend(directory: Path, seed: int, level: str, rounds: int) -> None:
    dice, clock, numbers = dice_of(seed), Clock(), count(1)
    for _ in range(SESSIONS):
        try:
            async with opened(directory, clock) as fresh:
                books = Books(fresh.ledger, clock, numbers)
                connection = books.ledger._writer._connection
                if level != OWN:
                    connection.execute(f"PRAGMA synchronous = {level}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
                for _ in range(rounds):
                    await shop(books, dice, _say, BUYERS)
        except (OSError, sqlite3.Error) as problem:
            _say("not started", problem=repr(problem))
    _say("done", seen=layer.seen())


def _say(word: str, **details: Any) -> None:
    layer.mark(saying(word, **details))


if __name__ == "__main__":
    main()
