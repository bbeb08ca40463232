"""What forbids a payment beside the caps: payees, prices, the switch, the wallet, the clock."""

import sqlite3
from pathlib import Path

import pytest

from proxy.core.ledger import Evidence, State
from proxy.store import ForeignUse, onchain, payees, switch
from proxy.store.people import People
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
NO_NUMBERS = {"payment": "again", "nonce": b"n" * 32}


class TestPayees:
    """Whom a provider is paid at."""

    async def test_a_change_waits_for_a_person(self, books: Books) -> None:
        """Refused and noted until it is accepted; then both addresses are good."""
        await books.bought(1, pin=True)
        refusal = await books.refused(1, pin=True, pay_to=OTHER)
        assert refusal.code == "payee_not_allowed"
        assert f"farebox payees accept shop {OTHER.lower()}" in refusal.message
        known = await books.ledger.read(payees.listed)
        assert [(p["pay_to"], p["state"]) for p in known] == [
            (SHOP.lower(), "accepted"),
            (OTHER.lower(), "waiting"),
        ]
        await books.refused(1, pin=True, pay_to=OTHER)
        books.people().accept_payee("shop", BASE, OTHER)
        await books.bought(1, pin=True, pay_to=OTHER)
        await books.bought(1, pin=True, pay_to=SHOP)

    async def test_one_waits_at_a_time(self, books: Books) -> None:
        """A seller with a new payee in each challenge does not fill the disk."""
        await books.bought(1, pin=True)
        for number in range(1, 9):
            await books.refused(1, pin=True, pay_to=f"0x{number:040x}")
        assert rows(
            books.ledger.path.parent, "SELECT pay_to FROM payee WHERE state = 'waiting'"
        ) == [(f"0x{8:040x}",)]

    async def test_forgotten(self, books: Books) -> None:
        """When the last one is forgotten the next payment pins anew."""
        await books.bought(1, pin=True)
        assert not books.people().forget_payee("shop", BASE, OTHER)
        assert books.people().forget_payee("shop", BASE, SHOP.upper().replace("0X", "0x"))
        await books.bought(1, pin=True, pay_to=OTHER)
        await books.refused(1, pin=True)

    async def test_accepted_before_the_first_payment(self, tmp_path: Path) -> None:
        """A person may name the payee before anything was paid."""
        People(tmp_path, Clock().clocks).accept_payee("shop", BASE, OTHER)
        async with opened(tmp_path) as books:
            await books.refused(1, pin=True)
            await books.bought(1, pin=True, pay_to=OTHER)


class TestPrices:
    """Quotes that jump."""

    @pytest.mark.parametrize(
        ("usd", "is_refused"), [(1, False), (299, False), (300, True), (10**9, True)]
    )
    async def test_ratio(self, books: Books, usd: int, *, is_refused: bool) -> None:
        """A price of the ratio times the last, or more, is refused; below, it is the new one."""
        watching = {"thing": b"t", "jump_ratio": 3_000_000}
        await books.bought(100, **watching)
        if is_refused:
            assert (await books.refused(usd, **watching)).code == "quote_jump"
            await books.bought(299, **watching)
        else:
            await books.bought(usd, **watching)
            assert (await books.refused(3 * usd, **watching)).code == "quote_jump"

    async def test_each_thing_for_itself(self, books: Books) -> None:
        """Another thing, another provider, or a provider that is not watched: no jump."""
        await books.bought(1, thing=b"t", jump_ratio=2_000_000)
        await books.bought(100, thing=b"u", jump_ratio=2_000_000)
        await books.bought(100, thing=b"t", jump_ratio=2_000_000, provider="other")
        await books.bought(100)
        await books.refused(100, thing=b"t", jump_ratio=2_000_000)

    async def test_accepted_by_a_person(self, books: Books) -> None:
        """Whose prices are forgotten may ask what it likes, once."""
        watching = {"thing": b"t", "jump_ratio": 2_000_000}
        await books.bought(1, **watching)
        assert (books.people().forget_prices("other"), books.people().forget_prices("shop")) == (
            0,
            1,
        )
        await books.bought(100, **watching)
        await books.refused(200, **watching)

    async def test_free_once(self, books: Books) -> None:
        """From nothing to something is no ratio."""
        await books.bought(0, thing=b"t", jump_ratio=2_000_000)
        await books.bought(5, thing=b"t", jump_ratio=2_000_000)

    async def test_refused_by_a_cap(self, books: Books) -> None:
        """A price that was not paid is not the last price."""
        watching = {"thing": b"t", "jump_ratio": 2_000_000}
        await books.refused(100, limit("day", 50), **watching)
        await books.bought(1, **watching)
        await books.refused(50, **watching)


