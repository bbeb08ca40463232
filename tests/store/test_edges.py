"""Edges that mutation runs found: what is told, what a chain's word leaves, windows with a past."""

from pathlib import Path

import pytest

from proxy.core.ledger import DEATH_MARGIN_S, Evidence, State
from proxy.store import ForeignUse, KeptAnswer, payees
from proxy.store.resolving import Finding
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
CURSOR = (BASE, USDC, WALLET, 10, START)
HOUR_S = 3600
DAY_S = 86_400


class TestWords:
    """What a person reads of a refusal, whole."""

    async def test_answer_that_came_meanwhile(self, books: Books) -> None:
        """A request whose twin under the same key was faster is told to ask again."""
        key = {"idempotency_key": "k", "fingerprint": b"f", "retention_s": DAY_S}
        one = await books.bought(1, **key)
        await books.ledger.keep_answer(one.payment, KeptAnswer(200, "OK", (), b""))
        assert (await books.refused(1, **key)).message == (
            "this was just paid for under the same Idempotency-Key: ask again for its answer"
        )

    async def test_new_payee(self, books: Books) -> None:
        """All that were accepted are named, in order, and the one that waits."""
        await books.bought(1, pin=True)
        books.people().accept_payee("shop", BASE, WALLET)
        accepted = ", ".join(sorted((SHOP.lower(), WALLET.lower())))
        assert (await books.refused(1, pin=True, pay_to=OTHER)).message == (
            f"shop was paid at {accepted} on {BASE} before and now asks for {OTHER.lower()};"
            f" if that is right: farebox payees accept shop {OTHER.lower()}"
        )

    async def test_price_that_jumped(self, books: Books) -> None:
        """Both prices are named, and what to do."""
        watching = {"thing": b"t", "jump_ratio": 2_000_000}
        await books.bought(1_000_000, **watching)
        assert (await books.refused(2_500_000, **watching)).message == (
            "shop asks 2.50 USD for what cost 1.00 USD last time;"
            " if that is right: farebox payees accept shop --prices"
        )

    async def test_frozen_wallet(self, books: Books) -> None:
        """The wallet and the use that nobody here signed are named."""
        use = ForeignUse(WALLET, BASE, USDC, b"f" * 32, "0xabc")
        await books.ledger.conclude((), (use,), CURSOR)
        assert (await books.refused(1)).message == (
            f"an authorization of {WALLET} that was never signed here was used on chain (0xabc):"
            " somebody else has its key, so nothing is signed; move the money to a new wallet"
        )

    @pytest.mark.parametrize(("jump_s", "where"), [(31, "ahead"), (-31, "back")])
    async def test_clock_that_jumped(self, books: Books, jump_s: int, where: str) -> None:
        """How far it jumped is told, which way, and what to do."""
        books.clock.jump(jump_s)
        assert (await books.refused(1)).message == (
            f"nothing is signed: the clock jumped 31 s {where}; it goes on when the clock is right"
            " again, or after farebox resume --accept-clock"
        )

    async def test_pause_without_a_reason(self, books: Books) -> None:
        """A switch that was turned on without a word says no more than that."""
        books.people().pause("")
        assert (await books.refused(1)).message == "paying is paused"

    async def test_renewal(self, books: Books) -> None:
        """Other terms, and an authorization that is alive, are told apart."""
        one = await books.bought(10)
        assert (await books.refused(10, payment=one.payment)).message == (
            "an authorization of this payment is alive or was taken: it is not signed again"
        )
        assert (await books.refused(11, payment=one.payment)).message == (
            "the provider asks for other terms than the job was paid on"
        )


