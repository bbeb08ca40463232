"""Finished clips, fetched to this disk while their links live.

The memory of jobs is the list of what is wanted, and the ledger says how far each clip is; a poke
only wakes what would look anyway. Four clips are fetched at a time, two of one provider at most,
each streamed to the disk, for an idle hour's work must not be in the way of anybody who pays.
What was tried least comes first: clips that drip for an hour, and again, hold up no others.

What may pass is tried again, later and later; what cannot is said once, in the log and beside the
job. What is kept stays for its time: a full store leaves the next clips wanted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from proxy.clipfetch import Fetcher, NoClipError
from proxy.clipfiles import ClipFile, ClipFiles, FullError
from proxy.core.cliplinks import Link, is_listed, judge
from proxy.core.config import Config, MirrorConfig
from proxy.store import Ledger, LedgerUnavailableError, clips
from proxy.store.clips import RETRIED_S, WANTED_S, Clip, Kept, Wanted
from proxy.upstream import Upstream

FETCHES_MAX: Final = 4
"""At a time: they leave the line to whoever pays."""
FETCHES_A_PROVIDER: Final = 2
"""Of these: one that is slow does not hold up the next, nor a slow provider the others' clips."""
DAY_S: Final = 86_400
STRAY_S: Final = 2 * DAY_S
"""How much older than its time a file is that no row knows, before it is deleted: clocks differ."""
_DOUBLINGS_MAX: Final = 16
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes, in seconds.

    Between two looks that nobody asked for; between two sweeps; from a failure to the next attempt,
    doubling up to a maximum; after a fault of the ledger's. `fetch_s` bounds a whole fetch,
    `silence_s` a moment without a byte, and `wait_s` how long a client waits for a clip.
    """

    look_s: float = 30
    sweep_s: float = 3600
    retry_s: float = 30
    retry_max_s: float = 3600
    fault_s: float = 30
    fetch_s: float = 3600
    connect_s: float = 10
    silence_s: float = 60
    wait_s: float = 30


class Mirror:
    """Fetches what is wanted, and gives out what is kept.

    `config` gives what is in force at the moment, `clock` Unix seconds.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        ledger: Ledger,
        upstream: Upstream,
        files: ClipFiles,
        clock: Callable[[], float],
        *,
        pace: Pace | None = None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._files = files
        self._clock = clock
        self._pace = pace = Pace() if pace is None else pace
        self._fetcher = Fetcher(upstream, files, pace.connect_s, pace.silence_s)
        self._poked = asyncio.Event()
        self._news = asyncio.Event()
        self._running = False
        self._sweep_at: float | None = None
        self._judged: Config | None = None
        self._active: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._is_full = False

    def poke(self) -> None:
        """Look now: a job is done, or a config is new."""
        self._poked.set()

    async def run(self) -> None:
        """Fetch and sweep, until cancelled. Whatever goes wrong here is no matter of paying."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as fetches:
                while True:
                    self._poked.clear()
                    await self._look(fetches)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._pace.look_s):
                            await self._poked.wait()
        finally:
            self._running = False
            self._tell()

    async def settled(self, provider: str, job: str) -> Clip | None:
        """What is known of a clip, after waiting a while for one that is on its way."""
        if self._config().mirror is None:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.wait_s):
                while True:
                    news = self._news
                    clip = await self._find(provider, job)
                    if clip is None or not self._is_coming((provider, job), clip):
                        return clip
                    await news.wait()
        return None

    async def open(self, provider: str, job: str, clip: Clip) -> ClipFile | None:
        """Open a kept clip; one that is gone from the disk is not kept from then on."""
        file = self._files.open(provider, job, clip.size)
        if file is None:
            _log.warning("clip_gone", provider=provider, job=job)
            note = "its file is gone from the disk"
            await self._ledger.ask(lambda db: clips.give_up(db, (provider, job), note))
        return file

    def close(self) -> None:
        """Finish what the disk was told. Whoever runs `run` has cancelled it before."""
        self._files.close()

    async def _find(self, provider: str, job: str) -> Clip | None:
        now = self._ledger.now()
        return await self._ledger.ask(lambda db: clips.find(db, provider, job, now))

    def _is_coming(self, key: tuple[str, str], clip: Clip) -> bool:
        if not self._running:
            return False
        is_due = clip.state == "fetching" and clip.next_at <= self._ledger.now()
        return key in self._active or clip.state == "wanted" or is_due

    def _tell(self) -> None:
        """Let those who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def _look(self, fetches: asyncio.TaskGroup) -> None:
        """Do what is due; what cannot be done now is for the next look."""
        config = self._config()
        if config.mirror is None:
            return
        try:
            await self._prepare(config, config.mirror)
            await self._begin(fetches)
        except (LedgerUnavailableError, OSError) as problem:
            _log.error("mirror_stuck", problem=str(problem))
        except Exception:  # noqa: BLE001 - a bug here may cost clips, and not the daemon
            _log.exception("mirror_fault")

    async def _prepare(self, config: Config, mirror: MirrorConfig) -> None:
        """Sweep, at the start and now and then; try again what a new config may allow."""
        time = asyncio.get_running_loop().time()
        if self._sweep_at is None or self._sweep_at <= time:
            await self._sweep(mirror)
            self._sweep_at = time + self._pace.sweep_s
        if self._judged is not config:
            now = self._ledger.now()
            await self._ledger.ask(lambda db: clips.resume(db, now))
            await self._let_in(config, mirror)
            self._judged = config

    async def _begin(self, fetches: asyncio.TaskGroup) -> None:
        """Begin as many fetches as may be under way."""
        while len(self._active) < FETCHES_MAX:
            wanted = await self._next()
            if wanted is None:
                return
            self._active.add(wanted.key)
            task = fetches.create_task(self._attempt(wanted))
            task.add_done_callback(partial(self._ended, wanted.key))

    async def _next(self) -> Wanted | None:
        """What is to be fetched next, at a provider that has a line left."""
        lines = Counter(provider for provider, _ in self._active)
        busy = [provider for provider, taken in lines.items() if taken >= FETCHES_A_PROVIDER]
        now, limit = self._ledger.now(), 1 + len(self._active)
        due = await self._ledger.read(lambda db: clips.due(db, now, limit, busy))
        return next((each for each in due if each.key not in self._active), None)

    def _ended(self, key: tuple[str, str], _task: asyncio.Task[None]) -> None:
        self._active.discard(key)
        self._tell()
        self.poke()

    async def _attempt(self, wanted: Wanted) -> None:
        """Fetch a clip once, and write down what came of it."""
        key, ask, now = wanted.key, self._ledger.ask, self._ledger.now
        try:
            begun = await ask(lambda db: clips.begin(db, key, now()))
            if begun is None:
                return
            try:
                kept = await self._fetched(wanted)
            except NoClipError as problem:
                await self._missed(key, problem, *begun)
            else:
                await ask(lambda db: clips.keep(db, key, kept, now()))
                self._is_full = False
                _log.info("clip_kept", provider=key[0], job=key[1], bytes=kept.size)
        except LedgerUnavailableError as problem:
            _log.error("clip_not_noted", provider=key[0], job=key[1], problem=str(problem))
            await asyncio.sleep(self._pace.fault_s)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("mirror_fault", provider=key[0], job=key[1])
            await asyncio.sleep(self._pace.fault_s)

    async def _missed(
        self, key: tuple[str, str], problem: NoClipError, attempts: int, since: int
    ) -> None:
        """Write down when to try again, or that there is no use in it."""
        pace, now = self._pace, self._ledger.now()
        wait_s = min(pace.retry_max_s, pace.retry_s * 2 ** min(attempts - 1, _DOUBLINGS_MAX))
        next_at = int(now + wait_s)
        if next_at - since <= problem.patience_s:
            await self._ledger.ask(lambda db: clips.put_off(db, key, problem.note, next_at))
            return
        self._warn(key, problem)
        await self._ledger.ask(lambda db: clips.give_up(db, key, problem.note, problem.host))

    def _warn(self, key: tuple[str, str], problem: NoClipError) -> None:
        """Say that a clip is not kept; of a host that is shut out once, until the config is new."""
        where = (key[0], problem.host)
        if problem.host and where in self._told:
            return
        self._told.add(where)
        _log.warning("clip_not_kept", provider=key[0], job=key[1], why=problem.note)

    async def _fetched(self, wanted: Wanted) -> Kept:
        """Fetch a clip to the disk; NoClipError for whatever stands in the way."""
        try:
            async with asyncio.timeout(self._pace.fetch_s):
                return await self._fetch(wanted)
        except NoClipError:
            raise
        except TimeoutError as problem:
            note = f"it took longer than {self._pace.fetch_s:g} s"
            raise NoClipError(note, RETRIED_S) from problem
        except FullError as problem:
            if not self._is_full:
                _log.warning("clips_full", problem=str(problem), meanwhile="clips stay wanted")
            self._is_full = True
            raise NoClipError(f"there is no room: {problem}", WANTED_S) from problem
        except OSError as problem:
            note = f"the disk: {problem.strerror or type(problem).__name__}"
            raise NoClipError(note, RETRIED_S) from problem
        except Exception as problem:
            _log.exception("clip_fault", provider=wanted.provider, job=wanted.job)
            raise NoClipError("a fault of ours: the log says more", RETRIED_S) from problem

    async def _fetch(self, wanted: Wanted) -> Kept:
        config = self._config()
        mirror, provider = config.mirror, config.providers.get(wanted.provider)
        if mirror is None:
            raise NoClipError("clips are kept no more: the config has no mirror", RETRIED_S)
        base_url = None if provider is None else provider.base_url
        return await self._fetcher.fetch(wanted, base_url, mirror)

    async def _sweep(self, mirror: MirrorConfig) -> None:
        """Delete what has had its time, and what a crash left behind."""
        ask, read = self._ledger.ask, self._ledger.read
        retention_s = mirror.retention_days * DAY_S
        now = self._ledger.now()
        await self._files.tidy()
        while keys := await read(lambda db: clips.expired(db, now - retention_s)):
            await ask(partial(clips.forget, keys=keys))
            await self._files.remove(keys)
        strays = await self._files.strays(self._clock() - retention_s - STRAY_S)
        if strays:
            known = {self._files.path(*key) for key in await read(clips.kept_keys)}
            await self._files.unlink([path for path in strays if path not in known])
        while stale := await read(lambda db: clips.stale(db, now)):
            await ask(partial(clips.clear, keys=stale))

    async def _let_in(self, config: Config, mirror: MirrorConfig) -> None:
        """Want again what was shut out and is allowed by now."""
        self._told.clear()
        allowed = [
            (provider, host)
            for provider, host in await self._ledger.read(clips.shut_out)
            if is_listed(host, mirror.hosts) or _is_own(config, provider, host)
        ]
        if allowed:
            now = self._ledger.now()
            await self._ledger.ask(lambda db: clips.let_in(db, allowed, now))


def _is_own(config: Config, provider: str, host: str) -> bool:
    known = config.providers.get(provider)
    return known is not None and isinstance(judge(f"https://{host}/", known.base_url, ()), Link)
