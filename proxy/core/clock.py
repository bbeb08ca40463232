"""The ledger's time: one that never goes back, and that no correction of the wall clock moves.

Windows roll and authorizations die by it, so whoever could move it could empty a window. It starts
at the wall clock (or later, where the ledger has seen later times) and from there runs with the
machine's uptime, which counts sleep too and which nobody sets.

The wall clock still says what is written into an authorization. If it moves against the uptime by
more than a correction of the usual kind, it was wrong before or it is wrong now, and nobody can
know which: signing stops until the two agree again or a person accepts the new time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

JUMP_S: Final = 30
"""How far the wall clock may move against the uptime within a day.

Time daemons slew what is less than a second and step what is more, and waking from sleep may cost a
second; thirty seconds is a machine that was wrong. Half of the margin after which an authorization
counts as dead, so that many small steps do not add up to more than it either.
"""

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Clocks:
    """The machine's clocks: Unix seconds, seconds since boot (with sleep), and which boot it is.

    `boot_id` is empty where the system does not tell.
    """

    wall: Callable[[], float]
    uptime: Callable[[], float]
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the clocks said together at one moment, and the ledger's time then."""

    boot_id: str
    uptime: float
    wall: float
    ledger: float


class SteadyClock:
    """The ledger's time. `latest` is the last time that the ledger has seen.

    `anchor` is what an earlier run left: within one boot it tells what passed in between.
    """

    def __init__(self, clocks: Clocks, latest: float, anchor: Anchor | None) -> None:
        self._clocks = clocks
        wall, uptime = clocks.wall(), clocks.uptime()
        if anchor is not None and _same_boot(anchor, clocks.boot_id, uptime):
            ledger = max(latest, anchor.ledger + uptime - anchor.uptime)
            wall = anchor.wall + uptime - anchor.uptime
        else:
            ledger = max(latest, wall)
        self._anchor = Anchor(clocks.boot_id, uptime, wall, ledger)

    @property
    def anchor(self) -> Anchor:
        """What a later run can go on from."""
        return self._anchor

    def now(self) -> int:
        """The ledger's time in whole Unix seconds."""
        anchor = self._anchor
        return int(anchor.ledger + self._clocks.uptime() - anchor.uptime)

    def wall(self) -> float:
        """What the wall clock says."""
        return self._clocks.wall()

    def lag_s(self) -> int:
        """How far the wall clock is behind the ledger's time, in seconds; 0 if it is ahead.

        What is signed by a wall clock that was set back expires at a time that the ledger may have
        behind it: without the difference the hold would be born dead, and outside every window.
        """
        return max(0, self.now() - int(self._clocks.wall()))

    def jump_s(self) -> int:
        """How far the wall clock has jumped, forward or (negative) back; 0 while all is well.

        What it moved less than that is forgiven after a day.
        """
        uptime = self._clocks.uptime()
        passed = uptime - self._anchor.uptime
        step = self._clocks.wall() - self._anchor.wall - passed
        if abs(step) > JUMP_S:
            return round(step)
        if passed < DAY_S:
            return 0
        self._anchor = Anchor(
            self._anchor.boot_id,
            uptime,
            self._clocks.wall(),
            self._anchor.ledger + passed,
        )
        return 0

    def accept(self) -> Anchor:
        """Take the wall clock for right, by a person's word; the ledger's time still never falls.

        The anchor is for the file.
        """
        wall, uptime = self._clocks.wall(), self._clocks.uptime()
        ledger = max(wall, self._anchor.ledger + uptime - self._anchor.uptime)
        self._anchor = Anchor(self._clocks.boot_id, uptime, wall, ledger)
        return self._anchor

    def follow(self, anchor: Anchor) -> None:
        """Go on from an anchor that another process wrote since this one began, if it is newer."""
        if self._anchor.uptime <= anchor.uptime <= self._clocks.uptime():
            passed = anchor.uptime - self._anchor.uptime
            ledger = max(anchor.ledger, self._anchor.ledger + passed)
            self._anchor = Anchor(self._clocks.boot_id, anchor.uptime, anchor.wall, ledger)


def _same_boot(anchor: Anchor, boot_id: str, uptime: float) -> bool:
    return bool(boot_id) and anchor.boot_id == boot_id and anchor.uptime <= uptime