class TestSwitch:
    """The ways to turn it on; one way off."""

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file PAUSE is there"),
            (b" too\nmuch \n", "too much"),
            (b"\xff", "\ufffd"),
            (b"x" * 5000, "x" * switch.REASON_CHARS_MAX),
        ],
    )
    async def test_file(self, books: Books, content: bytes, reason: str) -> None:
        """A file pauses from the next payment on, and stays paused when it is gone."""
        file = books.ledger.path.with_name("PAUSE")
        file.write_bytes(content)
        assert (await books.refused(1)).message == f"paying is paused: {reason}"
        people = books.people()
        assert not people.resume()
        file.unlink()
        assert (await books.refused(1)).code == "paused"
        assert people.resume()
        await books.bought(1)

    async def test_file_that_cannot_be_read(self, books: Books) -> None:
        """When in doubt it is there."""
        books.ledger.path.with_name("PAUSE").mkdir()
        assert "cannot be read" in (await books.refused(1)).message

    async def test_first_reason_stays(self, books: Books) -> None:
        """Only a person's own word replaces a reason."""
        for source in ("config", "page", "file"):
            await books.ledger.pause(source, source)
        assert (await books.refused(1)).message.endswith(": config")
        books.people().pause("mine")
        assert (await books.refused(1)).message.endswith(": mine")

    async def test_survives(self, tmp_path: Path) -> None:
        """It is in the ledger, so a restart changes nothing."""
        clock = Clock()
        async with opened(tmp_path, clock) as books:
            await books.ledger.pause("x", "page")
        async with opened(tmp_path, clock) as books:
            assert (await books.refused(1)).code == "paused"


class TestFrozen:
    """A wallet whose key somebody else has."""

    use = ForeignUse(WALLET, BASE, USDC, b"f" * 32, "0xabc")

    async def test_signs_nothing(self, tmp_path: Path) -> None:
        """Nothing is reserved for it, over restarts, until a person accepts the use."""
        clock = Clock()
        async with opened(tmp_path, clock) as books:
            cursor = (BASE, USDC, WALLET, 10, START)
            assert await books.ledger.conclude((), (self.use, self.use), cursor) == ([], 1)
            refusal = await books.refused(1)
            assert (refusal.code, refusal.status) == ("wallet_frozen", 503)
            assert "0xabc" in refusal.message
            assert await books.ledger.would_admit(limit("day", 1).usd, [], WALLET) == refusal
            assert await books.ledger.would_admit(limit("day", 1).usd, []) is None
            await books.bought(1, wallet=OTHER)
            await books.bought(1, wallet=None, nonce=None)
        async with opened(tmp_path, clock) as books:
            await books.refused(1, **NO_NUMBERS)
            assert [u.nonce for u in await books.ledger.read(onchain.frozen)] == [b"f" * 32]
            other = ForeignUse(WALLET.lower(), BASE, USDC.lower(), b"g" * 32, "0xdef")
            assert books.people().unfreeze([other]) == 0
            await books.refused(1, **NO_NUMBERS)
            assert (await books.unfrozen(), await books.unfrozen()) == (1, 0)
            await books.bought(1, **NO_NUMBERS)
            assert await books.ledger.conclude((), (self.use,), cursor) == ([], 0)
            await books.bought(1, payment="third", nonce=b"m" * 32)


class TestClock:
    """A wall clock that jumps while the daemon runs."""

    @pytest.mark.parametrize("jump_s", [-86_400, -3600, 3600, 86_400, 10**9])
    async def test_nothing_is_signed_and_no_window_empties(self, books: Books, jump_s: int) -> None:
        """Whichever way: signing stops, says so, and goes on when the clock is right again."""
        hour, clock = limit("hour", 10), books.clock
        await books.bought(10)
        clock.jump(jump_s)
        refusal = await books.refused(1)
        assert (refusal.code, refusal.status) == ("ledger_unavailable", 503)
        assert f"jumped {abs(jump_s)} s {'ahead' if jump_s > 0 else 'back'}" in refusal.message
        assert await books.ledger.clock_problem() in refusal.message  # type: ignore[operator]  # there is one
        clock.jump(-jump_s)
        assert await books.ledger.clock_problem() is None
        await books.refused(1, hour)
        clock.now += 3600 + DEATH_S
        await books.bought(1, hour)

    async def test_restart_does_not_launder_a_jump(self, tmp_path: Path) -> None:
        """Within one boot what passed is known: a daemon that is started again is not fooled."""
        clock = Clock()
        async with opened(tmp_path, clock) as books:
            await books.bought(10)
        clock.jump(86_400)
        async with opened(tmp_path, clock) as books:
            await books.refused(1, **NO_NUMBERS)
            books.people().accept_clock()
            await books.bought(1, limit("hour", 10), **NO_NUMBERS)
            await books.bought(1, limit("hour", 11), payment="3", nonce=b"m" * 32)