class TestKeys:
    """How long a key is kept once its money cannot move."""

    async def test_to_the_second(self, books: Books) -> None:
        """A dead payment's key binds for its retention, and not a second longer."""
        key = {"idempotency_key": "k", "fingerprint": b"f", "retention_s": DAY_S}
        one = await books.bought(1, **key)
        await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now = START + DAY_S - 1
        await books.ledger.usage([])
        assert await books.ledger.find_key(None, "k", DAY_S) is not None
        assert (await books.refused(1, **key)).payment == one.payment
        books.clock.now += 1
        assert await books.ledger.find_key(None, "k", DAY_S) is None
        two = await books.bought(1, **key)
        assert (await books.refused(1, **key)).payment == two.payment

    async def test_each_client_once(self, books: Books) -> None:
        """A client's key forbids that client a second payment, as it does whoever has no name."""
        key = {"idempotency_key": "k", "fingerprint": b"f", "retention_s": DAY_S}
        for client in ("a", "b", None):
            one = await books.bought(1, client=client, **key)
            again = await books.refused(1, client=client, **key)
            assert (again.code, again.payment) == ("payment_pending", one.payment)

    async def test_which_are_forgotten(self, books: Books) -> None:
        """Each goes by its own time and payment: dead and old it goes, at its second."""
        key = {"retention_s": DAY_S}
        await books.bought(1, idempotency_key="dead", **key)
        await books.bought(1, idempotency_key="alive", valid_before=START + 2 * DAY_S, **key)
        books.clock.now += 1
        await books.bought(1, idempotency_key="young", **key)
        books.clock.now = START + DAY_S
        await books.bought(1, idempotency_key="new", **key)
        assert rows(books.ledger.path.parent, "SELECT key FROM keyed ORDER BY key") == [
            ("alive",),
            ("new",),
            ("young",),
        ]

    async def test_forgotten_by_the_hundred(self, books: Books) -> None:
        """One reservation forgets a hundred old ones, the oldest first, and leaves the rest."""
        for number in range(102):
            await books.bought(1, idempotency_key=f"k{number}", retention_s=DAY_S)
            books.clock.now += 1
        books.clock.now += DAY_S
        await books.bought(1, idempotency_key="new", retention_s=DAY_S)
        assert rows(books.ledger.path.parent, "SELECT key FROM keyed ORDER BY created_at") == [
            ("k100",),
            ("k101",),
            ("new",),
        ]


class TestChain:
    """What the chain says of a hold."""

    @pytest.mark.parametrize(
        ("evidence", "said", "state"),
        [
            (Evidence.CHAIN_USED, "used", State.SETTLED),
            (Evidence.CHAIN_CANCELLED, "cancelled", State.CANCELLED),
            (Evidence.CHAIN_UNUSED, "unused", State.EXPIRED),
        ],
    )
    async def test_its_word_is_kept(
        self, books: Books, evidence: Evidence, said: str, state: State
    ) -> None:
        """It is noted at its own hold, and nowhere else."""
        await books.bought(1, watched=True)
        one = await books.bought(1, watched=True)
        found = Finding(one.hold, evidence, tx="0x1", note="seen", chain=said)
        assert await books.ledger.conclude((found,), (), CURSOR) == ([state], 0)
        assert rows(
            books.ledger.path.parent, "SELECT chain, state, evidence FROM hold ORDER BY id"
        ) == [("watched", "reserved", ""), (said, state.value, evidence.value)]

    async def test_empty_words_change_nothing(self, books: Books) -> None:
        """Evidence that comes alone leaves the transaction and the chain's word as they were."""
        one = await books.bought(1)
        directory = books.ledger.path.parent
        told = Finding(one.hold, Evidence.SENT, tx="0x1", note="n", http_status=202)
        await books.ledger.conclude((told, Finding(one.hold, Evidence.NO_RECEIPT)), (), CURSOR)
        query = "SELECT p.tx, p.note, p.http_status, h.chain FROM payment p JOIN hold h"
        assert rows(directory, query) == [("0x1", "", 202, "")]


