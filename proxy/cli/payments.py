"""`farebox payments`: what was bought, from whom, and what became of the money."""

import csv
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any, Final

import click

from proxy.cli.books import NOTHING_YET, reading
from proxy.cli.common import Failure, Settings, emit, json_text, load, options
from proxy.cli.groups import DefaultGroup
from proxy.cli.layout import dollars, local_time, pairs, table, utc_time
from proxy.cli.resolve import resolve
from proxy.core.ledger import Evidence, State
from proxy.store import views

CSV_COLUMNS: Final = (
    "id", "created_at", "client", "provider", "route", "method", "path", "network", "asset",
    "pay_to", "amount", "usd", "state", "tx", "job", "http_status", "note",
)  # fmt: skip
_STANDS_ON: Final = {
    Evidence.SENT: "it left",
    Evidence.NEVER_SENT: "it never left",
    Evidence.DECLINED: "the provider declined the call",
    Evidence.RECEIPT: "the provider's receipt",
    Evidence.NO_RECEIPT: "it left, and no receipt came",
    Evidence.RESTART: "the daemon stopped in between",
    Evidence.CHAIN_USED: "the chain: taken",
    Evidence.CHAIN_CANCELLED: "the chain: cancelled",
    Evidence.CHAIN_UNUSED: "the chain: expired unused",
    Evidence.HAND_SETTLED: "a person's word",
    Evidence.HAND_VOID: "a person's word",
}
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


@click.group(cls=DefaultGroup, default="list")
def payments() -> None:
    """List (the default), show, export or resolve payments, with and without a running daemon."""


payments.add_command(resolve)


@payments.command("list")
@click.option("--state", type=click.Choice([s.value for s in State]), help="Only these.")
@click.option(
    "--limit", type=click.IntRange(1, views.PAGE_MAX), default=50, show_default=True, help="A page."
)
@click.option("--before", metavar="ID", help="Go on before this payment: the next page.")
@options
def list_(settings: Settings, state: str | None, limit: int, before: str | None) -> None:
    """List payments, newest first."""
    with reading(load(settings).state_dir) as db:
        page = views.payments(db, limit=limit, before=before, state=state)
    emit(settings, page, _as_text(page, is_filtered=bool(state or before)))


@payments.command()
@click.argument("id_", metavar="ID")
@options
def show(settings: Settings, id_: str) -> None:
    """Show one payment with its authorizations."""
    with reading(load(settings).state_dir) as db:
        found = views.payment(db, id_)
    if found is None:
        raise Failure(f"there is no payment {id_!a}: `farebox payments` lists them")
    emit(settings, found, _card(found))


@payments.command()
@click.option("--csv", "form", flag_value="csv", default="csv", help="One row each (the default).")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line, complete.")
@options
def export(settings: Settings, form: str) -> None:
    """Write every payment to standard output, newest first, as CSV or as lines of JSON."""
    with reading(load(settings).state_dir) as db:
        every = _every(db)
        if form == "jsonl":
            for payment in every:
                click.echo(json_text(payment))
            return
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for payment in every:
            row = payment | {"created_at": utc_time(payment["created_at"])}
            writer.writerow([_inert(str(row.get(name, ""))) for name in CSV_COLUMNS])


def _every(db: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    before = None
    while True:
        page = views.payments(db, limit=views.PAGE_MAX, before=before)
        yield from page["payments"]
        if (before := page.get("next")) is None:
            return


def _as_text(page: dict[str, Any], *, is_filtered: bool) -> str:
    if not page["payments"]:
        return "No such payments." if is_filtered else NOTHING_YET
    header = ("ID", "WHEN", "AMOUNT", "STATE", "WHAT")
    text = table(header, map(_row, page["payments"]), right=[2])
    more = f"\n\nOlder ones: farebox payments --before {page['next']}" if "next" in page else ""
    return text + more


def _row(payment: dict[str, Any]) -> tuple[str, ...]:
    return (
        payment["id"],
        local_time(payment["created_at"]),
        dollars(payment["usd"]),
        shown_state(payment["state"]),
        f"{payment['provider']}: {payment['method']} {payment['path']}",
    )


def shown_state(state: str) -> str:
    """A state as a list shows it: an unknown outcome is called out."""
    return state.upper() if state == State.UNKNOWN else state


def _card(payment: dict[str, Any]) -> str:
    rows = [(name, str(payment[name])) for name in CSV_COLUMNS if name in payment]
    values = dict(rows) | {
        "created_at": local_time(payment["created_at"]),
        "usd": dollars(payment["usd"]),
    }
    text = pairs(values.items())
    if not payment["authorizations"]:
        return text
    signed = [
        (
            a["nonce"],
            a["state"],
            local_time(a["valid_after"]),
            local_time(a["valid_before"]),
            _STANDS_ON[Evidence(a["evidence"])] if "evidence" in a else "",
        )
        for a in payment["authorizations"]
    ]
    header = ("AUTHORIZATION (NONCE)", "STATE", "VALID AFTER", "VALID BEFORE", "EVIDENCE")
    return f"{text}\n\n{table(header, signed)}"


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: providers have a say in some of these."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
