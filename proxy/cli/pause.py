"""`farebox pause` and `farebox resume`: the switch in the ledger that forbids signing.

It is read inside every transaction that reserves money, so it holds for a running daemon at once
and for one that is started later. What was signed before stays signed.
"""

import sqlite3
import time

import click

from proxy.cli.common import Failure, Settings, emit, load, options
from proxy.cli.layout import printable


@click.command()
@click.option("--reason", default="", metavar="TEXT", help="What refused callers are told.")
@options
def pause(settings: Settings, reason: str) -> None:
    """Stop paying, until resumed: callers get 503 `paused`, free calls still go through."""
    _turn(settings, reason)
    because = f" ({printable(reason)})" if reason else ""
    emit(
        settings,
        {"paused": True, "pause_reason": reason or None},
        f"Paused{because}. Nothing more is signed until `farebox resume`.",
    )


@click.command()
@options
def resume(settings: Settings) -> None:
    """Pay again."""
    _turn(settings, None)
    emit(settings, {"paused": False, "pause_reason": None}, "Resumed. The caps hold as before.")


def _turn(settings: Settings, reason: str | None) -> None:
    from proxy.store import SchemaError  # noqa: PLC0415 - what only this command needs
    from proxy.store.schema import FILE_NAME  # noqa: PLC0415 - as above
    from proxy.store.views import set_paused  # noqa: PLC0415 - as above

    state_dir = load(settings).state_dir
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        set_paused(state_dir / FILE_NAME, reason, int(time.time()))
    except (OSError, sqlite3.Error, SchemaError) as problem:
        raise Failure(f"the switch was NOT turned: {problem}") from None
