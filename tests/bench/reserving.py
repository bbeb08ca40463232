"""What does it cost to count a payment before it is signed, and does it grow with the ledger?

A ledger of any length is made in bulk, as a file of version 1, which nothing changes any more, and
then brought forward by the store itself: so it is made alike whatever later versions add.
"""

import asyncio
import secrets
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import uvloop

from proxy.app import new_nonce, new_payment_id
from proxy.core.clock import Clocks
from proxy.core.ledger import WINDOWS, Evidence, Limit
from proxy.core.money import Usd
from proxy.store import Hold, Intent, Ledger, Reserved, schema
from tests.bench import machine
from tests.bench.daemon import KEY
from tests.bench.plan import Plan
from tests.bench.report import Row, Table, spread, take_turns, times
from tests.exchange.provider import NETWORK, PAYEE, USDC

PART = "reserving"
WAITING = (1, 32)
FEW: Final = 1000
_LIFETIME_S: Final = 300
_WARM: Final = 500
_TURN: Final = 100
_SPAN_S: Final = 180 * 86_400
_SHOPS: Final = 4
_CLIENTS: Final = 3
_PAYEES: Final = 8
_MIX: Final = (("settled", 93), ("unknown", 97), ("void", 100))
_SCOPES = ("all", "provider:shop-0", "route:/shop-0/*", "client:agent-0", f"payee:{PAYEE.lower()}")
_WALLET = "0x" + KEY[-40:]
_PLENTY = Usd(10**15)
_LIMITS = (
    *(Limit("all", each, _PLENTY) for each in ("per_request", *WINDOWS, "total", "outstanding")),
    Limit("provider:shop-0", "day", _PLENTY),
)
_NOTES = """\
`Ledger.reserve` on a file, under {limits} caps and counted in {scopes} scopes; it returns when the
hold is on the disk. The clock runs so that each reservation finds one hold that has just died, and
books it; each payment is settled at once, for which nobody waits, but which the one writing thread
does too. The two ledgers take turns every {turn} reservations. Time for each is the whole round's,
checkpoints of the log included, by its reservations.
The recorded payments are dead, {mix}, over {days} days; making {recorded:,} of them took {made:.1f}
s, and bringing their file from version 1 forward {forward:.1f} s. Writing 4 kB and waiting for the
disk (`fdatasync`) takes {sync:.2f} ms here, and what reserves alone cannot be faster than that."""

_SALES: Final = """
CREATE TEMP TABLE sale AS
WITH RECURSIVE number (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < :count)
SELECT i, :now - CAST((:count - i) * (:span + 0.0) / :count AS INTEGER) AS at,
  1000 + i * 7919 % 50000 AS usd,
  CASE WHEN i % 100 < :settled THEN 'settled' WHEN i % 100 < :unknown THEN 'unknown' ELSE 'void' END
    AS state,
  'all' AS everything, 'client:agent-' || (i % :clients) AS client,
  'payee:0x' || printf('%040x', i % :payees) AS payee,
  'provider:shop-' || (i % :shops) AS provider, 'route:/shop-' || (i % :shops) || '/*' AS route
FROM number
"""
_PAYMENTS: Final = """
INSERT INTO payment (id, created_at, client, provider, route, method, path, body_sha256,
  fingerprint, network, asset, decimals, pay_to, amount, usd, state, tx, http_status)
SELECT printf('pay_%012x', at * 1000 + i % 1000) || lower(hex(randomblob(10))), at,
  substr(client, 8), substr(provider, 10), substr(route, 7), 'POST', '/v1/videos/generations',
  randomblob(32), randomblob(32), :network, :asset, 6, substr(payee, 7), usd, usd, state,
  CASE state WHEN 'settled' THEN '0x' || lower(hex(randomblob(32))) ELSE '' END, 200
FROM sale ORDER BY i
"""
_HOLDS: Final = """
INSERT INTO hold (id, payment, wallet, nonce, valid_after, valid_before, lag_s, usd, state, scopes,
  terms, booked)
SELECT i, payment.id, :wallet, randomblob(32), 0, at + :lifetime, 0, sale.usd, sale.state,
  json_array(everything, sale.provider, sale.route, sale.client, payee),
  json_object('network', :network, 'asset', :asset, 'extra', hex(zeroblob(80))), 1
FROM sale JOIN payment ON payment.rowid = i ORDER BY i
"""
_BALANCES: Final = "INSERT INTO balance SELECT DISTINCT {scope}, 0, 0 FROM sale"
_TAKEN: Final = """
INSERT INTO taken SELECT {scope}, row_number() OVER past, at + :lifetime + 60, i, usd,
  sum(usd) OVER past
FROM sale WHERE state <> 'void'
WINDOW past AS (PARTITION BY {scope} ORDER BY i ROWS UNBOUNDED PRECEDING)
"""
_COLUMNS: Final = ("everything", "client", "payee", "provider", "route")


