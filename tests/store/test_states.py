"""A hold's way through the states, as the file has it."""

from itertools import product
from pathlib import Path

import pytest

from proxy.core.ledger import CREDITED, OPEN, TRANSITIONS, Evidence, State
from proxy.store import Reserved
from tests.store.books import (
    DEATH_S,
    OTHER,
    SHOP,
    START,
    USDC,
    Books,
    gathered,
    limit,
    opened,
    rows,
)

E = Evidence
WAY = {
    State.RESERVED: (),
    State.SENT: (E.SENT,),
    State.UNKNOWN: (E.NO_RECEIPT,),
    State.SETTLED: (E.RECEIPT,),
    State.VOID: (E.NEVER_SENT,),
}
"""How a hold gets into each state that the daemon itself can bring it into."""


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize(("state", "evidence"), list(product(WAY, Evidence)))
async def test_every_transition(
    books: Books, tmp_path: Path, state: State, evidence: Evidence, *, dead: bool
) -> None:
    """Each pair of state and evidence does what the table says, to the row and to the sums.

    Alive or booked; a pair that the table lacks changes nothing.
    """
    reserved = await books.bought(100)
    await books.become(reserved, *WAY[state])
    if dead:
        books.clock.now += DEATH_S
        await books.ledger.usage([])
    after = TRANSITIONS[state].get(evidence)
    if after is None:
        with pytest.raises(KeyError):
            await books.ledger.resolve(reserved, evidence)
        after = state
    else:
        assert await books.ledger.resolve(reserved, evidence) is after
    assert await books.ledger.state_of(reserved.payment) is after
    counts = 0 if after in CREDITED else 100
    booked = dead or state in CREDITED  # what counts again is booked at once
    assert await books.exposure() == counts
    assert rows(tmp_path, "SELECT held, outstanding FROM balance") == [
        (0 if booked else counts, 0 if booked or after not in OPEN else 100)
    ]
    assert rows(tmp_path, "SELECT coalesce(sum(usd), 0), coalesce(max(running), 0) FROM taken") == [
        (counts if booked else 0,) * 2
    ]


async def test_resolving_tells_the_payment(books: Books, tmp_path: Path) -> None:
    """A transaction's hash is kept once known, a status too; the note is the last one."""
    reserved = await books.bought(5)
    await books.ledger.resolve(reserved, E.SENT, http_status=202)
    await books.ledger.resolve(reserved, E.NO_RECEIPT, tx="0x01", note="no receipt")
    await books.ledger.resolve(reserved, E.NO_RECEIPT, note="still none")
    assert rows(tmp_path, "SELECT tx, note, http_status, state FROM payment") == [
        ("0x01", "still none", 202, "unknown")
    ]


async def test_state_of_a_stranger(books: Books) -> None:
    """A payment that is not known has no state and no authorization."""
    assert await books.ledger.state_of("pay_nobody") is None
    assert await books.ledger.live_hold("pay_nobody", 0) is None


async def test_hold_that_does_not_exist(books: Books) -> None:
    """Resolving what was never reserved is a bug, and nobody else pays for it."""
    good = await books.bought(5)
    bad, fine = await gathered(
        books.ledger.resolve(Reserved("pay_x", 99), E.SENT), books.ledger.resolve(good, E.SENT)
    )
    assert isinstance(bad, TypeError)
    assert fine is State.SENT


async def test_nonce_twice(books: Books, tmp_path: Path) -> None:
    """One nonce is one hold: the second is an error that counts nothing and pins nothing."""
    await books.bought(5, nonce=b"n" * 32)
    (problem,) = await gathered(books.reserve(7, nonce=b"n" * 32, pin=True))
    assert "UNIQUE" in str(problem)
    assert await books.exposure() == 5
    assert rows(tmp_path, "SELECT count(*) FROM payee") == [(0,)]
    await books.bought(7, nonce=b"n" * 32, wallet=OTHER)


async def test_calls_without_a_signature_share_no_nonce(books: Books) -> None:
    """Calls that the price table prices have neither wallet nor nonce, and any number fit."""
    for _ in range(3):
        reserved = await books.bought(5, wallet=None, nonce=None)
    assert await books.exposure() == 15
    assert await books.ledger.live_hold(reserved.payment, -1000) is None


