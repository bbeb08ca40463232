"""What crosses between a client and a provider, and what never does."""

import pytest

from proxy.core.crossing import is_token, to_client, to_provider
from proxy.core.http import Headers

KEEP = (
    (b"Accept", b"*/*"),
    (b"X-Odd\xe9", b"\xff\x00"),
    (b"Idempotency-Key", b"k"),
    (b"Prefer", b"w"),
)
PAID = ((b"PAYMENT-SIGNATURE", b"ours"), (b"X-PAYMENT", b"ours"))


def up(*headers: tuple[bytes, bytes], cookies: bool = False, key: str | None = None) -> Headers:
    """What a provider gets of some headers besides the harmless ones."""
    found = to_provider((*KEEP, *headers), cookies=cookies, key=key)
    assert found[: len(KEEP)] == KEEP
    return found[len(KEEP) :]


@pytest.mark.parametrize(
    "name",
    [
        b"Host", b"Content-Length", b"Expect", b"Forwarded", b"Connection", b"Keep-Alive", b"TE",
        b"Trailer",
        b"Transfer-Encoding", b"Upgrade", b"Proxy-Authorization", b"Proxy-Connection",
        b"Proxy-Anything",
        b"Farebox-Token", b"Farebox-Provider", b"Farebox-Max-Amount", b"Farebox-Dry-Run",
        b"FAREBOX-X",
        b"Payment-Signature", b"PAYMENT-RESPONSE", b"Payment-Required", b"Payment-Anything",
        b"X-Payment", b"x-payment", b"X-Payment-Required", b"X-PAYMENT-RESPONSE",
        b"X-Payment-Receipt",
        b"Cookie",
    ],
)  # fmt: skip
def test_what_never_goes_up(name: bytes) -> None:
    """Hop-by-hop headers, ours, payments that a client brought, cookies."""
    assert up((name, b"canary")) == ()
    assert up((name.swapcase(), b"canary"), key="k") == ((b"Authorization", b"Bearer k"),)


def test_cookies_where_they_may() -> None:
    """A provider that is allowed cookies gets them, and gives them."""
    assert up((b"Cookie", b"a=1"), cookies=True) == ((b"Cookie", b"a=1"),)
    set_cookie = ((b"Set-Cookie", b"a=1"), (b"Set-Cookie2", b"b"))
    assert to_client(set_cookie, cookies=True, link=lambda _: None) == set_cookie
    assert to_client(set_cookie, cookies=False, link=lambda _: None) == ()


@pytest.mark.parametrize(
    "authorization", [b"Bearer sk-client", b"Basic Zm9v", b"", b"fb", b"Bearer"]
)
def test_authorization_without_a_key(authorization: bytes) -> None:
    """Where the provider has no key the client's own goes as it came."""
    assert up((b"authorization", authorization)) == ((b"authorization", authorization),)


@pytest.mark.parametrize(
    "authorization", [b"Bearer sk-client", b"Basic Zm9v", b"Bearer fbx_t", b""]
)
def test_authorization_with_a_key(authorization: bytes) -> None:
    """Where it has one ours goes, alone."""
    sent = up((b"Authorization", authorization), (b"AUTHORIZATION", b"x"), key="sk-ours")
    assert sent == ((b"Authorization", b"Bearer sk-ours"),)


@pytest.mark.parametrize(
    "token",
    [b"Bearer fbx_t", b"bearer fbx_t", b"BEARER  fbx_t ", b" Bearer\tfbx_t", b"\tBearer \t fbx_"],
)
def test_our_tokens_never_leave(token: bytes) -> None:
    """A Farebox token is ours to read, however it is spaced."""
    assert is_token(token)
    assert up((b"Authorization", token)) == ()


@pytest.mark.parametrize(
    "other", [b"", b" ", b"Bearer", b"fbx_t", b"Bearer sk-fbx_", b"Basic fbx_t"]
)
def test_what_is_no_token(other: bytes) -> None:
    """Only a bearer token that begins with our prefix is one."""
    assert not is_token(other)


@pytest.mark.parametrize(
    "named",
    [b"authorization", b"Authorization, payment-signature, x-payment", b"close,AUTHORIZATION"],
)
def test_connection_cannot_take_ours_off(named: bytes) -> None:
    """A client that names our headers in `Connection` removes its own, and never ours."""
    headers = ((b"Connection", named), (b"Authorization", b"client's"))
    sent = to_provider(headers, cookies=False, key="ours", payment=PAID)
    assert sent == ((b"Authorization", b"Bearer ours"), *PAID)


def test_connection_that_names_a_header() -> None:
    """What `Connection` names does not cross, in either direction."""
    headers = ((b"Connection", b"x-secret"), (b"X-Secret", b"1"))
    assert up(*headers) == ()
    assert to_client((*KEEP, *headers), cookies=False, link=lambda _: None) == KEEP


def test_key_that_no_header_can_carry() -> None:
    """A key beyond ASCII is an error before anything is sent."""
    with pytest.raises(UnicodeEncodeError):
        up(key="schlüssel")


def test_what_comes_down() -> None:
    """All but the hop-by-hop set, cookies and what only we may say; payments' receipts too."""
    kept = (
        (b"PAYMENT-RESPONSE", b"r"), (b"X-PAYMENT-RESPONSE", b"r"), (b"X-Payment-Receipt", b"0x"),
        (b"PAYMENT-REQUIRED", b"c"), (b"Content-Encoding", b"gzip"), (b"Content-Length", b"5"),
        (b"WWW-Authenticate", b"x"), (b"X-\xe9", b"\xff"),
    )  # fmt: skip
    gone = ((b"Farebox-Payment", b"forged"), (b"farebox-error", b"x"), (b"Transfer-Encoding",
    b"chunked"),
            (b"Set-Cookie", b"a"))  # fmt: skip
    assert to_client((*gone, *kept, *gone), cookies=False, link=lambda _: None) == kept


def test_location() -> None:
    """A `Location` is rewritten where it leads back, and keeps its odd bytes."""
    headers = ((b"LOCATION", b"/a\xff"), (b"Content-Location", b"/a"), (b"Location", b"/b"))
    found = to_client(
        headers, cookies=False, link=lambda u: u.replace("/a", "/z") if "a" in u else None
    )
    assert found == ((b"LOCATION", b"/z\xff"), *headers[1:])
