"""A ledger of each earlier version, with everything in it, opened by this one.

The older file gets what the newer one had, column by column as far as it knows them, and must then
count, refuse and remember as that one did.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.core.ledger import WINDOWS, Evidence, Limit
from proxy.store import Memory, schema, views
from tests.store.books import DEATH_S, OTHER, SHOP, Books, Clock, limit, opened

SCOPES = ("all", "provider:shop")
LIMITS = tuple(
    limit(window, 10**6, scope) for scope in SCOPES for window in (*WINDOWS, "total", "outstanding")
)
VERSIONS = range(1, len(schema.MIGRATIONS))
RENAMED = {("pin", "pinned_at"): ("payee", "first_seen")}
"""What has another name by now."""


async def _live_a_little(books: Books) -> None:
    """Buy things that end in every state, some dead and booked, some alive; a job; a pin."""
    stories: Sequence[tuple[Evidence, ...]] = [
        (),
        (Evidence.SENT,),
        (Evidence.NO_RECEIPT,),
        (Evidence.RECEIPT,),
        (Evidence.NEVER_SENT,),
    ]
    for usd in (100, 2000):
        for number, story in enumerate(stories):
            one = await books.bought(usd + number, scopes=SCOPES, pin=True)
            await books.become(one, *story)
        books.clock.now += DEATH_S
    job = Memory("job:1", "job", "shop", "m", "/poll?x=1", one.payment, "ann", "queued")
    await books.ledger.remember([job, Memory("ta_1", "asset", "shop")])
    await books.bought(30_000, scopes=SCOPES)
    await books.ledger.usage(LIMITS)


def _older(directory: Path, version: int, source: Path) -> None:
    """Make a file of a version with what a newer one holds."""
    db = sqlite3.connect(directory / schema.FILE_NAME)
    for script in schema.MIGRATIONS[:version]:
        db.executescript(script)
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("ATTACH ? AS newer", (str(source),))
    tables = db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
        there, read = table, list(columns)
        for number, column in enumerate(columns):
            there, read[number] = RENAMED.get((table, column), (there, column))
        copied = f"SELECT {', '.join(read)} FROM newer.{there}"  # noqa: S608 - our own tables
        db.execute(f"INSERT OR REPLACE INTO main.{table} {copied}")
    db.commit()
    db.close()


async def _seen(books: Books, limits: tuple[Limit, ...]) -> list[object]:
    """Everything that anybody can see of it."""
    read = books.ledger.read
    return [
        await books.ledger.usage(limits),
        await read(lambda db: views.payments(db, limit=100)),
        await read(views.jobs),
        await read(views.counts),
        await read(views.spent),
        await read(views.exposure),
        await books.ledger.recall("asset", "ta_1"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_older_file(tmp_path: Path, version: int) -> None:
    """It shows and counts the same, holds the same caps, knows its payee, and goes on."""
    clock = Clock()
    now, before = tmp_path / "now", tmp_path / "before"
    now.mkdir()
    before.mkdir()
    async with opened(now, clock) as books:
        await _live_a_little(books)
    async with opened(now, clock) as books:
        expected = await _seen(books, LIMITS)
        _older(before, version, now / schema.FILE_NAME)
    async with opened(before, clock) as books:
        found = await _seen(books, LIMITS)
        for page in (expected, found):
            for payment in page[1]["payments"]:  # type: ignore[index]  # a page of JSON
                for authorization in payment["authorizations"]:
                    authorization.pop("evidence", None)  # which version 1 did not note
        assert found == expected
        fresh = {"payment": "pay_new", "nonce": b"n" * 32, "scopes": SCOPES}
        refusal = await books.refused(1, pin=True, pay_to=OTHER, **fresh)
        assert refusal.code == "payee_not_allowed"
        full = await books.ledger.usage([limit("total", 10**6)])
        room = round(float(full[0]["free"]) * 10**6)
        await books.refused(room + 1, limit("total", 10**6), **fresh)
        await books.bought(room, limit("total", 10**6), pin=True, pay_to=SHOP, **fresh)


@pytest.mark.parametrize("version", VERSIONS)
async def test_older_file_that_is_paused(tmp_path: Path, version: int) -> None:
    """A brake that was pulled before the upgrade is pulled after it."""
    now, before = tmp_path / "now", tmp_path / "before"
    now.mkdir()
    before.mkdir()
    async with opened(now) as books:
        books.people().pause("audit")
        await books.refused(1)
        _older(before, version, now / schema.FILE_NAME)
    async with opened(before) as books:
        assert (await books.refused(1)).message == "paying is paused: audit"
