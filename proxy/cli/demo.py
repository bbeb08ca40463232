"""`farebox demo`: see it pay, on this machine, with imaginary money.

The scenes are real calls through the real daemon, and each checks what it shows: the first thing
that is not as told ends the demo with exit code 1 and the daemon's log.
"""

import asyncio
import io
import signal
import sys
from typing import Any, Final

import click

from proxy.cli import scenes
from proxy.cli.common import FAULT, Failure, Settings, end, json_text, options
from proxy.cli.layout import dollars
from proxy.cli.playbill import Playbill
from proxy.cli.stage import CAPS, DeviationError, Stage, stage
from proxy.core.money import format_usd

OPENING: Final = """\
Farebox is a daemon on your machine. Programs talk to it as if it were the provider; where the
provider asks for money (HTTP 402), Farebox pays from a wallet that only it holds, and never more
than the caps you set. Here it does so with imaginary money: three providers in miniature and a
throw-away wallet. Nothing leaves this machine, and all of it is gone when the demo ends.
"""
NEXT: Final = (
    ("farebox init", "makes a wallet and a config of your own"),
    ("farebox check", "says whether the config is sound, and what it lets through"),
    ("farebox serve", "runs the daemon: point any HTTP tool at http://localhost:8402"),
    ("farebox sandbox", "serves these three providers, for tries of your own"),
)


@click.command()
@options
def demo(settings: Settings) -> None:
    """Watch Farebox pay: a sandbox, a throw-away wallet, the real daemon; it takes 10 seconds."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a dash is no fault
    bill = Playbill(quiet=settings.json)
    log: list[str] = []
    document: dict[str, Any] = {"ok": False, "steps": bill.scenes}
    try:
        document |= asyncio.run(_played(bill, log))
    except (DeviationError, OSError) as problem:
        document["problem"] = str(problem)
        _fell_through(str(problem), log)
    except asyncio.CancelledError:
        raise Failure("stopped before its end; nothing is left behind") from None
    if settings.json:
        click.echo(json_text(document, indent=2))
    end(0 if document["ok"] else FAULT)


async def _played(bill: Playbill, log: list[str]) -> dict[str, Any]:
    """Play all scenes on a stage of their own."""
    _strike_on_signals()
    bill.line("Farebox, a demonstration", bold=True)
    bill.line()
    bill.text(OPENING)
    async with stage(log) as here:
        _cast(bill, here)
        await scenes.bare_402(bill, here)
        asset = await scenes.enrolment(bill, here)
        await scenes.listing(bill, here, asset)
        await scenes.clip(bill, here, asset)
        await scenes.sunra(bill, here)
        await scenes.pomex(bill, here)
        await scenes.too_much(bill, here)
        found = await scenes.receipts(bill, here)
    bill.line()
    bill.line("What next", bold=True)
    for command, words in NEXT:
        bill.block(f"{command:<18}{words}")
    return {"ok": True, "wallet": here.wallet, "caps": CAPS, **found}


def _strike_on_signals() -> None:
    """Let whoever stops us get a tidy machine back, as Ctrl-C does already."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _cast(bill: Playbill, here: Stage) -> None:
    per_request, day = dollars(CAPS["per_request"]), dollars(CAPS["day"])
    bill.line()
    bill.block(f"daemon   {here.base_url}   (farebox serve)")
    bill.block(f"wallet   {here.wallet}, {dollars(format_usd(here.owned))} in imaginary USDC")
    bill.block(f"caps     {per_request} for one request, {day} a day")


def _fell_through(problem: str, log: list[str]) -> None:
    """Say on stderr what was not as told, and show the daemon's log."""
    click.echo(f"\nThis is not as it should be: {problem}\n\nThe daemon's log:", err=True)
    for line in log or ["(it wrote none)"]:
        click.echo(f"  {line}", err=True)
