"""What the daemon tells of itself: health, readiness, caps, payments, config.

Nothing here pays; the pause is all that it changes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from proxy import __version__
from proxy.alarms import Alarms
from proxy.chain import Standing
from proxy.core.errors import Refusal, Refused
from proxy.core.ledger import State
from proxy.core.policy import all_limits
from proxy.metrics import Metrics
from proxy.reload import ReloadStatus
from proxy.store import Ledger, LedgerUnavailableError, portraits, switch, views
from proxy.visit import Snapshot


@contextmanager
def _telling() -> Iterator[None]:
    """Have a page say so when the ledger cannot be read or written."""
    try:
        yield
    except LedgerUnavailableError as problem:
        raise Refused(Refusal("ledger_unavailable", str(problem))) from problem


class Status:
    """Answers the door's own pages. `reload` gives how the last look at the config file went."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        metrics: Metrics,
        reload: Callable[[], ReloadStatus],
        alarms: Alarms,
        standings: Callable[[], Mapping[str, Standing]],
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._metrics = metrics
        self._reload = reload
        self._alarms = alarms
        self._standings = standings

    def healthz(self) -> dict[str, Any]:
        """The process is up."""
        return {"status": "ok", "version": __version__}

    async def readyz(self) -> tuple[bool, dict[str, Any]]:
        """Whether it can serve and pay.

        The ledger takes a transaction, and a wallet that is wanted is open.
        """
        config = "current" if self._reload().ok else "stale"
        try:
            await self._ledger.probe()
        except LedgerUnavailableError as problem:
            return False, {"status": "unavailable", "ledger": str(problem), "config": config}
        return True, {
            "status": "ready",
            "ledger": "writable",
            "wallet": self._address(),
            "config": config,
        }

    def health(self) -> dict[str, Any]:
        """The short report that other payment proxies give, in their words."""
        chains = sorted(
            {network for p in self._providers().values() if p.pay for network in p.pay.networks}
        )
        return {
            "status": "ok",
            "wallet": self._address(),
            "paymentChain": chains[0] if chains else None,
            "version": __version__,
        }

    async def metrics(self) -> bytes:
        """The metrics: counters as they were counted, sums and caps as they are now."""
        with _telling():
            exposure, counts = await self._ledger.read(
                lambda db: (views.exposure(db), views.counts(db))
            )
            self._metrics.exposure(exposure)
            self._metrics.unknown(counts[State.UNKNOWN])
            await self._alarms.look()
            limits = all_limits(self._snapshot().config)
            self._metrics.caps({(limit.scope, limit.window): limit.usd for limit in limits})
            self._metrics.reloaded(ok=self._reload().ok)
            return self._metrics.render()

    async def status(self) -> dict[str, Any]:
        """Version, wallet, switch, caps, counts of payments by state, config."""
        with _telling():
            limits = all_limits(self._snapshot().config)
            caps = await self._ledger.usage(limits)
            counts, paused = await self._ledger.read(
                lambda db: (views.counts(db), switch.paused(db))
            )
            reload = self._reload()
            return {
                "version": __version__,
                "wallet": self._address(),
                "paused": paused is not None,
                "pause_reason": paused or None,
                "alerts": [asdict(alert) for alert in await self._alarms.look()],
                "chain": {
                    network: asdict(standing) for network, standing in self._standings().items()
                },
                "caps": caps,
                "payments": counts,
                "config": {
                    "hash": reload.digest,
                    "loaded_at": reload.loaded_at,
                    "ok": reload.ok,
                    "error": reload.error,
                },
            }

    async def payments(self, limit: int, before: str | None, state: str | None) -> dict[str, Any]:
        """The newest payments, with their authorizations."""
        with _telling():
            return await self._ledger.read(
                lambda db: views.payments(db, limit=limit, before=before, state=state)
            )

    async def jobs(self) -> dict[str, Any]:
        """The newest generations that outlive their requests."""
        with _telling():
            return await self._ledger.read(views.jobs)

    async def portraits(self) -> dict[str, Any]:
        """The portraits and other assets that were enrolled through here."""
        with _telling():
            return await self._ledger.read(portraits.listed)

    async def pause(self, reason: str | None) -> dict[str, Any]:
        """How the kill switch stands, after turning it on where a reason is given."""
        with _telling():
            if reason is not None:
                await self._ledger.pause(reason, "page")
            paused = await self._ledger.read(switch.paused)
            return {"paused": paused is not None, "pause_reason": paused or None}

    def config(self) -> dict[str, Any]:
        """The config in force, secrets as the references that the file has."""
        document = self._snapshot().config.model_dump(mode="json", exclude_none=True)
        for facts in document.get("networks", {}).values():
            if "rpc_url" in facts:  # its path or query may be an API key
                url = urlsplit(facts["rpc_url"])
                facts["rpc_url"] = f"{url.scheme}://{url.hostname}/…"
        return document

    async def begin(self) -> None:
        """Give the metrics what the ledger knows from earlier runs."""
        self._metrics.spent(await self._ledger.read(views.spent))

    def _address(self) -> str | None:
        wallet = self._snapshot().wallet
        return None if wallet is None else wallet.address

    def _providers(self) -> dict[str, Any]:
        return dict(self._snapshot().config.providers)
