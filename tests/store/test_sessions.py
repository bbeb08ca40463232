"""The book of verifications: links, states and what comes of them."""

import asyncio
import json
import sqlite3
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from proxy.store import portraits, sessions
from proxy.store.portraits import Portrait
from proxy.store.sessions import (
    RESPONSE_CHARS_MAX,
    STATE_GRACE_S,
    Session,
)
from tests.store.books import START, Books, opened, rows

LINK_S = 1800
RACHEL = Session("ps_1", "pomex", "rachel", "https://h5/1", START + LINK_S, created_at=START)
TOM = Session("ps_2", "blockrun", "tom", "https://h5/2", START + 120, group_id="legacy_rf_1")


def state(word: str) -> bytes:
    """What is kept of a state."""
    return sha256(word.encode()).digest()


async def enter(books: Books, session: Session, word: str | None = None) -> Session:
    """Write a link down, with its state."""
    digest = None if word is None else state(word)
    now = int(books.clock())
    return await books.ledger.ask(lambda db: sessions.enter(db, session, digest, now))


async def conclude(
    books: Books, word: str, group: str | None = None, reason: str = ""
) -> Session | None:
    """A result comes for a state."""
    now = int(books.clock())
    return await books.ledger.ask(lambda db: sessions.conclude(db, state(word), group, reason, now))


async def find(books: Books, id_: str) -> Session | None:
    """Look an id up."""
    return await books.ledger.ask(partial(sessions.find, id_=id_))


async def test_results_at_once(books: Books) -> None:
    """A state takes one of them, whoever else brings another at the same moment."""
    await enter(books, RACHEL, "a")
    found = await asyncio.gather(*(conclude(books, "a", f"group-{n}") for n in range(20)))
    (first,) = [each for each in found if each is not None]
    assert first.status == "verified"
    assert await find(books, "ps_1") == first


async def test_first_success_ends_every_state(books: Books) -> None:
    """The other links of the session bring nothing any more, and a state is of its session only."""
    await enter(books, RACHEL, "a")
    await enter(books, replace(RACHEL, h5_link="https://h5/1b"), "b")
    await enter(books, replace(RACHEL, id="ps_9", name="ann"), "c")
    verified = await conclude(books, "a", "group-1")
    assert verified is not None
    assert (verified.status, verified.group_id) == ("verified", "group-1")
    assert await conclude(books, "b", "group-2") is None
    assert await conclude(books, "b", None, "no") is None
    ann = await conclude(books, "c", "group-3")
    assert ann is not None
    assert (ann.id, ann.group_id) == ("ps_9", "group-3")
    assert await find(books, "ps_1") == verified


async def test_failure(books: Books) -> None:
    """It uses its state up; a new link begins anew under the same id."""
    await enter(books, RACHEL, "a")
    failed = await conclude(books, "a", None, "result 60000")
    assert failed is not None
    assert (failed.status_at(START), failed.reason) == ("failed", "result 60000")
    assert await conclude(books, "a", "group-1") is None
    assert failed.shown(START)["reason"] == "result 60000"
    again = await enter(books, replace(RACHEL, h5_link="https://h5/1b"), "b")
    assert (again.status, again.reason, again.created_at) == ("pending", "", START)
    verified = await conclude(books, "b", "group-1")
    assert verified is not None
    assert verified.status == "verified"


async def test_older_link(books: Books) -> None:
    """It can still bring a success; its failure leaves the session to the newer one."""
    await enter(books, RACHEL, "a")
    newer = await enter(books, replace(RACHEL, h5_link="https://h5/1b"), "b")
    assert await conclude(books, "a", None, "no") == newer
    assert newer.status == "pending"
    await enter(books, replace(RACHEL, h5_link="https://h5/1c"), "c")
    verified = await conclude(books, "b", "group-1")
    assert verified is not None
    assert verified.status == "verified"


async def test_link_that_comes_too_late(books: Books) -> None:
    """Somebody who was verified while it was made stays so, and it has no state."""
    await enter(books, RACHEL, "a")
    verified = await conclude(books, "a", "group-1")
    assert await enter(books, replace(RACHEL, h5_link="https://h5/late"), "b") == verified
    assert await conclude(books, "b", "group-2") is None


async def test_age_of_a_state(books: Books) -> None:
    """It outlives its link a little, for who is in the middle of the scan, and no longer."""
    await enter(books, RACHEL, "a")
    await enter(books, replace(RACHEL, id="ps_9", name="ann"), "b")
    books.clock.now = START + LINK_S + STATE_GRACE_S - 1
    session = await find(books, "ps_1")
    assert session is not None
    assert session.status_at(int(books.clock())) == "expired"
    assert await conclude(books, "a", "group-1") is not None
    books.clock.now += 1
    assert await conclude(books, "b", "group-1") is None
    assert session.status_at(START + LINK_S - 1) == "pending"


