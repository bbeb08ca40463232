"""What may cross between a client and a provider, and what may not.

Towards a provider: never a Farebox header or token, never a payment that a client brought, never
Host, `Forwarded` or `Proxy-*`, cookies only where the provider's config lets them, and its own key
in place of whatever Authorization the client sent. Our headers go on last, so that no `Connection:
authorization` can take them off. Towards a client: all but the hop-by-hop set, cookies and
`Farebox-*`.
"""

from collections.abc import Callable
from typing import Final

from proxy.core.http import Header, Headers, end_to_end

TOKEN_PREFIX: Final = b"fbx_"
_OURS: Final = (b"farebox-", b"payment-", b"x-payment", b"proxy-")
_NEVER_UP: Final = frozenset({b"host", b"content-length", b"expect", b"forwarded"})
_LOCATION: Final = b"location"


def to_provider(
    headers: Headers, *, cookies: bool, key: str | None, payment: Headers = ()
) -> Headers:
    """The headers of a call to a provider: the client's, less what may not cross, and then ours."""
    crossing = tuple(
        (name, value)
        for name, value in end_to_end(headers)
        if _may_go_up(name.lower(), value, cookies=cookies, keyed=key is not None)
    )
    ours: Headers = () if key is None else ((b"Authorization", b"Bearer " + key.encode("ascii")),)
    return crossing + ours + payment


def to_client(headers: Headers, *, cookies: bool, link: Callable[[str], str | None]) -> Headers:
    """The headers of a provider's answer as the client gets them.

    `link` rewrites a `Location` that leads back to the provider.
    """
    return tuple(
        _relinked(header, link)
        for header in end_to_end(headers)
        if _may_come_down(header[0].lower(), cookies=cookies)
    )


def _may_go_up(name: bytes, value: bytes, *, cookies: bool, keyed: bool) -> bool:
    if name in _NEVER_UP or name.startswith(_OURS) or value.startswith(TOKEN_PREFIX):
        return False
    if name == b"cookie":
        return cookies
    if name == b"authorization":
        return not keyed and not is_token(value)
    return True


def _may_come_down(name: bytes, *, cookies: bool) -> bool:
    return not name.startswith(b"farebox-") and (
        cookies or name not in (b"set-cookie", b"set-cookie2")
    )


def is_token(authorization: bytes) -> bool:
    """Whether an Authorization header carries a Farebox token."""
    match authorization.split(maxsplit=1):
        case [scheme, token]:
            return scheme.lower() == b"bearer" and token.startswith(TOKEN_PREFIX)
    return False


def _relinked(header: Header, link: Callable[[str], str | None]) -> Header:
    name, value = header
    if name.lower() != _LOCATION:
        return header
    rewritten = link(value.decode("latin-1"))
    return header if rewritten is None else (name, rewritten.encode("latin-1"))
