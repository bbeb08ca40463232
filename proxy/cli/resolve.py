"""`farebox payments resolve`: a person's word on what became of a payment.

It is heard only where nobody else knows, and it can give money back only when the authorization is
dead: until then the seller could still take what was said to be void.
"""

import os
import pwd
import re
import socket
import sqlite3
import time
from typing import Any, Final

import click

from proxy.cli.books import by_hand, is_there, ledger_now, ledger_of, reading
from proxy.cli.common import Failure, Settings, emit, load, options
from proxy.cli.layout import dollars, local_time
from proxy.core.ledger import DEATH_MARGIN_S, State
from proxy.store import views

_TX: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SETTLED: Final = (
    "It counted as spent all along, and goes on to: it leaves each window by its age. Only the"
    " outstanding cap has its room back."
)
_VOID: Final = (
    "It counts no longer, in any cap; should the chain ever show it taken, it will again."
)


def _transaction(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and _TX.fullmatch(text) is None:
        raise click.BadParameter("a transaction is 0x and 64 hex digits")
    return text


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--settled", metavar="TX", callback=_transaction, help="It was taken, by this.")
@click.option("--void", is_flag=True, help="It was not taken, and its authorization is dead.")
@options
def resolve(settings: Settings, id_: str, settled: str | None, *, void: bool) -> None:
    """Say what became of a payment whose outcome is unknown: look it up in a block explorer."""
    if (settled is None) is not void:
        raise click.UsageError("say exactly one of --settled TX and --void")
    state_dir = load(settings).state_dir
    ledger, _ = ledger_of(state_dir)
    if not is_there(ledger):
        raise Failure(f"there is no payment {id_!a}: {ledger} is not there yet")
    who = _who()
    with by_hand(state_dir, f"{id_!a} was NOT resolved") as people:
        outcome = people.resolve(id_, settled, who)
    with reading(state_dir) as db:
        payment = views.payment(db, id_)
        if payment is None or not isinstance(outcome, State):
            raise Failure(f"{id_!a} was NOT resolved: {outcome}{_until(db, id_, void=void)}")
    told = {"resolved": outcome.value, "by": who, "meaning": _meaning(payment, outcome)}
    emit(settings, {**told, "payment": payment}, _in_words(payment, told))


def _who() -> str:
    """Who says so: their login name and the machine."""
    user_id = os.getuid()
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        name = f"user {user_id}"
    return f"{name}@{socket.gethostname()}"


def _until(db: sqlite3.Connection, id_: str, *, void: bool) -> str:
    """When a living authorization dies, by the clock on the wall; nothing where that is not it."""
    (dies_at,) = db.execute(
        "SELECT max(valid_before + lag_s) FROM hold WHERE payment = ? AND state = 'unknown'", (id_,)
    ).fetchone()
    if not void or dies_at is None:
        return ""
    left_s = int(dies_at) + DEATH_MARGIN_S - ledger_now(db)
    return f" ({local_time(int(time.time()) + left_s)})" if left_s > 0 else ""


def _meaning(payment: dict[str, Any], outcome: State) -> str:
    means = _VOID if outcome is State.VOID else _SETTLED
    doubtful = sum(a["state"] == State.UNKNOWN for a in payment["authorizations"])
    if doubtful:
        means += f" {doubtful} more of its authorizations may have been taken too: they count."
    return means


def _in_words(payment: dict[str, Any], told: dict[str, str]) -> str:
    tx = f" in {payment['tx']}" if told["resolved"] == State.SETTLED else ""
    return (
        f"{payment['id']}, {dollars(payment['usd'])} to {payment['provider']}, is"
        f" {told['resolved']}{tx}, by the word of {told['by']}.\n{told['meaning']}"
    )
