"""What `farebox doctor` looks at in the ledger: the file, its sums, its clock, what waits in it.

The running sums are what every cap is held against, so they are added up once more from the holds,
in the plainest way there is.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from proxy.cli.books import is_there, job_to_watch, reading
from proxy.cli.checkup import FAIL, OK, WARN, Finding, Verdict
from proxy.cli.common import Failure
from proxy.cli.layout import shown_command
from proxy.clocks import machine_clocks
from proxy.core.clock import JUMP_S
from proxy.core.ledger import CREDITED, OPEN, State
from proxy.core.money import format_usd
from proxy.store.alerts import (
    CLIP_WAITING,
    PAUSED,
    PAYEE_WAITING,
    PAYMENT_UNKNOWN,
    WALLET_FROZEN,
    alerts,
)
from proxy.store.schema import FILE_NAME, MIGRATIONS
from proxy.store.switch import FILE as PAUSE_FILE
from proxy.store.timekeeping import steady_clock

if TYPE_CHECKING:
    from proxy.configfile import Loaded

Sums = dict[str, Counter[str]]
_DAMAGES_MAX: Final = 5
_RESTORE: Final = "stop paying (farebox pause), keep a copy of the file, and restore a good one"
REMEDIES: Final = {
    PAUSED: "farebox resume",
    WALLET_FROZEN: "move the money; farebox wallet unfreeze only if it was you",
    PAYMENT_UNKNOWN: "an rpc_url has the chain asked; else farebox payments resolve ID",
    PAYEE_WAITING: "farebox payees",
    CLIP_WAITING: "see to it before the provider's link ends; farebox jobs names each",
}
"""What a person does about each kind of alert."""


def ledger(loaded: "Loaded") -> Iterator[Finding]:
    """All about the ledger's file, if there is one."""
    path = loaded.state_dir / FILE_NAME
    yield from _switches(loaded)
    if not is_there(path):
        yield Finding("ledger", OK, f"{path} is made at the first start")
        return
    try:
        with reading(loaded.state_dir) as db:
            yield from _file(db, str(path))
            yield from sums(db)
            yield from clock(db)
            yield from waiting(db)
    except Failure as problem:
        yield Finding("ledger", FAIL, problem.message, _RESTORE)


def sums(db: sqlite3.Connection) -> Iterator[Finding]:
    """What counts is what the holds add up to."""
    kept, counted = _kept(db), _counted(db)
    wrong = [
        f"{scope}: {name} is {format_usd(kept[scope][name])}, and its holds add up to"
        f" {format_usd(counted[scope][name])}"
        for name in ("held", "outstanding", "taken")
        for scope in sorted({*kept, *counted})
        if kept[scope][name] != counted[scope][name]
    ]
    wrong += _broken_runs(db)
    for message in wrong[:_DAMAGES_MAX]:
        yield Finding("sums", FAIL, message, _RESTORE)
    if not wrong:
        yield Finding("sums", OK, "what counts against the caps is what the holds add up to")


def clock(db: sqlite3.Connection) -> Iterator[Finding]:
    """The wall clock runs as it did when the daemon last looked."""
    steady = steady_clock(db, machine_clocks())
    lag_s, jump_s = steady.lag_s(), steady.jump_s()
    if jump_s:
        where = "ahead" if jump_s > 0 else "back"
        message = f"the clock jumped {abs(jump_s)} s {where}, so nothing is signed"
        yield Finding("clock", FAIL, message, "set it right, or farebox resume --accept-clock")
    elif lag_s > JUMP_S:
        message = f"the clock is {lag_s} s behind what the ledger has seen: payments count longer"
        yield Finding("clock", WARN, message, "see that it is right")
    else:
        yield Finding("clock", OK, "the clock has not jumped")


def waiting(db: sqlite3.Connection) -> Iterator[Finding]:
    """What waits for a person: the switch, foreign uses of the key, unknown payments, payees."""
    found = alerts(db, steady_clock(db, machine_clocks()).now())
    for alert in found:
        verdict: Verdict = FAIL if alert.code == WALLET_FROZEN else WARN
        todo = REMEDIES[alert.code]
        if alert.code == PAYMENT_UNKNOWN and (job := job_to_watch(db)) is not None:
            todo = f"{shown_command('farebox', 'jobs', 'watch', job)}; {todo}"
        yield Finding(alert.code, verdict, alert.message, todo)
    if not found:
        yield Finding("alerts", OK, "paying is not paused, and nothing waits for a person")


def _switches(loaded: "Loaded") -> Iterator[Finding]:
    """The switches outside the ledger."""
    file = loaded.state_dir / PAUSE_FILE
    if is_there(file):
        yield Finding(PAUSED, WARN, f"{file} is there: nothing is paid", "remove it, then resume")
    if loaded.config.paused is not False:
        message = "the config has `paused`: nothing is paid"
        yield Finding(PAUSED, WARN, message, "take it out, then farebox resume")


def _file(db: sqlite3.Connection, path: str) -> Iterator[Finding]:
    damages = [row[0] for row in db.execute(f"PRAGMA quick_check({_DAMAGES_MAX})")]
    if damages == ["ok"]:
        message = f"{path} is whole, and read as version {len(MIGRATIONS)}"
        yield Finding("ledger", OK, message)
        return
    for damage in damages:
        yield Finding("ledger", FAIL, f"{path} is damaged: {damage}", _RESTORE)


def _kept(db: sqlite3.Connection) -> Sums:
    """The sums as they are kept, by scope."""
    kept: Sums = _NoSums()
    for scope, held, outstanding in db.execute("SELECT scope, held, outstanding FROM balance"):
        kept[scope].update(held=held, outstanding=outstanding)
    for scope, usd in db.execute(
        "SELECT scope, running FROM taken t"
        " WHERE seq = (SELECT max(seq) FROM taken WHERE scope = t.scope)"
    ):
        kept[scope].update(taken=usd)
    return kept


def _counted(db: sqlite3.Connection) -> Sums:
    """The sums as the holds add up to them, by scope."""
    counted: Sums = _NoSums()
    for scopes, text, booked, usd in db.execute(
        "SELECT scopes, state, booked, sum(usd) FROM hold GROUP BY scopes, state, booked"
    ):
        state = State(text)
        for scope in json.loads(scopes):
            if not booked:
                counted[scope].update(held=usd, outstanding=usd if state in OPEN else 0)
            elif state not in CREDITED:
                counted[scope].update(taken=usd)
    return counted


def _broken_runs(db: sqlite3.Connection) -> list[str]:
    """Scopes in which a row's total is not the sum of the rows up to it, or time runs back."""
    rows = db.execute(
        "SELECT scope, min(seq) FROM (SELECT scope, seq, running, at,"
        " sum(usd) OVER (PARTITION BY scope ORDER BY seq) AS total,"
        " lag(at, 1, at) OVER (PARTITION BY scope ORDER BY seq) AS earlier FROM taken)"
        " WHERE running <> total OR at < earlier GROUP BY scope"
    )
    return [
        f"{scope}: the list of what was taken is wrong from row {seq} on" for scope, seq in rows
    ]


class _NoSums(dict[str, Counter[str]]):
    """Nothing counts in a scope that is not there."""

    def __missing__(self, scope: str) -> Counter[str]:
        self[scope] = Counter()
        return self[scope]
