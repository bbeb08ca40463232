"""`farebox portrait`: faces and characters under names of one's own.

The list is read from the ledger. Everything else is the running daemon's work: it alone asks
providers and pays. To enrol is to wait until the portrait is ready; who stops waiting loses
nothing, for the next look goes on where this one stopped.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from proxy.cli.books import reading
from proxy.cli.common import Settings, emit, load, options
from proxy.cli.enrolling import enrol, path_of, provider_option
from proxy.cli.groups import DefaultGroup
from proxy.cli.layout import local_time, pairs, printable, table
from proxy.cli.talk import find_daemon, good, token_option
from proxy.cli.verify import verify
from proxy.store import portraits


@click.group(cls=DefaultGroup, default="list")
def portrait() -> None:
    """List portraits (the default), enrol, show or delete one, verify a real person."""


portrait.add_command(verify)


@portrait.command("list")
@options
def list_(settings: Settings) -> None:
    """List portraits, newest first, with and without a running daemon; nobody is asked."""
    with reading(load(settings).state_dir) as db:
        found = portraits.listed(db)
    emit(settings, found, _as_text(found["portraits"]))


@portrait.command()
@click.argument("name")
@token_option
@options
def show(settings: Settings, name: str, token: str | None) -> None:
    """Show a portrait by its name or id; one that is not ready is asked after."""
    answer = find_daemon(load(settings), token).ask("GET", path_of(name), {})
    fields = good(answer).fields
    emit(settings, fields, _sheet(fields))


@portrait.command()
@click.argument("name")
@click.argument("image_url", metavar="IMAGE_URL")
@click.option("--group", metavar="ID", help="The group of a verified person.")
@click.option("--session", metavar="ID", help="The session in which the person was verified.")
@provider_option
@click.option("--max-amount", metavar="USD", help="Pay no more than this.")
@token_option
@options
def enroll(
    settings: Settings,
    name: str,
    image_url: str,
    group: str | None,
    session: str | None,
    provider: str | None,
    max_amount: str | None,
    token: str | None,
) -> None:
    """Enrol the picture at IMAGE_URL as NAME, and wait until it can be used.

    It may cost money: `farebox quote POST /v1/portrait/enroll` tells. Exit codes: 0 it is active, 1
    it failed, 3 a cap is in the way, 130 Ctrl-C.
    """
    wanted = {"name": name, "image_url": image_url, "group_id": group, "session": session}
    daemon = find_daemon(load(settings), token)
    given = {key: value for key, value in wanted.items() if value is not None}
    headers = {"Farebox-Provider": provider, "Farebox-Max-Amount": max_amount}
    enrol(settings, daemon, given, {key: value for key, value in headers.items() if value})


@portrait.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody sits at a terminal.")
@token_option
@options
def delete(settings: Settings, name: str, token: str | None, *, yes: bool) -> None:
    """Delete a portrait at its provider, by name or id, where the provider can."""
    daemon = find_daemon(load(settings), token)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is here to be asked: if you mean it, add --yes")
        click.confirm(f"Delete the portrait {printable(name)}?", abort=True, err=True)
    fields = good(daemon.ask("DELETE", path_of(name), {})).fields
    emit(settings, fields, f"Deleted {printable(str(fields.get('id', name)))}.")


def _as_text(found: list[dict[str, Any]]) -> str:
    if not found:
        return "No portraits yet."
    return table(("NAME", "ID", "PROVIDER", "KIND", "STATUS", "WHEN"), map(_row, found))


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    name, id_, kind = (each[key] or "" for key in ("name", "id", "kind"))
    return name, id_, each["provider"], kind, each["status"], local_time(each["created_at"])


def _sheet(fields: Mapping[str, Any]) -> str:
    rows = [(key, fields[key]) for key in _SHOWN if fields.get(key)]
    rows.append(("models", ", ".join(fields.get("models", ()))))
    return pairs((name, str(value)) for name, value in rows if value)


_SHOWN: Final = ("name", "id", "provider", "kind", "group_id", "status", "image_url")
