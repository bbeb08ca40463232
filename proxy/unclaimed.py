"""Answers that were paid for and that nobody waits for any more: kept for a client that asks again.

A client that hangs up after we paid, and sends the identical request within ten minutes, gets the
answer that it paid for: it waits for the same work if that still runs, and nothing is paid again.
Each is given out once. What nobody claims is let go of.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from proxy.delivery import Delivered
from proxy.shield import result_of
from proxy.visit import Visit

KEPT_S: Final = 600
KEPT_MAX: Final = 256
"""Bounds the connections and buffers that clients who do not come back can hold."""


@dataclass(slots=True)
class _Kept:
    visit: Visit
    task: asyncio.Future[Delivered]
    timer: asyncio.TimerHandle | None = None


class Unclaimed:
    """What is kept, by the fingerprint of its request; the oldest goes when there is too much."""

    def __init__(self) -> None:
        self._kept: dict[bytes, list[_Kept]] = {}
        self._count = 0

    def keep(self, visit: Visit, task: asyncio.Future[Delivered]) -> None:
        """Keep the work for a visit whose client has gone."""
        task.add_done_callback(lambda done: _release(visit, done))
        while self._count >= KEPT_MAX:
            oldest = next(iter(self._kept))
            self._drop(oldest, self._kept[oldest][0])
        kept = _Kept(visit, task)
        loop = asyncio.get_running_loop()
        kept.timer = loop.call_later(KEPT_S, self._drop, visit.fingerprint, kept)
        self._kept.setdefault(visit.fingerprint, []).append(kept)
        self._count += 1

    def claim(self, visit: Visit) -> tuple[Visit, asyncio.Future[Delivered]] | None:
        """Give out what is kept for a request like this one; work that failed is not worth it."""
        if not self._kept:
            return None
        for kept in tuple(self._kept.get(visit.fingerprint, ())):
            self._forget(visit.fingerprint, kept)
            if not kept.task.done() or result_of(kept.task) is not None:
                return kept.visit, kept.task
        return None

    def close(self) -> None:
        """Let go of everything."""
        for key, every in tuple(self._kept.items()):
            for kept in tuple(every):
                self._drop(key, kept)

    def _forget(self, key: bytes, kept: _Kept) -> None:
        if kept.timer is not None:
            kept.timer.cancel()
        self._kept[key].remove(kept)
        self._count -= 1
        if not self._kept[key]:
            del self._kept[key]

    def _drop(self, key: bytes, kept: _Kept) -> None:
        self._forget(key, kept)
        kept.task.add_done_callback(_let_go)


def _release(visit: Visit, task: asyncio.Future[Delivered]) -> None:
    """Let go of the request's body, unless its answer streams: then its end does."""
    delivered = result_of(task)
    if delivered is None or isinstance(delivered.reply.body, bytes):
        visit.close()


def _let_go(task: asyncio.Future[Delivered]) -> None:
    delivered = result_of(task)
    close = None if delivered is None else getattr(delivered.reply.body, "let_go", None)
    if close is not None:
        close()
