"""The config while the daemon runs: watch its file, and swap in what is good.

The directory is watched and not the file, because editors and deployments replace a file rather
than write into it. What counts is the content: events only say when to look. A new content is read
once, validated and applied, or the last good one stays and `status` says why. A `poke` (SIGHUP)
looks again even where nothing changed, since a key that the config refers to may have. Besides, the
file is looked at every half minute, for file systems that send no events.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from watchfiles import awatch

from proxy.configfile import ConfigError, Loaded, parse_config, read_source

SETTLE_S: Final = 0.1
"""The file counts when two looks, this far apart, saw the same: half a config may be valid too."""

LOOK_EVERY_S: Final = 30
RETRY_WATCH_S: Final = 5
_DEBOUNCE_MS: Final = 100

Apply = Callable[[Loaded], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """The config in force, by digest and time, and whether the last look at the file went well."""

    digest: str
    loaded_at: float
    ok: bool = True
    error: str | None = None


class ConfigWatcher:
    """Keep the config as its file says: `run` it in a task group, cancel it to stop.

    `apply` gets each new valid config; it may raise ConfigError, and then nothing has changed.
    `clock` is the wall clock.
    """

    def __init__(self, loaded: Loaded, apply: Apply, clock: Callable[[], float]) -> None:
        self._path = loaded.path
        self._apply = apply
        self._clock = clock
        self._seen = loaded.digest
        self._wake = asyncio.Event()
        self._forced = False
        self.status = ReloadStatus(loaded.digest, clock())

    def poke(self) -> None:
        """Look at the file now, and apply it even if it is the same: what SIGHUP does."""
        self._forced = True
        self._wake.set()

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            while True:
                # Not wait_for: in Python 3.11 it may swallow a cancellation that meets the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._wake.wait()
                self._wake.clear()
                await self._look()

    async def _watch(self) -> None:
        """Turn events of the file system into looks, whatever becomes of the directory."""
        while True:
            try:
                await self._watch_directories()
            except OSError as error:
                log.warning("config_watch_failed", path=str(self._path), error=error.strerror)
                await asyncio.sleep(RETRY_WATCH_S)

    async def _watch_directories(self) -> None:
        """Watch the directories as they are now, and come back when a symlink leads elsewhere."""
        places = _places(self._path)
        directories = [path for path, _ in places]
        self._wake.set()  # something may have changed before the watch stood
        changes = awatch(*directories, watch_filter=None, debounce=_DEBOUNCE_MS, recursive=False)
        async with contextlib.aclosing(changes):
            async for _ in changes:
                self._wake.set()
                if _places(self._path) != places:
                    return

    async def _look(self) -> None:
        forced, self._forced = self._forced, False
        try:
            source = await _settled(self._path)
        except ConfigError as error:
            self._reject(error, seen=str(error), forced=forced)
            return
        digest = hashlib.sha256(source).hexdigest()
        if digest == self._seen and not forced:
            return
        try:
            await self._apply(await asyncio.to_thread(parse_config, source, self._path))
        except ConfigError as error:
            self._reject(error, seen=digest, forced=True)
        else:
            self._seen = digest
            self.status = ReloadStatus(digest, self._clock())
            log.info("config_reloaded", path=str(self._path), digest=digest)

    def _reject(self, error: ConfigError, seen: str, *, forced: bool) -> None:
        """Keep the last good config and say why, once for each thing that was seen."""
        if seen == self._seen and not forced:
            return
        self._seen = seen
        self.status = replace(self.status, ok=False, error=str(error))
        log.error(
            "config_rejected", path=str(self._path), problems=[str(p) for p in error.problems]
        )


async def _settled(path: Path) -> bytes:
    """Read the file when its content no longer changes."""
    source = await asyncio.to_thread(read_source, path)
    while True:
        await asyncio.sleep(SETTLE_S)
        again = await asyncio.to_thread(read_source, path)
        if again == source:
            return source
        source = again


def _places(path: Path) -> tuple[tuple[Path, int], ...]:
    """Where to watch: the directory of the file as it is named, and of the file that it leads to.

    The inodes tell when another directory has taken the place of one; OSError if one is not there.
    """
    real = Path(os.path.realpath(path)).parent
    return tuple((d, d.stat().st_ino) for d in dict.fromkeys((path.parent, real)))
