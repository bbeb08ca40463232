"""`farebox pause` and `farebox resume`: the switch in the ledger that forbids signing.

It is read inside every transaction that reserves money, so it holds for a running daemon at once
and for one that is started later. What was signed before stays signed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.books import by_hand, ledger_of, reading
from proxy.cli.common import Failure, Settings, emit, load, options
from proxy.cli.layout import printable, warned
from proxy.clocks import machine_clocks
from proxy.store.alerts import WALLET_FROZEN, alerts
from proxy.store.switch import FILE
from proxy.store.timekeeping import steady_clock

if TYPE_CHECKING:
    from proxy.configfile import Loaded

NOT_TURNED = "the switch was NOT turned"


@click.command()
@click.option("--reason", default="", metavar="TEXT", help="What refused callers are told.")
@options
def pause(settings: Settings, reason: str) -> None:
    """Stop paying, until resumed: callers get 503 `paused`, free calls still go through."""
    state_dir = load(settings).state_dir
    ledger, warnings = ledger_of(state_dir)
    with by_hand(state_dir, NOT_TURNED) as people:
        people.pause(reason)
    because = f" ({printable(reason)})" if reason else ""
    emit(
        settings,
        {"paused": True, "pause_reason": reason or None, **_where(ledger, warnings)},
        warned(
            f"Paused{because}: nothing more is signed until `farebox resume`.\n"
            f"The switch is in {ledger}",
            warnings,
        ),
    )


@click.command()
@click.option(
    "--accept-clock", is_flag=True, help="Take the clock for right too, after it has jumped."
)
@options
def resume(settings: Settings, *, accept_clock: bool) -> None:
    """Pay again."""
    loaded = load(settings)
    _refuse_if_configured(loaded)
    ledger, warnings = ledger_of(loaded.state_dir)
    with by_hand(loaded.state_dir, NOT_TURNED) as people:
        resumed = people.resume()
    if not resumed:
        raise Failure(f"{NOT_TURNED}: {loaded.state_dir / FILE} is there; remove it, then resume")
    if accept_clock:
        with by_hand(
            loaded.state_dir, "paying is resumed, but the clock was NOT accepted"
        ) as people:
            people.accept_clock()
    warnings += _still_in_the_way(loaded.state_dir)
    said = "Resumed. The caps hold as before." + (
        "\nThe clock is taken for right as it stands." if accept_clock else ""
    )
    emit(
        settings,
        {
            "paused": False,
            "pause_reason": None,
            "clock_accepted": accept_clock,
            **_where(ledger, warnings),
        },
        warned(f"{said}\nThe switch is in {ledger}", warnings),
    )


def _refuse_if_configured(loaded: "Loaded") -> None:
    if loaded.config.paused is False:
        return
    line = loaded.lines.get("paused")
    place = f"{loaded.path}, line {line}" if line else str(loaded.path)
    raise Failure(f"{NOT_TURNED}: the config has `paused` ({place}); take it out, then resume")


def _still_in_the_way(state_dir: Path) -> list[str]:
    """What else keeps a daemon from signing."""
    with reading(state_dir) as db:
        clock = steady_clock(db, machine_clocks())
        found = [a.message for a in alerts(db, clock.now()) if a.code == WALLET_FROZEN]
        if clock.jump_s():
            found.append("the clock has jumped: nothing is signed until it is right, or accepted")
        return found


def _where(ledger: Path, warnings: Iterable[str]) -> dict[str, object]:
    return {"ledger": str(ledger), "warnings": list(warnings)}
