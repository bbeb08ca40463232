"""What pages and the command line read: the shapes that people's scripts rely on."""

from pathlib import Path

import pytest

from proxy.core.ledger import Evidence, State
from proxy.store import Memory, schema, switch, views
from proxy.store.people import People
from tests.store.books import DEATH_S, START, USDC, Books, Clock, limit, opened, rows


async def test_payment_in_full(books: Books) -> None:
    """A payment with everything that is known of it, amounts as text, and its authorizations."""
    one = await books.bought(
        250_000, client="agent-1", idempotency_key="secret key", nonce=b"\xab" * 32
    )
    await books.ledger.remember([Memory("job:1", "job", "shop", payment=one.payment)])
    await books.ledger.resolve(one, Evidence.RECEIPT, tx="0x" + "1" * 64, note="n", http_status=200)
    found = await books.ledger.read(lambda db: views.payment(db, one.payment))
    assert found == {
        "id": one.payment,
        "created_at": START,
        "client": "agent-1",
        "provider": "shop",
        "route": "/v1/*",
        "method": "POST",
        "path": "/v1/things",
        "network": "eip155:8453",
        "asset": USDC,
        "pay_to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "amount": "250000",
        "usd": "0.25",
        "state": "settled",
        "job": "job:1",
        "tx": "0x" + "1" * 64,
        "http_status": 200,
        "note": "n",
        "authorizations": [
            {
                "nonce": "0x" + "ab" * 32,
                "valid_after": 0,
                "valid_before": START + 300,
                "state": "settled",
                "evidence": "receipt",
            }
        ],
    }


async def test_amount_past_every_integer(books: Books) -> None:
    """A uint256 is kept to its last digit."""
    one = await books.bought(5, amount=2**256 - 1)
    (found,) = (await books.ledger.read(views.payments))["payments"]
    assert (found["id"], found["amount"]) == (one.payment, str(2**256 - 1))


async def test_what_is_not_known_is_left_out(books: Books) -> None:
    """A key without a value is no key; a call without a signature has no authorizations."""
    await books.bought(0, wallet=None, nonce=None)
    (found,) = (await books.ledger.read(views.payments))["payments"]
    assert not {"client", "tx", "note", "job", "http_status"} & set(found)
    assert (found["authorizations"], found["usd"]) == ([], "0.00")


async def test_payment_of_two_authorizations(books: Books) -> None:
    """All authorizations of a payment are listed, oldest first."""
    one = await books.bought(5)
    await books.become(one, Evidence.NO_RECEIPT)
    books.clock.now += DEATH_S
    await books.bought(5, payment=one.payment)
    (found,) = (await books.ledger.read(views.payments))["payments"]
    assert [each["state"] for each in found["authorizations"]] == ["unknown", "reserved"]


