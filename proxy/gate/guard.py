"""Who may speak, and what may be asked: decided from a request's head alone.

The rules are tried in this order, and the first that objects is the answer. Nothing of the request
has gone anywhere by then.

1. The method is one of seven; CONNECT, TRACE and the rest are 405 `method_not_allowed`.
2. The framing means one thing: HTTP/1.0 or 1.1, one Content-Length of at most 18 digits, or the
   transfer coding `chunked` and nothing else, never both: else 400 `bad_request`. (The parser
   refuses most of this before us.)
3. The target is a path that is safe (`paths`), with a clean query and no fragment: else 400
   `bad_path`.
4. There is one Host (400 `bad_request`), and it is ours (421 `wrong_host`): a page that rebinds its
   name to 127.0.0.1 still says its own name here. What names the host of `public_url`, as Host or
   as X-Forwarded-Host, comes through the tunnel from the world, whatever else it is called.
5. No foreign web page is behind it (403 `origin_refused`): Origin is ours, Sec-Fetch-Site is `none`
   or `same-origin`, and what says Sec-Fetch-Site at all, a browser, gets the daemon's own pages and
   nothing that could cost money.
6. It does not ask for a websocket (400 `bad_request`); other upgrades are ignored, as RFC 9110
   section 7.8 allows.
7. A token, where one is shown, is a client's; where clients are configured one is shown, but for
   the three health paths: else 401 `client_token`.

One path is open to the world, for somebody's phone comes to it from a provider's page:
`GET /v1/portrait/callback/…` may bear the host of `public_url`, comes from wherever it comes, and
needs no token. Nothing else may bear that host.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from proxy.core.config import ClientConfig, Config
from proxy.core.config_values import is_loopback
from proxy.core.crossing import is_token
from proxy.core.errors import Refusal
from proxy.core.http import Headers
from proxy.core.paths import CALLBACKS
from proxy.gate.paths import path_problem

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz", "/health"})

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_QUERY_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_PORT: Final = re.compile(r":[0-9]{1,5}$", re.ASCII)
_ANY_PORT: Final = re.compile(r":[0-9]*$", re.ASCII)
"""What else stands for one in a header of strangers."""
_USUAL_PORTS: Final = {"https": 443, "http": 80}


_RULED: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"farebox-token",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-host",
    }
)
"""The headers that the rules look at."""

Fields = Mapping[bytes, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head as the wire had it, and whether it came over a unix socket."""

    method: str
    target: str
    headers: Headers
    version: tuple[int, int] = (1, 1)
    unix: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was asked, once nothing stands against it. `length` is None for a chunked body."""

    path: str
    query: str | None
    host: str
    client: str | None
    length: int | None


def check(head: Head, config: Config, ports: frozenset[int]) -> Admitted | Refusal:
    """Judge a head under a config, on a daemon that listens on some TCP ports."""
    if head.method not in METHODS:
        return Refusal("method_not_allowed", f"only {', '.join(METHODS)} are served here")
    fields = _read(head.headers)
    length = _framed(head.version, fields)
    if isinstance(length, Refusal):
        return length
    target = _target(head.target)
    if isinstance(target, Refusal):
        return target
    path, query = target
    speaker = _speaker(head, fields, path, config, ports)
    if isinstance(speaker, Refusal):
        return speaker
    host, client = speaker
    return Admitted(path, query, host, client, length)


def is_own_page(path: str) -> bool:
    """Whether the daemon answers a path itself; all others are for a provider."""
    return (
        path in ("/", "/metrics") or path in HEALTH_PATHS or path.startswith("/-/") or path == "/-"
    )


def _read(headers: Headers) -> Fields:
    """Give the values of the headers that the rules look at, in one pass over all of them."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        key = name.lower()
        if key in _RULED:
            found.setdefault(key, []).append(value)
    return found


def _framed(version: tuple[int, int], fields: Fields) -> int | Refusal | None:
    """Give the body's length, None where it is chunked (RFC 9112 section 6)."""
    if version not in ((1, 0), (1, 1)):
        return Refusal("bad_request", "HTTP/1.1 and HTTP/1.0 are spoken here")
    lengths = fields.get(b"content-length", ())
    codings = fields.get(b"transfer-encoding", ())
    if codings:
        if lengths or version == (1, 0) or [c.strip().lower() for c in codings] != [b"chunked"]:
            return Refusal(
                "bad_request", "the only transfer coding taken is chunked, without a Content-Length"
            )
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        return Refusal("bad_request", "expected one Content-Length, a number of at most 18 digits")
    return int(lengths[0])


def _target(target: str) -> tuple[str, str | None] | Refusal:
    path, mark, query = target.partition("?")
    problem = path_problem(path)
    if problem is None and "#" in target:
        problem = "the request target has a fragment"
    if problem is None and (_QUERY_CONTROL.search(query) or not query.isascii()):
        problem = "the query has characters that must be percent-encoded"
    if problem is not None:
        return Refusal("bad_path", problem)
    if path == "/api/v1" or path.startswith("/api/v1/"):
        path = path.removeprefix("/api")
    return path, query if mark else None