@dataclass(frozen=True, slots=True)
class Pace:
    """What reserving came to."""

    per_s: float
    p50_ms: float


Both = tuple[Pace, Pace]
"""On the short ledger, and on the long one."""


class Clock:
    """The clock of a ledger: it runs by reservations. An uptime of no boot, so nothing is taken up.

    It begins at the real time, as a file's last payment does.
    """

    def __init__(self) -> None:
        self.at = time.time()
        began = self.at
        self.clocks = Clocks(lambda: self.at, lambda: self.at - began)


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """An open ledger and its clock."""

    ledger: Ledger
    clock: Clock


def measure(plan: Plan) -> list[Table]:
    """Reserve one after the other and many at a time, on a short and on a long ledger."""
    made_s = _timed(lambda: recorded(plan, plan.recorded, bring_forward=False))
    forward_s = _timed(lambda: recorded(plan, plan.recorded))
    many = _copy(plan, plan.recorded)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        shop = runner.run(_open(many))
        ways = {str(waiting): _way(runner, plan, waiting, shop) for waiting in WAITING}
        with machine.on(machine.ALL_CORES):
            found = take_turns(plan.rounds, ways)
        runner.run(shop.ledger.close())
    shutil.rmtree(many)
    return [_table(found, plan, made_s, forward_s)]


def recorded(plan: Plan, count: int, *, bring_forward: bool = True) -> Path:
    """A folder with a ledger of so many payments, made when it is first asked for.

    Whoever changes it in earnest takes a copy.
    """
    folder = plan.home / f"recorded-{count}"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        _make(folder / schema.FILE_NAME, count)
    if bring_forward:
        db = schema.connect(folder / schema.FILE_NAME)
        schema.migrate(db)
        db.close()
    return folder


def _make(path: Path, count: int) -> None:
    """Write a file of version 1 in bulk: payments in mixed states, dead and booked, sums right."""
    words: dict[str, object] = {
        "count": count,
        "now": int(time.time()) - _LIFETIME_S - 60,
        "span": _SPAN_S,
        "shops": _SHOPS,
        "clients": _CLIENTS,
        "payees": _PAYEES,
        "lifetime": _LIFETIME_S,
        "wallet": _WALLET,
        "network": NETWORK,
        "asset": USDC,
        **dict(_MIX),
    }
    db = sqlite3.connect(path, isolation_level=None)
    # Nothing of this has to outlive a crash.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(schema.MIGRATIONS[0])
    db.execute("BEGIN")
    for statement in (_SALES, _PAYMENTS, _HOLDS):
        db.execute(statement, words)
    for column in _COLUMNS:
        db.execute(_BALANCES.format(scope=column))
        db.execute(_TAKEN.format(scope=column), words)
    db.execute("PRAGMA user_version = 1")
    db.execute("COMMIT")
    db.close()


