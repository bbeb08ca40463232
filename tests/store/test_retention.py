"""Forgetting what is old: no sum moves, and what may still be asked for stays."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.core.ledger import WINDOWS, Evidence
from proxy.store import Memory, retention, views
from proxy.store.ledger import RETENTION_MIN_S
from tests.store.books import DEATH_S, START, Books, limit, opened, rows

DAY_S = 86_400
SCOPES = ("all", "provider:p", "payee:x")
WALLS = tuple(
    limit(window, 10**9, scope)
    for scope in SCOPES
    for window in ("per_request", *WINDOWS, "total", "outstanding")
)


async def _years(books: Books, payments: int, every_s: int, *story: Evidence) -> None:
    """Buy something every so often, in turn for other scopes."""
    for number in range(payments):
        scopes = ("all", SCOPES[1 + number % 2])
        reserved = await books.bought(1 + number, *WALLS, scopes=scopes)
        await books.become(reserved, *(story or (Evidence.RECEIPT,)))
        books.clock.now += every_s
    await books.ledger.usage(WALLS)


async def _everything_told(books: Books) -> Any:
    """All that is told of sums."""
    return (
        await books.ledger.usage(WALLS),
        await books.ledger.read(views.counts),
        await books.ledger.read(views.spent),
        await books.exposure(),
    )


@pytest.mark.parametrize("days", [0, 31, 60, 200])
async def test_no_sum_moves(books: Books, tmp_path: Path, days: int) -> None:
    """Every window, the total, the counts and what was spent are as before, now and later."""
    await _years(books, 100, DAY_S)
    told = await _everything_told(books)
    await books.ledger.forget(days * DAY_S)
    assert await _everything_told(books) == told
    (left,) = rows(tmp_path, "SELECT count(*) FROM payment")[0]
    kept_s = max(days * DAY_S, RETENTION_MIN_S)
    assert left == sum(number * DAY_S <= kept_s + DEATH_S for number in range(1, 101))
    assert rows(tmp_path, "PRAGMA foreign_key_check") == []
    tight = [limit(wall.window, 1000, wall.scope) for wall in WALLS]
    for _ in range(40):
        books.clock.now += DAY_S
        await books.ledger.usage(tight)
        assert await books.exposure() == 5050
    full = [row for row in await books.ledger.usage(WALLS) if row["window"] == "month"]
    assert {row["free"] for row in full} == {"1000.00"}


async def test_when_there_will_be_room(books: Books) -> None:
    """A refusal names the same time as before."""
    await _years(books, 60, DAY_S)
    filled = {"week": 57 * 7, "month": 45 * 30}
    asked = [
        (limit(window, full + 20), 20 + more) for window, full in filled.items() for more in (5, 90)
    ]

    async def waits() -> list[Any]:
        verdicts = [
            await books.ledger.would_admit(limit("day", usd).usd, [wall]) for wall, usd in asked
        ]
        return [verdict and verdict.retry_after_s for verdict in verdicts]

    before = await waits()
    assert any(before)
    await books.ledger.forget(0)
    assert await waits() == before


async def test_base_of_every_window_stays(books: Books, tmp_path: Path) -> None:
    """Of what was booked before, the newest row of each scope stays: the rest counts from it."""
    await _years(books, 100, DAY_S)
    edge = int(books.clock.now) - RETENTION_MIN_S
    await books.ledger.forget(0)
    for scope in SCOPES:
        older = rows(
            tmp_path, "SELECT at, running FROM taken WHERE scope = ? AND at <= ?", scope, edge
        )
        assert len(older) == 1
    assert rows(tmp_path, "SELECT max(running) FROM taken WHERE scope = 'all'") == [(5050,)]


async def test_scope_of_long_ago(books: Books, tmp_path: Path) -> None:
    """A scope in which nothing happens any more keeps one row, and so its total."""
    await _years(books, 4, DAY_S)
    books.clock.now += 400 * DAY_S
    await _years(books, 1, 0)
    await books.ledger.forget(90 * DAY_S)
    assert rows(tmp_path, "SELECT count(*) FROM payment") == [(1,)]
    total = next(
        row
        for row in await books.ledger.usage(WALLS)
        if (row["scope"], row["window"]) == ("payee:x", "total")
    )
    assert total["settled"] == "0.000006"


async def test_unknown_ones_go_and_stay_counted(books: Books, tmp_path: Path) -> None:
    """Nobody said for so long what became of them: they count in the total for good."""
    await _years(books, 3, DAY_S, Evidence.NO_RECEIPT)
    books.clock.now += 100 * DAY_S
    await _years(books, 1, 0)
    await books.ledger.forget(90 * DAY_S)
    assert rows(tmp_path, "SELECT count(*) FROM hold WHERE state = 'unknown'") == [(0,)]
    assert await books.exposure() == 1 + 2 + 3 + 1
    assert (await books.ledger.read(views.counts))["unknown"] == 3


async def test_what_the_chain_is_asked_after_stays(books: Books, tmp_path: Path) -> None:
    """And it can be given back though its row among what was booked is gone."""
    watched = await books.bought(40, scopes=("all", "payee:x"), watched=True)
    await books.become(watched, Evidence.NO_RECEIPT)
    books.clock.now += 10 * DAY_S
    await _years(books, 50, DAY_S)
    spent = await books.exposure()
    await books.ledger.forget(0)
    assert rows(tmp_path, "SELECT count(*) FROM payment WHERE id = ?", watched.payment) == [(1,)]
    windows = [wall for wall in WALLS if wall.window != "total"]
    told = await books.ledger.usage(windows)
    await books.become(watched, Evidence.CHAIN_UNUSED)
    assert await books.exposure() == spent - 40
    assert await books.ledger.usage(windows) == told
    (lowest,) = rows(tmp_path, "SELECT min(running) FROM taken")[0]
    assert lowest >= 0


async def test_nonces_that_the_chain_could_name_stay(books: Books, tmp_path: Path) -> None:
    """Where a wallet's log is read, an authorization that it does not know would freeze it."""
    await _years(books, 3, DAY_S)
    await books.ledger.ask(
        lambda db: db.execute(
            "INSERT INTO chain_cursor SELECT 'n', 'a', lower(wallet), 1, 1 FROM hold LIMIT 1"
        )
    )
    books.clock.now += 100 * DAY_S
    await _years(books, 1, 0)
    await books.ledger.forget(0)
    assert rows(tmp_path, "SELECT count(*) FROM hold") == [(4,)]


