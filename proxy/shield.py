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

    async def finish(self, work: Coroutine[Any, Any, T], clean_up: Callable[[T | None], None]) -> T:
        """Do the work, whatever happens to the waiter.

        If the waiter is cancelled, this raises AbandonedError at once, and when the work ends
        `clean_up` gets its result, or None where it failed.
        """
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            task.add_done_callback(lambda done: clean_up(_result(done)))
            raise AbandonedError from None

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is unfinished; what is not done in time is cancelled."""
        if not self._unfinished:
            return
        _, late = await asyncio.wait(self._unfinished, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _result(task: asyncio.Task[T]) -> T | None:
    return None if task.cancelled() or task.exception() is not None else task.result()
