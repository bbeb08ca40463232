"""The clock: it may jump back, and money must not come back with it."""

from pathlib import Path

import pytest

from proxy.core.ledger import WINDOWS, Evidence
from proxy.core.money import Usd, format_usd
from tests.store.books import DEATH_S, START, Clock, limit, opened, rows

CAP = 100


async def test_clock_set_back_frees_nothing(tmp_path: Path) -> None:
    """What was spent just now still counts when the clock says yesterday."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        await books.bought(CAP)
        clock.jump(-86_400)
        await books.refused(1)
        books.people().accept_clock()
        for window in (*WINDOWS, "total", "outstanding"):
            await books.refused(1, limit(window, CAP))


@pytest.mark.parametrize("window", [*WINDOWS, "outstanding"])
async def test_holds_made_after_the_clock_was_set_back_count(tmp_path: Path, window: str) -> None:
    """A clock that jumped ahead and was put right leaves the caps in force, not empty."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        clock.now += 90 * 86_400
        await books.bought(1)
        clock.jump(-90 * 86_400)
        books.people().accept_clock()
        wall = limit(window, CAP)
        await books.bought(CAP - 1, wall)
        await books.refused(2, wall)
        clock.now += 30
        await books.refused(2, wall)


async def test_lagging_hold_dies_as_late_as_a_fresh_one(tmp_path: Path) -> None:
    """After a jump back a hold lives as long by the ledger's time as it does by its own."""
    clock = Clock(START + 1000)
    async with opened(tmp_path, clock) as books:
        await books.bought(0)
        clock.jump(-1000)
        books.people().accept_clock()
        await books.bought(CAP)
        wall = limit("outstanding", CAP)
        clock.now += DEATH_S - 1
        await books.refused(1, wall)
        clock.now += 1
        await books.bought(1, wall)


async def test_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    """The latest time is in the file: a restart does not bring back what had left no window."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        await books.become(await books.bought(CAP), Evidence.SENT, Evidence.RECEIPT)
    clock.reboot(-10 * 86_400)
    async with opened(tmp_path, clock) as books:
        await books.refused(1, limit("hour", CAP), payment="again")
        await books.bought(1, payment="again", nonce=b"n" * 32)
    assert rows(tmp_path, "SELECT created_at FROM payment WHERE id = 'again'") == [(START,)]


async def test_booked_time_survives_a_restart(tmp_path: Path) -> None:
    """The high-water mark is that of the last booking too, not of the last payment alone."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        await books.bought(CAP)
        clock.now += DEATH_S
        await books.ledger.usage([])
    clock.reboot(START - clock.now)
    async with opened(tmp_path, clock) as books:
        await books.bought(1, payment="again", nonce=b"n" * 32)
    assert rows(tmp_path, "SELECT created_at, lag_s FROM payment JOIN hold ON payment = payment.id"
                " WHERE payment.id = 'again'") == [(START + DEATH_S, DEATH_S)]  # fmt: skip


async def test_renewed_time_survives_a_restart(tmp_path: Path) -> None:
    """A further authorization of an old payment is the high-water mark too.

    What had left a window when it was signed does not come back beside it.
    """
    clock, wall = Clock(), limit("hour", CAP)
    async with opened(tmp_path, clock) as books:
        await books.bought(CAP, wall, payment="job")
        clock.now += 86_400
        await books.bought(CAP, wall, payment="job")
    clock.reboot(-100_000)
    async with opened(tmp_path, clock) as books:
        (usage,) = await books.ledger.usage([wall])
    assert (usage["settled"], usage["live"]) == ("0.00", format_usd(Usd(CAP)))
    renewed = START + 86_400
    assert rows(tmp_path, "SELECT reserved_at FROM hold") == [(START,), (renewed,)]


async def test_fractions_of_a_second(tmp_path: Path) -> None:
    """Times are whole seconds, rounded down: a hold is never dead a fraction early."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        await books.bought(CAP)
        clock.now += DEATH_S - 0.001
        await books.refused(1, limit("outstanding", CAP))


async def test_hold_that_was_dead_when_it_was_made(tmp_path: Path) -> None:
    """A window that lies in the past is a bug of somebody's, and still counts as if it were now."""
    async with opened(tmp_path) as books:
        await books.bought(1)
        books.clock.now += DEATH_S
        await books.ledger.usage([])
        wall = limit("hour", CAP)
        await books.bought(CAP - 1, wall, valid_before=START - 5000)
        books.clock.now += 3599
        assert (await books.refused(CAP, wall)).retry_after_s == 1
        books.clock.now += 1
        await books.bought(CAP, wall)
