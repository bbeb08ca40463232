"""Every cap, at its edge: one below, exactly at, one above; alive, booked and aged."""

import asyncio
import sqlite3

import pytest

from proxy.core.errors import Refusal
from proxy.core.ledger import WINDOWS, Evidence
from proxy.core.money import USD_MAX
from proxy.store import Reserved, sums, views
from tests.store.books import DEATH_S, LIFE_S, OTHER, START, Books, limit

CAP = 1_000_000
COUNTING = (*WINDOWS, "total", "outstanding")
SETTLED = (Evidence.SENT, Evidence.RECEIPT)
UNKNOWN = (Evidence.SENT, Evidence.NO_RECEIPT)


@pytest.mark.parametrize("window", [*COUNTING, "per_request", "call"])
@pytest.mark.parametrize(("price", "fits"), [(CAP - 1, True), (CAP, True), (CAP + 1, False)])
async def test_first_purchase_at_the_edge(
    books: Books, window: str, price: int, *, fits: bool
) -> None:
    """A cap of a dollar lets exactly a dollar through, and not a millionth more."""
    verdict = await books.reserve(price, limit(window, CAP))
    assert isinstance(verdict, Reserved) is fits
    if isinstance(verdict, Refusal):
        assert (verdict.code, verdict.retry_after_s) == (f"cap_{window}", None)
    assert await books.exposure() == (price if fits else 0)


@pytest.mark.parametrize("window", COUNTING)
@pytest.mark.parametrize(("price", "fits"), [(399_999, True), (400_000, True), (400_001, False)])
async def test_second_purchase_beside_a_live_one(
    books: Books, window: str, price: int, *, fits: bool
) -> None:
    """What was reserved and not yet decided counts in full, in every window."""
    await books.bought(600_000, limit(window, CAP))
    verdict = await books.reserve(price, limit(window, CAP))
    assert isinstance(verdict, Reserved) is fits


@pytest.mark.parametrize("window", ["per_request", "call"])
async def test_caps_of_one_call_add_nothing_up(books: Books, window: str) -> None:
    """A cap on one call looks at one call, however many there were."""
    for _ in range(5):
        await books.bought(CAP, limit(window, CAP))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("story", [SETTLED, UNKNOWN, (Evidence.SENT,), ()])
async def test_window_rolls(books: Books, window: str, story: tuple[Evidence, ...]) -> None:
    """A hold leaves a window that many seconds after its death, whatever came of it.

    Not a second earlier.
    """
    await books.become(await books.bought(CAP), *story)
    books.clock.now = START + DEATH_S + WINDOWS[window] - 1
    refusal = await books.refused(1, limit(window, CAP))
    assert (refusal.code, refusal.retry_after_s) == (f"cap_{window}", 1)
    books.clock.now += 1
    await books.bought(CAP, limit(window, CAP))


async def test_total_never_rolls(books: Books) -> None:
    """A total is for ever, and waiting for it is useless."""
    await books.become(await books.bought(CAP), *SETTLED)
    books.clock.now += 10 * 365 * 86_400
    assert (await books.refused(1, limit("total", CAP))).retry_after_s is None


async def test_live_hold_counts_in_the_hour_however_old(books: Books) -> None:
    """A job's long authorization counts as long as it lives, and an hour from then on."""
    await books.bought(CAP, valid_before=START + 86_400)
    books.clock.now = START + 86_400
    assert (await books.refused(1, limit("hour", CAP))).code == "cap_hour"
    books.clock.now = START + 86_400 + 60 + 3599
    assert (await books.refused(1, limit("hour", CAP))).code == "cap_hour"
    books.clock.now += 1
    await books.bought(CAP, limit("hour", CAP))


@pytest.mark.parametrize("story", [(), (Evidence.SENT,), UNKNOWN])
async def test_outstanding_until_death_and_margin(
    books: Books, story: tuple[Evidence, ...]
) -> None:
    """What may still be taken is outstanding until its validity and a margin have passed."""
    await books.become(await books.bought(CAP), *story)
    books.clock.now = START + DEATH_S - 1
    refusal = await books.refused(1, limit("outstanding", CAP))
    assert (refusal.code, refusal.retry_after_s) == ("cap_outstanding", 1)
    books.clock.now += 1
    await books.bought(CAP, limit("outstanding", CAP))
    assert (await books.refused(1, limit("hour", CAP))).code == "cap_hour"