class TestWindowsWithAPast:
    """Windows before which something was booked that they no longer see."""

    async def test_when_there_is_room(self, books: Books) -> None:
        """What left the window long ago makes no room a second time."""
        await books.bought(1000)
        books.clock.now += 10 * HOUR_S
        await books.bought(60)
        books.clock.now += 100
        await books.bought(40)
        books.clock.now += DEATH_S
        cap = limit("hour", 100)
        assert (await books.refused(60, cap)).retry_after_s == HOUR_S - 100
        assert (await books.refused(61, cap)).retry_after_s == HOUR_S

    async def test_when_what_is_alive_must_die(self, books: Books) -> None:
        """Nor does it stand in for what is alive."""
        await books.bought(1000)
        books.clock.now += 10 * HOUR_S
        await books.bought(100)
        refusal = await books.refused(100, limit("hour", 100))
        assert refusal.retry_after_s == DEATH_S + HOUR_S


async def test_everything_is_written_down(books: Books) -> None:
    """Who asked for what, and what was agreed to, stand in the file as they were given."""
    one = await books.bought(
        7, amount=70, client="c", provider="p", route="/r/*", method="PUT", path="/r/x",
        body_sha256=b"b" * 32, fingerprint=b"f" * 32, idempotency_key="k", retention_s=DAY_S,
        network="eip155:1", asset=OTHER, decimals=5, pay_to=SHOP, wallet=WALLET, nonce=b"n" * 32,
        valid_after=START - 1, valid_before=START + 9, scopes=("all", "x"), terms='{"t": 1}',
        watched=True,
    )  # fmt: skip
    directory = books.ledger.path.parent
    asked = (
        "SELECT id, created_at, client, provider, route, method, path, body_sha256, fingerprint,"
        " idempotency_key, network, asset, decimals, pay_to, amount, usd, state, tx, note,"
        " http_status, job FROM payment"
    )
    assert rows(directory, asked) == [
        (
            one.payment, START, "c", "p", "/r/*", "PUT", "/r/x", b"b" * 32, b"f" * 32, "k",
            "eip155:1", OTHER, 5, SHOP, "70", 7, "reserved", "", "", None, None,
        )
    ]  # fmt: skip
    held = (
        "SELECT id, payment, wallet, nonce, valid_after, valid_before, lag_s, usd, state, scopes,"
        " terms, booked, evidence, chain FROM hold"
    )
    assert rows(directory, held) == [
        (
            one.hold, one.payment, WALLET, b"n" * 32, START - 1, START + 9, 0, 7, "reserved",
            '["all", "x"]', '{"t": 1}', 0, "", "watched",
        )
    ]  # fmt: skip


class TestLag:
    """Holds that were signed while the wall clock was behind the ledger's time."""

    LAG_S = 1000
    A_DIES, B_DIES = 800 + DEATH_MARGIN_S, 300 + DEATH_MARGIN_S

    @staticmethod
    async def set_by(books: Books, seconds: int) -> None:
        """Set the wall clock, by a person's word."""
        books.clock.jump(seconds)
        books.people().accept_clock()
        assert await books.ledger.clock_problem() is None
        assert books.ledger.now() == START

    async def bought(self, books: Books) -> None:
        """Buy what lags and lives for long, and then what does not lag and lives for less."""
        await self.set_by(books, -self.LAG_S)
        await books.bought(60, valid_before=START - self.LAG_S + 800)
        await self.set_by(books, self.LAG_S)
        await books.bought(40, valid_before=START + 300)

    async def test_booked_when_it_dies(self, books: Books) -> None:
        """It begins to age at its death by the ledger's time, and so leaves its window no sooner.

        The first booking of a scope: no later one holds it up.
        """
        await self.set_by(books, -self.LAG_S)
        await books.bought(100)
        cap = limit("hour", 100)
        books.clock.now += DEATH_S
        await books.ledger.usage([])
        books.clock.now += HOUR_S - 1
        assert (await books.refused(1, cap)).retry_after_s == 1
        books.clock.now += 1
        await books.bought(100, cap)

    async def test_booked_in_the_order_of_death(self, books: Books) -> None:
        """Whichever was signed first, and whatever its own clock said: each ages from its death."""
        await self.bought(books)
        cap = limit("hour", 100)
        books.clock.now = START + 2000
        await books.ledger.usage([])
        books.clock.now = START + self.B_DIES + HOUR_S - 1
        assert (await books.refused(40, cap)).retry_after_s == 1
        books.clock.now += 1
        await books.bought(40, cap)

    async def test_when_there_is_room(self, books: Books) -> None:
        """The next to die is named, by the ledger's time."""
        await self.bought(books)
        cap = limit("outstanding", 100)
        assert (await books.refused(40, cap)).retry_after_s == self.B_DIES
        assert (await books.refused(41, cap)).retry_after_s == self.A_DIES


