"""A person's hands in the ledger, beside a daemon and without one."""

import sqlite3
from pathlib import Path

import pytest

from proxy.core.errors import Refusal
from proxy.core.ledger import Evidence, State
from proxy.core.money import Usd
from proxy.store import ForeignUse, SchemaError, onchain, schema
from proxy.store.people import People
from proxy.store.switch import FILE
from tests.store.books import (
    DEATH_S,
    OTHER,
    SHOP,
    START,
    USDC,
    WALLET,
    Books,
    Clock,
    limit,
    opened,
    rows,
)

BASE = "eip155:8453"
TX = "0x" + "ab" * 32
E = Evidence


async def unknown(books: Books, usd: int = 100) -> str:
    """A payment that left, and of which nothing was heard."""
    one = await books.bought(usd)
    await books.become(one, E.NO_RECEIPT)
    return one.payment


class TestSwitch:
    """The kill switch in a person's hands."""

    async def test_file_outlives_a_resume(self, books: Books, tmp_path: Path) -> None:
        """While the file PAUSE is there nobody can resume, and after that they must."""
        (tmp_path / FILE).write_text("audit")
        assert (await books.refused(1)).code == "paused"
        assert not books.people().resume()
        (tmp_path / FILE).unlink()
        assert (await books.refused(1)).message == "paying is paused: audit"
        assert books.people().resume()
        await books.bought(1)

    async def test_reason_of_a_person_wins(self, books: Books, tmp_path: Path) -> None:
        """What a person says replaces what the file said, and nobody replaces it after that."""
        await books.ledger.pause("from the page", "page")
        books.people().pause("from a person")
        await books.ledger.pause("from the page", "page")
        assert rows(tmp_path, "SELECT reason, source FROM pause") == [("from a person", "command")]


class TestClock:
    """The clock in a person's hands."""

    @pytest.mark.parametrize("seconds", [-4000, 4000])
    async def test_accepted_under_a_running_daemon(self, books: Books, seconds: int) -> None:
        """A daemon whose clock jumped signs nothing until a person accepts the new time."""
        before = books.ledger.now()
        books.clock.jump(seconds)
        assert (await books.refused(1)).code == "ledger_unavailable"
        books.people().accept_clock()
        await books.bought(1)
        assert books.ledger.now() >= before

    async def test_accepted_between_two_runs(self, tmp_path: Path) -> None:
        """A jump while no daemon ran is seen at the start, and accepted without one."""
        clock = Clock()
        async with opened(tmp_path, clock):
            pass
        clock.jump(4000)
        async with opened(tmp_path, clock) as books:
            assert (await books.refused(1)).code == "ledger_unavailable"
        People(tmp_path, clock.clocks).accept_clock()
        async with opened(tmp_path, clock) as books:
            await books.bought(1)

    async def test_nothing_to_accept(self, books: Books) -> None:
        """Where nothing jumped it changes nothing."""
        books.people().accept_clock()
        await books.bought(1)
        assert books.ledger.now() == START


class TestResolve:
    """A person's word on a payment."""

    async def test_settled(self, books: Books, tmp_path: Path) -> None:
        """It was taken: alive or not it counts on, but is no longer outstanding."""
        payment = await unknown(books)
        await books.refused(1, limit("outstanding", 100))
        assert books.people().resolve(payment, TX, "me@here") is State.SETTLED
        await books.bought(1, limit("outstanding", 100))
        await books.refused(1, limit("total", 101))
        assert rows(tmp_path, "SELECT state, tx, note FROM payment WHERE id = ?", payment) == [
            ("settled", TX, "settled by the word of me@here")
        ]
        assert rows(tmp_path, "SELECT evidence FROM hold WHERE payment = ?", payment) == [
            ("hand_settled",)
        ]

    async def test_void_at_the_edge_of_its_life(self, books: Books, tmp_path: Path) -> None:
        """Until the second in which it dies it can be taken; from then on it is given back."""
        payment = await unknown(books)
        books.clock.now += DEATH_S - 1
        said = books.people().resolve(payment, None, "me@here")
        assert said == "its authorization can still be taken for 1 s: void it after that"
        assert await books.exposure() == 100
        books.clock.now += 1
        assert books.people().resolve(payment, None, "me@here") is State.VOID
        assert await books.exposure() == 0
        await books.bought(100, limit("total", 100))
        assert rows(tmp_path, "SELECT note FROM payment WHERE id = ?", payment) == [
            ("void by the word of me@here",)
        ]

    @pytest.mark.parametrize("booked", [False, True])
    async def test_void_whether_or_not_it_was_booked(self, books: Books, *, booked: bool) -> None:
        """Every window has its room back, also those into which it was booked."""
        payment = await unknown(books)
        books.clock.now += DEATH_S
        if booked:
            await books.ledger.usage([])
        assert books.people().resolve(payment, None, "x") is State.VOID
        for window in ("hour", "month", "total", "outstanding"):
            assert not isinstance(await _fits(books, window), Refusal)

    async def test_void_of_two_authorizations(self, books: Books) -> None:
        """All of them, and only once the last one is dead."""
        payment = await unknown(books)
        books.clock.now += DEATH_S
        await books.become(await books.bought(50, payment=payment), E.NO_RECEIPT)
        assert isinstance(books.people().resolve(payment, None, "x"), str)
        assert await books.exposure() == 150
        books.clock.now += DEATH_S
        assert books.people().resolve(payment, None, "x") is State.VOID
        assert await books.exposure() == 0

    async def test_settled_of_two_authorizations(self, books: Books) -> None:
        """One was taken; the other may have been, and so goes on to count."""
        payment = await unknown(books)
        books.clock.now += DEATH_S
        await books.become(await books.bought(50, payment=payment), E.NO_RECEIPT)
        assert books.people().resolve(payment, TX, "x") is State.SETTLED
        assert await books.exposure() == 150
        books.clock.now += DEATH_S
        said = books.people().resolve(payment, None, "x")
        assert isinstance(said, str)
        assert said.startswith("it is settled: ")
        assert await books.exposure() == 150

    @pytest.mark.parametrize(
        ("story", "state"),
        [
            ((), "reserved"),
            ((E.SENT,), "sent"),
            ((E.RECEIPT,), "settled"),
            ((E.NEVER_SENT,), "void"),
            ((E.CHAIN_CANCELLED,), "cancelled"),
            ((E.CHAIN_UNUSED,), "expired"),
        ],
    )
    @pytest.mark.parametrize("tx", [None, TX])
    async def test_only_what_is_unknown(
        self, books: Books, story: tuple[Evidence, ...], state: str, tx: str | None
    ) -> None:
        """What is known otherwise, or not yet in doubt, is nobody's word."""
        one = await books.bought(100)
        await books.become(one, *story)
        before = await books.exposure()
        said = books.people().resolve(one.payment, tx, "x")
        assert isinstance(said, str)
        assert not isinstance(said, State)
        assert said.startswith(f"it is {state}: ")
        assert await books.exposure() == before

    async def test_nobody_knows_it(self, books: Books) -> None:
        """An id that is not there is said."""
        assert books.people().resolve("pay_nobody", TX, "x") == "there is no such payment"

    async def test_a_receipt_outranks_a_person(self, books: Books) -> None:
        """What a person called void and was taken after all counts again."""
        one = await books.bought(100)
        await books.become(one, E.NO_RECEIPT)
        books.clock.now += DEATH_S
        books.people().resolve(one.payment, None, "x")
        assert await books.become(one, E.RECEIPT) is State.SETTLED
        assert await books.exposure() == 100


