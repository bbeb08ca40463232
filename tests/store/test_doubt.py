"""Finding the payment of an identical request whose outcome is unknown."""

from typing import Any

import pytest

from proxy.core.ledger import Evidence
from proxy.store import Memory
from tests.store.books import DEATH_S, LIFE_S, Books

SAME, OTHER = b"same", b"other"
E = Evidence


async def made(books: Books, *story: Evidence, status: int | None = None, **changes: Any) -> str:
    """A payment with a history, answered with a status or not at all."""
    one = await books.bought(5, **{"fingerprint": SAME, **changes})
    for evidence in story:
        await books.ledger.resolve(one, evidence, http_status=status)
    return one.payment


async def found(books: Books, *, alive_for_s: int = 10, unanswered: bool = False) -> str | None:
    """The payment that an identical request would be joined to."""
    hold = await books.ledger.in_doubt(SAME, alive_for_s, unanswered=unanswered)
    return None if hold is None else hold.payment


@pytest.mark.parametrize(
    ("status", "with_an_error", "without_an_answer"),
    [(None, True, True), (402, True, False), (425, True, False), (500, True, False), (400, True,
    False),
     (200, False, False), (202, False, False), (399, False, False)],
)  # fmt: skip
async def test_by_status(
    books: Books, status: int | None, *, with_an_error: bool, without_an_answer: bool
) -> None:
    """An unknown outcome is one that an error, or nothing, left behind."""
    payment = await made(books, E.SENT, E.NO_RECEIPT, status=status)
    assert await found(books) == (payment if with_an_error else None)
    assert await found(books, unanswered=True) == (payment if without_an_answer else None)


@pytest.mark.parametrize("story", [(), (E.SENT,), (E.RECEIPT,), (E.NEVER_SENT,), (E.DECLINED,)])
async def test_by_state(books: Books, story: tuple[Evidence, ...]) -> None:
    """What is under way, settled or void is in no doubt."""
    await made(books, *story)
    assert await found(books) is None


async def test_other_request(books: Books) -> None:
    """Only an identical request."""
    await made(books, E.NO_RECEIPT, fingerprint=OTHER)
    assert await found(books) is None


async def test_call_without_a_signature(books: Books) -> None:
    """A call that the price table prices has nothing that could be sent again."""
    await made(books, E.NO_RECEIPT, wallet=None, nonce=None)
    assert await found(books) is None


async def test_paid_job(books: Books) -> None:
    """A payment that bought a job is asked after by the job's id."""
    payment = await made(books, E.NO_RECEIPT)
    await books.ledger.remember([Memory("j", "job", "shop", payment=payment)])
    assert await found(books) is None


async def test_as_long_as_it_lives(books: Books) -> None:
    """The authorization must live long enough to be sent."""
    payment = await made(books, E.NO_RECEIPT)
    books.clock.now += LIFE_S - 10
    assert await found(books) == payment
    books.clock.now += 1
    assert await found(books) is None


async def test_newest_of_several(books: Books) -> None:
    """The newest that still lives is joined."""
    await made(books, E.NO_RECEIPT)
    payment = await made(books, E.NO_RECEIPT)
    await made(books, E.NO_RECEIPT, valid_before=int(books.clock.now) + 5)
    assert await found(books) == payment
    books.clock.now += DEATH_S
    assert await found(books) is None
