"""The ledger against a naive model of it: a list of holds, summed from scratch each time.

The promise under test: for every cap, what was taken plus what could still be taken never passes
it, whatever happens in whatever order, with the clock running, jumping back, and the process dying.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from proxy.core.errors import Refusal
from proxy.core.ledger import (
    CREDITED,
    DEATH_MARGIN_S,
    OPEN,
    TRANSITIONS,
    WINDOWS,
    Evidence,
    Limit,
    State,
)
from proxy.core.money import Usd, format_usd
from proxy.store import Ledger, Reserved, views
from tests.store.books import Books, Clock, limit

SCOPES = ("all", "provider:p", "client:a")
T = TypeVar("T")
SHELF = next((place for place in ("/dev/shm",) if Path(place).is_dir()), None)  # noqa: S108 - a directory of our own is made there
"""Where syncing costs nothing: hundreds of ledgers are made here."""

PRE = precondition(lambda machine: bool(machine.rows))
"""Nothing is interesting before the first hold."""

CAPS = (100, 60, 200)
WINDOW_NAMES = ("per_request", *WINDOWS, "total", "outstanding")
WALLS = tuple((scope, window) for scope in SCOPES for window in WINDOW_NAMES)


@dataclass
class Row:
    """A hold, as the model has it."""

    reserved: Reserved
    usd: int
    scopes: tuple[str, ...]
    death: int
    created_at: int
    state: State = State.RESERVED
    booked: bool = False


class Machine(RuleBasedStateMachine):
    """Drives a real ledger on a real file, and the model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="ledger-", dir=SHELF))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.books = Books(self.open(self.place), self.clock)
        self.rows: list[Row] = []
        self.offset = 0.0
        self.trusted_skew = 0.0
        self.limits: tuple[Limit, ...] = ()
        self.crashes = 0

    def run(self, work: Any) -> Any:
        """Wait for something of the ledger's."""
        return self.runner.run(work)

    def open(self, place: Path) -> Ledger:
        """Open the ledger. Syncing is left out: it makes the same file, only slower."""
        ledger: Ledger = self.run(Ledger.open(place, self.clock.clocks))
        ledger._writer._connection.execute("PRAGMA synchronous = OFF")
        return ledger

    def teardown(self) -> None:
        """Close everything and clean up."""
        self.run(self.books.ledger.close())
        self.runner.close()
        shutil.rmtree(self.place)

    # The model.

    def now(self) -> int:
        """The ledger's time."""
        return int(self.clock.now - self.clock.skew + self.offset)

    def stopped(self) -> bool:
        """Whether the clock has jumped and nobody has accepted it."""
        return self.clock.skew != self.trusted_skew

    def book(self) -> int:
        """What any look at the sums does: those who died are written down as dead."""
        now = self.now()
        for row in self.rows:
            row.booked |= row.death <= now and row.state not in CREDITED
        return now

    def counted(self, wall: Limit, now: int) -> int:
        """What counts under a cap: the sum over all holds that may have moved in its window."""
        return sum(row.usd for row in self.rows if self.counts(row, wall, now))

    def counts(self, row: Row, wall: Limit, now: int) -> bool:
        """Whether one hold counts under a cap."""
        if row.state in CREDITED or wall.scope not in row.scopes or wall.window == "per_request":
            return False
        if wall.window == "total":
            return True
        if wall.window == "outstanding":
            return row.state in OPEN and row.death > now
        return row.death > now - WINDOWS[wall.window]

    def verdict(self, usd: int, walls: tuple[Limit, ...], now: int) -> Limit | None:
        """The first cap that a price does not fit under."""
        return next((w for w in walls if self.counted(w, now) + usd > w.usd), None)

    # What happens.

    @initialize(tight=st.lists(st.sampled_from(WALLS), max_size=4), cap=st.sampled_from(CAPS))
    def set_caps(self, tight: list[tuple[str, str]], cap: int) -> None:
        """Cap everything, a few things tightly; the caps stay as they are."""
        self.limits = tuple(
            limit(window, cap if (scope, window) in tight else 10**9, scope)
            for scope, window in WALLS
        )

    @rule(
        usd=st.integers(0, 60),
        scopes=st.sets(st.sampled_from(SCOPES[1:])),
        life_s=st.sampled_from([1, 15, 300, 1800, 86_400]),
        again=st.none() | st.integers(0, 50),
    )
    def reserve(self, usd: int, scopes: set[str], life_s: int, again: int | None) -> None:
        """Reserve under all caps that apply, now and then for a payment that has a hold already."""
        named = ("all", *sorted(scopes))
        walls = tuple(wall for wall in self.limits if wall.scope in named)
        now = self.book()
        lag_s = max(0, now - int(self.clock.now))
        changes: dict[str, Any] = {
            "scopes": named,
            "valid_before": int(self.clock.now) + life_s,
            "amount": 1,
        }
        earlier = None if again is None or not self.rows else self.rows[again % len(self.rows)]
        if earlier is not None:
            changes["payment"] = earlier.reserved.payment
        wall = self.verdict(usd, walls, now)
        got = self.run(self.books.reserve(usd, *walls, **changes))
        if self.stopped():
            assert isinstance(got, Refusal)
            assert got.code == "ledger_unavailable"
        elif wall is not None:
            assert isinstance(got, Refusal)
            assert got.code == wall.code
            self.check_retry_after(got.retry_after_s, usd, wall, now)
        elif earlier is not None and self.blocked(earlier.reserved.payment, now):
            assert isinstance(got, Refusal)
            assert got.code == "payment_pending"
        else:
            assert isinstance(got, Reserved)
            death = int(self.clock.now) + life_s + lag_s + DEATH_MARGIN_S
            self.rows.append(Row(got, usd, named, death, now))

    @rule(usd=st.integers(1, 40))
    def buy(self, usd: int) -> None:
        """The usual case: something new for a client, alive for five minutes."""
        self.reserve(usd, {"client:a"}, 300, None)

    def blocked(self, payment: str, now: int) -> bool:
        """Whether a payment has an authorization that is alive, or that was taken."""
        mine = [row for row in self.rows if row.reserved.payment == payment]
        return any(
            row.state is State.SETTLED or (row.death > now and row.state not in CREDITED)
            for row in mine
        )

    def check_retry_after(self, wait_s: int | None, usd: int, wall: Limit, now: int) -> None:
        """At the promised time it fits, a second before it does not, if nothing else happens."""
        if usd > wall.usd or wall.window in ("per_request", "total"):
            assert wait_s is None
            return
        assert wait_s is not None
        assert wait_s >= 1
        assert self.counted(wall, now + wait_s) + usd <= wall.usd
        assert self.counted(wall, now + wait_s - 1) + usd > wall.usd

    @PRE
    @rule(usd=st.integers(0, 100), number=st.integers(0, 20))
    def ask(self, usd: int, number: int) -> None:
        """A dry run decides as the model does."""
        wall = self.limits[number]
        now = self.book()
        refused = self.run(self.books.ledger.would_admit(limit("day", usd).usd, [wall]))
        expected = self.stopped() or self.verdict(usd, (wall,), now) is not None
        assert (refused is not None) is expected

    @PRE
    @rule(which=st.integers(0, 200), evidence=st.sampled_from(Evidence))
    def resolve(self, which: int, evidence: Evidence) -> None:
        """Some evidence turns up about some hold, often about the newest."""
        row = self.rows[-1 - which % len(self.rows)]
        after = TRANSITIONS[row.state].get(evidence)
        if after is None or (row.state in CREDITED and after not in CREDITED):
            return  # evidence that contradicts what was proven: see `test_every_transition`
        assert self.run(_waited(self.books.ledger.resolve(row.reserved, evidence))) is after
        row.state = after

    @PRE
    @rule(seconds=st.sampled_from([1, 60, 360, 1800, 3599, 3600, 86_400, 604_800]))
    def time_passes(self, seconds: int) -> None:
        """The clock runs."""
        self.clock.now += seconds

    @PRE
    @rule(
        which=st.integers(0, 200),
        window_s=st.sampled_from([0, *WINDOWS.values()]),
        offset_s=st.sampled_from([-1, 0, 1]),
    )
    def until_an_edge(self, which: int, window_s: int, offset_s: int) -> None:
        """The clock runs to about the moment when a hold dies or leaves a window."""
        row = self.rows[which % len(self.rows)]
        edge = row.death + window_s + offset_s
        self.clock.now += max(0, edge - self.now())

    @PRE
    @rule(seconds=st.sampled_from([-100_000, -4000, -100, 100, 4000, 100_000]))
    def clock_is_set(self, seconds: int) -> None:
        """Somebody sets the clock, either way."""
        self.clock.jump(seconds)

    @PRE
    @rule(accept=st.booleans())
    def clock_is_settled(self, *, accept: bool) -> None:
        """The clock is accepted as it stands, or put right again."""
        if accept:
            self.books.people().accept_clock()
            assert self.run(self.books.ledger.would_admit(Usd(0), [])) is None  # it notices
            self.offset = max(self.offset, self.clock.skew)
            self.trusted_skew = self.clock.skew
        else:
            self.clock.jump(self.trusted_skew - self.clock.skew)

    @PRE
    @rule(crash=st.booleans(), reboot=st.booleans())
    def restart(self, *, crash: bool, reboot: bool) -> None:
        """The daemon is restarted, or dies and leaves its files as they were at that moment.

        After a reboot of the machine nobody can tell what the clock did.
        """
        truth = self.clock.now - self.clock.skew
        if reboot:
            self.clock.reboot()
            self.trusted_skew = self.clock.skew
        if crash:
            self.crashes += 1
            copy = shutil.copytree(self.place, f"{self.place}-{self.crashes}")
            self.run(self.books.ledger.close())
            shutil.rmtree(self.place)
            self.place = Path(copy)
        else:
            self.run(self.books.ledger.close())
        self.books.ledger = self.open(self.place)
        for row in self.rows:
            if row.state in (State.RESERVED, State.SENT):
                row.state = State.UNKNOWN
        booked = [row.death for row in self.rows if row.booked]
        if reboot:
            latest = max([self.clock.now, *(row.created_at for row in self.rows), *booked])
            self.offset = latest - truth

    # What must hold at all times.

    @invariant()
    def sums_are_the_models(self) -> None:
        """Every cap's sums, and the exposure, are what adding up from scratch gives."""
        if not self.limits:
            return
        now = self.book()
        for wall, found in zip(
            self.limits, self.run(self.books.ledger.usage(self.limits)), strict=True
        ):
            counted = self.counted(wall, now)
            assert counted <= wall.usd
            live = self.counted(limit("outstanding", 0, wall.scope), now)
            live = 0 if wall.window == "per_request" else live
            assert (found["free"], found["live"], found["settled"]) == (
                format_usd(wall.usd - counted),
                format_usd(live),
                format_usd(counted - live),
            )
        sums = self.run(_waited(self.books.ledger._writer.submit(_exposure_and_spent)))
        everything = sum(row.usd for row in self.rows if row.state not in CREDITED)
        spent = sum(row.usd for row in self.rows if row.state is State.SETTLED)
        assert sums == (everything, spent)


def _exposure_and_spent(db: sqlite3.Connection) -> tuple[int, int]:
    return views.exposure(db), views.spent(db)


async def _waited(future: asyncio.Future[T]) -> T:
    return await future


Machine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMachine = Machine.TestCase
