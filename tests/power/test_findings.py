"""What power loss and failing disks brought to light; each of these failed when it was written."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.core.ledger import Evidence
from proxy.store import LedgerUnavailableError, Reserved, SchemaError, schema
from proxy.store.people import People
from proxy.store.writer import Writer
from tests.power.chance import dice_of
from tests.power.layer import Kind
from tests.power.losses import Shop, found, sample
from tests.store.books import opened

PATIENCE_S = 5
"""Who waits for the ledger for so long waits for ever."""

TRIES = 3
"""How soon it is there again: what could not be rolled back costs the next who asks, too."""

PAGE = 4096


class TestPowerLossAfterAFailureAtTheStart:
    """What fails while the files are made must stop the start, or be made good."""

    @pytest.mark.parametrize(("kind", "nth"), [(Kind.SYNC, n) for n in (1, 3)] + [(Kind.UNLINK, 1)])
    async def test_the_journal_is_a_write_ahead_log(self, shop: Shop, kind: Kind, nth: int) -> None:
        """The ledger never works with a rollback journal, whose end no sync makes durable."""
        run = shop.bought(nth, kinds=kind, nth=nth)
        assert await found(run, sample(run, dice_of(nth), 12, 6), nth) == []

    @pytest.mark.parametrize("nth", [2, 3, 5])
    async def test_the_names_of_the_files_are_synced(self, shop: Shop, nth: int) -> None:
        """The log's name is durable before anything is promised."""
        run = shop.bought(nth, kinds=Kind.SYNCDIR, nth=nth)
        assert [each for each in run.entries if each.word == "syncdirfailed"]
        assert await found(run, sample(run, dice_of(nth), 12, 6), nth) == []


FRAIL = "frail.sqlite3"


class Frail(sqlite3.Connection):
    """A connection of which chosen statements fail, once each."""

    faults: dict[str, Exception]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Do a statement, or fail."""
        if (fault := self.faults.pop(sql, None)) is not None:
            raise fault
        return super().execute(sql, *parameters)


FULL = sqlite3.OperationalError("database or disk is full")
MALFORMED = sqlite3.DatabaseError("database disk image is malformed")


class TestWriter:
    """Whatever fails, whoever waits hears of it, and the writer goes on."""

    @pytest.fixture
    def frail(self, tmp_path: Path) -> Frail:
        """A frail connection to a file with one table."""
        frail = sqlite3.connect(
            tmp_path / FRAIL, factory=Frail, isolation_level=None, check_same_thread=False
        )
        assert isinstance(frail, Frail)
        frail.faults = {}
        frail.execute("CREATE TABLE thing (number INTEGER)")
        return frail

    @pytest.mark.parametrize("fault", [FULL, MALFORMED, MemoryError()], ids=repr)
    @pytest.mark.parametrize(
        "statements",
        [
            ("BEGIN IMMEDIATE",),
            ("SAVEPOINT work",),
            ("INSERT INTO thing VALUES (1)",),
            ("RELEASE work",),
            ("COMMIT",),
            ("ROLLBACK TO work", "INSERT INTO thing VALUES (1)"),
            ("COMMIT", "ROLLBACK"),
        ],
        ids="+".join,
    )
    async def test_statement_fails(
        self, frail: Frail, tmp_path: Path, statements: tuple[str, ...], fault: Exception
    ) -> None:
        """The ledger is unavailable, nobody waits for ever, and it is there again soon after."""
        writer, path = Writer(frail, asyncio.get_running_loop()), tmp_path / FRAIL

        def work(db: sqlite3.Connection) -> str:
            db.execute("INSERT INTO thing VALUES (1)")
            return "done"

        frail.faults = dict.fromkeys(statements, fault)
        heard = [await answer(writer.submit(work)) for _ in range(TRIES)]
        await answer(writer.close())
        assert isinstance(heard[0], LedgerUnavailableError), heard
        assert heard[-1] == "done"
        assert set(map(type, heard)) <= {str, LedgerUnavailableError}
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM thing").fetchone() == (heard.count("done"),)


async def answer(waiting: Awaitable[Any]) -> Any:
    """What comes of something, an exception too; TimeoutError for what never ends."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await waiting
    except Exception as problem:  # noqa: BLE001 - the test looks at what it is
        return problem


