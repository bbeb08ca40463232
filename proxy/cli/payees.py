"""`farebox payees`: at which addresses providers may be paid, and which one waits for a person.

Where a provider's `pay_to` is `first`, the first address is pinned and any other refused; the last
one refused waits here for somebody to accept it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.books import by_hand, is_there, ledger_of, reading
from proxy.cli.common import Failure, Settings, emit, load, options
from proxy.cli.groups import DefaultGroup
from proxy.cli.layout import local_time, table, warned
from proxy.core.x402.assets import is_address
from proxy.store.payees import listed

if TYPE_CHECKING:
    from proxy.configfile import Loaded

NOBODY_YET = "Nobody is pinned yet: the first payment to a provider pins its payee."
NOT_CHANGED = "the payees were NOT changed"
Row = dict[str, Any]


@click.group(cls=DefaultGroup, default="list")
def payees() -> None:
    """List (the default), accept or forget the addresses at which providers are paid."""


@payees.command("list")
@options
def list_(settings: Settings) -> None:
    """List who was accepted, and who waits for it."""
    loaded = load(settings)
    with reading(loaded.state_dir) as db:
        rows = listed(db)
    for row in rows:
        if row["state"] == "waiting":
            named = f"{row['provider']} {row['pay_to']} --network {row['network']}"
            row["accept"] = f"farebox payees accept {named}"
    providers = dict.fromkeys(row["provider"] for row in rows)
    warnings = [warning for provider in providers for warning in _unheeded(loaded, provider)]
    emit(settings, {"payees": rows, "warnings": warnings}, warned(_as_text(rows), warnings))


@payees.command()
@click.argument("provider")
@click.argument("address", required=False)
@click.option("--network", metavar="N", help="The network, as eip155:8453.")
@click.option("--prices", is_flag=True, help="Its new prices instead, after quote_jump.")
@options
def accept(
    settings: Settings, provider: str, address: str | None, network: str | None, *, prices: bool
) -> None:
    """Let a provider be paid at an address, beside those that it has; or accept its prices."""
    loaded = load(settings)
    _must_be_known(provider, loaded.config.providers)
    if prices:
        if address is not None or network is not None:
            raise click.UsageError("--prices stands alone: it is about no address")
        _accept_prices(settings, loaded, provider)
    elif address is None:
        raise click.UsageError("say the ADDRESS, or --prices")
    else:
        _accept(settings, loaded, provider, _read(address), network)


@payees.command()
@click.argument("provider")
@click.argument("address")
@click.option("--network", metavar="N", help="The network, as eip155:8453.")
@options
def forget(settings: Settings, provider: str, address: str, network: str | None) -> None:
    """Unpin an address; when a provider's last one goes, its next payment pins anew."""
    loaded = load(settings)
    address = _read(address)
    with reading(loaded.state_dir) as db:
        rows = [row for row in listed(db) if row["provider"] == provider]
    _must_be_known(provider, [*loaded.config.providers, *(row["provider"] for row in rows)])
    known = [row["network"] for row in rows if row["pay_to"] == address]
    if not known or network not in (None, *known):
        raise Failure(f"{provider} is not known at {address}: `farebox payees` lists who is")
    chosen = network or _only(known, f"{address} is known on several networks")
    with by_hand(loaded.state_dir, NOT_CHANGED) as people:
        people.forget_payee(provider, chosen, address)
    others = [row for row in rows if row["network"] == chosen and row["state"] == "accepted"]
    anew = all(row["pay_to"] == address for row in others)
    text = f"Forgotten: {provider} at {address} on {chosen}."
    if anew:
        text += (
            f"\nNobody is pinned there now: the next payment pins whoever {provider} then names."
        )
    answer = {**_named(provider, address, chosen), "forgotten": True, "pins_anew": anew}
    emit(settings, answer, text)