def _copy(plan: Plan, count: int) -> Path:
    folder = plan.folder("ledger")
    return shutil.copytree(recorded(plan, count), folder, dirs_exist_ok=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _way(runner: asyncio.Runner, plan: Plan, waiting: int, many: Shop) -> Callable[[], Both]:
    """Reserve on the long ledger and on a fresh one of few payments."""

    def run() -> Both:
        return runner.run(_reserve_on_both(_copy(plan, FEW), many, waiting, plan))

    return run


def _table(found: dict[str, list[Both]], plan: Plan, made_s: float, forward_s: float) -> Table:
    rows = []
    for waiting in WAITING:
        few, many = zip(*found[str(waiting)], strict=True)
        for count, paces in ((FEW, few), (plan.recorded, many)):
            cells = (
                times([pace.p50_ms for pace in paces], [pace.p50_ms for pace in few]),
                times([1 / pace.per_s for pace in paces], [1 / pace.per_s for pace in few]),
                spread([pace.p50_ms for pace in paces]),
                spread([pace.per_s for pace in paces]),
            )
            rows.append(Row(f"{count:,} payments, {waiting} waiting", cells))
    notes = _NOTES.format(
        limits=len(_LIMITS),
        turn=_TURN,
        scopes=len(_SCOPES),
        mix=_mix(),
        days=_SPAN_S // 86_400,
        recorded=plan.recorded,
        made=made_s,
        forward=forward_s,
        sync=machine.sync_ms(plan.folder("sync")),
    )
    less = f"of {FEW:,} payments"
    columns = (f"p50, {less}", f"time for each, {less}", "p50 ms", "reservations per second")
    return Table("Reserving", PART, columns, tuple(rows), notes)


def _mix() -> str:
    parts, below = [], 0
    for state, share in _MIX:
        parts.append(f"{share - below} % {state}")
        below = share
    return ", ".join(parts)


async def _open(folder: Path) -> Shop:
    clock = Clock()
    return Shop(await Ledger.open(folder, clock.clocks), clock)


async def _reserve_on_both(folder: Path, many: Shop, waiting: int, plan: Plan) -> Both:
    """Reserve with so many waiting at any time, by turns of a few on either ledger."""
    few = await _open(folder)
    took: dict[Shop, list[float]] = {few: [], many: []}
    spent = dict.fromkeys(took, 0.0)
    for shop in took:
        await _customers(shop, waiting, _WARM)
    for _ in range(plan.reserve_max // _TURN):
        for shop in took:
            began = time.perf_counter()
            took[shop] += await _customers(shop, waiting, _TURN)
            await shop.ledger.flush()
            spent[shop] += time.perf_counter() - began
    await few.ledger.close()
    short, long = (
        Pace(len(took[shop]) / spent[shop], statistics.median(took[shop]) * 1000) for shop in took
    )
    return short, long


async def _customers(shop: Shop, waiting: int, count: int) -> list[float]:
    left = iter(range(count))

    async def customer() -> list[float]:
        return [await _buy(shop) for _ in left]

    return [*chain.from_iterable(await asyncio.gather(*(customer() for _ in range(waiting))))]


async def _buy(shop: Shop) -> float:
    """Reserve, and settle without waiting for it; how long the reservation took."""
    shop.clock.at += 1
    intent = Intent(
        payment=new_payment_id(),
        client="agent-0",
        provider="shop-0",
        route="/shop-0/*",
        method="POST",
        path="/v1/videos/generations",
        body_sha256=secrets.token_bytes(32),
        fingerprint=secrets.token_bytes(32),
    )
    hold = Hold(
        amount=10_000,
        usd=Usd(10_000),
        decimals=6,
        network=NETWORK,
        asset=USDC,
        pay_to=PAYEE,
        wallet=_WALLET,
        nonce=new_nonce(),
        valid_after=0,
        valid_before=int(shop.clock.at) + _LIFETIME_S,
        scopes=_SCOPES,
        terms="{}",
        pin=True,
    )
    began = time.perf_counter()
    verdict = await shop.ledger.reserve(intent, hold, _LIMITS)
    took = time.perf_counter() - began
    if not isinstance(verdict, Reserved):
        raise TypeError(verdict)
    shop.ledger.resolve(verdict, Evidence.RECEIPT, tx="0x" + "ab" * 32, http_status=200)
    return took
