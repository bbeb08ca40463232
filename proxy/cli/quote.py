"""`farebox quote`: what a call would cost at each provider that could serve it.

The running daemon is asked, and not the config: it alone knows the caps of this moment and may send
the unpaid call by which one asks for a price.
"""

from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from proxy.cli.common import FAULT, REFUSED, Settings, emit, end, load, options
from proxy.cli.layout import dollars, table
from proxy.cli.talk import Daemon, find_daemon, token_option
from proxy.core.paths import ENROL, JOBS, VIDEOS
from proxy.core.routing import plain

if TYPE_CHECKING:
    from proxy.core.config import Config

SHARED_PATHS: Final = (JOBS, VIDEOS, ENROL)
"""The calls that several kinds of providers serve; any other has one place to go."""


@click.command()
@click.argument("method")
@click.argument("path")
@click.option("--body", type=click.File("rb"), metavar="FILE", help="The call's body; - is stdin.")
@click.option(
    "--provider",
    "named",
    multiple=True,
    metavar="NAME",
    help="Ask for this provider only; may be given again.",
)
@token_option
@options
def quote(
    settings: Settings,
    method: str,
    path: str,
    body: BinaryIO | None,
    named: tuple[str, ...],
    token: str | None,
) -> None:
    """Show what a call would cost, and whether the caps let it through; nothing is paid.

    The running daemon makes a dry run for each provider that could serve the call: for POST
    /v1/videos/generations, /v1/videos and /v1/portrait/enroll these are all but those of kind http,
    else the one that the route leads to.

    A dry run sends the unpaid call, body and all, to a provider that is paid by x402: that is how
    one asks for its price. The price of one with a key comes from the table in the config.

    Exit code 3: a cap is in the way, and no other provider would be let through.
    """
    if not path.startswith("/"):
        raise click.UsageError(f"PATH begins with a slash, as in {JOBS}")
    loaded = load(settings)
    data = None if body is None else _read(body, loaded.config.limits.body_bytes_max)
    call = (method.upper(), path, data)
    asked = dict.fromkeys(named) or _candidates(loaded.config, *call[:2])
    daemon = find_daemon(loaded, token)
    offers = [_offer(daemon, call, provider) for provider in asked]
    emit(settings, offers, _side_by_side(offers, loaded.config))
    if not any(offer["allowed"] for offer in offers):
        end(REFUSED if any(_is_capped(offer) for offer in offers) else FAULT)


def _read(body: BinaryIO, bytes_max: int) -> bytes:
    data = body.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise click.UsageError(f"the body is larger than limits.body_bytes_max, {bytes_max}")
    return data


def _candidates(config: "Config", method: str, path: str) -> list[str | None]:
    """Who could serve a call; None leaves it to the route.

    Whoever is of kind http is no maker of videos that we know of: it is not shown the prompt.
    """
    if method != "POST" or plain(path.partition("?")[0]) not in SHARED_PATHS:
        return [None]
    return [name for name, each in config.providers.items() if each.kind != "http"] or [None]


def _offer(
    daemon: Daemon, call: tuple[str, str, bytes | None], provider: str | None
) -> dict[str, Any]:
    """One dry run; what the daemon will not even ask for has a code and no price."""
    method, path, body = call
    headers = {"Farebox-Dry-Run": "1"}
    if provider is not None:
        headers["Farebox-Provider"] = provider
    if body is not None:
        headers["Content-Type"] = "application/json"
    answer = daemon.ask(method, path, headers, body)
    if answer.fields.get("dry_run") is True:
        return answer.fields
    refused: dict[str, Any] = {"provider": provider, "allowed": False}
    if answer.code:
        return {**refused, "code": answer.code, "message": answer.message}
    return {**refused, "message": "the daemon answers this itself, and has no price for it"}


def _is_capped(offer: dict[str, Any]) -> bool:
    return str(offer.get("code", "")).startswith("cap_")


def _side_by_side(offers: list[dict[str, Any]], config: "Config") -> str:
    header = ("PROVIDER", "PRICE", "SOURCE", "VERDICT")
    return table(header, (_row(offer, config) for offer in offers), right=[1])


def _row(offer: dict[str, Any], config: "Config") -> tuple[str, ...]:
    name, price = offer["provider"] or "", offer.get("price", {})
    usd, source = dollars(price["usd"]) if "usd" in price else "", price.get("source", "")
    if not offer["allowed"]:
        said = ": ".join(str(offer[key]) for key in ("code", "message") if key in offer)
        return name, usd, source, f"refused: {said}" if price else f"cannot serve: {said}"
    if source != "free":
        return name, usd, source, "allowed"
    provider = config.providers.get(name)
    if provider is not None and provider.auth is not None:
        # The daemon counts nothing here, and what the provider charges is another matter.
        return name, "?", source, "allowed: it has no prices in the config, and is not counted"
    return name, usd, source, "allowed: it asks for no payment, or does not take such a call"
