"""What waits for a person, as the ledger knows it."""

import sqlite3
from pathlib import Path

import pytest

from proxy.core.ledger import Evidence
from proxy.store import ForeignUse, Memory, clips, onchain, payees, schema, switch
from proxy.store.alerts import CODES, USES_TOLD_MAX, Alert, alerts
from proxy.store.clips import DELAYED_S, TRIED_LATELY_S, WANTED_S
from proxy.store.memory import remember
from tests.store.books import DEATH_S, LIFE_S, OTHER, SHOP, START, USDC, WALLET, Books

BASE = "eip155:8453"
E = Evidence


def use(number: int) -> ForeignUse:
    """A use of our key by somebody else."""
    return ForeignUse(WALLET, BASE, USDC, number.to_bytes(32, "big"), f"0x{number:064x}")


async def told(books: Books) -> list[Alert]:
    """All alerts of this moment."""
    return await books.ledger.read(lambda db: alerts(db, books.ledger.now()))


async def test_nothing_waits(books: Books) -> None:
    """What is settled, void or under way needs nobody."""
    await books.become(await books.bought(1), E.RECEIPT)
    await books.become(await books.bought(1), E.NEVER_SENT)
    await books.become(await books.bought(1, pin=True), E.SENT)
    await books.bought(1)
    assert await told(books) == []


@pytest.mark.parametrize(
    ("reason", "source", "message"),
    [
        ("", "command", "nothing is paid: paused by farebox pause"),
        ("audit", "page", "nothing is paid: paused from the daemon's page: audit"),
        ("audit", "file", "nothing is paid: paused by the file PAUSE: audit"),
        ("audit", "config", "nothing is paid: paused by the config: audit"),
    ],
)
async def test_paused(books: Books, reason: str, source: str, message: str) -> None:
    """Who turned the switch, why and when."""
    await books.ledger.pause(reason, source)
    books.clock.now += 5
    assert await told(books) == [Alert("paused", message, START)]
    assert books.people().resume()
    assert await told(books) == []


async def test_frozen(books: Books) -> None:
    """Each use of the key by somebody else is told, with what identifies it and what to do."""
    await books.ledger.ask(lambda db: onchain.freeze(db, [use(1), use(2)], START))
    first, second = await told(books)
    assert (first.code, first.since) == ("wallet_frozen", START)
    assert all(
        word in first.message
        for word in (WALLET.lower(), BASE, f"nonce 0x{1:064x}", f"{1:064x}", "move the money")
    )
    assert f"{2:064x}" in second.message
    assert await books.unfrozen() == 2
    assert await told(books) == []


async def test_frozen_many_times(books: Books) -> None:
    """A thief who is busy does not flood whoever reads: the rest is a number."""
    every = [use(number) for number in range(USES_TOLD_MAX + 3)]
    await books.ledger.ask(lambda db: onchain.freeze(db, every, START))
    found = await told(books)
    assert {alert.code for alert in found} == {"wallet_frozen"}
    assert len(found) == USES_TOLD_MAX + 1
    assert found[-1].message == "and 3 more uses of keys by somebody else"


async def test_one_unknown_payment(books: Books) -> None:
    """Its id, since when, what it ties up, and how much of that can still be taken."""
    one = await books.bought(250_000)
    await books.become(one, E.NO_RECEIPT)
    books.clock.now += DEATH_S - 1
    (alert,) = await told(books)
    assert (alert.code, alert.since) == ("payment_unknown", START)
    assert alert.message == (
        f"unknown outcome of payment {one.payment}: 0.25 USD counts as spent, of which"
        " 0.25 USD can still be taken"
    )
    books.clock.now += 1
    (alert,) = await told(books)
    assert alert.message.endswith("0.25 USD counts as spent, of which 0.00 USD can still be taken")
    assert books.people().resolve(one.payment, None, "me@here") == "void"
    assert await told(books) == []


async def test_several_unknown_payments(books: Books) -> None:
    """They are one alert: how many, the oldest, and all their authorizations that count."""
    first = await books.bought(100_000)
    await books.become(first, E.NO_RECEIPT)
    books.clock.now += DEATH_S
    again = await books.bought(50_000, payment=first.payment)
    await books.become(again, E.NO_RECEIPT)
    await books.become(await books.bought(20_000), E.NO_RECEIPT)
    await books.become(await books.bought(1_000_000), E.RECEIPT)
    (alert,) = await told(books)
    assert alert.since == START
    assert alert.message == (
        f"unknown outcome of 2 payments, the oldest of them {first.payment}: 0.17 USD counts as"
        " spent, of which 0.07 USD can still be taken"
    )


async def test_what_was_given_back_is_not_tied_up(books: Books) -> None:
    """Of a payment in doubt only what may have been taken counts."""
    one = await books.bought(100_000)
    await books.become(one, E.NEVER_SENT)
    await books.become(await books.bought(50_000, payment=one.payment), E.NO_RECEIPT)
    (alert,) = await told(books)
    assert "0.05 USD counts as spent" in alert.message


async def test_signed_by_a_clock_that_lagged(books: Books) -> None:
    """What lives longer by the ledger's time can be taken for longer."""
    books.clock.jump(-1000)
    books.people().accept_clock()
    await books.become(await books.bought(100_000), E.NO_RECEIPT)
    books.clock.now += LIFE_S
    (alert,) = await told(books)
    assert alert.message.endswith("of which 0.10 USD can still be taken")