def _accept(
    settings: Settings, loaded: "Loaded", provider: str, address: str, network: str | None
) -> None:
    with reading(loaded.state_dir) as db:
        rows = [row for row in listed(db) if row["provider"] == provider]
    chosen = _network(loaded, provider, address, network, rows)
    _, warnings = ledger_of(loaded.state_dir)
    with by_hand(loaded.state_dir, NOT_CHANGED) as people:
        people.accept_payee(provider, chosen, address)
    others = [
        row["pay_to"]
        for row in rows
        if (row["network"], row["state"]) == (chosen, "accepted") and row["pay_to"] != address
    ]
    text = f"Accepted: {provider} may be paid at {address} on {chosen}."
    for other in others:
        text += f"\nAt {other} too; if not: farebox payees forget {provider} {other}"
    warnings += _unheeded(loaded, provider)
    answer = {**_named(provider, address, chosen), "beside": others, "warnings": warnings}
    emit(settings, answer, warned(text, warnings))


def _network(
    loaded: "Loaded", provider: str, address: str, network: str | None, rows: Iterable[Row]
) -> str:
    """The network that is meant: the one said, where the address waits, or the only one."""
    pay = loaded.config.providers[provider].pay
    if pay is None:
        raise click.UsageError(f"{provider} has no pay in the config: it is never paid")
    listing = ", ".join(pay.networks)
    if network is not None:
        if network not in pay.networks:
            raise click.UsageError(f"{provider} is not paid on {network!a}, but on {listing}")
        return network
    waits = [
        row["network"] for row in rows if (row["pay_to"], row["state"]) == (address, "waiting")
    ]
    if waits:
        return _only(waits, f"{address} waits on several networks")
    return _only(pay.networks, f"{address} is not waiting, and {provider} is paid on several")


def _accept_prices(settings: Settings, loaded: "Loaded", provider: str) -> None:
    ledger, warnings = ledger_of(loaded.state_dir)
    forgotten = 0
    if is_there(ledger):
        with by_hand(loaded.state_dir, "the prices were NOT accepted") as people:
            forgotten = people.forget_prices(provider)
    if loaded.config.providers[provider].quote_jump is None:
        warnings.append(f"providers.{provider} has no quote_jump: its prices are not compared")
    things = "1 price" if forgotten == 1 else f"{forgotten} prices"
    text = f"Forgot {things} of {provider}: whatever it asks next is its usual price from then on."
    answer = {"provider": provider, "prices_forgotten": forgotten, "warnings": warnings}
    emit(settings, answer, warned(text, warnings))


def _unheeded(loaded: "Loaded", provider: str) -> list[str]:
    """Why the pins of a provider are not looked at, if they are not."""
    found = loaded.config.providers.get(provider)
    if found is None:
        return [f"no provider is called {provider} in the config any more"]
    if found.pay is None:
        return [f"providers.{provider} has no pay: it is never paid"]
    if found.pay.pay_to == "first":
        return []
    said = "any" if found.pay.pay_to == "any" else "a list"
    return [
        f"providers.{provider}.pay.pay_to is {said}: it decides, and the pins are not consulted"
    ]


def _must_be_known(provider: str, known: Iterable[str]) -> None:
    names = dict.fromkeys(known)
    if provider not in names:
        raise click.UsageError(f"no provider is called {provider!a}: known are {', '.join(names)}")


def _read(address: str) -> str:
    if not is_address(address):
        raise click.UsageError(f"{address!a} is no address: 0x and 40 hex digits")
    return address.lower()


def _only(networks: Iterable[str], why: str) -> str:
    known = list(dict.fromkeys(networks))
    if len(known) != 1:
        raise click.UsageError(f"{why}: say --network, one of {', '.join(known)}")
    return known[0]


def _named(provider: str, address: str, network: str) -> Row:
    return {"provider": provider, "network": network, "pay_to": address}


def _as_text(rows: list[Row]) -> str:
    if not rows:
        return NOBODY_YET
    lines = [
        (
            row["provider"],
            row["network"],
            row["pay_to"],
            row["state"].upper() if row["state"] == "waiting" else row["state"],
            local_time(int(row.get("accepted_at") or row["first_seen"])),
        )
        for row in rows
    ]
    text = table(("PROVIDER", "NETWORK", "ADDRESS", "STATE", "SINCE"), lines)
    waiting = [row["accept"] for row in rows if "accept" in row]
    if waiting:
        text += "\n\nThose who wait are not paid. If an address is right:"
    return "\n".join([text, *(f"  {command}" for command in waiting)])