class TestRenewal:
    """A further authorization of one payment."""

    @pytest.mark.parametrize("amount", [100, 99, 1])
    async def test_same_or_better_terms(self, books: Books, amount: int) -> None:
        """After the first is dead a second one is let in, and both count."""
        first = await books.bought(100)
        await books.become(first, E.NO_RECEIPT)
        books.clock.now += DEATH_S
        second = await books.bought(amount, payment=first.payment)
        assert (second.payment, second.hold) != (first.payment, first.hold)
        assert await books.exposure() == 100 + amount
        assert await books.ledger.state_of(first.payment) is State.RESERVED

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": 101},
            {"pay_to": OTHER},
            {"asset": OTHER},
            {"network": "eip155:1"},
        ],
    )
    async def test_worse_terms(
        self, books: Books, tmp_path: Path, changes: dict[str, object]
    ) -> None:
        """A dearer offer, another payee, token or network is refused, and pins nothing."""
        first = await books.bought(100, pin=True)
        await books.become(first, E.NO_RECEIPT)
        books.clock.now += DEATH_S
        refusal = await books.refused(100, payment=first.payment, pin=True, **changes)
        assert (refusal.code, refusal.payment) == ("payee_not_allowed", first.payment)
        assert rows(tmp_path, "SELECT network, pay_to FROM payee") == [
            ("eip155:8453", SHOP.lower())
        ]
        assert await books.exposure() == 100

    async def test_case_of_an_address_is_no_change(self, books: Books) -> None:
        """Addresses are the same in any case."""
        first = await books.bought(100)
        books.clock.now += DEATH_S
        await books.bought(100, payment=first.payment, pay_to=SHOP.upper().replace("X", "x"),
                           asset=USDC.lower())  # fmt: skip

    @pytest.mark.parametrize("story", [(), (E.SENT,), (E.NO_RECEIPT,), (E.RECEIPT,)])
    async def test_never_two_alive(self, books: Books, story: tuple[Evidence, ...]) -> None:
        """While one may still be taken there is no second, until the moment of its death."""
        first = await books.bought(100)
        await books.become(first, *story)
        books.clock.now += DEATH_S - 1
        refusal = await books.refused(100, payment=first.payment)
        assert (refusal.code, refusal.payment) == ("payment_pending", first.payment)
        assert await books.exposure() == 100

    async def test_two_at_once(self, books: Books) -> None:
        """Two that ask after one dead authorization at the same time: one is signed."""
        first = await books.bought(100)
        books.clock.now += DEATH_S
        verdicts = await gathered(*(books.reserve(100, payment=first.payment) for _ in range(2)))
        assert sorted(isinstance(verdict, Reserved) for verdict in verdicts) == [False, True]

    async def test_taken_is_never_paid_again(self, books: Books) -> None:
        """A payment with a receipt gets no second authorization, however dead the first is."""
        first = await books.bought(100)
        await books.become(first, E.RECEIPT)
        books.clock.now += DEATH_S
        assert (await books.refused(1, payment=first.payment)).code == "payment_pending"

    async def test_at_once_after_one_that_never_left(self, books: Books) -> None:
        """What was void is no obstacle."""
        first = await books.bought(100)
        await books.become(first, E.NEVER_SENT)
        second = await books.bought(100, payment=first.payment)
        assert await books.ledger.state_of(first.payment) is State.RESERVED
        await books.become(second, E.NEVER_SENT)
        assert await books.ledger.state_of(first.payment) is State.VOID

    async def test_caps_come_first(self, books: Books) -> None:
        """A renewal counts under every cap like anything else."""
        first = await books.bought(100)
        books.clock.now += DEATH_S
        refusal = await books.refused(100, limit("day", 199), payment=first.payment)
        assert refusal.code == "cap_day"

    @pytest.mark.parametrize(
        ("first", "second", "state"),
        [
            ((E.RECEIPT,), None, State.SETTLED),
            ((E.NO_RECEIPT,), (E.NEVER_SENT,), State.UNKNOWN),
            ((E.NO_RECEIPT,), (E.RECEIPT,), State.SETTLED),
            ((E.NO_RECEIPT,), (E.SENT,), State.SENT),
            ((E.NEVER_SENT,), (E.NO_RECEIPT,), State.UNKNOWN),
        ],
    )
    async def test_state_of_two(
        self,
        books: Books,
        first: tuple[Evidence, ...],
        second: tuple[Evidence, ...] | None,
        state: State,
    ) -> None:
        """A payment is settled if any part of it is, and never void while a part may be taken."""
        one = await books.bought(100)
        await books.become(one, *first)
        if second is not None:
            books.clock.now += DEATH_S
            await books.become(await books.bought(100, payment=one.payment), *second)
        assert await books.ledger.state_of(one.payment) is state

    async def test_late_receipt_for_the_first_of_two(self, books: Books) -> None:
        """A receipt for a dead authorization settles the payment, whatever its second one is."""
        one = await books.bought(100)
        await books.become(one, E.NO_RECEIPT)
        books.clock.now += DEATH_S
        await books.bought(100, payment=one.payment)
        await books.become(one, E.RECEIPT)
        assert await books.ledger.state_of(one.payment) is State.SETTLED


