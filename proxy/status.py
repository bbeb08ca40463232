"""What the daemon tells of itself: health, readiness, caps, payments, config.

Nothing here pays or changes anything.
"""

from collections.abc import Callable
from typing import Any

from proxy import __version__
from proxy.core.policy import all_limits
from proxy.metrics import Metrics
from proxy.reload import ReloadStatus
from proxy.store import Ledger, LedgerUnavailableError, views
from proxy.visit import Snapshot


class Status:
    """Answers the door's own pages. `reload` gives how the last look at the config file went."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        ledger: Ledger,
        metrics: Metrics,
        reload: Callable[[], ReloadStatus],
    ) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self._metrics = metrics
        self._reload = reload

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
        self._metrics.exposure(await self._ledger.read(views.exposure))
        limits = all_limits(self._snapshot().config)
        self._metrics.caps({(limit.scope, limit.window): limit.usd for limit in limits})
        self._metrics.reloaded(ok=self._reload().ok)
        return self._metrics.render()

    async def status(self) -> dict[str, Any]:
        """Version, wallet, switch, caps, counts of payments by state, config."""
        limits = all_limits(self._snapshot().config)
        caps = await self._ledger.usage(limits)
        counts, paused = await self._ledger.read(lambda db: (views.counts(db), views.paused(db)))
        reload = self._reload()
        return {
            "version": __version__,
            "wallet": self._address(),
            "paused": paused is not None,
            "pause_reason": paused or None,
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
        return await self._ledger.read(
            lambda db: views.payments(db, limit=limit, before=before, state=state)
        )

    async def jobs(self) -> dict[str, Any]:
        """The newest generations that outlive their requests."""
        return await self._ledger.read(views.jobs)

    async def portraits(self) -> dict[str, Any]:
        """The portraits and other assets that were enrolled through here."""
        return await self._ledger.read(views.portraits)

    def config(self) -> dict[str, Any]:
        """The config in force, secrets as the references that the file has."""
        return self._snapshot().config.model_dump(mode="json", exclude_none=True)

    async def begin(self) -> None:
        """Give the metrics what the ledger knows from earlier runs."""
        self._metrics.spent(await self._ledger.read(views.spent))

    def _address(self) -> str | None:
        wallet = self._snapshot().wallet
        return None if wallet is None else wallet.address

    def _providers(self) -> dict[str, Any]:
        return dict(self._snapshot().config.providers)
