"""Work that must come to its end though nobody waits for it any more.

From the moment that money is counted for a call until its outcome is recorded, a client that hangs
up changes nothing. The work runs in a task of its own; stopping the daemon waits for these tasks,
within its deadline.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class AbandonedError(asyncio.CancelledError):
    """The waiter was cancelled and the work goes on: what it uses is not to be closed."""


class Shield:
    """Runs work to its end, and knows what is not there yet."""

    def __init__(self) -> None:
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def finish(
        self, work: Coroutine[Any, Any, T], abandoned: Callable[[asyncio.Future[T]], None]
    ) -> T:
        """Do the work, whatever happens to the waiter.

        If the waiter is cancelled, `abandoned` gets the task, which goes on, and this raises
        AbandonedError at once.
        """
        return await self.wait(self.start(work), abandoned)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin work for which nobody needs to wait."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def wait(
        self, task: asyncio.Future[T], abandoned: Callable[[asyncio.Future[T]], None]
    ) -> T:
        """Wait for work that is under way already, as `finish` does."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            abandoned(task)
            raise AbandonedError from None

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is unfinished; what is not done in time is cancelled."""
        if not self._unfinished:
            return
        _, late = await asyncio.wait(self._unfinished, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def result_of(task: asyncio.Future[T]) -> T | None:
    """What a finished task gave; None where it failed."""
    return None if task.cancelled() or task.exception() is not None else task.result()
