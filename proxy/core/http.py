"""HTTP messages as the rooms of this house hand them to one another.

Bytes as they came, nothing interpreted.

Header names and values are the raw bytes of the wire in their order, so that what the provider
sent is what the client gets. A body is read once, front to back; its length is known where the
sender declared one.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1, and the ones in use that it leaves out.

They speak of one connection and cross none.
"""

OF_A_BODY: Final = frozenset(
    {
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"content-language",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
    }
)
"""What speaks of one body: beside another one it would be wrong."""


class Body(Protocol):
    """A message's content: read once, in pieces."""

    @property
    def length(self) -> int | None:
        """How many bytes there are; None where the sender did not say (chunked)."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they come. An endless or oversized body is the reader's to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A client's call, checked by the door.

    Its path is safe, its host is ours, its client is known.

    `path` is the raw path as sent (percent-encoding kept, `/api/v1/…` already written `/v1/…`);
    `query` is the raw query without its `?`, None where there was none; `host` is the Host header
    as sent, for building URLs that lead back here; `client` is the configured name of the caller,
    None for one without a token.
    """

    id: str
    method: str
    path: str
    query: str | None
    headers: Headers
    body: Body
    host: str
    client: str | None = None

    @property
    def target(self) -> str:
        """Path and query, as a request line writes them."""
        return self.path if self.query is None else f"{self.path}?{self.query}"


@dataclass(slots=True)
class Reply:
    """What goes back to the client: the provider's own answer, or ours.

    `body` is either all of it or an async generator, which whoever writes the reply must exhaust
    or close; `story` is what the request's one log line says beside the usual: provider, route,
    payment. `undelivered` is called if the client has gone before all of a whole body was written.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes | AsyncIterator[bytes] = b""
    story: dict[str, object] = field(default_factory=dict)
    undelivered: Callable[[], None] | None = None


def get(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The first value under a lower-case name, or None."""
    return next((value for key, value in headers if key.lower() == name), None)


def get_all(headers: Iterable[Header], name: bytes) -> tuple[bytes, ...]:
    """All values under a lower-case name."""
    return tuple(value for key, value in headers if key.lower() == name)


def without(headers: Iterable[Header], names: frozenset[bytes]) -> Headers:
    """The headers but for some lower-case names."""
    return tuple((key, value) for key, value in headers if key.lower() not in names)


def end_to_end(headers: Headers) -> Headers:
    """Drop what belongs to one connection.

    The hop-by-hop set, and whatever `Connection` names besides.
    """
    named = {
        token.strip().lower()
        for value in get_all(headers, b"connection")
        for token in value.split(b",")
    }
    return without(headers, HOP_BY_HOP | named)