async def test_settled_is_not_outstanding(books: Books) -> None:
    """A receipt ends what can still be taken, and the windows keep counting it."""
    await books.become(await books.bought(CAP), *SETTLED)
    await books.bought(CAP, limit("outstanding", CAP))
    assert (await books.refused(1, limit("day", CAP))).code == "cap_day"


@pytest.mark.parametrize("window", COUNTING)
async def test_void_gives_everything_back(books: Books, window: str) -> None:
    """What provably never left counts nowhere."""
    await books.become(await books.bought(CAP), Evidence.NEVER_SENT)
    await books.bought(CAP, limit(window, CAP))


@pytest.mark.parametrize("window", COUNTING)
async def test_void_after_it_was_booked(books: Books, window: str) -> None:
    """A refund that comes late still gives back, among others that stay booked."""
    first = await books.bought(100)
    voided = await books.bought(CAP - 300)
    last = await books.bought(200)
    books.clock.now += DEATH_S
    await books.ledger.usage([])
    assert await books.become(voided, Evidence.NEVER_SENT) == "void"
    assert await books.exposure() == 300
    room = CAP - (0 if window == "outstanding" else 300)
    await books.refused(room + 1, limit(window, CAP))
    await books.bought(room, limit(window, CAP))
    for other in (first, last):
        await books.become(other, Evidence.NEVER_SENT)
    books.clock.now += DEATH_S
    assert await books.exposure() == room


async def test_scopes_count_apart(books: Books) -> None:
    """Each scope has its own sums, and a hold counts in all of its own."""
    await books.bought(60, scopes=("all", "client:a"))
    await books.bought(40, scopes=("all", "client:b"))
    assert (await books.refused(41, limit("day", 100, "client:a"))).code == "cap_day"
    await books.bought(40, limit("day", 100, "client:a"), scopes=("all", "client:a"))
    await books.bought(60, limit("day", 100, "client:b"), scopes=("all", "client:b"))
    await books.bought(100, limit("day", 100, "client:c"), scopes=("all", "client:c"))
    assert await books.exposure() == 300
    assert "for client:a" in (await books.refused(1, limit("day", 100, "client:a"))).message


async def test_every_limit_must_pass(books: Books) -> None:
    """One cap that is full refuses, whatever room the others have; the first one says so."""
    await books.bought(50)
    roomy, full = limit("day", 10**9), limit("week", 50)
    assert (await books.refused(1, roomy, full, limit("total", 0))).code == "cap_week"
    assert await books.exposure() == 50


async def test_what_is_refused_leaves_nothing(books: Books) -> None:
    """A refusal reserves nothing, pins nothing and writes no payment."""
    await books.refused(11, limit("day", 10), pin=True)
    assert await books.exposure() == 0
    assert (await books.ledger.read(views.payments))["payments"] == []
    await books.bought(10, limit("day", 10), pin=True, pay_to=OTHER)


async def test_free_call_fits_into_a_full_cap(books: Books) -> None:
    """What costs nothing is never refused for the money."""
    await books.bought(10, limit("day", 10))
    await books.bought(0, limit("day", 10))


async def test_two_hundred_at_once(books: Books) -> None:
    """Of two hundred that come at the same time against a cap for twenty, twenty are let in."""
    cap = limit("day", 20 * 50_000)
    sales = [books.reserve(50_000, cap) for _ in range(200)]
    verdicts = await asyncio.gather(*sales)
    assert sum(isinstance(verdict, Reserved) for verdict in verdicts) == 20
    assert {v.code for v in verdicts if isinstance(v, Refusal)} == {"cap_day"}
    assert await books.exposure() == cap.usd


async def test_would_admit_decides_alike_and_counts_nothing(books: Books) -> None:
    """Asking is free: the same verdict as a reservation, and nothing is held afterwards."""
    cap = limit("hour", 100)
    await books.bought(60)
    assert await books.ledger.would_admit(cap.usd, [cap]) == await books.refused(100, cap)
    assert await books.ledger.would_admit(limit("hour", 40).usd, [cap]) is None
    assert await books.exposure() == 60