async def test_states_that_nobody_needs(tmp_path: Path) -> None:
    """They are swept away when the next one comes."""
    async with opened(tmp_path) as books:
        await enter(books, RACHEL, "a")
        books.clock.now += LINK_S + STATE_GRACE_S
        await enter(books, replace(RACHEL, expires_at=START + 2 * LINK_S), "b")
        assert rows(tmp_path, "SELECT sha256 FROM session_state") == [(state("b"),)]


async def test_after_a_restart(tmp_path: Path) -> None:
    """A session is what it was, and its state is good."""
    async with opened(tmp_path) as books:
        entered = await enter(books, replace(RACHEL, lang="en", response={"a": 1}), "a")
        assert entered.response == {"a": 1}
    async with opened(tmp_path) as books:
        assert await find(books, "ps_1") == entered
        assert await conclude(books, "a", "group-1") is not None


async def test_asked_after_by_the_group(books: Books) -> None:
    """Who is verified is noted with what the provider said; another group's news is nobody's."""
    await enter(books, TOM)
    say = {"status": "active"}
    for session, status in ((replace(TOM, group_id="other"), "pending"), (TOM, "verified")):
        seen = await books.ledger.ask(partial(sessions.verify, session=session, response=say))
        assert seen.status == status
    assert seen.response == say
    assert await enter(books, TOM) == seen


async def test_names_and_groups(books: Books) -> None:
    """A name is one session at a provider, in any case; a group leads to whoever gave it out."""
    tom = await enter(books, TOM)
    other = await enter(books, replace(TOM, id="ps_3", provider="pomex", group_id=None))
    ask = books.ledger.ask
    assert await ask(partial(sessions.named, provider="blockrun", name="TOM")) == tom
    assert await ask(partial(sessions.named, provider="pomex", name="Tom")) == other
    assert await ask(partial(sessions.named, provider="sunra", name="tom")) is None
    with pytest.raises(sqlite3.IntegrityError):
        await enter(books, replace(TOM, id="ps_4", name="TOM"))
    of_group = partial(sessions.of_group, group_id="legacy_rf_1")
    assert await ask(partial(of_group, provider="blockrun")) == (tom,)
    assert await ask(partial(of_group, provider="pomex")) == ()
    owners = partial(sessions.owners, group_id="legacy_rf_1")
    assert await ask(owners) == ("blockrun",)
    portrait = Portrait("sunra", "x", group_id="legacy_rf_1", status="active")
    await ask(lambda db: portraits.enter(db, portrait, START))
    assert await ask(owners) == ("blockrun", "sunra")


async def test_group_that_its_provider_has_lost(books: Books) -> None:
    """It is forgotten, but not a verified person's."""
    tom = await enter(books, TOM)
    await books.ledger.ask(partial(sessions.forget_group, session=tom))
    lost = await find(books, "ps_2")
    assert lost is not None
    assert lost.group_id is None
    await enter(books, TOM)
    await books.ledger.ask(partial(sessions.verify, session=TOM, response={}))
    await books.ledger.ask(partial(sessions.forget_group, session=tom))
    kept = await find(books, "ps_2")
    assert kept is not None
    assert kept.group_id == "legacy_rf_1"


@pytest.mark.parametrize(
    "response",
    [
        {"x": "y" * RESPONSE_CHARS_MAX},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": "\ud800"},
        {"x": json.loads("[" * 100 + "]" * 100)},
    ],
)
async def test_answers_that_are_not_kept(books: Books, response: dict[str, Any]) -> None:
    """One that is too long, or that no JSON can say, leaves nothing behind."""
    assert (await enter(books, replace(RACHEL, response=response))).response == {}


async def test_answer_that_nests_without_end(books: Books) -> None:
    """It leaves nothing behind either."""
    deep: dict[str, Any] = {}
    deep["deep"] = deep
    assert (await enter(books, replace(RACHEL, response=deep))).response == {}


async def test_list(books: Books) -> None:
    """The newest come first, as clients see them, and not without end."""
    await enter(books, RACHEL, "a")
    await enter(books, replace(TOM, created_at=START + 1))
    listed = await books.ledger.read(partial(sessions.listed, now=START + 500))
    assert [(each["id"], each["status"]) for each in listed] == [
        ("ps_2", "expired"),
        ("ps_1", "pending"),
    ]
    assert "group_id" not in listed[1]
    assert listed[0]["group_id"] == "legacy_rf_1"
    short = await books.ledger.read(partial(sessions.listed, now=START, limit=1))
    assert [each["id"] for each in short] == ["ps_2"]


async def test_refusal_names_the_way_out(books: Books) -> None:
    """Who cannot be enrolled yet hears how it stands, and what to do."""
    refusal = (await enter(books, RACHEL)).not_verified(START + LINK_S)
    assert refusal.code == "portrait_not_verified"
    assert "'rachel' (ps_1) is expired" in refusal.message
    assert "/v1/portrait/sessions" in refusal.message