async def test_no_such_payment(books: Books) -> None:
    """An id that is not known is None and no error."""
    assert await books.ledger.read(lambda db: views.payment(db, "pay_nobody")) is None


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 100])
async def test_paging(books: Books, size: int) -> None:
    """Page by page, newest first, each payment comes once, and the last page says no `next`."""
    made = [(await books.bought(1)).payment for _ in range(7)]
    pages, before, seen = 0, None, list[str]()
    while True:
        page = await books.ledger.read(
            lambda db, at=before: views.payments(db, limit=size, before=at)  # type: ignore[misc] # bound per page
        )
        pages += 1
        seen += [each["id"] for each in page["payments"]]
        if (before := page.get("next")) is None:
            break
    assert seen == made[::-1]
    assert pages == -(-7 // size)


@pytest.mark.parametrize(("size", "got"), [(0, 1), (-5, 1), (views.PAGE_MAX * 2, 3)])
async def test_absurd_page_sizes(books: Books, size: int, got: int) -> None:
    """A page has at least one row and at most a thousand, whatever is asked."""
    for _ in range(3):
        await books.bought(1)
    page = await books.ledger.read(lambda db: views.payments(db, limit=size))
    assert len(page["payments"]) == got


async def test_page_of_one_state(books: Books) -> None:
    """A state filters, and pages on."""
    for evidence in (Evidence.RECEIPT, Evidence.NO_RECEIPT, Evidence.RECEIPT):
        await books.become(await books.bought(1), evidence)
    page = await books.ledger.read(lambda db: views.payments(db, limit=1, state="settled"))
    assert ([each["id"] for each in page["payments"]], page["next"]) == (
        ["pay_000003"],
        "pay_000003",
    )
    page = await books.ledger.read(
        lambda db: views.payments(db, before="pay_000003", state="settled")
    )
    assert [each["id"] for each in page["payments"]] == ["pay_000001"]
    assert "next" not in page


async def test_counts_spent_and_exposure(books: Books) -> None:
    """Every state has its number; spent is what was settled, exposure what may have been too."""
    await books.become(await books.bought(1), Evidence.RECEIPT)
    await books.become(await books.bought(10), Evidence.NO_RECEIPT)
    await books.become(await books.bought(100), Evidence.NEVER_SENT)
    await books.bought(1000)
    counts = await books.ledger.read(views.counts)
    assert counts == dict.fromkeys(State, 0) | dict.fromkeys(
        ("settled", "unknown", "void", "reserved"), 1
    )
    assert await books.ledger.read(views.spent) == 1
    assert await books.exposure() == 1011
    books.clock.now += DEATH_S
    await books.ledger.usage([])
    assert await books.exposure() == 1011


async def test_caps(books: Books) -> None:
    """How full each cap is: what was booked, what is alive, what is left, in dollars."""
    await books.bought(300_000)
    books.clock.now += DEATH_S
    await books.bought(250_000)
    await books.become(await books.bought(50_000), Evidence.RECEIPT)
    every = [
        limit("per_request", 1_000_000),
        limit("hour", 1_000_000),
        limit("total", 500_000),
        limit("outstanding", 1_000_000),
        limit("day", 0, "client:a"),
    ]
    keys = ("scope", "window", "limit", "settled", "live", "free")
    assert [tuple(each[key] for key in keys) for each in await books.ledger.usage(every)] == [
        ("all", "per_request", "1.00", "0.00", "0.00", "1.00"),
        ("all", "hour", "1.00", "0.35", "0.25", "0.40"),
        ("all", "total", "0.50", "0.35", "0.25", "0.00"),
        ("all", "outstanding", "1.00", "0.00", "0.25", "0.75"),
        ("client:a", "day", "0.00", "0.00", "0.00", "0.00"),
    ]


class TestMemory:
    """Ids that providers gave out."""

    async def test_what_is_said_later(self, books: Books) -> None:
        """What is known stays where nothing is said about it, and changes where something is."""
        paid = (await books.bought(5)).payment
        first = Memory("j", "job", "shop", "m1", "/poll", paid, "agent-1", "queued")
        await books.ledger.remember([first])
        await books.ledger.remember([Memory("j", "job", "shop", client="agent-2")])
        assert await books.ledger.recall("job", "j") == (first,)
        await books.ledger.remember([Memory("j", "job", "shop", "m2", "/p2", state="done",
                                            answer=b"{}")])  # fmt: skip
        assert await books.ledger.recall("job", "j") == (
            Memory("j", "job", "shop", "m2", "/p2", paid, "agent-1", "done", b"{}"),
        )

    async def test_one_id_of_two_providers(self, books: Books) -> None:
        """Two providers may give out the same id; a job and an asset may share one too."""
        await books.ledger.remember([Memory("x", "job", "one"), Memory("x", "job", "two")])
        await books.ledger.remember([Memory("x", "asset", "three")])
        assert {m.provider for m in await books.ledger.recall("job", "x")} == {"one", "two"}
        assert [m.provider for m in await books.ledger.recall("asset", "x")] == ["three"]
        assert await books.ledger.recall("job", "y") == ()

    async def test_jobs_page(self, books: Books) -> None:
        """The newest jobs first, with their results where they are JSON.

        A provider that answered with a page breaks nobody's list.
        """
        paid = (await books.bought(5)).payment
        await books.ledger.remember([Memory("a", "job", "s", "m", "/p", paid, "c", "done",
                                            b'{"url": "u"}')])  # fmt: skip
        books.clock.now += 1
        await books.ledger.remember([Memory("b", "job", "s", answer=b"<html>")])
        await books.ledger.remember([Memory("c", "job", "s", answer=b"[" * 100_000)])
        await books.ledger.remember([Memory("d", "job", "s")])
        await books.ledger.remember([Memory("e", "asset", "s")])
        page = await books.ledger.read(views.jobs)
        bare = {"provider": "s", "model": "", "state": "", "created_at": START + 1}
        assert page == {
            "jobs": [
                {"id": "d", **bare},
                {"id": "c", **bare},
                {"id": "b", **bare},
                {"id": "a", "provider": "s", "model": "m", "state": "done", "created_at": START,
                 "payment": paid, "result": {"url": "u"}},
            ]
        }  # fmt: skip
        (row,) = (await books.ledger.read(views.payments))["payments"]
        assert row["job"] == "a"
        assert len((await books.ledger.read(lambda db: views.jobs(db, limit=2)))["jobs"]) == 2


class TestPause:
    """The kill switch."""

    @pytest.mark.parametrize(
        ("reason", "message"), [("", "paying is paused"), ("audit", "paying is paused: audit")]
    )
    async def test_under_a_running_daemon(
        self, books: Books, tmp_path: Path, reason: str, message: str
    ) -> None:
        """The switch is read inside every reservation, and by whoever asks for a price."""
        people = People(tmp_path, Clock().clocks)
        people.pause(reason)
        refusal = await books.refused(1)
        assert (refusal.code, refusal.message, refusal.status) == ("paused", message, 503)
        assert await books.ledger.would_admit(limit("day", 1).usd, []) == refusal
        assert await books.ledger.read(switch.paused) == reason
        assert people.resume()
        await books.bought(1)
        assert await books.ledger.read(switch.paused) is None

    async def test_what_is_under_way_is_still_booked(self, books: Books) -> None:
        """Paused is not deaf: receipts of what was signed before still count."""
        one = await books.bought(1)
        books.people().pause("x")
        assert await books.become(one, Evidence.RECEIPT) is State.SETTLED

    async def test_without_a_daemon_and_before_the_first(self, tmp_path: Path) -> None:
        """It can be turned before there is a ledger, twice, and survives restarts."""
        people = People(tmp_path, Clock().clocks)
        people.pause("one")
        people.pause("two")
        for _ in range(2):
            async with opened(tmp_path) as books:
                assert (await books.refused(1)).message == "paying is paused: two"
        assert rows(tmp_path, "SELECT reason FROM pause") == [("two",)]


async def test_reading_after_the_daemon_has_gone(tmp_path: Path) -> None:
    """The command line reads the file of a daemon that is not running."""
    async with opened(tmp_path) as books:
        await books.bought(5)
    db = schema.connect(tmp_path / schema.FILE_NAME, read_only=True)
    assert len(views.payments(db)["payments"]) == 1
    assert views.exposure(db) == 5
    db.close()