class TestGivenBackTwice:
    """A hold that a person called void, that a receipt brought back, and that the chain frees."""

    @pytest.mark.parametrize("later", [0, 10])
    async def test_row_by_row(self, books: Books, later: int) -> None:
        """Its newest booking is the one that goes; those of others stay what they were."""
        both = ("all", "x")
        await books.bought(5, scopes=both)
        one = await books.bought(100, scopes=both)
        await books.bought(7, scopes=both)
        await books.bought(9, scopes=("x",))
        await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now += DEATH_S
        dead = START + DEATH_S
        await books.ledger.usage([])
        assert books.people().resolve(one.payment, None, "me") is State.VOID
        books.clock.now += later
        await books.become(one, Evidence.RECEIPT)
        query = "SELECT scope, at, hold, usd, running FROM taken ORDER BY scope, at, seq"
        before = [
            ("all", dead, 1, 5, 5),
            ("all", dead, 2, 0, 5),
            ("all", dead, 3, 7, 12),
            ("all", dead + later, 2, 100, 112),
            ("x", dead, 1, 5, 5),
            ("x", dead, 2, 0, 5),
            ("x", dead, 3, 7, 12),
            ("x", dead, 4, 9, 21),
            ("x", dead + later, 2, 100, 121),
        ]
        assert rows(books.ledger.path.parent, query) == before
        await books.become(one, Evidence.CHAIN_UNUSED)
        after = [
            (scope, at, hold, 0 if usd == 100 else usd, running - usd if usd == 100 else running)
            for scope, at, hold, usd, running in before
        ]
        assert rows(books.ledger.path.parent, query) == after
        assert await books.exposure() == 12


class TestByHand:
    """A person's word, where there is more than one authorization that it could be about."""

    @staticmethod
    async def states(books: Books) -> list[str]:
        """What each hold is, in order."""
        await books.ledger.flush()
        return [s for (s,) in rows(books.ledger.path.parent, "SELECT state FROM hold ORDER BY id")]

    async def renewed(self, books: Books) -> str:
        """A payment with two authorizations, of neither of which anything was heard."""
        one = await books.bought(10)
        await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now += DEATH_S
        two = await books.bought(10, payment=one.payment)
        await books.become(two, Evidence.NO_RECEIPT)
        return one.payment

    @pytest.mark.parametrize("tx", ["0x1", None])
    async def test_about_one_payment(self, books: Books, tx: str | None) -> None:
        """What is unknown of others stays so."""
        for _ in range(3):
            one = await books.bought(10)
            await books.become(one, Evidence.NO_RECEIPT)
        books.clock.now += DEATH_S
        said = State.SETTLED if tx else State.VOID
        assert books.people().resolve("pay_000002", tx, "me") is said
        assert await self.states(books) == ["unknown", said.value, "unknown"]

    async def test_newest_of_the_dead(self, books: Books) -> None:
        """Where all are dead a transaction is that of the newest."""
        payment = await self.renewed(books)
        books.clock.now += DEATH_S
        assert books.people().resolve(payment, "0x1", "me") is State.SETTLED
        assert await self.states(books) == ["unknown", "settled"]

    @pytest.mark.parametrize(("seconds", "first"), [(-1, "settled"), (0, "unknown")])
    async def test_dead_with_the_margin(self, books: Books, seconds: int, first: str) -> None:
        """One is alive, and so not meant, until its margin has passed too."""
        payment = await self.renewed(books)
        books.clock.now += DEATH_S + seconds
        assert books.people().resolve(payment, "0x1", "me") is State.SETTLED
        assert (await self.states(books))[0] == first

    async def test_alive_by_the_ledgers_time(self, books: Books) -> None:
        """One whose own clock was behind is alive for as long as any other."""
        await TestLag.set_by(books, -TestLag.LAG_S)
        payment = await self.renewed(books)
        books.clock.now += DEATH_S - 1
        assert books.people().resolve(payment, None, "me") == (
            "its authorization can still be taken for 1 s: void it after that"
        )
        assert books.people().resolve(payment, "0x1", "me") is State.SETTLED
        assert await self.states(books) == ["settled", "unknown"]


