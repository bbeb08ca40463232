"""Jobs that nobody asks after any more, followed to their end so that their clips can be kept.

A clip was paid for when it was submitted, and its provider keeps it for a day or two: it is not to
be lost because nobody came back in time. Only where asking takes nothing: at providers that are
not paid at a job's end, and under a cap of nothing for the call. One that is (BlockRun) is asked
for somebody who waits, and for nobody else.

A job is asked after as a client would ask, on the common path, at a pace that slackens with its
age. The ledger is the list of what is open; what goes wrong is the next look's matter.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from proxy.core.config import Config
from proxy.core.errors import Refused
from proxy.core.http import Headers, Reply, Request
from proxy.core.paths import JOBS
from proxy.core.videos import segment
from proxy.providers import LORE
from proxy.store import Ledger, LedgerUnavailableError
from proxy.store.clips import WANTED_S
from proxy.store.memory import OpenJob, open_jobs

AT_ONCE: Final = 4
"""Questions under way at one provider: a slow one holds up nobody else's."""
_log = structlog.get_logger()

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often is looked and asked, in seconds.

    A job is asked after when a `share`-th of its age has passed since the last time, within bounds.
    """

    look_s: float = 10
    ask_min_s: float = 10
    ask_max_s: float = 600
    share: int = 4

    def due_at(self, now: int, created_at: int, asked_at: int | None) -> float:
        """When a job is to be asked after next, in Unix seconds."""
        age_s = now - created_at
        pace_s = min(self.ask_max_s, max(self.ask_min_s, age_s / self.share))
        return (created_at if asked_at is None else asked_at) + pace_s


class Follower:
    """Asks after open jobs. `config` gives what is in force, `serve` serves a request."""

    def __init__(
        self,
        config: Callable[[], Config],
        ledger: Ledger,
        serve: Callable[[Request], Awaitable[Reply]],
        rhythm: Rhythm | None = None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._serve = serve
        self.rhythm = rhythm or Rhythm()
        self._asked_at: dict[Key, int] = {}
        self._active: set[Key] = set()

    async def run(self) -> None:
        """Follow, until cancelled. Whatever goes wrong here is no matter of paying."""
        async with asyncio.TaskGroup() as questions:
            while True:
                await self._look(questions)
                await asyncio.sleep(self.rhythm.look_s)

    async def _look(self, questions: asyncio.TaskGroup) -> None:
        """Ask after what is due, longest due first."""
        providers = _followed(self._config())
        if not providers:
            return
        now = self._ledger.now()
        try:
            every = await self._ledger.read(lambda db: open_jobs(db, providers, now - WANTED_S))
        except LedgerUnavailableError as problem:
            _log.error("follower_stuck", problem=str(problem))
            return
        self._asked_at = {job.key: at for job in every if (at := self._asked_at.get(job.key))}
        busy = Counter(provider for provider, _ in self._active)
        for job in sorted(every, key=partial(self._order, now)):
            if job.key in self._active or busy[job.provider] >= AT_ONCE:
                continue
            if self._due_at(job, now) > now:
                break
            busy[job.provider] += 1
            self._active.add(job.key)
            self._asked_at[job.key] = now
            task = questions.create_task(self._ask(job))
            task.add_done_callback(partial(self._ended, job.key))

    def _due_at(self, job: OpenJob, now: int) -> float:
        return self.rhythm.due_at(now, job.created_at, self._asked_at.get(job.key))

    def _order(self, now: int, job: OpenJob) -> tuple[float, int]:
        return self._due_at(job, now), self._asked_at.get(job.key, 0)

    def _ended(self, key: Key, _task: asyncio.Task[None]) -> None:
        self._active.discard(key)

    async def _ask(self, job: OpenJob) -> None:
        """Ask once; whoever is at the end of it wrote down what there was to write."""
        try:
            reply = await self._serve(_question(job))
        except Refused as refused:
            _log.debug("job_not_followed", provider=job.provider, job=job.id, why=str(refused))
        except Exception:  # noqa: BLE001 - a bug here may cost clips, and not the daemon
            _log.exception("follower_fault", provider=job.provider, job=job.id)
        else:
            _log.debug("job_followed", provider=job.provider, job=job.id, status=reply.status)


def _followed(config: Config) -> tuple[str, ...]:
    """The providers whose jobs are followed: those that take nothing for a job's end."""
    if config.mirror is None or not config.mirror.follow:
        return ()
    return tuple(name for name, p in config.providers.items() if LORE[p.kind].translates)


def _question(job: OpenJob) -> Request:
    """What a client asks that wants to hear of a job, and pays nothing for it."""
    headers: Headers = (
        (b"Farebox-Provider", job.provider.encode()),
        (b"Farebox-Max-Amount", b"0"),
    )
    path = f"{JOBS}/{segment(job.id)}"
    return Request("following", "GET", path, None, headers, _Nothing(), "localhost")


class _Nothing:
    """The body of a question."""

    length: Final = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield nothing."""
        for chunk in tuple[bytes, ...]():
            yield chunk