async def test_payee_that_waits(books: Books) -> None:
    """Who asks, for which address, and the command that lets them."""
    await books.bought(5, pin=True)
    await books.refused(5, pin=True, pay_to=OTHER)
    assert await told(books) == [
        Alert(
            "payee_waiting",
            f"shop asks to be paid at {OTHER.lower()} on {BASE}, where it never was; if that is"
            f" right: farebox payees accept shop {OTHER.lower()}",
            START,
        )
    ]
    books.people().accept_payee("shop", BASE, OTHER)
    assert await told(books) == []
    await books.bought(5, pin=True, pay_to=SHOP)


async def film(books: Books, job: str) -> tuple[str, str]:
    """A job that is done, and whose clip was tried once."""
    key = ("maker", job)
    await books.ledger.remember([Memory(job, "job", "maker", state="completed", answer=b"{}")])
    await books.ledger.ask(lambda db: clips.begin(db, key, books.ledger.now()))
    return key


async def put_off(books: Books, key: tuple[str, str], note: str) -> None:
    """What the mirror writes when something stands in the way that may pass."""
    next_at = books.ledger.now() + 60
    await books.ledger.ask(lambda db: clips.put_off(db, key, note, next_at))


async def test_clips_that_wait(books: Books) -> None:
    """What does not pass within minutes is told until the clip is kept, or given up."""
    first = await film(books, "job:1")
    await put_off(books, first, "there is no room")
    books.clock.now += DELAYED_S - 1
    assert await told(books) == []
    books.clock.now += 1
    message = "a finished clip is not on this disk yet, maker's job:1: there is no room"
    assert await told(books) == [Alert("clip_waiting", message, START)]

    second = await film(books, "job:2")
    await put_off(books, second, "maker answers 503")
    books.clock.now += DELAYED_S
    message = (
        "2 finished clips are not on this disk yet, the oldest maker's job:1: there is no room"
    )
    assert await told(books) == [Alert("clip_waiting", message, START)]

    kept = clips.Kept(1, bytes(32), "video/mp4")
    await books.ledger.ask(lambda db: clips.keep(db, first, kept, START))
    await books.ledger.ask(lambda db: clips.give_up(db, second, "maker answers 404"))
    assert await told(books) == []


async def test_clip_that_is_fetched_for_the_first_time(books: Books) -> None:
    """A long fetch is no trouble."""
    await film(books, "job:1")
    books.clock.now += DELAYED_S
    assert await told(books) == []


async def test_clips_that_nobody_tries_any_more(books: Books) -> None:
    """Where mirroring was switched off, nobody waits for what it would have kept."""
    await put_off(books, await film(books, "job:1"), "there is no room")
    books.clock.now += 60 + TRIED_LATELY_S - 1
    assert [alert.code for alert in await told(books)] == ["clip_waiting"]
    books.clock.now += 1
    assert await told(books) == []


async def test_clips_of_a_host_that_is_shut_out(books: Books) -> None:
    """The config could let them in, as long as their provider has them."""
    key = await film(books, "job:1")
    note = "cdn.example is not allowed"
    await books.ledger.ask(lambda db: clips.give_up(db, key, note, "cdn.example"))
    message = f"a finished clip is not on this disk yet, maker's job:1: {note}"
    assert await told(books) == [Alert("clip_waiting", message, START)]
    books.clock.now += WANTED_S - 1
    assert await told(books) == [Alert("clip_waiting", message, START)]
    books.clock.now += 1
    assert await told(books) == []


async def test_codes_are_a_closed_set(books: Books) -> None:
    """All at once: each code is one of the set, in its order."""
    await books.become(await books.bought(5, pin=True), E.NO_RECEIPT)
    await books.refused(5, pin=True, pay_to=OTHER)
    await books.ledger.ask(lambda db: onchain.freeze(db, [use(1)], START))
    await books.ledger.pause("", "command")
    key = await film(books, "job:1")
    await books.ledger.ask(lambda db: clips.give_up(db, key, "shut out", "cdn.example"))
    assert tuple(alert.code for alert in await told(books)) == CODES


def test_every_look_goes_by_an_index(tmp_path: Path) -> None:
    """Nothing walks through what was ever paid, signed or seen."""
    db = schema.connect(tmp_path / schema.FILE_NAME)
    schema.migrate(db)
    switch.pause(db, "", "command", START)
    onchain.freeze(db, [use(1)], START)
    payees.accept(db, "shop", BASE, SHOP, START)
    _insert_unknown(db)
    remember(db, [Memory("job:1", "job", "maker", state="completed", answer=b"{}")], START)
    clips.begin(db, ("maker", "job:1"), START)
    clips.give_up(db, ("maker", "job:1"), "shut out", "cdn.example")
    said: list[str] = []
    db.set_trace_callback(said.append)
    assert len(alerts(db, START)) == 4
    db.set_trace_callback(None)
    steps = [row[3] for query in said for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
    db.close()
    scans = {step.split()[1] for step in steps if step.startswith("SCAN") and "INDEX" not in step}
    assert scans <= {"pause", "payee"}
    assert any("payment_by_state (state=?)" in step for step in steps)
    assert any("hold_by_payment (payment=?)" in step for step in steps)
    assert any("memory_by_age (kind=? AND created_at>?)" in step for step in steps)


def _insert_unknown(db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO payment (id, created_at, provider, route, method, path, body_sha256,"
        " fingerprint, network, asset, decimals, pay_to, amount, usd, state)"
        " VALUES ('p', 1, 'shop', '/', 'GET', '/', x'', x'', '', '', 6, '', '1', 1, 'unknown')"
    )