class TestLiveHold:
    """Which authorization may be sent once more."""

    async def test_edge_of_its_life(self, books: Books) -> None:
        """It is found while it lives as long as is asked for, to the second."""
        reserved = await books.bought(5, terms='{"a": 1}')
        await books.become(reserved, E.SENT)
        found = await books.ledger.live_hold(reserved.payment, 300)
        assert found is not None
        assert (found.hold, found.state, found.valid_before) == (
            reserved.hold,
            State.SENT,
            START + 300,
        )
        assert (found.terms, found.pay_to, found.nonce) == ('{"a": 1}', SHOP, bytes(31) + b"\1")
        assert await books.ledger.live_hold(reserved.payment, 301) is None

    async def test_void_is_not_alive(self, books: Books) -> None:
        """What was given back is never sent."""
        reserved = await books.bought(5)
        await books.become(reserved, E.NEVER_SENT)
        assert await books.ledger.live_hold(reserved.payment, 0) is None

    async def test_newest_first(self, books: Books) -> None:
        """Of two the newest is the one to send."""
        first = await books.bought(5)
        books.clock.now += DEATH_S
        second = await books.bought(5, payment=first.payment)
        found = await books.ledger.live_hold(first.payment, -10_000)
        assert found is not None
        assert found.hold == second.hold


class TestPins:
    """The first payee of a provider on a network is its payee."""

    async def test_first_wins(self, books: Books) -> None:
        """Another payee is refused later, with both named and what to do about it."""
        await books.bought(5, pin=True)
        refusal = await books.refused(5, pin=True, pay_to=OTHER)
        assert refusal.code == "payee_not_allowed"
        assert all(
            word in refusal.message
            for word in (SHOP.lower(), OTHER.lower(), "farebox payees accept")
        )
        await books.bought(5, pin=True, pay_to=SHOP.lower())

    async def test_first_uses_at_once(self, books: Books) -> None:
        """Of several first uses at once, with different payees, the first reservation wins."""
        payees = [f"0x{n:040x}" for n in range(1, 9)]
        verdicts = await gathered(*(books.reserve(5, pin=True, pay_to=p) for p in payees))
        assert [isinstance(v, Reserved) for v in verdicts] == [True] + [False] * 7

    @pytest.mark.parametrize("changes", [{"provider": "other"}, {"network": "eip155:1"}])
    async def test_pins_are_by_provider_and_network(
        self, books: Books, changes: dict[str, str]
    ) -> None:
        """Another provider, or another network, has a payee of its own."""
        await books.bought(5, pin=True)
        await books.bought(5, pin=True, pay_to=OTHER, **changes)

    async def test_without_a_pin_any_payee(self, books: Books, tmp_path: Path) -> None:
        """Where the config leaves the payee open, nothing is pinned and nothing compared."""
        await books.bought(5, pin=True)
        await books.bought(5, pay_to=OTHER)
        assert len(rows(tmp_path, "SELECT * FROM payee")) == 1

    async def test_pin_survives(self, tmp_path: Path) -> None:
        """A restart forgets no payee."""
        async with opened(tmp_path) as books:
            await books.bought(5, pin=True)
        async with opened(tmp_path) as books:
            refusal = await books.refused(5, pin=True, pay_to=OTHER, payment="p", nonce=b"n" * 32)
            assert refusal.code == "payee_not_allowed"
