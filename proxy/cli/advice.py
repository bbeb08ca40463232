"""What a valid config may still get wrong: warnings of `farebox check` that stop nothing."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from proxy.configfile import Problem
from proxy.core.config import AUTO, Caps, Config
from proxy.core.paths import CALLBACKS
from proxy.core.routing import matches
from proxy.providers import LORE

_NARROW_TO_WIDE: Final = ("per_request", "hour", "day", "week", "month", "total")


def advice(config: Config) -> Iterator[Problem]:
    """Find what is allowed and may not be meant."""
    if config.paused is not False:
        message = "is set: nothing is paid. It takes this line out, and `farebox resume`, to go on"
        yield Problem("paused", message)
    yield from _about_wallet(config)
    yield from _about_caps(config)
    yield from _about_providers(config)
    yield from _about_routes(config)
    yield from _about_callbacks(config)


def _about_wallet(config: Config) -> Iterator[Problem]:
    if config.wallet is None:
        return
    if config.wallet.key.env is not None:
        message = "every program started from here can read the environment: prefer a file"
        yield Problem("wallet.key.env", message)
    if all(provider.pay is None for provider in config.providers.values()):
        yield Problem("wallet", "is never used: no provider has pay")


def _about_caps(config: Config) -> Iterator[Problem]:
    for window in ("per_request", "day"):
        if getattr(config.caps, window) is None:
            yield Problem(f"caps.{window}", "is none: the wallet's balance is the only limit")
    for path, caps in _blocks(config):
        named = [(window, getattr(caps, window)) for window in _NARROW_TO_WIDE]
        limits = [(window, usd) for window, usd in named if usd is not None]
        for (narrow, least), (wide, most) in pairwise(limits):
            if least > most:
                yield Problem(f"{path}.{narrow}", f"is above {wide}, so it is never reached")


def _blocks(config: Config) -> Iterator[tuple[str, Caps]]:
    yield "caps", config.caps
    for name, provider in config.providers.items():
        yield f"providers.{name}.caps", provider.caps
    for index, route in enumerate(config.routes):
        yield f"routes[{index}].caps", route.caps
    for index, client in enumerate(config.clients):
        yield f"clients[{index}].caps", client.caps
    for index, payee in enumerate(config.payees):
        yield f"payees[{index}].caps", payee.caps


def _about_providers(config: Config) -> Iterator[Problem]:
    led_to = {config.default_provider, *(route.provider for route in config.routes)}
    for name, provider in config.providers.items():
        path = f"providers.{name}"
        if provider.auth is not None and provider.prices is None:
            yield Problem(path, "has no prices: its calls are not counted against caps")
        if provider.auth is None and provider.pay is None:
            yield Problem(path, "has neither pay nor auth: its calls go through as they come")
        if provider.pay is None and provider.quote_jump is not None:
            yield Problem(f"{path}.quote_jump", "has no effect without pay: only quotes can jump")
        if provider.pay is not None and provider.pay.pay_to == "any":
            yield Problem(f"{path}.pay.pay_to", "is any: it may name a new payee in each challenge")
        if name not in led_to and (provider.kind == "http" or AUTO not in led_to):
            yield Problem(path, "is led to by no route")


def _about_routes(config: Config) -> Iterator[Problem]:
    for index, route in enumerate(config.routes):
        for earlier, other in enumerate(config.routes[:index]):
            if matches(other.path, route.path):
                yield Problem(f"routes[{index}].path", f"never matches: routes[{earlier}] is first")
                break


def _about_callbacks(config: Config) -> Iterator[Problem]:
    """Say where phones would not find the way back, or the world might find more."""
    called_back = any(LORE[provider.kind].calls_back for provider in config.providers.values())
    if config.public_url is None:
        return
    if not called_back:
        yield Problem("public_url", "has no effect: no provider here calls back")
    elif not config.public_url.startswith("https://"):
        yield Problem("public_url", "is not https, and the providers call nothing else back")
    elif not config.clients:
        message = (
            f"must be shown by a tunnel that passes {CALLBACKS}* and nothing else: without clients,"
            " whoever comes through it as if from this machine can spend"
        )
        yield Problem("public_url", message)
