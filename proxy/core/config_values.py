"""The values of the config file: how each kind of word is read, and what is refused.

Validators of single fields, as types for the models in `proxy.core.config`. Money is a quoted
string of dollars in the file and `Usd` (millionths) from here on; the word `none` is None.
"""

import ipaddress
import re
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from proxy.core.money import Usd, format_usd, parse_usd
from proxy.core.x402.assets import chain_id, is_address

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_LABELS: Final = re.compile(
    r"(?:\*\.(?=[^.]+\.))?(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?",
    re.ASCII,
)
"""A name of the net, its last label no number; after `*.` there are at least two labels."""
_NAME_CHARS_MAX: Final = 253


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


def payees(value: object) -> object:
    """Read `pay_to`: first, any, or a list of addresses."""
    if value in ("first", "any"):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError("expected first, any, or a list of addresses")
    return tuple(value)


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError("expected a name: up to 64 letters, digits, dots, dashes and underscores")
    return value


def sha256_hex(value: str) -> str:
    """Read a SHA-256 as sha256sum prints it."""
    if _SHA256.fullmatch(value) is None:
        raise ValueError("expected a SHA-256 in 64 small hex digits, as sha256sum prints it")
    return value


def _http_url(value: str) -> str:
    url = _split(value)
    if url is None or url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("expected an absolute http(s) URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("plain http is for loopback only: use https")
    return value


def origin(value: str) -> str:
    """Read a URL that is an origin and nothing more."""
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


def host_name(value: str) -> str:
    """Read a host name without scheme and port."""
    if _HOST.fullmatch(value) is None:
        raise ValueError("expected a host name without scheme and port, such as box.example")
    return value.lower()


def host_pattern(value: str) -> str:
    """Read a host's name, or `*.` and the name that hosts are to end with."""
    if len(value) > _NAME_CHARS_MAX or _LABELS.fullmatch(value) is None:
        raise ValueError(
            "expected a host name in small letters such as cdn.example.com, or *.example.com for"
            " all below it"
        )
    return value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def one_or_many(value: object) -> object:
    """Read one word or a list of them."""
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
