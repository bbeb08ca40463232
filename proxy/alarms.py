"""What a person should hear of while the daemon runs: once in the log, and on its pages meanwhile.

The ledger knows most of it; the config, the clock and the chain add theirs. What is new is logged
as an error, what is over as a note.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from proxy.metrics import Metrics
from proxy.store import Ledger, LedgerUnavailableError
from proxy.store.alerts import Alert, alerts

LOOK_EVERY_S: Final = 5.0
CLOCK_JUMPED: Final = "clock_jumped"
_log = structlog.get_logger()


class Alarms:
    """Looks, tells and counts. `more` gives what the ledger does not know."""

    def __init__(
        self, ledger: Ledger, metrics: Metrics, more: Callable[[], Iterable[Alert]]
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._more = more
        self._told: dict[str, Alert] = {}

    async def look(self) -> list[Alert]:
        """All that is the matter now."""
        now = self._ledger.now()
        found = await self._ledger.read(lambda db: alerts(db, now))
        problem = await self._ledger.clock_problem()
        if problem is not None:
            found.append(Alert(CLOCK_JUMPED, problem, now))
        found.extend(self._more())
        self._metrics.alerts([alert.code for alert in found])
        return found

    async def run(self) -> None:
        """Look again and again, and log what changes, until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(LOOK_EVERY_S)

    async def tell(self) -> None:
        """Look, and log what has changed since the last time."""
        try:
            found = await self.look()
        except LedgerUnavailableError as problem:
            _log.error("ledger_unavailable", problem=str(problem))
            return
        current = {alert.message: alert for alert in found}
        codes = {alert.code for alert in found}
        for message, alert in current.items():
            if message not in self._told:
                _log.error("alert", code=alert.code, message=message, since=alert.since)
        for alert in self._told.values():
            if alert.code not in codes:
                _log.info("alert_over", code=alert.code)
        self._told = current
