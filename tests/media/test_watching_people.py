"""Waiting for a person, over a scripted provider and a clock that only waiting moves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers
from proxy.core.paths import SESSIONS
from proxy.media.sessions import Sessions
from proxy.media.watching import Pace
from proxy.media.watching_people import PACE_S, News, between_s
from tests.media.test_portraits import Answer, Desk, read
from tests.store.books import opened as opened_books

BEGUN = {"h5_link": "https://h5.example/x", "group_id": "legacy_rf_1", "expires_in_seconds": 120}
PENDING = {"status": "pending_validation", "ready_to_finalize": False}
READY = {"status": "pending_validation", "ready_to_finalize": True}


class People(Desk):
    """The stories of people under test; waiting moves the ledger's clock too."""

    def __post_init__(self) -> None:
        """Put the stories of people beside those of portraits."""
        super().__post_init__()
        self.news = News()
        pace = Pace(self.sleep, even_pace_s, lambda: self.now)
        self.sessions = Sessions(self.books.ledger, self.script, self.news, pace)

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.books.clock.now += seconds
        await super().sleep(seconds)

    async def open(self, *answers: Answer, provider: str = "blockrun") -> dict[str, Any]:
        """Start a session."""
        self.script.answers = [(200, BEGUN), *answers]
        visit = self.visit("POST", SESSIONS, {"name": "rachel"}, provider)
        assert self.sessions.native(visit) is not None
        session: dict[str, Any] = read((await self.sessions.open(visit)).reply)[1]
        return session

    async def watch(self, session: dict[str, Any], wait_s: int) -> tuple[int, Any]:
        """Wait for it."""
        prefer = {"Prefer": f"wait={wait_s}"}
        visit = self.visit("GET", f"{SESSIONS}/{session['id']}", provider="blockrun", **prefer)
        reply = await self.sessions.serve(visit)
        assert reply is not None
        return read(reply)


def even_pace_s(headers: Headers) -> float:
    """The pace without its chance."""
    return between_s(headers) if headers and headers[-1][0] == b"Retry-After" else 4.0


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    """The stories, over an empty book and an empty script."""
    async with opened_books(tmp_path) as books:
        yield People(books, tmp_path)


async def test_what_is_no_news(people: People) -> None:
    """Limits, faults and broken connections are waited out, at the pace that they ask for."""
    slow = ((b"Retry-After", b"9"),)
    session = await people.open(
        (200, PENDING),
        (429, READY, slow),
        (502, READY),
        Refused(Refusal("upstream_unreachable", "…")),
        (404, {"error": "Group not found"}),
        (200, READY),
    )
    status, shown = await people.watch(session, 60)
    assert (status, shown["status"], shown["provider_response"]) == (200, "verified", READY)
    assert people.waits == [4.0, 9.0, 4.0, 4.0, 4.0]
    assert len(people.script.calls) == 7


async def test_refusal_of_our_own(people: People) -> None:
    """It is told."""
    session = await people.open((200, PENDING), Refused(Refusal("paused", "…")))
    with pytest.raises(Refused, match="paused"):
        await people.watch(session, 60)


async def test_wait_that_runs_out(people: People) -> None:
    """The last question is asked when the time is up, and no later."""
    session = await people.open((200, PENDING), (200, PENDING), (200, PENDING | {"n": 1}))
    _, shown = await people.watch(session, 7)
    assert (shown["status"], shown["provider_response"]) == ("pending", PENDING | {"n": 1})
    assert people.waits == [4.0, 3.0]


async def test_link_that_dies_in_the_meantime(people: People) -> None:
    """The wait ends with it, after a last question: somebody may have come just in time."""
    session = await people.open(*[(200, PENDING)] * 31)
    _, shown = await people.watch(session, 900)
    assert shown["status"] == "expired"
    assert sum(people.waits) == 120
    people.script.answers = [(200, READY)]
    assert (await people.watch(session, 900))[1]["status"] == "verified"
    assert (await people.watch(session, 900))[1]["status"] == "verified"


async def test_two_who_wait(people: People) -> None:
    """What one hears wakes the other, who asks nobody any more."""
    session = await people.open((200, PENDING), (200, READY))
    hours = asyncio.Event()

    async def sleep(seconds: float) -> None:
        people.waits.append(seconds)
        await hours.wait()

    patient = Sessions(people.books.ledger, people.script, people.news, Pace(sleep, even_pace_s))
    visit = people.visit(
        "GET", f"{SESSIONS}/{session['id']}", provider="blockrun", Prefer="wait=60"
    )
    waiting = asyncio.create_task(patient.serve(visit))
    while not people.waits:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    assert (await people.watch(session, 0))[1]["status"] == "verified"
    reply = await waiting
    assert reply is not None
    assert read(reply)[1]["status"] == "verified"
    assert len(people.script.calls) == 3


async def test_client_that_hangs_up(people: People) -> None:
    """Nobody is asked any more, and nobody is left listening."""
    session = await people.open(*[(200, PENDING)] * 1000)
    task = asyncio.create_task(people.watch(session, 10**5))
    while len(people.script.calls) < 4:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    calls = len(people.script.calls)
    people.news.tell(session["id"])
    await asyncio.sleep(0)
    assert len(people.script.calls) == calls
    assert people.news._waiting == {}


async def test_pace() -> None:
    """Three to five seconds, or what the provider says."""
    for _ in range(100):
        assert PACE_S[0] <= between_s(()) <= PACE_S[1]
    assert between_s(((b"Retry-After", b"8"),)) == 8
