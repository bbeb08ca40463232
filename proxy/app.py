"""Composition: from a config file to a running daemon, and back.

The only room that knows all the others.

Opening goes up the house, closing comes down it: the door closes first and lets what is under way
finish, then paid work whose clients have gone gets the rest of the time, then the connections,
then the ledger. What a kill cuts short is counted as taken.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from proxy import systemd
from proxy.carrier import Carrier
from proxy.configfile import (
    ConfigError,
    Loaded,
    Problem,
    file_problems,
    read_config,
    resolve_secret,
)
from proxy.exchange import Exchange
from proxy.gate.server import Door
from proxy.gate.sockets import inherited_sockets
from proxy.metrics import Metrics
from proxy.payer import Payer
from proxy.reload import ConfigWatcher
from proxy.statelock import StateLock
from proxy.status import Status
from proxy.store import Ledger
from proxy.upstream import AiohttpUpstream
from proxy.visit import Snapshot
from proxy.wallet import load_wallet

NONCE_BYTES: Final = 32
SPOOL_DIR: Final = "spool"
_WATCHDOG_SHARE: Final = 3
_log = structlog.get_logger()


class Daemon:
    """A running Farebox. `address` tells where it can be reached."""

    def __init__(
        self, loaded: Loaded, snapshot: Snapshot, ledger: Ledger, upstream: AiohttpUpstream
    ) -> None:
        self._loaded = loaded
        self._snapshot = snapshot
        self._metrics = Metrics()
        self.watcher = ConfigWatcher(loaded, self._apply, time.time)
        payer = Payer(
            ledger,
            self._metrics,
            time.time,
            lambda: secrets.token_bytes(NONCE_BYTES),
            new_payment_id,
        )
        self._exchange = Exchange(
            self._current,
            ledger,
            Carrier(upstream, self._metrics),
            payer,
            loaded.state_dir / SPOOL_DIR,
        )
        self.status = Status(self._current, ledger, self._metrics, lambda: self.watcher.status)
        self.door = Door(
            serve=self._exchange.serve,
            admin=self.status,
            config=lambda: self._snapshot.config,
            logger=_log,
            metrics=self._metrics,
            inherited=inherited_sockets(os.environ),
        )

    def _current(self) -> Snapshot:
        return self._snapshot

    async def _apply(self, loaded: Loaded) -> None:
        """Put an edited config in force for the requests to come.

        ConfigError keeps the one that is.
        """
        systemd.reloading()
        try:
            for key in ("listen", "state_dir"):
                if getattr(loaded.config, key) != getattr(self._loaded.config, key):
                    problem = Problem(
                        key,
                        "takes effect at a restart; the rest of the edit waits for it",
                    )
                    raise ConfigError(loaded.place([problem]))
            self._snapshot = open_snapshot(loaded)
            self._loaded = loaded
        finally:
            systemd.notify("READY=1")

    async def stop(self) -> None:
        """Close the door, and wait for what was paid for."""
        drain_s = self._snapshot.config.limits.drain_s
        deadline = time.monotonic() + drain_s
        await self.door.stop(drain_s)
        await self._exchange.drain(max(0.0, deadline - time.monotonic()))


def open_snapshot(loaded: Loaded) -> Snapshot:
    """Open everything that a config refers to; ConfigError lists whatever cannot be."""
    problems = file_problems(loaded.config, loaded.base)
    if problems:
        raise ConfigError(loaded.place(problems))
    config = loaded.config
    wallet = None if config.wallet is None else load_wallet(config.wallet.key, loaded.base)
    keys = {
        name: resolve_secret(provider.auth.bearer, loaded.base, f"providers.{name}.auth.bearer")
        for name, provider in config.providers.items()
        if provider.auth is not None
    }
    return Snapshot(config, wallet, keys)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Daemon]:
    """Run a daemon on a config file for as long as the context lasts.

    ConfigError, DoorError, SchemaError or StateDirTakenError say why it cannot start.
    """
    loaded = read_config(path)
    snapshot = open_snapshot(loaded)
    state_dir = loaded.state_dir
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state_dir / SPOOL_DIR).mkdir(mode=0o700, exist_ok=True)
    lock = StateLock(state_dir)
    try:
        ledger = await Ledger.open(state_dir, time.time)
        upstream = AiohttpUpstream()
        daemon = Daemon(loaded, snapshot, ledger, upstream)
        try:
            await daemon.status.begin()
            await daemon.door.start()
            yield daemon
            systemd.notify("STOPPING=1")
            await daemon.stop()
        finally:
            await upstream.close()
            await ledger.close()
    finally:
        lock.release()


async def serve(path: Path) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the config again."""
    async with running(path) as daemon:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, daemon.watcher.poke)
        _log.info(
            "serving",
            addresses=daemon.door.addresses,
            config=str(path),
            wallet=daemon.status.health()["wallet"],
        )
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(daemon.watcher.run()),
                tasks.create_task(_watch(daemon)),
            ]
            systemd.notify("READY=1", f"STATUS=serving on {', '.join(daemon.door.addresses)}")
            await stopping.wait()
            _log.info("stopping")
            for task in background:
                task.cancel()


async def _watch(daemon: Daemon) -> None:
    """Tell systemd that the daemon is alive.

    Only a loop that turns and a ledger that commits say so.
    """
    period_s = systemd.watchdog_s()
    while period_s is not None:
        ready, _ = await daemon.status.readyz()
        if ready:
            systemd.notify("WATCHDOG=1")
        await asyncio.sleep(period_s / _WATCHDOG_SHARE)


def new_payment_id() -> str:
    """An id that sorts by time: `pay_`, the milliseconds, and 80 random bits."""
    return f"pay_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
