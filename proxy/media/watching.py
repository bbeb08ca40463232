"""Asking how far a portrait is, for somebody who waits.

What is no state of the portrait (a limit, a fault, a connection that broke) is no news: it never
makes it a failed one. What is new is written down before anybody hears of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from proxy.core.http import Headers
from proxy.media.enrolment import status_of
from proxy.media.performing import Perform, ask_after
from proxy.providers.lore import JsonObject, Likeness, Lore
from proxy.store import Ledger, portraits
from proxy.store.portraits import SETTLED, Portrait
from proxy.visit import Visit
from proxy.waiting import pace_between_s

_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Seen:
    """A portrait as it was last seen, and what the provider said; no pace where that is the end."""

    portrait: Portrait
    response: JsonObject | None = None
    pace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes for somebody who waits: `between_s` reads it off an answer's headers."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    between_s: Callable[[Headers], float] = pace_between_s
    clock: Callable[[], float] = time.monotonic


class Watch:
    """Asks after portraits."""

    def __init__(self, ledger: Ledger, perform: Perform, pace: Pace) -> None:
        self._ledger = ledger
        self._perform = perform
        self._pace = pace

    async def until_settled(self, visit: Visit, seen: Seen, wait_s: float) -> Seen:
        """Ask at the provider's pace until there is an end to it, or the time is up."""
        deadline = self._pace.clock() + wait_s
        while (left_s := deadline - self._pace.clock()) > 0:
            if seen.pace_s is None or seen.portrait.status in SETTLED:
                break
            await self._pace.sleep(min(seen.pace_s, left_s))
            seen = await self.look(visit, seen)
        return seen

    async def look(self, visit: Visit, seen: Seen) -> Seen:
        """Ask the provider once, and write down what is new."""
        call = visit.lore.portrait_poll(seen.portrait.id) if seen.portrait.id else None
        if call is None:
            return replace(seen, pace_s=None)
        done, pace_s = await ask_after(self._perform, visit, call, self._pace.between_s)
        if done is None:
            return replace(seen, pace_s=pace_s)
        found = visit.lore.likeness(done.fields) if done.status in _SUCCESS else None
        if found is None or found.id != seen.portrait.id:
            return Seen(seen.portrait, done.fields)
        news, now = _with_news(seen.portrait, found, visit.lore), self._ledger.now()
        if news != seen.portrait:
            news = await self._ledger.ask(lambda db: portraits.note(db, news, now))
        return Seen(news, done.fields, pace_s)


def _with_news(portrait: Portrait, found: Likeness, lore: Lore) -> Portrait:
    """What a poll says of a portrait; of one that a native call made, its group too."""
    group_id = portrait.group_id or (found.group_id if portrait.kind is None else None)
    models = portrait.models or lore.portrait_models
    status = status_of(found, portrait.status)
    return replace(portrait, status=status, group_id=group_id, models=models)
