"""The config file's meaning: what may stand in it, what is left out means, what contradicts what.

The models are strict (a number is not a string, an unknown key is an error) and frozen: one
`Config` is one snapshot, taken once per request. Reading the file is `proxy.configfile`'s work;
here there is no file. Money is a quoted string of dollars in the file and `Usd` (millionths) from
here on; the word `none` means no limit and becomes None.
"""

from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from proxy.core.config_values import (
    Address,
    Dollars,
    HttpUrl,
    Limit,
    Many,
    Method,
    Name,
    Network,
    host_name,
    host_pattern,
    one_or_many,
    origin,
    payees,
    sha256_hex,
)
from proxy.core.money import parse_usd
from proxy.core.x402.assets import BUILT_IN, Asset, AssetTable

Kind = Literal["blockrun", "sunra", "pomex", "http"]
AUTO: Final = "auto"


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
    pay_to: Annotated[Literal["first", "any"] | tuple[Address, ...], BeforeValidator(payees)] = (
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
    def jump_ratio(self) -> int | None:
        """How many millionths of a thing's last price refuse its next one; None for any."""
        return None if self.quote_jump is None else parse_usd(self.quote_jump)

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
    token_sha256: Annotated[str, AfterValidator(sha256_hex)]
    caps: Caps = Caps()


class PayeeConfig(Model):
    """Limits on what one address is paid; `any` sets them for each address, on its own."""

    address: Address | Literal["any"]
    caps: Caps


class Limits(Model):
    """Bounds on what clients send and on how long stopping may take."""

    body_bytes_max: Annotated[int, Field(ge=1024, le=2**40)] = 268_435_456
    header_s: Annotated[int, Field(ge=1, le=300)] = 10
    drain_s: Annotated[int, Field(ge=0, le=3600)] = 30


class Idempotency(Model):
    """How long, and up to which size, a paid answer is kept for whoever asks again."""

    retention_s: Annotated[int, Field(ge=0)] = 86_400
    body_bytes_max: Annotated[int, Field(ge=0)] = 1_048_576


class MirrorConfig(Model):
    """Which finished clips are kept on disk, how many bytes of them, and for how long.

    `follow` has jobs asked after for which nobody waits, where that takes nothing.
    """

    follow: bool = True
    hosts: Many[Annotated[str, AfterValidator(host_pattern)]] = ()
    clip_bytes_max: Annotated[int, Field(ge=1024, le=2**40)] = 2**30
    total_bytes_max: Annotated[int, Field(ge=1024, le=2**50)] = 10 * 2**30
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30

    @model_validator(mode="after")
    def _largest_fits(self) -> Self:
        if self.clip_bytes_max > self.total_bytes_max:
            raise ValueError("clip_bytes_max is more than total_bytes_max: no such clip would fit")
        return self


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

    listen: Annotated[tuple[str, ...], BeforeValidator(one_or_many), Field(min_length=1)] = (
        "127.0.0.1:8402",
    )
    allow_hosts: Many[Annotated[str, AfterValidator(host_name)]] = ()
    public_url: Annotated[str, AfterValidator(origin)] | None = None
    state_dir: str = "~/.local/state/farebox"
    retention_days: Annotated[int, Field(ge=31, le=36_500)] | None = None
    default_provider: str = "blockrun"
    wallet: WalletConfig | None = None
    networks: dict[Network, NetworkConfig] = {}
    caps: TopCaps
    providers: Annotated[dict[Name, ProviderConfig], Field(min_length=1)]
    routes: Many[RouteConfig] = DEFAULT_ROUTES
    clients: Many[ClientConfig] = ()
    payees: Many[PayeeConfig] = ()
    paused: bool | str = False
    limits: Limits = Limits()
    idempotency: Idempotency = Idempotency()
    mirror: MirrorConfig | None = None

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