class TestRetryAfter:
    """A refusal that passes says when: not a second too early, and not one too late."""

    @staticmethod
    async def holds(books: Books, price: int, cap: int, window: str) -> int:
        """The time that a refusal promises, tried out: refused just before it, let in at it."""
        wall = limit(window, cap)
        wait = (await books.refused(price, wall)).retry_after_s
        assert wait is not None
        books.clock.now += wait - 1
        if wait > 1:
            await books.refused(price, wall)
        books.clock.now += 1
        await books.bought(price, wall)
        return wait

    @pytest.mark.parametrize(
        ("price", "portions"), [(11, 1), (39, 1), (40, 1), (41, 2), (70, 2), (71, 3), (100, 3)]
    )
    async def test_booked_in_three_portions(self, books: Books, price: int, portions: int) -> None:
        """The window must slide past as many of the oldest as make the room, and no more."""
        for _ in range(3):
            await books.bought(30)
            books.clock.now += 1000
        books.clock.now = START + DEATH_S + 2000
        waited = await self.holds(books, price, 100, "hour")
        assert waited == 1000 * (portions - 1) + 3600 - 2000

    async def test_alive_in_a_window(self, books: Books) -> None:
        """What is alive dies first, and only then begins to age."""
        await books.bought(100)
        assert await self.holds(books, 1, 100, "hour") == DEATH_S + 3600

    async def test_partly_booked_and_partly_alive(self, books: Books) -> None:
        """Where the booked part is not enough, the alive part decides."""
        await books.bought(40)
        books.clock.now += DEATH_S
        await books.bought(30)
        books.clock.now += 100
        await books.bought(30)
        assert await self.holds(books, 60, 100, "hour") == LIFE_S + 60 - 100 + 3600

    async def test_settled_but_alive(self, books: Books) -> None:
        """A receipt does not make a window any earlier."""
        await books.become(await books.bought(100), *SETTLED)
        assert await self.holds(books, 1, 100, "day") == DEATH_S + 86_400

    async def test_outstanding_needs_two_to_die(self, books: Books) -> None:
        """One death is not enough where two are needed; a settled or foreign one is none."""
        await books.bought(50)
        books.clock.now += 10
        await books.bought(50)
        await books.become(await books.bought(50, valid_before=START + 15), *SETTLED)
        await books.bought(50, valid_before=START + 15, scopes=("client:a",))
        assert await self.holds(books, 100, 100, "outstanding") == DEATH_S

    async def test_several_in_one_second(self, books: Books) -> None:
        """What was booked at the same second leaves together, whatever its order."""
        for usd in (10, 20, 30):
            await books.bought(usd)
        books.clock.now += DEATH_S
        await books.bought(40)
        assert await self.holds(books, 15, 100, "hour") == 3600

    async def test_nothing_that_could_be_freed(self, books: Books) -> None:
        """More than there is never leaves: the book says so."""
        await books.bought(10)

        def ask(db: sqlite3.Connection) -> tuple[int | None, ...]:
            book = sums.Sums(db)
            return (
                book.dies_at("all", 11),
                book.dies_at("client:a", 1),
                book.frees_at("all", START, 11),
                book.frees_at("all", START, 10),
            )

        asked = await books.ledger._writer.submit(ask)
        assert asked == (None, None, None, START + DEATH_S)

    async def test_price_beyond_the_cap_is_told_no_time(self, books: Books) -> None:
        """What can never fit is not told to come back."""
        await books.bought(1)
        for window in COUNTING:
            assert (await books.refused(101, limit(window, 100))).retry_after_s is None


async def test_sums_past_the_integers_sign_nothing(books: Books) -> None:
    """Without caps, absurd amounts end in an error and never in a wrong sum."""
    await books.bought(USD_MAX)
    with pytest.raises(Exception, match="REAL"):
        await books.reserve(USD_MAX)
    assert await books.exposure() == USD_MAX
    await books.bought(1)
