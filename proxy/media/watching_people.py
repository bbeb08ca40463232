"""Asking whether a person is verified, for somebody who waits.

Where a provider can be asked, it is asked at its pace. What comes otherwise (a phone at the
callback, the look of somebody else who waits) is news, and wakes whoever waits for that person.
What is new is written down before anybody hears of it.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Any, Final

from proxy.core.http import Headers, get
from proxy.media.performing import Perform, ask_after
from proxy.media.watching import Pace
from proxy.providers.lore import JsonObject
from proxy.store import Ledger, sessions
from proxy.store.sessions import PENDING, VERIFIED, Session
from proxy.visit import Visit
from proxy.waiting import pace_between_s, preference

PACE_S: Final = (3.0, 5.0)
"""How often the documents want to be asked."""

_SUCCESS: Final = range(200, 300)
_random = SystemRandom()


class News:
    """Wakes those who wait for a session."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, session: str) -> None:
        """Something has become of a session."""
        for event in self._waiting.get(session, ()):
            event.set()

    @contextmanager
    def listening(self, session: str) -> Iterator[asyncio.Event]:
        """Wait for news; what comes after this is begun is not missed."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(session, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(session, None)


@dataclass(frozen=True, slots=True)
class Glance:
    """A session as it was last seen, what its provider said, and when to ask again."""

    session: Session
    response: JsonObject | None = None
    pace_s: float | None = None


def between_s(headers: Headers) -> float:
    """How long to wait before the person is asked after again."""
    return pace_between_s(headers) if get(headers, b"retry-after") else _random.uniform(*PACE_S)


class PeopleWatch:
    """Asks after people."""

    def __init__(self, ledger: Ledger, perform: Perform, news: News, pace: Pace) -> None:
        self._ledger = ledger
        self._perform = perform
        self._news = news
        self._pace = pace

    async def until_settled(self, visit: Visit, session: Session) -> Glance:
        """Look once, and for a client that waits until something has become of the session."""
        wait_s = preference(visit.request).wait_s or 0
        deadline = self._pace.clock() + wait_s
        with self._news.listening(session.id) as heard:
            glance = await self.look(visit, session)
            while (left_s := deadline - self._pace.clock()) > 0:
                link_s = glance.session.expires_at - self._ledger.now()
                if glance.session.status != PENDING or link_s <= 0:
                    break
                await self._rest(heard, min(left_s, link_s, glance.pace_s or left_s))
                heard.clear()
                newest = await self._ledger.ask(partial(sessions.find, id_=session.id))
                glance = await self.look(visit, newest or session)
        return glance

    async def look(self, visit: Visit, session: Session) -> Glance:
        """Ask the provider once, where it can be asked, and write down that it is done."""
        group_id = None if session.status == VERIFIED else session.group_id
        call = None if group_id is None else visit.lore.session_poll(group_id)
        if call is None:
            return Glance(session)
        done, pace_s = await ask_after(self._perform, visit, call, self._pace.between_s)
        if done is None:
            return Glance(session, None, pace_s)
        if done.status in _SUCCESS and visit.lore.session_verified(done.fields):
            noted = partial(sessions.verify, session=session, response=done.fields)
            session = await self._ledger.ask(noted)
            self._news.tell(session.id)
        return Glance(session, done.fields, pace_s)

    async def _rest(self, heard: asyncio.Event, seconds: float) -> None:
        """Wait for so long, or until there is news."""
        waits: list[Awaitable[Any]] = [self._pace.sleep(seconds), heard.wait()]
        tasks = [asyncio.ensure_future(each) for each in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
