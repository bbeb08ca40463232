"""The promise of the caps, held against the chain's truth: see `model` for its bound.

The daemon's way of buying keeps it, whatever sellers, clocks, the chain and crashes do. Each
planted bug breaks it, and is found: a green run of the first is worth as much as the others.
"""

from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promise import bugs
from tests.promise.buyer import Answer, Buyer, Order
from tests.promise.draws import SCOPES, Temper
from tests.promise.machine import Machine
from tests.promise.model import ERROR_S, World
from tests.promise.oracle import BreachError

GATE = settings(
    max_examples=120,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
HUNT = settings(GATE, max_examples=1000, stateful_step_count=25, phases=[Phase.generate])
"""For what must be found: the first example ends it, and nobody needs the smallest."""

SLOW = settings(GATE, max_examples=5000, stateful_step_count=60, derandomize=False)

CLASSIC = [
    bugs.SignsBeforeReserving,
    bugs.ReleasesOnTimeout,
    bugs.ReleasesOn402,
    bugs.ExpiresByTheWallClock,
]
QUICK = [
    bugs.ReleasesOnError,
    bugs.ReleasesOnDenial,
    bugs.LooksBeforeItCounts,
    bugs.CountsWhatWasReported,
    bugs.SignsAnewUnderTheOldHold,
]
RARE = [
    bugs.TakesUsedForCancelled,
    bugs.ReleasesOnRestart,
    bugs.GoesByTheOldCaps,
    bugs.BelievesTheNewestBlock,
    bugs.VoidsByHandAtOnce,
    bugs.CountsByTheCalendarDay,
    bugs.GoesByTheWallClockAlone,
]
"""They take some hundreds of examples, more than the gate has time for."""

BUGS = [*CLASSIC, *QUICK, *RARE]


def machine(
    bug: type[Buyer] = Buyer, *, chain_lag_s: int = ERROR_S, believes_receipts: bool = True
) -> type[Machine]:
    """A state machine with a bug planted, or in a world that is out of bounds."""

    class Planted(Machine):
        def __init__(self) -> None:
            super().__init__(bug, World(chain_lag_s), believes_receipts=believes_receipts)

    return Planted


def test_daemons_way_of_buying_keeps_the_promise() -> None:
    """At every instant what was taken and what still can be fits under every cap."""
    run_state_machine_as_test(Machine, settings=GATE)


@pytest.mark.parametrize("bug", [*CLASSIC, *QUICK], ids=lambda bug: bug.__name__)
def test_planted_bug(bug: type[Buyer]) -> None:
    """Each rule of the daemon's is needed: without it the promise is broken, and that is seen."""
    with pytest.raises(BreachError):
        run_state_machine_as_test(machine(bug), settings=HUNT)


@pytest.mark.slow
def test_seller_who_swears_falsely() -> None:
    """The known hole: a receipt for what was not taken yet makes room under `outstanding`.

    If this fails, receipts are believed no longer: let the oracle count them, too.
    """
    with pytest.raises(BreachError, match="outstanding"):
        run_state_machine_as_test(machine(believes_receipts=False), settings=HUNT)


def test_booking_at_the_receipt() -> None:
    """The machine hardly ever finds this one, so it is led there: an hour later it counts twice."""
    driven = machine(bugs.BooksAtTheReceipt)()
    order = Order(60, SCOPES, 86_400)
    try:
        driven.begin([("all", "hour")], 60, Temper(), 0, 0)
        driven.buy(order, 1, None)
        driven.answer(0, Answer.RECEIPT)
        driven.time_passes(3601)
        driven.buy(order, 1, None)
        with pytest.raises(BreachError):
            driven.the_promise_holds()
    finally:
        driven.teardown()


@pytest.mark.slow
def test_promise_at_length() -> None:
    """The same, at random, for minutes."""
    run_state_machine_as_test(Machine, settings=SLOW)


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_planted_bug_at_random(bug: type[Buyer]) -> None:
    """Each bug is found from anywhere, the rare ones too."""
    with pytest.raises(BreachError):
        run_state_machine_as_test(
            machine(bug), settings=settings(HUNT, max_examples=5000, derandomize=False)
        )


@pytest.mark.parametrize("chain_lag_s", [ERROR_S, 600])
def test_chain_beyond_the_margin(chain_lag_s: int) -> None:
    """The bound is needed: a chain ten minutes behind can still take what is dead here."""
    driven = machine(chain_lag_s=chain_lag_s)()
    order = Order(60, SCOPES, 300)
    try:
        driven.begin([("all", "outstanding")], 60, Temper(), 0, 0)
        driven.chain_stumbles(0, stalled=True, reorganised=False)
        driven.buy(order, 1, None)
        driven.until_it_counts_no_more(0, in_window=False, offset_s=0)
        driven.buy(order, 1, None)
        with nullcontext() if chain_lag_s == ERROR_S else pytest.raises(BreachError):
            driven.the_promise_holds()
    finally:
        driven.teardown()
