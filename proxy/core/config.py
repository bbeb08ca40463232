"""The config file's meaning: what may stand in it, what is left out means, what contradicts what.

The models are strict (a number is not a string, an unknown key is an error) and frozen: one
`Config` is one snapshot, taken once per request. Reading the file is `proxy.configfile`'s work;
here there is no file. Money is a quoted string of dollars in the file and `Usd` (millionths) from
here on; the word `none` means no limit and becomes None.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from proxy.core.money import Usd, format_usd, parse_usd
from proxy.core.x402.assets import BUILT_IN, Asset, AssetTable, chain_id, is_address

Kind = Literal["blockrun", "sunra", "pomex", "http"]
AUTO: Final = "auto"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]+\]", re.ASCII)


class Model(BaseModel):
    """What all parts of the config share.

    Nothing unknown, nothing converted, nothing changed, no input echoed in errors.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )


def _dollars(value: object) -> Usd:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError('money is a quoted string of dollars, such as "1.00"')
    usd = parse_usd(value) if isinstance(value, str) else None
    if usd is None:
        raise ValueError(
            'expected dollars as a quoted string with at most 6 decimals, such as "0.50"'
        )
    return usd


def _dollars_or_none(value: object) -> Usd | None:
    return None if value == "none" else _dollars(value)


def _address(value: object) -> str:
    if isinstance(value, int):
        raise ValueError("quote addresses: without quotes YAML reads 0x… as a number")
    if not isinstance(value, str) or not is_address(value):
        raise ValueError("expected an address: 0x and 40 hex digits, quoted")
    return value


def _network(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a CAIP-2 id such as eip155:8453, quoted")
    chain_id(value)
    return value


def _payees(value: object) -> object:
    if value in ("first", "any"):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError("expected first, any, or a list of addresses")
    return tuple(value)


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError("expected a name: up to 64 letters, digits, dots, dashes and underscores")
    return value


def _sha256(value: str) -> str:
    if _SHA256.fullmatch(value) is None:
        raise ValueError("expected a SHA-256 in 64 small hex digits: farebox clients prints it")
    return value


def _http_url(value: str) -> str:
    url = _split(value)
    if url is None or url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("expected an absolute http(s) URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("plain http is for loopback only: use https")
    return value


def _origin(value: str) -> str:
    url = _split(_http_url(value))
    if url is None or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("expected a URL without path, query, fragment or user")
    return value.rstrip("/")


def _split(value: str) -> SplitResult | None:
    """The parts of a URL; None where urllib finds none, or where the port is no port."""
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        return None
    return url


def _host(value: str) -> str:
    if _HOST.fullmatch(value) is None:
        raise ValueError("expected a host name without scheme and port, such as box.example")
    return value.lower()


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else _as_tuple(value)


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]
_IN_DOLLARS = PlainSerializer(format_usd, return_type=str, when_used="json-unless-none")
Dollars = Annotated[Usd, BeforeValidator(_dollars), _IN_DOLLARS]
Limit = Annotated[Usd | None, BeforeValidator(_dollars_or_none), _IN_DOLLARS]
Address = Annotated[str, BeforeValidator(_address)]
Network = Annotated[str, BeforeValidator(_network)]
Name = Annotated[str, AfterValidator(_name)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Caps(Model):
    """Limits in dollars; None is no limit. Windows roll.

    An hour is the last 3,600 seconds, a month the last 30 days.
    """

    per_request: Limit = None
    hour: Limit = None
    day: Limit = None
    week: Limit = None
    month: Limit = None
    total: Limit = None
    outstanding: Limit = None


class TopCaps(Caps):
    """The limits over everything: two of them must be said, if only with the word none."""

    per_request: Limit
    day: Limit


class SecretRef(Model):
    """Where a secret is kept; exactly one of the three is given."""

    env: str | None = None
    file: str | None = None
    credential: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.env, self.file, self.credential)) != 1:
            raise ValueError("give exactly one of env, file, credential")
        return self


