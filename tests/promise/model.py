"""The world as it is, whatever the daemon believes: the time, the chain, and a thief.

The machine has a true time (its uptime runs with it), a wall clock that is off by a little while it
is right and by anything while it is wrong, and a chain with a time of its own. A token on the chain
follows EIP-3009: an authorization can be used once, while validAfter < the chain's time <
validBefore. Whatever left the daemon is a bearer cheque in the thief's pocket.

The bound under which the promise is given: the chain's time and a right wall clock each stay within
half of `DEATH_MARGIN_S` of the true time, so they are never further apart than the margin.
`World(chain_lag_s=...)` breaks it, to show that it is needed.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from proxy.core.clock import Clocks
from proxy.core.ledger import DEATH_MARGIN_S

START: Final = 1_700_000_000
ERROR_S: Final = DEATH_MARGIN_S // 2
"""How far the chain, and a wall clock that is right, may be off."""

SAFE_LAG_S: Final = 90
"""How far the safe block is behind the newest; what is newer may be reorganised away."""


@dataclass(frozen=True, slots=True)
class Cheque:
    """An authorization: whoever has it may take `usd`, once. `scopes` are the caps it falls under.

    `sworn` if the seller gave a receipt for it, true or not.
    """

    nonce: bytes
    usd: int
    scopes: tuple[str, ...]
    valid_after: int
    valid_before: int
    sworn: bool = False


class Word(StrEnum):
    """What the token's contract logs of a nonce."""

    USED = "used"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the contract's log, with the chain's time and the true one."""

    word: Word
    block_at: int
    true_at: int


@dataclass
class Chain:
    """The token on a chain. It may run ahead or behind, stall, and reorganise what is not safe."""

    now: int = START
    lag_max_s: int = ERROR_S
    error_s: int = 0
    stalled: bool = False
    log: dict[bytes, Entry] = field(default_factory=dict)

    @property
    def safe(self) -> int:
        """The time of the safe block."""
        return self.now - SAFE_LAG_S

    def follow(self, true: int) -> None:
        """Make blocks. A chain that stalled makes the next one as late as the bound lets it."""
        aim = true - self.lag_max_s if self.stalled else true + self.error_s
        self.now = max(self.now, aim)

    def alive(self, cheque: Cheque) -> bool:
        """Whether it can be used now or later."""
        return cheque.nonce not in self.log and self.now < cheque.valid_before

    def note(self, word: Word, cheque: Cheque, true: int) -> bool:
        """Use or cancel it, if the contract lets that happen."""
        open_ = word is Word.CANCELLED or cheque.valid_after < self.now < cheque.valid_before
        if cheque.nonce in self.log or not open_:
            return False
        self.log[cheque.nonce] = Entry(word, self.now, true)
        return True

    def seen(self, nonce: bytes, until: int) -> Word | None:
        """What the log says of a nonce, read up to a block's time."""
        entry = self.log.get(nonce)
        return entry.word if entry is not None and entry.block_at <= until else None

    def reorganise(self) -> None:
        """Undo what is newer than the safe block."""
        self.log = {n: entry for n, entry in self.log.items() if entry.block_at <= self.safe}


@dataclass
class World:
    """Everything outside the daemon. The thief's `pocket` holds all that ever left it."""

    chain_lag_s: int = ERROR_S
    true: int = START
    wall_error_s: int = 0
    boot: int = 1
    booted_at: int = START - 1000
    pocket: dict[bytes, Cheque] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chain = Chain(lag_max_s=self.chain_lag_s)

    def wall(self) -> int:
        """What the wall clock says."""
        return self.true + self.wall_error_s

    @property
    def wall_is_right(self) -> bool:
        """Whether the wall clock is as right as the bound asks."""
        return abs(self.wall_error_s) <= ERROR_S

    @property
    def clocks(self) -> Clocks:
        """The machine's clocks, as the ledger takes them."""
        return Clocks(self.wall, lambda: self.true - self.booted_at, f"boot {self.boot}")

    def pass_time(self, seconds: int) -> None:
        """Let time pass, for everybody."""
        self.true += max(0, seconds)
        self.chain.follow(self.true)

    def reboot(self, wall_error_s: int) -> None:
        """Start the machine anew, its wall clock off by so much."""
        self.boot += 1
        self.booted_at = self.true
        self.wall_error_s = wall_error_s

    def let_out(self, cheque: Cheque) -> None:
        """Hand a cheque to the thief."""
        self.pocket[cheque.nonce] = cheque

    def take(self, cheque: Cheque) -> bool:
        """Cash it, if the chain allows it."""
        return self.chain.note(Word.USED, cheque, self.true)

    def swear(self, cheque: Cheque) -> None:
        """Give a receipt for it."""
        self.pocket[cheque.nonce] = replace(cheque, sworn=True)

    def taken_at(self, cheque: Cheque) -> int | None:
        """The true time at which it was cashed."""
        entry = self.chain.log.get(cheque.nonce)
        return entry.true_at if entry is not None and entry.word is Word.USED else None