async def test_jobs_go_assets_stay(books: Books, tmp_path: Path) -> None:
    """A job goes with its payment, an asset is kept without it."""
    one = await books.bought(5)
    await books.become(one, Evidence.RECEIPT)
    await books.ledger.remember(
        [
            Memory("job-1", "job", "shop", payment=one.payment),
            Memory("asset-1", "asset", "shop", payment=one.payment),
        ]
    )
    books.clock.now += 100 * DAY_S
    await _years(books, 1, 0)
    await books.ledger.forget(0)
    assert rows(tmp_path, "SELECT id, payment FROM memory") == [("asset-1", None)]


async def test_what_is_recent_stays(books: Books, tmp_path: Path) -> None:
    """A payment that is old, but was renewed lately, stays with all of its authorizations."""
    one = await books.bought(5)
    await books.become(one, Evidence.NO_RECEIPT)
    books.clock.now += 100 * DAY_S
    await books.bought(5, payment=one.payment)
    await _years(books, 1, 0)
    await books.ledger.forget(0)
    assert rows(tmp_path, "SELECT count(*) FROM hold WHERE payment = ?", one.payment) == [(2,)]


async def test_nothing_to_forget(books: Books, tmp_path: Path) -> None:
    """An empty ledger, and one with a single old payment, whose number must not come again."""
    await books.ledger.forget(0)
    await _years(books, 1, 400 * DAY_S)
    await books.ledger.forget(0)
    assert rows(tmp_path, "SELECT count(*) FROM payment") == [(1,)]


async def test_time_does_not_fall_back(tmp_path: Path) -> None:
    """What was forgotten takes no time with it: the ledger opens at the latest that it has seen."""
    async with opened(tmp_path) as books:
        await _years(books, 50, DAY_S)
        await books.ledger.forget(0)
        latest = books.ledger.now()
        clock = books.clock
    clock.reboot(-1000 * DAY_S)
    async with opened(tmp_path, clock) as books:
        assert latest - DAY_S - DEATH_S <= books.ledger.now() <= latest
        assert books.ledger.now() > START


async def test_others_go_in_between(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pays meanwhile does not wait for all of it."""
    monkeypatch.setattr(retention, "PAYMENTS_A_TURN", 1)
    await _years(books, 60, DAY_S)
    forgetting = asyncio.create_task(books.ledger.forget(0))
    for _ in range(5):
        await books.bought(1)
        assert not forgetting.done()
    await forgetting