class KeyRef(Model):
    """Where the wallet's key is kept; a keystore has a password beside it."""

    env: str | None = None
    file: str | None = None
    credential: str | None = None
    keystore: str | None = None
    password: SecretRef | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        sources = (self.env, self.file, self.credential, self.keystore)
        if sum(value is not None for value in sources) != 1:
            raise ValueError("give exactly one of file, credential, keystore, env")
        if (self.keystore is None) != (self.password is None):
            raise ValueError("a keystore needs a password, and only a keystore has one")
        return self


class WalletConfig(Model):
    """The one wallet that pays."""

    key: KeyRef


class AssetConfig(Model):
    """A token beside the built-in ones.

    What it says is trusted, so copy it from the token's contract.
    """

    address: Address
    symbol: str = "USDC"
    name: str
    version: str
    decimals: Annotated[int, Field(ge=0, le=36)]


class NetworkConfig(Model):
    """Facts about a network: where to read it, and tokens that the built-in table lacks."""

    rpc_url: HttpUrl | None = None
    assets: Many[AssetConfig] = ()


class PayConfig(Model):
    """How a provider is paid by x402. `pay_to` is `first`, `any` or a list of addresses."""

    networks: Annotated[Many[Network], Field(min_length=1)] = ("eip155:8453",)
    pay_to: Annotated[Literal["first", "any"] | tuple[Address, ...], BeforeValidator(_payees)] = (
        "first"
    )
    headers: Literal["both", "auto"] | None = None
    authorization_s: Annotated[int, Field(ge=15, le=86_400)] = 300
    job_authorization_s: Annotated[int, Field(ge=15, le=86_400)] = 1800
    after_refusal: Literal["fresh", "resend"] | None = None


class PriceRule(Model):
    """What a call costs where no 402 says so: by model or by path, flat or by the second."""

    model: str | None = None
    path: str | None = None
    usd: Dollars | None = None
    usd_per_second: Dollars | None = None
    default_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.model is None) == (self.path is None):
            raise ValueError("give exactly one of model, path")
        if (self.usd is None) == (self.usd_per_second is None):
            raise ValueError("give exactly one of usd, usd_per_second")
        return self


class AuthConfig(Model):
    """The key that the daemon adds; the client never sees it."""

    bearer: SecretRef


class ProviderConfig(Model):
    """An upstream service. Without `pay` it is never paid; without `auth` it gets no key."""

    kind: Kind
    base_url: HttpUrl
    auth: AuthConfig | None = None
    pay: PayConfig | None = None
    prices: Many[PriceRule] | None = None
    caps: Caps = Caps()
    cookies: bool = False
    quote_jump: str | None = None
    default_video_model: str | None = None
    extra_fields: Many[str] = ()
    connect_timeout_s: Annotated[int, Field(ge=1, le=300)] = 10
    read_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 600

    @field_validator("base_url")
    @classmethod
    def _without_query(cls, value: str) -> str:
        if "?" in value or "#" in value or "@" in urlsplit(value).netloc:
            raise ValueError("a base_url has no query, fragment or user")
        return value.rstrip("/")

    @field_validator("quote_jump")
    @classmethod
    def _ratio(cls, value: str | None) -> str | None:
        if value is not None and (parse_usd(value) or 0) <= 10**6:
            raise ValueError('expected a ratio above 1 as a quoted string, such as "3"')
        return value

    @property
    def payment_headers(self) -> Literal["both", "auto"]:
        """Which request headers carry the payment.

        The documents of blockrun name either, so it gets both.
        """
        if self.pay is not None and self.pay.headers is not None:
            return self.pay.headers
        return "both" if self.kind == "blockrun" else "auto"

    @property
    def after_refusal(self) -> Literal["fresh", "resend"]:
        """What an identical request does after an answer that left a payment's outcome unknown."""
        if self.pay is not None and self.pay.after_refusal is not None:
            return self.pay.after_refusal
        return "fresh" if self.kind == "blockrun" else "resend"

    @property
    def pay_methods(self) -> tuple[str, ...]:
        """The methods that are paid for where the route says nothing."""
        if self.pay is None:
            return ()
        return ("POST",) if self.kind == "blockrun" else ("GET", "POST")


