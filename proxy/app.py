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
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from proxy import systemd
from proxy.alarms import Alarms
from proxy.carrier import Carrier
from proxy.chain import Reconciler
from proxy.clipfiles import ClipFiles
from proxy.clocks import machine_clocks
from proxy.configfile import (
    ConfigError,
    Loaded,
    Problem,
    file_problems,
    read_config,
    resolve_secret,
)
from proxy.core.clock import Clocks
from proxy.core.config import Config
from proxy.core.ledger import State
from proxy.core.money import Usd
from proxy.exchange import Exchange
from proxy.following import Follower
from proxy.gate.server import Door
from proxy.gate.sockets import inherited_sockets
from proxy.metrics import Metrics
from proxy.mirror import Mirror
from proxy.payer import Payer
from proxy.reload import ConfigWatcher
from proxy.statelock import StateLock
from proxy.status import Status
from proxy.store import Ledger, LedgerUnavailableError
from proxy.store.alerts import Alert
from proxy.upstream import AiohttpUpstream
from proxy.visit import Snapshot
from proxy.wallet import load_wallet

NONCE_BYTES: Final = 32
NONCE_TIME_BYTES: Final = 6
SPOOL_DIR: Final = "spool"
CLIPS_DIR: Final = "clips"
CHAIN_PATIENCE_S: Final = 600
"""Public nodes fail now and then; what lasts longer is for a person to hear of."""
DAY_S: Final = 86_400
HOUSEKEEPING_S: Final = 3600
_WATCHDOG_SHARE: Final = 3
_log = structlog.get_logger()


class Daemon:
    """A running Farebox. `wall` is the clock by which authorizations live and die."""

    def __init__(
        self,
        loaded: Loaded,
        snapshot: Snapshot,
        ledger: Ledger,
        upstream: AiohttpUpstream,
        wall: Callable[[], float],
    ) -> None:
        self._loaded = loaded
        self._snapshot = snapshot
        self._ledger = ledger
        self._metrics = Metrics()
        self.watcher = ConfigWatcher(loaded, self._apply, time.time)
        payer = Payer(
            ledger,
            self._metrics,
            wall,
            new_nonce,
            new_payment_id,
        )
        self.mirror = Mirror(
            lambda: self._snapshot.config,
            ledger,
            upstream,
            ClipFiles(loaded.state_dir / CLIPS_DIR),
            time.time,
        )
        self._exchange = Exchange(
            self._current,
            ledger,
            Carrier(upstream, self._metrics),
            payer,
            self.mirror,
            loaded.state_dir / SPOOL_DIR,
        )
        self.follower = Follower(lambda: self._snapshot.config, ledger, self._exchange.serve)
        self.alarms = Alarms(ledger, self._metrics, self._concerns)
        self.reconciler = Reconciler(
            lambda: self._snapshot.config, self._address, ledger, wall, self._reconciled
        )
        self.status = Status(
            self._current,
            ledger,
            self._metrics,
            lambda: self.watcher.status,
            self.alarms,
            lambda: self.reconciler.standings,
        )
        self.door = Door(
            serve=self._exchange.serve,
            admin=self.status,
            config=lambda: self._snapshot.config,
            logger=_log,
            metrics=self._metrics,
            inherited=inherited_sockets(os.environ),
            callback=self._exchange.callback,
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
            snapshot = open_snapshot(loaded)
            await pause_if_told(snapshot.config, self._ledger)
            self._snapshot, self._loaded = snapshot, loaded
            self.reconciler.poke()
            self.mirror.poke()
        finally:
            systemd.notify("READY=1")

    def _concerns(self) -> Iterator[Alert]:
        """What a person should hear of that is not in the ledger."""
        reload = self.watcher.status
        if not reload.ok:
            message = f"the config file is not in force, the last good one is: {reload.error}"
            yield Alert("config_stale", message, int(reload.loaded_at))
        for network, standing in self.reconciler.standings.items():
            since = standing.trouble_since
            if since is not None and time.time() - since > CHAIN_PATIENCE_S:
                message = f"the node for {network} cannot be believed: {standing.message}"
                yield Alert("chain_unavailable", message, int(since))

    def _address(self) -> str | None:
        wallet = self._snapshot.wallet
        return None if wallet is None else wallet.address

    def _reconciled(self, state: State, usd: Usd) -> None:
        """Count what the chain has told."""
        self._metrics.payment(state)
        if state is State.SETTLED:
            self._metrics.spent(usd)

    async def keep_house(self) -> None:
        """Forget old payments where the config says so, now and then, until cancelled."""
        while True:
            config = self._snapshot.config
            if config.retention_days is not None:
                retention_s = config.retention_days * DAY_S
                with suppress(LedgerUnavailableError):
                    await self._ledger.forget(max(retention_s, config.idempotency.retention_s))
            await asyncio.sleep(HOUSEKEEPING_S)

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


async def pause_if_told(config: Config, ledger: Ledger) -> None:
    """Turn the kill switch on where the config says so; it is latched, as for everybody."""
    if config.paused is not False:
        reason = config.paused if isinstance(config.paused, str) else "the config says so"
        await ledger.pause(reason, "config")


@asynccontextmanager
async def running(path: Path, clocks: Clocks | None = None) -> AsyncIterator[Daemon]:
    """Run a daemon on a config file for as long as the context lasts, by the machine's clocks.

    ConfigError, DoorError, SchemaError or StateDirTakenError say why it cannot start.
    """
    loaded = read_config(path)
    snapshot = open_snapshot(loaded)
    state_dir = loaded.state_dir
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state_dir / SPOOL_DIR).mkdir(mode=0o700, exist_ok=True)
    lock = StateLock(state_dir)
    clocks = clocks or machine_clocks()
    try:
        ledger = await Ledger.open(state_dir, clocks)
        upstream = AiohttpUpstream()
        daemon = Daemon(loaded, snapshot, ledger, upstream, clocks.wall)
        try:
            await pause_if_told(snapshot.config, ledger)
            await daemon.status.begin()
            await daemon.door.start()
            yield daemon
            systemd.notify("STOPPING=1")
            await daemon.stop()
        finally:
            daemon.mirror.close()
            await daemon.reconciler.close()
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
                tasks.create_task(daemon.alarms.run()),
                tasks.create_task(daemon.keep_house()),
                tasks.create_task(daemon.reconciler.run()),
                tasks.create_task(daemon.mirror.run()),
                tasks.create_task(daemon.follower.run()),
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


def new_nonce() -> bytes:
    """A nonce that sorts by time: the milliseconds, and 208 random bits.

    The ledger keeps an index of them all; one that grows at its end costs the same at any length.
    """
    stamp = (time.time_ns() // 1_000_000).to_bytes(NONCE_TIME_BYTES, "big")
    return stamp + secrets.token_bytes(NONCE_BYTES - NONCE_TIME_BYTES)
