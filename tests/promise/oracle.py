"""The oracle: by the chain's truth and the true time, does every cap hold at this instant?

It never looks into the ledger. For a window it adds what was really taken within the window to what
the chain would still let the thief take; for `outstanding` it adds the latter alone.

A cap that is edited binds from the next reservation on: what was let out before cannot be called
back. So each sum is held against the cap that was in force when something was last let in under it;
between two such moments no sum may grow.

`outstanding` is what is signed and not known to be taken. The daemon takes a receipt for the
taking, so a seller who swears to have taken what it has not is believed there (and nowhere else:
in every window the cheque counts on). An oracle with `believes_receipts=False` does not believe it.
"""

from collections.abc import Mapping

from proxy.core.ledger import WINDOWS
from tests.promise.model import Cheque, World

Wall = tuple[str, str]
"""The scope and the window of a cap."""

Caps = Mapping[Wall, int]


class BreachError(AssertionError):
    """More was taken, or can be, than a cap allows."""


class Oracle:
    """Holds the world against the caps."""

    def __init__(self, world: World, *, believes_receipts: bool = True) -> None:
        self._world = world
        self._believes_receipts = believes_receipts
        self._promised: dict[Wall, int] = {}

    def let_in(self, cheque: Cheque, caps: Caps) -> None:
        """Note under which caps something was bought; breached if it is itself too large."""
        for (scope, window), cap in caps.items():
            if scope in cheque.scopes:
                self._promised[scope, window] = cap
                if window == "per_request":
                    _hold(scope, window, cheque.usd, cap)

    def check(self) -> None:
        """Hold every sum against its cap."""
        for (scope, window), cap in self._promised.items():
            if window != "per_request":
                _hold(scope, window, self.exposure(scope, window), cap)

    def exposure(self, scope: str, window: str) -> int:
        """What was taken in a window, and what can still be taken."""
        return sum(
            cheque.usd
            for cheque in self._world.pocket.values()
            if scope in cheque.scopes and self._counts(cheque, window)
        )

    def _counts(self, cheque: Cheque, window: str) -> bool:
        world = self._world
        if world.chain.alive(cheque):
            return window != "outstanding" or not (cheque.sworn and self._believes_receipts)
        taken_at = world.taken_at(cheque)
        if taken_at is None or window == "outstanding":
            return False
        return window == "total" or taken_at > world.true - WINDOWS[window]


def _hold(scope: str, window: str, usd: int, cap: int) -> None:
    if usd > cap:
        raise BreachError(f"{scope}, {window}: {usd} is taken or takeable, the cap is {cap}")
