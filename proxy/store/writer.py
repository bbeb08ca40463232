"""One thread that writes, and commits for all who wait at once.

An fsync costs the same for one reservation as for thirty, so whatever has queued up while the last
commit ran goes into the next one together. Each piece of work runs in a savepoint of its own: one
that fails takes nothing of its neighbours with it. Nobody hears of a success before the commit is
on the disk; if the commit fails, nobody hears of one at all.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BATCH_MAX: Final = 256
"""Bounds how long a commit can be in the making."""


class LedgerUnavailableError(Exception):
    """The ledger cannot be written: nothing is signed until it can."""


@dataclass(slots=True)
class _Task:
    work: Work[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Owns the writing connection. Work is done in the order in which it was handed in."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._closing = False
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue work; the future is done once its effects are durable. It need not be awaited."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closing:
            future.set_exception(LedgerUnavailableError("the ledger is closed"))
        else:
            self._queue.put(_Task(work, future))
        return future

    async def close(self) -> None:
        """Finish what was queued, then close the file. What comes later is refused at once."""
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._commit(batch)
            self._loop.call_soon_threadsafe(_announce, batch)

    def _next_batch(self) -> list[_Task] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                task = self._queue.get_nowait()
            except queue.Empty:
                break
            if task is None:
                self._queue.put(None)
                break
            batch.append(task)
        return batch

    def _commit(self, batch: list[_Task]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for task in batch:
                self._perform(task)
            self._connection.execute("COMMIT")
        except Exception as problem:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            said = str(problem) or type(problem).__name__
            for task in batch:
                task.error = LedgerUnavailableError(f"the ledger cannot be written: {said}")
            self._roll_back()

    def _roll_back(self) -> None:
        """Undo what was begun. If even that fails, the next BEGIN fails, and it is tried again."""
        with suppress(Exception):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _perform(self, task: _Task) -> None:
        self._connection.execute("SAVEPOINT work")
        try:
            task.result = task.work(self._connection)
        except Exception as problem:
            if _is_everybodys(problem):
                raise
            task.error = problem
            if isinstance(problem, UnicodeEncodeError):  # half a surrogate pair, from a stranger
                task.error = LedgerUnavailableError("what is to be written is no text")
            self._connection.execute("ROLLBACK TO work")
        self._connection.execute("RELEASE work")


def _is_everybodys(problem: Exception) -> bool:
    """Whether the disk, the file or the memory failed; a broken file is a plain DatabaseError."""
    everybodys = (sqlite3.OperationalError, sqlite3.InternalError, MemoryError)
    return isinstance(problem, everybodys) or type(problem) is sqlite3.DatabaseError


def _announce(batch: list[_Task]) -> None:
    for task in batch:
        if task.future.done():
            continue
        if task.error is None:
            task.future.set_result(task.result)
        else:
            task.future.set_exception(task.error)