async def test_restart_with_some_in_flight(tmp_path: Path) -> None:
    """What was reserved or sent is unknown after a restart, and says why; what is known stays."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        for story in ((), (Evidence.SENT,), (Evidence.RECEIPT,), (Evidence.NEVER_SENT,)):
            await books.become(await books.bought(10), *story)
    async with opened(tmp_path, clock) as books:
        assert await books.exposure() == 30
        await books.refused(1, limit("outstanding", 20), payment="p", nonce=b"n" * 32)
    query = "SELECT h.state, p.state, h.evidence, p.note FROM hold h JOIN payment p"
    assert rows(tmp_path, f"{query} ON p.id = h.payment ORDER BY h.id") == [
        ("unknown", "unknown", "restart", "the daemon stopped"),
        ("unknown", "unknown", "restart", "the daemon stopped"),
        ("settled", "settled", "receipt", ""),
        ("void", "void", "never_sent", ""),
    ]


class TestClocksRow:
    """What the clocks said together, as the file has it."""

    async def test_written_when_it_moved(self, books: Books) -> None:
        """A day's corrections are forgiven in the file too."""
        books.clock.now += DAY_S
        await books.bought(1)
        assert rows(books.ledger.path.parent, "SELECT wall FROM clock") == [(START + DAY_S,)]

    async def test_not_written_otherwise(self, books: Books) -> None:
        """What a person accepted since stays, for a later run to go on from."""
        books.clock.now += 100
        books.people().accept_clock()
        await books.bought(1)
        assert rows(books.ledger.path.parent, "SELECT wall FROM clock") == [(START + 100,)]


async def test_payees_as_they_are_listed(books: Books) -> None:
    """Each with its provider and network, its state, and since when."""
    early = "0x" + "1" * 40
    for provider, network in (("b", BASE), ("a", "eip155:1"), ("a", BASE)):
        await books.bought(1, pin=True, provider=provider, network=network)
    books.clock.now += 5
    await books.refused(1, pin=True, provider="a", pay_to=early)
    first: dict[str, object] = {"pay_to": SHOP.lower(), "state": "accepted"}
    first |= {"first_seen": START, "accepted_at": START}
    assert await books.ledger.read(payees.listed) == [
        {"provider": "a", "network": "eip155:1", **first},
        {"provider": "a", "network": BASE, **first},
        {
            "provider": "a", "network": BASE, "pay_to": early, "state": "waiting",
            "first_seen": START + 5,
        },
        {"provider": "b", "network": BASE, **first},
    ]  # fmt: skip
    books.people().accept_payee("a", BASE, early)
    known = await books.ledger.read(payees.listed)
    assert [p["accepted_at"] for p in known if p["pay_to"] == early] == [START + 5]
