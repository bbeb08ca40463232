"""What no single field of the config can know: names that lead nowhere, doors too open."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from proxy.core.config import AUTO, Config
from proxy.core.config_values import is_loopback, parse_listen


def contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Find what no single field can know: pairs of (path in the file, what is wrong there)."""
    for index, address in enumerate(config.listen):
        yield from _listen_problems(
            f"listen[{index}]" if len(config.listen) > 1 else "listen", address, config
        )
    yield from _public_problems(config)
    yield from _route_problems(config)
    yield from _provider_problems(config)
    for index, client in enumerate(config.clients):
        before = config.clients[:index]
        if any(client.name == other.name for other in before):
            yield f"clients[{index}].name", f"the name {client.name!r} is taken already"
        if any(client.token_sha256 == other.token_sha256 for other in before):
            yield f"clients[{index}].token_sha256", "another client has the same token"


def _listen_problems(path: str, address: str, config: Config) -> Iterator[tuple[str, str]]:
    try:
        parsed = parse_listen(address)
    except ValueError as problem:
        yield path, str(problem)
        return
    if isinstance(parsed, tuple) and not is_loopback(parsed[0]) and not config.clients:
        yield (
            path,
            "listening beyond loopback needs client tokens: add clients, or use 127.0.0.1",
        )


def _public_problems(config: Config) -> Iterator[tuple[str, str]]:
    public = urlsplit(config.public_url or "").hostname
    for index, host in enumerate(config.allow_hosts):
        if host.strip("[]") == public and not is_loopback(host):
            message = (
                "is the host of public_url, at which the world gets the callback and nothing else:"
                " take it out"
            )
            yield f"allow_hosts[{index}]", message


def _route_problems(config: Config) -> Iterator[tuple[str, str]]:
    if "routes" not in config.model_fields_set:
        return
    known = (*config.providers, AUTO)
    for index, route in enumerate(config.routes):
        if route.provider not in known:
            yield (
                f"routes[{index}].provider",
                f"no provider is called {route.provider!r}: known are {', '.join(known)}",
            )
        if route.strip_prefix and not f"{route.path}/".startswith(f"{route.strip_prefix}/"):
            yield (
                f"routes[{index}].strip_prefix",
                f"{route.path} does not begin with {route.strip_prefix}",
            )


def _provider_problems(config: Config) -> Iterator[tuple[str, str]]:
    if (
        "default_provider" in config.model_fields_set
        and config.default_provider not in config.providers
    ):
        yield "default_provider", f"no provider is called {config.default_provider!r}"
    for name, provider in config.providers.items():
        if name == AUTO:
            yield f"providers.{name}", "the name auto is taken: it means that the request decides"
        if provider.pay is None:
            continue
        if config.wallet is None:
            yield f"providers.{name}.pay", "paying needs a wallet: add wallet.key"
        known = config.assets.networks()
        for index, network in enumerate(provider.pay.networks):
            if network not in known:
                message = (
                    f"no token is known on {network}: known are {', '.join(sorted(known))}; "
                    f"add one under networks.{network}.assets"
                )
                yield f"providers.{name}.pay.networks[{index}]", message
