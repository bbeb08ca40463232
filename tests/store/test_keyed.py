"""Idempotency keys in the ledger: bound with the payment, answered when whole, forgotten late."""

from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Refusal
from proxy.core.ledger import DEATH_MARGIN_S, Evidence, State
from proxy.store import KeptAnswer, Reserved
from tests.store.books import DEATH_S, Books, Clock, gathered, limit, opened, rows

ANSWER = KeptAnswer(200, "Fine", ((b"X-Raw", b"\xff\xe9"),), b"\x00goods")
DAY_S = 86_400


def keyed(key: str = "k", print_: bytes = b"same", **more: Any) -> dict[str, Any]:
    """The parts of a sale that has a key."""
    return {"idempotency_key": key, "fingerprint": print_, "retention_s": DAY_S, **more}


async def test_one_payment_for_a_key(books: Books) -> None:
    """Of many at once one is let in, and the others are told which."""
    verdicts = await gathered(*(books.reserve(1, **keyed()) for _ in range(8)))
    (won,) = [v for v in verdicts if isinstance(v, Reserved)]
    lost = [v for v in verdicts if isinstance(v, Refusal)]
    assert {(v.code, v.payment) for v in lost} == {("payment_pending", won.payment)}
    assert await books.exposure() == 1
    assert rows(books.ledger.path.parent, "SELECT count(*) FROM payment") == [(1,)]


async def test_answer_comes_back_as_it_was(books: Books) -> None:
    """Status, reason, raw header bytes and body."""
    one = await books.bought(1, **keyed())
    await books.ledger.keep_answer(one.payment, ANSWER)
    found = await books.ledger.find_key(None, "k", DAY_S)
    assert found is not None
    assert (found.payment, found.answer, found.refusal(b"same")) == (one.payment, ANSWER, None)
    other = found.refusal(b"other")
    assert other is not None
    assert (other.code, other.status, other.payment) == ("idempotency_mismatch", 422, one.payment)
    late = await books.refused(1, **keyed())
    assert (late.code, late.payment) == ("payment_pending", one.payment)


async def test_keys_belong_to_clients(books: Books) -> None:
    """Two clients may use one word, and neither sees the other's answer."""
    await books.bought(1, **keyed(client="a"))
    await books.bought(1, **keyed(client="b"))
    await books.bought(1, **keyed())
    assert await books.ledger.find_key("c", "k", DAY_S) is None
    known = [await books.ledger.find_key(client, "k", DAY_S) for client in ("a", "b", None)]
    assert len({each.payment for each in known if each is not None}) == 3


@pytest.mark.parametrize("evidence", [Evidence.NEVER_SENT, Evidence.CHAIN_UNUSED])
async def test_money_that_came_back_frees_the_key(books: Books, evidence: Evidence) -> None:
    """The next attempt may pay, and from then on the key is its own."""
    one = await books.bought(1, **keyed())
    await books.become(one, evidence)
    assert await books.ledger.find_key(None, "k", DAY_S) is None
    two = await books.bought(1, **keyed())
    assert (await books.refused(1, **keyed())).payment == two.payment


@pytest.mark.parametrize("evidence", [Evidence.NO_RECEIPT, Evidence.RECEIPT])
async def test_retention(books: Books, evidence: Evidence) -> None:
    """A key is kept for its time, and for as long as its money can move."""
    clock = books.clock
    one = await books.bought(1, **keyed(valid_before=int(clock()) + 2 * DAY_S))
    await books.become(one, evidence)
    clock.now += DAY_S
    assert (await books.refused(1, **keyed())).payment == one.payment
    clock.now += DAY_S + DEATH_MARGIN_S
    await books.ledger.usage([])
    await books.bought(1, **keyed("another"))
    assert rows(books.ledger.path.parent, "SELECT key FROM keyed") == [("another",)]
    await books.bought(1, **keyed())


async def test_refusal_by_a_cap_binds_nothing(books: Books) -> None:
    """What was not let in has not used up its key."""
    await books.refused(11, limit("day", 10), **keyed())
    await books.bought(10, limit("day", 10), **keyed())


async def test_restart(tmp_path: Path) -> None:
    """Bound before the signature, so after a crash the key still says which payment is open."""
    clock = Clock()
    async with opened(tmp_path, clock) as books:
        one = await books.bought(1, **keyed())
    async with opened(tmp_path, clock) as books:
        refusal = await books.refused(1, payment="later", nonce=b"n" * 32, **keyed())
        assert (refusal.code, refusal.payment) == ("payment_pending", one.payment)
        await books.become(one, Evidence.RECEIPT)
        found = await books.ledger.find_key(None, "k", DAY_S)
        assert found is not None
        gone = found.refusal(b"same")
        assert gone is not None
        assert (found.state, gone.code) == (State.SETTLED, "result_not_kept")


async def test_renewal_under_a_key(books: Books) -> None:
    """A job's later authorization belongs to the payment that has the key."""
    one = await books.bought(1, **keyed())
    books.clock.now += DEATH_S
    await books.bought(1, payment=one.payment, **keyed())
    assert rows(books.ledger.path.parent, "SELECT payment FROM keyed") == [(one.payment,)]
