"""Where a finished clip may be fetched from.

A provider names the link, so it is judged as anything from outside: https, at the provider's own
host or one that the config allows, at the usual port, for nobody in particular. Plain http is for a
provider that is itself on this machine. What is sent is built from the parts that were judged, so
that no two readings of one text can differ. A link may be signed: no note ever repeats more of it
than its host.
"""

import json
import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from proxy.core.config_values import is_loopback
from proxy.core.videos import clip_url

PORTS: Final = {"https": 443, "http": 80}
_AS_IT_IS: Final = "".join(sorted(set(string.punctuation) - set('"<>\\^`{|}')))
"""What a URL is made of beside letters and digits; the rest is percent-encoded."""
_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_-]{1,63})*\.?|(?=.*:)[0-9a-f:.]{2,45}",
    re.ASCII,
)
"""A name of labels as the net's names have them, for looking up another is an error; or an IPv6."""
LINK_CHARS_MAX: Final = 8192
"""How long a link is with all percent-encoded: as much as a client takes in one header."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that may be fetched."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """A link that is not fetched, and why.

    `host` is the one that the config would have to allow, if that is what stands in the way.
    """

    note: str
    host: str = ""


def named_link(answer: bytes) -> str | None:
    """The link that a job's final answer has for its clip; None where it names none."""
    try:
        return clip_url(json.loads(answer))
    except (ValueError, RecursionError):
        return None


def printable_link(url: str) -> str:
    """A link as a header can carry it: whatever is no part of a URL is percent-encoded."""
    return quote(url, safe=_AS_IT_IS, errors="surrogatepass")


def is_too_long(url: str) -> bool:
    """Whether something is too long to be a link."""
    return len(url) > LINK_CHARS_MAX or len(printable_link(url)) > LINK_CHARS_MAX


def judge(
    url: str, base_url: str | None, hosts: Collection[str], came_from: str = ""
) -> Link | Unfit:
    """Whether a provider's link may be fetched.

    `base_url` is the provider's own, None for one that is configured no more; `came_from` is the
    URL of the answer that redirected here.
    """
    if is_too_long(url):
        return Unfit(f"its link is longer than {LINK_CHARS_MAX} characters")
    own = None if base_url is None else urlsplit(base_url)
    try:
        parts = urlsplit(urljoin(came_from or base_url or "", printable_link(url)))
        scheme, host, port = parts.scheme, parts.hostname or "", _port(parts)
    except ValueError:
        return Unfit("its link is no URL")
    if scheme not in PORTS or not _HOST.fullmatch(host):
        return Unfit("its link is no http(s) URL with a plain host name")
    if "@" in parts.netloc:
        return Unfit("its link names a user")
    is_own = own is not None and (scheme, host, port) == (own.scheme, own.hostname, _port(own))
    if is_own and (scheme == "https" or is_loopback(host)):
        return _link(parts, host, port)
    if not _is_allowed(host, own, hosts):
        return Unfit(f"{host} is not allowed: add it to mirror.hosts to keep clips from it", host)
    if (scheme, port) != ("https", PORTS["https"]):
        return Unfit(f"its link is {scheme} at port {port} of {host}: only https at 443 is fetched")
    return _link(parts, host, port)


def is_listed(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is one of those that the config names, or below one: `*.cdn.example`."""
    return any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
        for pattern in hosts
    )


def _is_allowed(host: str, own: SplitResult | None, hosts: Collection[str]) -> bool:
    if own is not None and host == own.hostname and own.scheme == "https":
        return True
    return is_listed(host, hosts)


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS.get(parts.scheme, 0)


def _link(parts: SplitResult, host: str, port: int) -> Link:
    name = f"[{host}]" if ":" in host else host
    place = name if port == PORTS[parts.scheme] else f"{name}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Link(f"{parts.scheme}://{place}{parts.path or '/'}{query}", host)
