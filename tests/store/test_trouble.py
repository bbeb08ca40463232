"""A ledger that cannot be written: nothing is signed, nothing is lost, and it comes back."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.ledger import Evidence, State
from proxy.store import LedgerUnavailableError, Reserved, schema
from proxy.store.writer import BATCH_MAX
from tests.store.books import Books, gathered, opened, rows

PATIENCE_S = 20


async def pragma(books: Books, statement: str) -> None:
    """Say something to the writing connection, between two transactions of it."""
    await books.ledger._writer.submit(lambda db: db.execute(f"PRAGMA {statement}").fetchall())


async def test_read_only_file(books: Books) -> None:
    """Reserving, resolving and the probe fail alike; afterwards all goes on."""
    before = await books.bought(10)
    await pragma(books, "query_only = 1")
    attempts = (
        books.reserve(10),
        books.ledger.resolve(before, Evidence.SENT),
        books.ledger.probe(),
    )
    for attempt in attempts:
        with pytest.raises(LedgerUnavailableError, match="cannot be written"):
            await attempt
    books.ledger._writer._connection.execute("PRAGMA query_only = 0")
    await books.ledger.probe()
    assert await books.ledger.state_of(before.payment) is State.RESERVED
    assert await books.exposure() == 10
    await books.bought(10)
    assert await books.exposure() == 20


async def test_locked_file(books: Books, tmp_path: Path) -> None:
    """While another program holds the file nothing is reserved, and nothing waits for ever."""
    await pragma(books, "busy_timeout = 20")
    other = sqlite3.connect(tmp_path / schema.FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailableError, match="locked"):
        await books.reserve(10)
    other.execute("ROLLBACK")
    other.close()
    await books.bought(10)
    assert await books.exposure() == 10


async def test_file_that_may_not_grow(books: Books, tmp_path: Path) -> None:
    """Full in the middle of a batch: all of it fails together, and the sums fit the rows."""
    await pragma(books, "max_page_count = 60")
    reserved, failed = 0, 0
    while not failed:
        sales = [books.reserve(10, terms="x" * 500) for _ in range(8)]
        verdicts = await gathered(*sales)
        reserved += sum(isinstance(verdict, Reserved) for verdict in verdicts)
        failed += sum(isinstance(verdict, LedgerUnavailableError) for verdict in verdicts)
    assert rows(tmp_path, "SELECT count(*), (SELECT held FROM balance) FROM hold") == [
        (reserved, 10 * reserved)
    ]
    await pragma(books, "max_page_count = 100000")
    await books.bought(10)
    assert await books.exposure() == 10 * reserved + 10


async def test_vanished_table(books: Books) -> None:
    """A broken file is nobody's refusal: the ledger says that it cannot be written."""
    await books.ledger._writer.submit(lambda db: db.execute("ALTER TABLE balance RENAME TO lost"))
    with pytest.raises(LedgerUnavailableError, match="balance"):
        await books.reserve(10)
    assert not isinstance(await books.ledger.state_of("pay_000001"), State)


class TestOneCommitForMany:
    """Whatever queued up while a commit ran goes into the next one, and each answers for itself."""

    @staticmethod
    async def held_back(books: Books, *work: Callable[[], Awaitable[object]]) -> list[object]:
        """Queue work while the writer is busy, so that all of it becomes one batch."""
        gate, entered = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(_: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert gate.wait(PATIENCE_S)

        first = books.ledger._writer.submit(hold)
        await entered.wait()
        tasks = [asyncio.ensure_future(each()) for each in work]
        for _ in range(3):
            await asyncio.sleep(0)
        gate.set()
        await first
        return await gathered(*tasks)

    async def test_one_that_fails_spoils_no_neighbour(self, books: Books) -> None:
        """A bug in one piece of work takes nothing of the others with it."""
        void = await books.bought(1)
        await books.become(void, Evidence.NEVER_SENT)
        first, bug, clash, last = await self.held_back(
            books,
            lambda: books.reserve(10),
            lambda: books.ledger.resolve(void, Evidence.RESTART),
            lambda: books.reserve(100, nonce=(1).to_bytes(32, "big")),
            lambda: books.reserve(10),
        )
        assert isinstance(first, Reserved)
        assert isinstance(last, Reserved)
        assert isinstance(bug, KeyError)
        assert isinstance(clash, sqlite3.IntegrityError)
        assert await books.exposure() == 20

    async def test_failing_disk_fails_all(self, books: Books) -> None:
        """Where the disk fails one, nobody of that commit hears of a success."""

        def disk(_: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        good, bad = await self.held_back(
            books, lambda: books.reserve(10), lambda: books.ledger._writer.submit(disk)
        )
        assert isinstance(good, LedgerUnavailableError)
        assert isinstance(bad, LedgerUnavailableError)
        assert await books.exposure() == 0

    async def test_more_than_one_batch(self, books: Books) -> None:
        """Any number at once is served, in order."""
        sales = [lambda: books.reserve(1)] * (BATCH_MAX * 2 + 10)
        verdicts = await self.held_back(books, *sales)
        holds = [v.hold for v in verdicts if isinstance(v, Reserved)]
        assert holds == list(range(1, len(sales) + 1))

    async def test_who_asked_went_away(self, books: Books) -> None:
        """A cancelled reservation is made all the same: it is counted, the safe side."""
        gate, entered = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(_: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert gate.wait(PATIENCE_S)

        first = books.ledger._writer.submit(hold)
        await entered.wait()
        task = asyncio.create_task(books.reserve(10))
        await asyncio.sleep(0)
        task.cancel()
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await books.exposure() == 10


class TestClosing:
    """The end of the writer."""

    async def test_what_was_queued_is_finished(self, tmp_path: Path) -> None:
        """Closing waits for everything that was handed in before."""
        async with opened(tmp_path) as books:
            sales = [asyncio.ensure_future(books.reserve(1)) for _ in range(50)]
            await asyncio.sleep(0)
        assert {type(verdict) for verdict in await gathered(*sales)} == {Reserved}
        assert rows(tmp_path, "SELECT held FROM balance") == [(50,)]

    async def test_too_late(self, tmp_path: Path) -> None:
        """What comes after the end is told so."""
        async with opened(tmp_path) as books:
            pass
        with pytest.raises(LedgerUnavailableError, match="closed"):
            await books.reserve(1)

    async def test_in_the_very_moment(self, tmp_path: Path) -> None:
        """What comes while the ledger closes is told so too, and does not wait for ever."""
        async with opened(tmp_path) as books:
            closing = asyncio.create_task(books.ledger.close())
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(LedgerUnavailableError, match="closed"):
                    await books.reserve(1)
            await closing
