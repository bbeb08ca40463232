"""The judge: opens a directory with the real ledger and compares it with what its buyer heard."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from proxy.core.ledger import CREDITED, DEATH_MARGIN_S, OPEN, State
from proxy.core.money import Usd, format_usd
from proxy.store import Ledger, Reserved, views
from tests.power.heard import Heard
from tests.store.books import Books, Clock, limit, opened

SCOPES: Final = ("all", "provider:p", "client:a")
WINDOWS: Final = ("hour", "day", "total", "outstanding")
"""The stories last for less than an hour, so that what was taken counts in every window."""

WALL: Final = 10**9
WALLS: Final = tuple(limit(window, WALL, scope) for scope in SCOPES for window in WINDOWS)
AFTERWARDS: Final = 900_000
"""Where the payments begin that the judge makes himself."""


async def problems(directory: Path, heard: Heard, *, exact: bool = False) -> list[str]:
    """Everything that is wrong in a directory, in words.

    With `exact`, what was refused must not be there either: the ledger was closed in peace.
    """
    try:
        async with opened(directory, Clock(heard.now, boot=2)) as books:
            return [problem async for problem in _problems(books, heard, exact=exact)]
    except Exception as problem:  # noqa: BLE001 - a broken file breaks its reader anywhere
        return [f"unusable: {problem!r}"]


async def _problems(books: Books, heard: Heard, *, exact: bool) -> AsyncIterator[str]:
    ledger = books.ledger
    found = await _found(ledger)
    for problem in _misplaced(found, heard, exact=exact):
        yield problem
    for problem in await _miscounted(ledger, found, heard):
        yield problem
    sound = await ledger.read(lambda db: db.execute("PRAGMA integrity_check").fetchall())
    if sound != [("ok",)]:
        yield f"broken: {sound}"
    books.numbers = count(AFTERWARDS)
    if not isinstance(verdict := await books.reserve(1), Reserved):
        yield f"nothing can be reserved any more: {verdict}"


async def _found(ledger: Ledger) -> dict[str, dict[str, Any]]:
    page = await ledger.read(lambda db: views.payments(db, limit=views.PAGE_MAX))
    return {payment["id"]: payment for payment in page["payments"]}


def _misplaced(found: dict[str, Any], heard: Heard, *, exact: bool) -> Iterator[str]:
    sales = heard.sales.items()
    wanted = {payment for payment, sale in sales if sale.promised or sale.in_doubt or not exact}
    for payment in sorted(heard.promised - set(found)):
        yield f"lost: {payment}"
    for payment in sorted(set(found) - wanted):
        yield f"never promised: {payment}" if exact else f"never asked for: {payment}"
    for payment in sorted(set(found) & set(heard.sales)):
        sale, state = heard.sales[payment], State(found[payment]["state"])
        if found[payment]["usd"] != format_usd(Usd(sale.usd)):
            yield f"changed: {payment} is of {found[payment]['usd']}"
        if state not in sale.restarted():
            yield f"gone back: {payment} is {state}, not {sorted(sale.restarted())}"


async def _miscounted(ledger: Ledger, found: dict[str, Any], heard: Heard) -> list[str]:
    """Compare each cap with the naive sum over the payments that are there."""
    shown = await ledger.usage(WALLS)
    there = [
        (heard.sales[payment], State(facts["state"]))
        for payment, facts in found.items()
        if payment in heard.sales
    ]
    wrong = []
    for wall, usage in zip(WALLS, shown, strict=True):
        counted = sum(
            sale.usd
            for sale, state in there
            if wall.scope in sale.scopes and state not in CREDITED
            if wall.window != "outstanding"
            or (state in OPEN and sale.valid_before + DEATH_MARGIN_S > heard.now)
        )
        if usage["free"] != format_usd(Usd(WALL - counted)):
            wrong.append(f"miscounted: {wall} has {usage}, and {counted} counts")
    return wrong
