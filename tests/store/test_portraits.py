"""The book of portraits: names, and what becomes of them."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from proxy.store import Memory, portraits
from proxy.store.portraits import Portrait
from tests.store.books import START, Books, opened

RACHEL = Portrait("sunra", "cgt-1", "rachel", "virtual", None, "processing", "https://a/b", 0)


async def reserve(books: Books, name: str, provider: str = "sunra") -> Portrait | None:
    """Take a name."""
    return await books.ledger.ask(lambda db: portraits.reserve(db, provider, name, START))


async def enter(books: Books, portrait: Portrait) -> Portrait:
    """Write a portrait down."""
    now = int(books.clock())
    return await books.ledger.ask(lambda db: portraits.enter(db, portrait, now))


async def note(books: Books, portrait: Portrait) -> Portrait:
    """Write news down."""
    return await books.ledger.ask(lambda db: portraits.note(db, portrait, START))


async def find(books: Books, word: str) -> tuple[Portrait, ...]:
    """Look a word up."""
    return await books.ledger.ask(partial(portraits.find, word=word))


async def listed(books: Books) -> list[dict[str, Any]]:
    """The rows of the page."""
    rows: list[dict[str, Any]] = (await books.ledger.read(portraits.listed))["portraits"]
    return rows


async def test_name_while_it_is_being_enrolled(books: Books) -> None:
    """Of two who want a name at once, in whatever case, one hears whose it is."""
    first, second = await asyncio.gather(reserve(books, "Rachel"), reserve(books, "rachel", "x"))
    assert first is None
    assert second is not None
    assert (second.provider, second.id, second.status) == ("sunra", "", "enrolling")
    assert await reserve(books, "rachel 2") is None
    assert [row["id"] for row in await listed(books)] == [None, None]


async def test_names_beyond_ascii_that_differ_in_case(books: Books) -> None:
    """They are two names."""
    assert await reserve(books, "Émile") is None
    assert await reserve(books, "émile") is None


async def test_enrolment_that_comes_to_nothing(books: Books) -> None:
    """The name is free again, and nothing is listed."""
    await reserve(books, "rachel")
    await books.ledger.ask(partial(portraits.release, name="RACHEL"))
    assert await listed(books) == []
    assert await reserve(books, "rachel") is None


async def test_daemon_that_dies_in_the_middle(tmp_path: Path) -> None:
    """Its next start frees the name of what was being enrolled, and of nothing else."""
    async with opened(tmp_path) as books:
        await reserve(books, "rachel")
        await enter(books, RACHEL)
        await reserve(books, "tom")
    async with opened(tmp_path) as books:
        assert [row["name"] for row in await listed(books)] == ["rachel"]
        assert await reserve(books, "tom") is None


async def test_enrolled_portrait(books: Books) -> None:
    """It takes its reservation's place, and is found by its id and by its name in any case."""
    await reserve(books, "rachel")
    entered = await enter(books, replace(RACHEL, models=("a", "b"), request=b"r"))
    assert entered == replace(RACHEL, models=("a", "b"), request=b"r", created_at=START)
    assert await find(books, "cgt-1") == await find(books, "RACHEL") == (entered,)
    assert await find(books, "cgt-2") == ()
    assert await reserve(books, "Rachel") == entered
    assert await listed(books) == [
        {
            "id": "cgt-1",
            "provider": "sunra",
            "name": "rachel",
            "kind": "virtual",
            "status": "processing",
            "image_url": "https://a/b",
            "created_at": START,
            "models": ["a", "b"],
        }
    ]


async def test_news(books: Books) -> None:
    """A state is news; what is not said stays, and so does a name, whoever has it by now."""
    entered = await enter(books, replace(RACHEL, request=b"r", models=("a",)))
    assert (await note(books, replace(entered, status="failed"))).name == "rachel"
    assert await reserve(books, "rachel", "pomex") is None
    late = await note(books, replace(entered, status="active", kind=None, image_url=None))
    assert late == replace(entered, status="active", name=None)
    await enter(books, Portrait("pomex", "asset-1", "rachel", status="active"))
    assert [row["name"] for row in await listed(books)] == ["rachel", None]


async def test_deleted_portrait(books: Books) -> None:
    """Its name is free; its id is neither listed nor found, though it stays remembered."""
    await books.ledger.remember([Memory("cgt-1", "asset", "sunra")])
    entered = await enter(books, RACHEL)
    await books.ledger.ask(lambda db: portraits.delete(db, entered, START))
    assert await listed(books) == []
    assert await find(books, "cgt-1") == await find(books, "rachel") == ()
    assert len(await books.ledger.recall("asset", "cgt-1")) == 1
    assert await reserve(books, "rachel") is None


async def test_assets_of_native_calls(books: Books) -> None:
    """They are listed and found without a name, newest first, until something is known of them."""
    await books.ledger.remember([Memory("ta_1", "asset", "blockrun"), Memory("j", "job", "x")])
    books.clock.now += 1
    await enter(books, RACHEL)
    rows = await listed(books)
    assert [(row["id"], row["name"], row["status"]) for row in rows] == [
        ("cgt-1", "rachel", "processing"),
        ("ta_1", None, "unknown"),
    ]
    assert rows[1]["kind"] is rows[1]["image_url"] is None
    (found,) = await find(books, "ta_1")
    await note(books, replace(found, status="active", group_id="tg_1"))
    (row,) = [row for row in await listed(books) if row["id"] == "ta_1"]
    assert (row["status"], row["group_id"], row["created_at"]) == ("active", "tg_1", START)
    assert await books.ledger.ask(partial(portraits.count_of, provider="blockrun")) == 1


async def test_name_that_is_an_id(books: Books) -> None:
    """Whatever is found by its id first has it, at any provider; one that was deleted has not."""
    entered = await enter(books, replace(RACHEL, status="failed"))
    await books.ledger.remember([Memory("asset-9", "asset", "pomex"), Memory("j-1", "job", "x")])
    assert await reserve(books, "cgt-1", "pomex") == entered
    other = await reserve(books, "asset-9")
    assert other is not None
    assert (other.provider, other.name) == ("pomex", None)
    assert await reserve(books, "j-1") is None
    await books.ledger.ask(lambda db: portraits.delete(db, entered, START))
    assert await reserve(books, "cgt-1") is None


async def test_id_of_two_providers(books: Books) -> None:
    """Both are found, and an id goes before a name."""
    await enter(books, RACHEL)
    await enter(books, Portrait("pomex", "cgt-1", status="active"))
    await enter(books, Portrait("pomex", "asset-2", "cgt-1", status="active"))
    assert sorted(each.provider for each in await find(books, "cgt-1")) == ["pomex", "sunra"]
