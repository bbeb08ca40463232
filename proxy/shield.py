"""Work that must come to its end though nobody waits for it any more.

From the moment that money is counted for a call until its outcome is recorded, a client that hangs
up changes nothing. The work runs in a task of its own; stopping the daemon waits for these tasks,
within its deadline.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Shield:
    """Runs work to its end, and knows what is not there yet."""

    def __init__(self) -> None:
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T], let_go: Callable[[T], None]) -> T:
        """Do the work.

        If the waiter is cancelled meanwhile, its result goes to `let_go` when it comes.
        """
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: _let_go(done, let_go))
            raise

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is unfinished; what is not done in time is cancelled."""
        if not self._unfinished:
            return
        _, late = await asyncio.wait(self._unfinished, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _let_go(task: asyncio.Task[T], let_go: Callable[[T], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        let_go(task.result())