class TestBrokenFile:
    """A file of which a page is lost: the ledger says so, in its own words."""

    @pytest.fixture
    async def whole(self, shelf: Path) -> Path:
        """A ledger that was used, and closed in peace."""
        place = shelf / "whole"
        place.mkdir()
        async with opened(place) as books:
            for _ in range(20):
                reserved = await books.bought(10, terms="x" * 2000, pin=True)
                await books.become(reserved, Evidence.NO_RECEIPT)
        return place

    @pytest.mark.parametrize("rubbish", [bytes(PAGE), b"\xff" * PAGE], ids=["zeros", "ones"])
    async def test_each_page(self, whole: Path, rubbish: bytes) -> None:
        """Whichever page it is, starting fails cleanly, or work says that there is no ledger."""
        pages = (whole / schema.FILE_NAME).stat().st_size // PAGE
        wrong = {}
        for page in range(pages):
            place = Path(shutil.copytree(whole, whole.with_name(f"page {page}")))
            with (place / schema.FILE_NAME).open("r+b") as file:
                file.seek(page * PAGE)
                file.write(rubbish)
            if strange := await self.strange(place):
                wrong[page] = strange
        assert wrong == {}

    @staticmethod
    async def strange(place: Path) -> list[str]:
        """What happens that nobody would catch."""
        heard: list[Any] = []
        try:
            async with opened(place) as books:
                books.numbers = iter(range(1000, 2000))
                heard.append(await answer(books.reserve(10, pin=True)))
                heard.append(await answer(books.reserve(10, terms="y" * 2000)))
                heard.append(await answer(books.ledger.live_hold("pay_000007", 1)))
                heard.append(
                    await answer(books.ledger.resolve(Reserved("pay_000007", 7), Evidence.RECEIPT))
                )
                heard.append(await answer(books.ledger.usage(())))
                heard.append(await answer(books.exposure()))
                heard.append(await answer(books.ledger.probe()))
        except (OSError, sqlite3.Error, SchemaError):
            pass  # `serve` says that it cannot start
        except Exception as problem:  # noqa: BLE001 - the test looks at what it is
            return [f"start: {problem!r}"]
        return [
            repr(each)
            for each in heard
            if isinstance(each, Exception) and not isinstance(each, LedgerUnavailableError)
        ]


async def test_second_connection_in_the_same_process(tmp_path: Path) -> None:
    """It does not take the first one's locks away, so nobody else removes the log in use.

    A process that closes any descriptor of a file loses all its locks on it.
    """
    visitor = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "print(db.execute('SELECT count(*) FROM hold').fetchone()[0]); db.close()"
    )
    command = [sys.executable, "-c", visitor, str(tmp_path / schema.FILE_NAME)]
    async with opened(tmp_path) as books:
        await books.bought(10)
        People(tmp_path, books.clock.clocks).pause("for a moment")
        People(tmp_path, books.clock.clocks).resume()
        assert await asyncio.to_thread(subprocess.check_output, command) == b"1\n"
        await books.bought(10)
        assert await asyncio.to_thread(subprocess.check_output, command) == b"2\n"


async def test_no_descriptor_left(tmp_path: Path) -> None:
    """A process that ran out of descriptors pays again when it has some; nobody must resume."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with opened(tmp_path) as books:
        await books.bought(10)
        os.close(free := os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            meanwhile = await answer(books.reserve(10))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert isinstance(await books.reserve(10), Reserved), meanwhile


async def test_reading_without_a_file(tmp_path: Path) -> None:
    """Pages hear in the ledger's words that it cannot be read."""
    async with opened(tmp_path) as books:
        (tmp_path / schema.FILE_NAME).rename(tmp_path / "elsewhere")
        with pytest.raises(LedgerUnavailableError):
            await books.exposure()
        (tmp_path / "elsewhere").rename(tmp_path / schema.FILE_NAME)
        assert await books.exposure() == 0