class TestByHand:
    """A person's word about a payment whose outcome is unknown."""

    async def test_settled(self, books: Books) -> None:
        """It is settled, counts on, and leaves what is outstanding; the books say by whose word."""
        one = await books.bought(10)
        await books.become(one, Evidence.NO_RECEIPT)
        assert books.people().resolve(one.payment, "0xtx", "me@here") is State.SETTLED
        await books.bought(1, limit("outstanding", 1))
        await books.refused(1, limit("hour", 11))
        state = books.ledger.path.parent
        assert rows(state, "SELECT tx, note FROM payment WHERE tx <> ''") == [
            ("0xtx", "settled by the word of me@here")
        ]
        assert rows(state, "SELECT evidence FROM hold WHERE id = 1") == [("hand_settled",)]

    async def test_settled_is_the_dead_one(self, books: Books) -> None:
        """Of two authorizations, the one that is alive could still be taken: it stays open."""
        one = await books.bought(100)
        await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now += DEATH_S
        two = await books.bought(100, payment=one.payment)
        await books.become(two, Evidence.NO_RECEIPT)
        assert books.people().resolve(one.payment, "0xtx", "me") is State.SETTLED
        await books.refused(1, limit("outstanding", 100))

    async def test_void_only_when_dead(self, books: Books) -> None:
        """A signature that is alive is not void because somebody says so."""
        one = await books.bought(10)
        await books.become(one, Evidence.NO_RECEIPT)
        why = books.people().resolve(one.payment, None, "me")
        assert isinstance(why, str)
        assert f"for {DEATH_S} s" in why
        books.clock.now += DEATH_S
        assert books.people().resolve(one.payment, None, "me") is State.VOID
        await books.bought(10, limit("total", 10))

    @pytest.mark.parametrize("booked", [False, True])
    async def test_receipt_after_a_persons_void(self, books: Books, *, booked: bool) -> None:
        """An answer that was on the way all the time is heard: what was taken counts."""
        one = await books.bought(10)
        await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now += DEATH_S
        if booked:
            await books.ledger.usage([])
        assert books.people().resolve(one.payment, None, "me") is State.VOID
        assert await books.ledger.resolve(one, Evidence.RECEIPT) is State.SETTLED
        await books.refused(1, limit("hour", 10))
        books.clock.now += 3600
        await books.bought(1, limit("hour", 10))

    @pytest.mark.parametrize(
        "story", [(), (Evidence.RECEIPT,), (Evidence.NEVER_SENT,), (Evidence.SENT,)]
    )
    async def test_only_the_unknown(self, books: Books, story: tuple[Evidence, ...]) -> None:
        """What is known, or still under way, is not for people to say."""
        one = await books.bought(10)
        await books.become(one, *story)
        before = rows(books.ledger.path.parent, "SELECT state, note, tx FROM payment")
        assert isinstance(books.people().resolve(one.payment, "0x1", "me"), str)
        assert isinstance(books.people().resolve("pay_none", "0x1", "me"), str)
        assert rows(books.ledger.path.parent, "SELECT state, note, tx FROM payment") == before


async def test_people_and_the_daemon_at_once(books: Books) -> None:
    """A person's transaction waits for the daemon's, and the daemon's for it."""
    people = books.people()
    for number in range(20):
        people.pause(str(number))
        assert (await books.refused(1)).message.endswith(str(number))
        assert people.resume()
        await books.bought(1)


def test_people_leave_no_transaction_open(tmp_path: Path) -> None:
    """A change that fails changes nothing, and the file is free again."""
    people = People(tmp_path, Clock().clocks)
    people.pause("x")
    with pytest.raises(sqlite3.Error):
        people.accept_payee("shop", object(), OTHER)  # type: ignore[arg-type]  # on purpose
    assert people.resume()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite3"]
