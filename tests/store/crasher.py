"""A program that reserves in a loop until somebody kills it: `python -m tests.store.crasher DIR`.

It prints the id of each payment as soon as its reservation has returned, and of each one that it
has said to be sent. With a number besides, no file of its own may grow past so many bytes, so that
the disk seems to be full; it then says so, lifts the limit and goes on for one more.
"""

import asyncio
import resource
import sys
import time
from pathlib import Path

from proxy.core.ledger import Evidence
from proxy.store import LedgerUnavailableError
from tests.store.books import Books, Clock, opened

SIDE_BY_SIDE = 4


def main() -> None:
    """Do one of the two."""
    directory, *bytes_max = sys.argv[1:]
    asyncio.run(_fill(Path(directory), int(bytes_max[0])) if bytes_max else _spend(Path(directory)))


async def _spend(directory: Path) -> None:
    async with opened(directory, Clock(time.time())) as books, asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(_buy_for_ever(books))


async def _buy_for_ever(books: Books) -> None:
    while True:
        reserved = await books.bought(10, pin=True)
        _say(reserved.payment)
        await books.become(reserved, Evidence.SENT)


async def _fill(directory: Path, bytes_max: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with opened(directory, Clock(time.time())) as books:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))
        try:
            while True:
                _say((await books.bought(10, terms="x" * 1000)).payment)
        except LedgerUnavailableError:
            _say("full")
        try:
            while True:
                await books.ledger.probe()
        except LedgerUnavailableError:
            _say("not ready")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await books.ledger.probe()
        _say((await books.bought(10)).payment)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