class RouteConfig(Model):
    """The rule that sends a path to a provider. `/x/*` matches `/x` too."""

    path: str
    provider: str
    strip_prefix: str = ""
    pay_methods: Many[Method] | None = None
    caps: Caps = Caps()

    @field_validator("path")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if not value.startswith("/") or "*" in value.removesuffix("/*"):
            raise ValueError('expected an exact path, or one that ends in "/*"')
        return value

    @field_validator("strip_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and (not value.startswith("/") or value.endswith("/")):
            raise ValueError(
                'expected a prefix such as "/shop": with a slash before it and none after'
            )
        return value


class ClientConfig(Model):
    """A caller who shows a token; only the token's hash is kept here."""

    name: Name
    token_sha256: Annotated[str, AfterValidator(_sha256)]
    caps: Caps = Caps()


class Limits(Model):
    """Bounds on what clients send and on how long stopping may take."""

    body_bytes_max: Annotated[int, Field(ge=1024, le=2**40)] = 268_435_456
    header_s: Annotated[int, Field(ge=1, le=300)] = 10
    drain_s: Annotated[int, Field(ge=0, le=3600)] = 30


class Idempotency(Model):
    """How long, and up to which size, a paid answer is kept for whoever asks again."""

    retention_s: Annotated[int, Field(ge=0)] = 86_400
    body_bytes_max: Annotated[int, Field(ge=0)] = 1_048_576


DEFAULT_ROUTES: Final = (
    RouteConfig(path="/v1/portrait/*", provider=AUTO),
    RouteConfig(path="/v1/videos/*", provider=AUTO),
    RouteConfig(path="/v1/ark/*", provider="sunra"),
    RouteConfig(path="/v1/queue/*", provider="sunra"),
    RouteConfig(path="/v1/video/*", provider="pomex"),
    RouteConfig(path="/v1/*", provider="blockrun"),
)
"""The routes of a config that has none of its own.

Those whose provider is not configured answer `no_route`.
"""


class Config(Model):
    """One whole, valid config: the snapshot that a request is served under."""

    listen: Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = (
        "127.0.0.1:8402",
    )
    allow_hosts: Many[Annotated[str, AfterValidator(_host)]] = ()
    public_url: Annotated[str, AfterValidator(_origin)] | None = None
    state_dir: str = "~/.local/state/farebox"
    default_provider: str = "blockrun"
    wallet: WalletConfig | None = None
    networks: dict[Network, NetworkConfig] = {}
    caps: TopCaps
    providers: Annotated[dict[Name, ProviderConfig], Field(min_length=1)]
    routes: Many[RouteConfig] = DEFAULT_ROUTES
    clients: Many[ClientConfig] = ()
    limits: Limits = Limits()
    idempotency: Idempotency = Idempotency()

    def model_post_init(self, _context: object, /) -> None:
        """Compute the table of assets once, so that a request does not."""
        added = tuple(
            Asset(network, a.address, a.symbol, a.name, a.version, a.decimals)
            for network, facts in self.networks.items()
            for a in facts.assets
        )
        object.__setattr__(self, "_assets", AssetTable(added + BUILT_IN))

    @property
    def assets(self) -> AssetTable:
        """The tokens that may be paid with under this config."""
        table: AssetTable = object.__getattribute__(self, "_assets")
        return table


def contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Find what no single field can know: pairs of (path in the file, what is wrong there)."""
    for index, address in enumerate(config.listen):
        yield from _listen_problems(
            f"listen[{index}]" if len(config.listen) > 1 else "listen", address, config
        )
    yield from _route_problems(config)
    yield from _provider_problems(config)
    for index, client in enumerate(config.clients):
        before = config.clients[:index]
        if any(client.name == other.name for other in before):
            yield f"clients[{index}].name", f"the name {client.name!r} is taken already"
        if any(client.token_sha256 == other.token_sha256 for other in before):
            yield f"clients[{index}].token_sha256", "another client has the same token"


def parse_listen(address: str) -> tuple[str, int] | str:
    """Split `host:port`, or give back the path of `unix:/path`; ValueError for anything else."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError("a unix socket is written unix:/absolute/path")
        return path
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+):([0-9]{1,5})", address, re.ASCII)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise ValueError("expected host:port, such as 127.0.0.1:8402, or unix:/path")
    return match[1].strip("[]"), int(match[2])


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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