def _speaker(
    head: Head, fields: Fields, path: str, config: Config, ports: frozenset[int]
) -> tuple[str, str | None] | Refusal:
    """Rules 4 to 7: the host that was spoken to, and the client's name if it has one."""
    is_callback = head.method == "GET" and path.startswith(CALLBACKS)
    public = urlsplit(config.public_url or "")
    if not is_callback and _is_from_the_world(fields, public):
        return Refusal("wrong_host", f"of public_url, the world gets GET {CALLBACKS}… and no more")
    host = _host(head, fields, config.allow_hosts, ports, _written(public) if is_callback else ())
    if isinstance(host, Refusal):
        return host
    refusal = _upgrade_refusal(fields)
    if not is_callback:
        refusal = _browser_refusal(head, fields, path, host) or refusal
    if refusal is not None:
        return refusal
    client = _client(fields, config.clients, free=is_callback or path in HEALTH_PATHS)
    return client if isinstance(client, Refusal) else (host, client)


def _is_from_the_world(fields: Fields, public: SplitResult) -> bool:
    """Whether a request names the public host, at any port, or the tunnel says so that it renamed.

    No client on this machine does. One of this machine's own names is nothing public.
    """
    name = public.hostname or ""
    if not name or is_loopback(name):
        return False
    values = (*fields.get(b"host", ()), *fields.get(b"x-forwarded-host", ()))
    named = (each.decode("latin-1").strip().lower() for v in values for each in v.split(b","))
    return any(_ANY_PORT.sub("", host).removesuffix(".").strip("[]") == name for host in named)


def _written(public: SplitResult) -> tuple[str, ...]:
    """The public host as a Host may write it: its scheme's usual port is named, or not."""
    if not public.netloc:
        return ()
    host, usual = public.netloc.lower(), _USUAL_PORTS[public.scheme]
    if public.port not in (None, usual):
        return (host,)
    bare = _PORT.sub("", host)
    return bare, f"{bare}:{usual}"


def _host(
    head: Head,
    fields: Fields,
    allowed: Iterable[str],
    ports: frozenset[int],
    public: Collection[str],
) -> str | Refusal:
    hosts = fields.get(b"host", ())
    if len(hosts) != 1:
        return Refusal("bad_request", "expected exactly one Host header")
    host = hosts[0].decode("latin-1")
    name = host.lower()
    if head.unix or _is_known(name, allowed, ports) or name in public:
        return host
    return Refusal(
        "wrong_host", "this Host is not served here; add it to allow_hosts if it is ours"
    )


def _is_known(host: str, allowed: Iterable[str], ports: frozenset[int]) -> bool:
    """Whether a Host is this machine's, with a port of the door's, or one of the config's.

    The config's may have any port: what stands before the door, a tunnel or a container, has its
    own. A rebound name is told by the name.
    """
    name = _PORT.sub("", host)
    if name in _LOCAL_HOSTS:
        return host == name or host.removeprefix(f"{name}:") in map(str, ports)
    return name in {each.lower() for each in allowed}


def _browser_refusal(head: Head, fields: Fields, path: str, host: str) -> Refusal | None:
    own = f"http://{host}".lower()
    origins = (origin.decode("latin-1").lower() for origin in fields.get(b"origin", ()))
    if any(origin != own for origin in origins):
        return Refusal("origin_refused", "other web pages may not speak to this daemon")
    sites = fields.get(b"sec-fetch-site", ())
    if any(site not in (b"none", b"same-origin") for site in sites):
        return Refusal("origin_refused", "other web pages may not speak to this daemon")
    if sites and not (is_own_page(path) and head.method in ("GET", "HEAD")):
        return Refusal("origin_refused", "a browser gets the daemon's own pages and nothing else")
    return None


def _upgrade_refusal(fields: Fields) -> Refusal | None:
    values = fields.get(b"upgrade", ())
    wanted = (token.strip().lower() for value in values for token in value.split(b","))
    if any(token.startswith(b"websocket") for token in wanted):
        return Refusal("bad_request", "websockets are not served here")
    return None


def _client(
    fields: Fields, clients: tuple[ClientConfig, ...], *, free: bool
) -> str | Refusal | None:
    names = {_name_of(token, clients) for token in _tokens(fields)}
    if None in names or len(names) > 1:
        return Refusal("client_token", "this Farebox token is not known here")
    if names:
        return names.pop()
    if clients and not free:
        return Refusal(
            "client_token",
            "a Farebox token is needed: send it as Farebox-Token or as a Bearer token",
        )
    return None


def _tokens(fields: Fields) -> list[bytes]:
    bearers = (value for value in fields.get(b"authorization", ()) if is_token(value))
    return [
        *fields.get(b"farebox-token", ()),
        *(value.strip().partition(b" ")[2].strip() for value in bearers),
    ]


def _name_of(token: bytes, clients: tuple[ClientConfig, ...]) -> str | None:
    """Find whose token it is, in a time that does not depend on whose."""
    digest, found = hashlib.sha256(token).hexdigest(), None
    for client in clients:
        if hmac.compare_digest(digest, client.token_sha256):
            found = client.name
    return found