class TestPayees:
    """Whom providers are paid at, in a person's hands."""

    async def test_accepted_beside_the_first(self, books: Books) -> None:
        """A second address is paid from the next transaction on, and the first still is."""
        await books.bought(5, pin=True)
        await books.refused(5, pin=True, pay_to=OTHER)
        books.people().accept_payee("shop", BASE, OTHER)
        await books.bought(5, pin=True, pay_to=OTHER)
        await books.bought(5, pin=True, pay_to=SHOP)

    async def test_forgotten(self, books: Books) -> None:
        """One of two is refused again; when the last one goes, the next is pinned."""
        people = books.people()
        await books.bought(5, pin=True)
        people.accept_payee("shop", BASE, OTHER)
        assert people.forget_payee("shop", BASE, SHOP)
        assert not people.forget_payee("shop", BASE, SHOP)
        await books.refused(5, pin=True, pay_to=SHOP)
        assert people.forget_payee("shop", BASE, OTHER.lower())
        await books.bought(5, pin=True, pay_to=SHOP)
        await books.refused(5, pin=True, pay_to=OTHER)

    async def test_prices(self, books: Books) -> None:
        """A price that jumped is the usual one once a person forgets the old one."""
        watched = {"thing": b"t", "jump_ratio": 3 * 10**6}
        await books.bought(5, **watched)
        await books.bought(5, **watched, provider="other")
        assert (await books.refused(15, **watched)).code == "quote_jump"
        assert books.people().forget_prices("shop") == 1
        assert books.people().forget_prices("shop") == 0
        await books.bought(15, **watched)
        await books.refused(15, **watched, provider="other")


async def test_unfreeze(books: Books) -> None:
    """A wallet that somebody else used signs nothing until a person accepts what is known."""
    use = ForeignUse(WALLET, BASE, USDC, b"n" * 32, TX)
    await books.ledger.ask(lambda db: onchain.freeze(db, [use], START))
    assert (await books.refused(1)).code == "wallet_frozen"
    assert await books.unfrozen() == 1
    assert await books.unfrozen() == 0
    await books.bought(1)
    assert await books.ledger.ask(lambda db: onchain.freeze(db, [use], START)) == 0
    await books.bought(1)


class TestFile:
    """The file that a person opens."""

    def test_it_is_made(self, tmp_path: Path) -> None:
        """Where there is none it is made, for its owner alone, and a daemon can go on with it."""
        state_dir = tmp_path / "deep" / "state"
        People(state_dir, Clock().clocks).pause("x")
        assert state_dir.stat().st_mode & 0o077 == 0
        assert (state_dir / schema.FILE_NAME).stat().st_mode & 0o077 == 0

    def test_of_a_newer_release(self, tmp_path: Path) -> None:
        """It is refused and not changed."""
        with sqlite3.connect(tmp_path / schema.FILE_NAME) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(SchemaError):
            People(tmp_path, Clock().clocks).pause("x")
        assert rows(tmp_path, "PRAGMA user_version") == [(99,)]

    async def test_failure_leaves_nothing(self, books: Books, tmp_path: Path) -> None:
        """Whoever fails half-way changes nothing and keeps nobody waiting."""
        with pytest.raises(sqlite3.Error):
            books.people().accept_payee(None, BASE, OTHER)  # type: ignore[arg-type] # what fails
        await books.bought(1)
        assert rows(tmp_path, "SELECT count(*) FROM payee") == [(0,)]

    async def test_beside_a_busy_daemon(self, books: Books) -> None:
        """Its writer and a person take turns: nothing of either is lost."""
        for number in range(20):
            books.people().pause(str(number))
            assert (await books.refused(1)).message.endswith(f": {number}")
            books.people().resume()
            await books.bought(1)
        assert await books.exposure() == 20


async def _fits(books: Books, window: str) -> Refusal | None:
    return await books.ledger.would_admit(Usd(100), [limit(window, 100)])
