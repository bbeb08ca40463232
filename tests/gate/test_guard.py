"""The guard's rules, one table each, in the order of its docstring."""

import hashlib
from typing import Any

import pytest

from proxy.core.errors import Refusal
from proxy.core.http import Headers
from proxy.gate.guard import METHODS, Admitted, Head, check, is_own_page
from tests.gate.rig import TOKEN, config

PORTS = frozenset({8402})
HOST = (b"Host", b"localhost:8402")
CLIENTS = [{"name": "agent-1", "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]


def judged(
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    target: str = "/v1/models",
    host: bool = True,
    version: tuple[int, int] = (1, 1),
    unix: bool = False,
    **changes: Any,
) -> str:
    """The refusal's code, or `ok`."""
    fields: Headers = (HOST, *headers) if host else headers
    verdict = check(Head(method, target, fields, version, unix), config(**changes), PORTS)
    return verdict.code if isinstance(verdict, Refusal) else "ok"


@pytest.mark.parametrize(
    ("method", "code"),
    [
        *((method, "ok") for method in METHODS),
        *((m, "method_not_allowed") for m in ("CONNECT", "TRACE", "PROPFIND", "QUERY", "get")),
    ],
)
def test_method(method: str, code: str) -> None:
    """Seven methods are served; a tunnel, an echo and the rest are not."""
    assert judged(method=method) == code


@pytest.mark.parametrize(
    ("headers", "version", "code"),
    [
        ([(b"Content-Length", b"5")], (1, 1), "ok"),
        ([(b"Content-Length", b"5")], (1, 0), "ok"),
        ([(b"Transfer-Encoding", b"chunked")], (1, 1), "ok"),
        ([(b"Transfer-Encoding", b" Chunked ")], (1, 1), "ok"),
        ([(b"Transfer-Encoding", b"chunked")], (1, 0), "bad_request"),
        ([(b"Transfer-Encoding", b"gzip, chunked")], (1, 1), "bad_request"),
        ([(b"Transfer-Encoding", b"identity")], (1, 1), "bad_request"),
        ([(b"Transfer-Encoding", b"chunked")] * 2, (1, 1), "bad_request"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"5"), (b"content-length", b"5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"5, 5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"+5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"-5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"0x5")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"")], (1, 1), "bad_request"),
        ([(b"Content-Length", b"18446744073709551615")], (1, 1), "bad_request"),
        ([], (0, 9), "bad_request"),
        ([], (2, 0), "bad_request"),
    ],
)
def test_framing(headers: list[tuple[bytes, bytes]], version: tuple[int, int], code: str) -> None:
    """A body's end is where one header says, or the request is refused."""
    assert judged(*headers, method="POST", version=version) == code


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v1/x?a=../..&b=%2f%zz", "ok"),
        ("/v1/x?", "ok"),
        ("/v1/x?a=b?c=/d//e\\", "ok"),
        ("/v1/x?a b", "bad_path"),
        ("/v1/x?a\x00", "bad_path"),
        ("/v1/x?a=é", "bad_path"),
        ("/v1/x#top", "bad_path"),
        ("/v1/x?a#top", "bad_path"),
        ("http://evil/v1/x", "bad_path"),
        ("http://localhost:8402/v1/x", "bad_path"),
        ("evil:443", "bad_path"),
        ("*", "bad_path"),
        ("", "bad_path"),
    ],
)
def test_target(target: str, code: str) -> None:
    """The target is a path and a query; what else HTTP knows as a target names a host."""
    assert judged(target=target) == code


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/api/v1/chat?x=1", "/v1/chat", "x=1"),
        ("/api/v1", "/v1", None),
        ("/api/v1/", "/v1/", None),
        ("/api/v12/x", "/api/v12/x", None),
        ("/api", "/api", None),
        ("/v1/a%20b?", "/v1/a%20b", ""),
    ],
)
def test_admitted_path_is_the_raw_one(target: str, path: str, query: str | None) -> None:
    """The path is handed on as it was written, but for an /api before /v1."""
    verdict = check(Head("GET", target, (HOST,)), config(), PORTS)
    assert isinstance(verdict, Admitted)
    assert (verdict.path, verdict.query) == (path, query)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (b"localhost", "ok"),
        (b"localhost:8402", "ok"),
        (b"LocalHost:8402", "ok"),
        (b"127.0.0.1:8402", "ok"),
        (b"[::1]:8402", "ok"),
        (b"[::1]", "ok"),
        (b"box.lan", "ok"),
        (b"Box.LAN:8402", "ok"),
        (b"box.lan:443", "ok"),
        (b"box.lan:", "wrong_host"),
        (b"box.lan:x", "wrong_host"),
        (b"box.lan.evil", "wrong_host"),
        (b"evil.box.lan", "wrong_host"),
        (b"localhost:80", "wrong_host"),
        (b"localhost:", "wrong_host"),
        (b"localhost.", "wrong_host"),
        (b"127.0.0.2:8402", "wrong_host"),
        (b"evil:8402", "wrong_host"),
        (b"localhost:8402@evil", "wrong_host"),
        (b"localhost.evil:8402", "wrong_host"),
        (b"localhost, evil", "wrong_host"),
        (b"0.0.0.0:8402", "wrong_host"),
        (b"\xff", "wrong_host"),
        (b"", "wrong_host"),
    ],
)
def test_host(host: bytes, code: str) -> None:
    """A name that somebody points at 127.0.0.1 is still not ours."""
    assert judged((b"Host", host), host=False, allow_hosts=["box.lan"]) == code


def test_host_is_exactly_one() -> None:
    """No Host, or two of them, is a bad request."""
    assert judged(host=False) == "bad_request"
    assert judged(HOST) == "bad_request"


def test_any_host_on_a_unix_socket() -> None:
    """Over a unix socket the Host says nothing about who speaks: browsers cannot reach it."""
    assert judged((b"Host", b"whatever"), host=False, unix=True) == "ok"


@pytest.mark.parametrize(
    ("headers", "target", "method", "code"),
    [
        ([(b"Origin", b"http://localhost:8402")], "/v1/x", "POST", "ok"),
        ([(b"Origin", b"HTTP://LOCALHOST:8402")], "/v1/x", "POST", "ok"),
        ([(b"Origin", b"http://127.0.0.1:8402")], "/v1/x", "POST", "origin_refused"),
        ([(b"Origin", b"https://localhost:8402")], "/v1/x", "POST", "origin_refused"),
        ([(b"Origin", b"http://localhost:3000")], "/v1/x", "POST", "origin_refused"),
        ([(b"Origin", b"http://evil")], "/v1/x", "GET", "origin_refused"),
        ([(b"Origin", b"http://evil")], "/healthz", "GET", "origin_refused"),
        ([(b"Origin", b"http://evil")], "/v1/x", "OPTIONS", "origin_refused"),
        ([(b"Origin", b"null")], "/v1/x", "POST", "origin_refused"),
        ([(b"Origin", b"")], "/v1/x", "POST", "origin_refused"),
        (
            [(b"Origin", b"http://localhost:8402"), (b"Origin", b"null")],
            "/",
            "GET",
            "origin_refused",
        ),
        ([(b"Sec-Fetch-Site", b"cross-site")], "/v1/x", "POST", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"same-site")], "/", "GET", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"cross-site")], "/healthz", "GET", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"anything")], "/", "GET", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"none")], "/", "GET", "ok"),
        ([(b"Sec-Fetch-Site", b"same-origin")], "/-/status", "GET", "ok"),
        ([(b"Sec-Fetch-Site", b"same-origin")], "/metrics", "HEAD", "ok"),
        ([(b"Sec-Fetch-Site", b"same-origin")], "/v1/x", "POST", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"none")], "/v1/x", "GET", "origin_refused"),
        ([(b"Sec-Fetch-Site", b"same-origin")], "/-/status", "POST", "origin_refused"),
        ([(b"Sec-Fetch-Mode", b"cors")], "/v1/x", "POST", "ok"),
    ],
)
def test_browsers(headers: list[tuple[bytes, bytes]], target: str, method: str, code: str) -> None:
    """A foreign page gets nothing, our own page gets our own pages, a program gets everything."""
    assert judged(*headers, target=target, method=method) == code


CALLBACK = "/v1/portrait/callback/s3cret"
FROM_AFAR = ((b"Sec-Fetch-Site", b"cross-site"), (b"Origin", b"https://provider.example"))


@pytest.mark.parametrize(
    ("target", "method", "host", "code"),
    [
        (CALLBACK, "GET", b"me.example", "ok"),
        ("/api" + CALLBACK, "GET", b"ME.example", "ok"),
        (CALLBACK, "GET", b"localhost:8402", "ok"),
        (CALLBACK, "GET", b"evil.example", "wrong_host"),
        (CALLBACK, "POST", b"me.example", "wrong_host"),
        (CALLBACK, "POST", b"localhost:8402", "origin_refused"),
        ("/v1/portrait", "GET", b"me.example", "wrong_host"),
        ("/", "GET", b"me.example", "wrong_host"),
    ],
)
def test_callback_is_open_to_the_world(target: str, method: str, host: bytes, code: str) -> None:
    """A phone that comes back from a provider's page reaches the callback, and nothing else."""
    public = "https://me.example"
    headers = ((b"Host", host), *FROM_AFAR)
    assert (
        judged(
            *headers, target=target, method=method, host=False, public_url=public, clients=CLIENTS
        )
        == code
    )


@pytest.mark.parametrize(
    ("public", "host", "code"),
    [
        ("https://me.example", b"me.example:443", "ok"),
        ("https://me.example:443", b"me.example", "ok"),
        ("https://Me.example:8443", b"me.example:8443", "ok"),
        ("http://localhost:80", b"localhost", "ok"),
        ("https://me.example", b"me.example:80", "wrong_host"),
        ("https://me.example", b"me.example:8443", "wrong_host"),
        ("https://me.example:8443", b"me.example", "wrong_host"),
        ("https://me.example:8443", b"me.example:443", "wrong_host"),
    ],
)
def test_port_of_the_public_url(public: str, host: bytes, code: str) -> None:
    """The usual one may be named or not: it is the same host."""
    named = (b"Host", host)
    assert judged(named, host=False, target=CALLBACK, public_url=public) == code


THROUGH_A_TUNNEL = [
    [(b"Host", b"me.example")],
    [(b"Host", b"ME.example:443")],
    [(b"Host", b"me.example:99")],
    [(b"Host", b"me.example.")],
    [(b"Host", b"localhost"), (b"X-Forwarded-Host", b"me.example")],
    [(b"Host", b"localhost"), (b"x-forwarded-host", b"Me.Example.:443")],
    [(b"Host", b"localhost"), (b"X-Forwarded-Host", b"me.example:")],
    [(b"Host", b"localhost"), (b"X-Forwarded-Host", b"x, me.example , y")],
    [(b"Host", b"localhost"), (b"X-Forwarded-Host", b"x"), (b"X-Forwarded-Host", b"me.example")],
]


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("headers", THROUGH_A_TUNNEL)
def test_the_world_at_another_path(headers: list[tuple[bytes, bytes]], *, unix: bool) -> None:
    """What names the public host gets the callback alone, whatever else the config says of it.

    Nor is it told to let that host in.
    """
    found = config(public_url="https://me.example", allow_hosts=["me.example"])
    for method, target in (
        ("GET", "/-/status"),
        ("GET", "/healthz"),
        ("POST", CALLBACK),
        ("HEAD", CALLBACK),
        ("POST", "/v1/videos"),
        ("GET", "/v1/portrait/callback"),
    ):
        verdict = check(Head(method, target, tuple(headers), unix=unix), found, PORTS)
        assert isinstance(verdict, Refusal), (method, target)
        assert verdict.code == "wrong_host"
        assert "callback" in verdict.message
        assert "allow_hosts" not in verdict.message


@pytest.mark.parametrize(
    "headers",
    [
        [(b"X-Forwarded-Host", b"box.example")],
        [(b"X-Forwarded-Host", b"xme.example")],
        [(b"X-Forwarded-Host", b"me.example.evil")],
        [(b"X-Forwarded-Host", b"")],
        [(b"X-Forwarded-Host", b"\xff")],
        [(b"X-Forwarded-For", b"me.example")],
    ],
)
def test_other_forwarders(headers: list[tuple[bytes, bytes]]) -> None:
    """Whoever stands before the door for other hosts is none of the tunnel's."""
    assert judged(*headers, public_url="https://me.example") == "ok"


def test_callback_through_a_tunnel_that_renames_itself() -> None:
    """The phone gets through, by whichever host the tunnel calls us."""
    forwarded = (b"X-Forwarded-Host", b"me.example")
    assert judged(forwarded, target=CALLBACK, public_url="https://me.example") == "ok"


def test_public_url_on_this_machine() -> None:
    """Where nothing of it is public, to try things out, it closes nothing."""
    assert judged(public_url="http://localhost:9000") == "ok"
    assert judged((b"X-Forwarded-Host", b"x")) == "ok"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"websocket", "bad_request"),
        (b"WebSocket", "bad_request"),
        (b"h2c, websocket", "bad_request"),
        (b"websocket/13", "bad_request"),
        (b"h2c", "ok"),
        (b"TLS/1.0", "ok"),
    ],
)
def test_upgrades(value: bytes, code: str) -> None:
    """A websocket is refused, for it would not work; other upgrades are offers that one ignores."""
    assert judged((b"Connection", b"Upgrade"), (b"Upgrade", value)) == code


@pytest.mark.parametrize(
    ("headers", "target", "configured", "code"),
    [
        ([], "/v1/x", False, "ok"),
        ([], "/v1/x", True, "client_token"),
        ([], "/", True, "client_token"),
        ([], "/metrics", True, "client_token"),
        ([], "/-/status", True, "client_token"),
        ([], "/healthz", True, "ok"),
        ([], "/readyz", True, "ok"),
        ([], "/health", True, "ok"),
        ([(b"Farebox-Token", TOKEN.encode())], "/v1/x", True, "ok"),
        ([(b"farebox-token", TOKEN.encode())], "/v1/x", True, "ok"),
        ([(b"Authorization", b"Bearer " + TOKEN.encode())], "/v1/x", True, "ok"),
        ([(b"authorization", b"bearer  " + TOKEN.encode())], "/v1/x", True, "ok"),
        ([(b"Farebox-Token", b"fbx_other")], "/v1/x", True, "client_token"),
        ([(b"Farebox-Token", b"")], "/v1/x", True, "client_token"),
        ([(b"Farebox-Token", TOKEN.encode() + b"x")], "/v1/x", True, "client_token"),
        ([(b"Farebox-Token", TOKEN.encode())], "/v1/x", False, "client_token"),
        ([(b"Authorization", b"Bearer fbx_other")], "/v1/x", False, "client_token"),
        ([(b"Authorization", b"Bearer fbx_other")], "/healthz", True, "client_token"),
        ([(b"Authorization", b"Bearer sk-theirs")], "/v1/x", False, "ok"),
        ([(b"Authorization", b"Bearer sk-theirs")], "/v1/x", True, "client_token"),
        (
            [(b"Farebox-Token", TOKEN.encode()), (b"Authorization", b"Bearer sk-theirs")],
            "/v1/x",
            True,
            "ok",
        ),
        (
            [(b"Farebox-Token", TOKEN.encode()), (b"Farebox-Token", b"fbx_other")],
            "/v1/x",
            True,
            "client_token",
        ),
    ],
)
def test_tokens(
    headers: list[tuple[bytes, bytes]], target: str, *, configured: bool, code: str
) -> None:
    """A token that is shown must be known; where clients are configured one must be shown."""
    assert judged(*headers, target=target, clients=CLIENTS if configured else []) == code


def test_token_names_its_client() -> None:
    """Whose token it is decides whose caps apply."""
    second = {"name": "agent-2", "token_sha256": hashlib.sha256(b"fbx_2").hexdigest()}
    head = Head("GET", "/v1/x", (HOST, (b"Farebox-Token", b"fbx_2")))
    verdict = check(head, config(clients=[*CLIENTS, second]), PORTS)
    assert isinstance(verdict, Admitted)
    assert verdict.client == "agent-2"


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/", True),
        ("/metrics", True),
        ("/readyz", True),
        ("/-/anything", True),
        ("/-", True),
        ("/v1", False),
        ("/-x", False),
        ("/healthz/", False),
    ],
)
def test_own_pages(path: str, *, ours: bool) -> None:
    """Some paths are the daemon's and never reach a provider."""
    assert is_own_page(path) is ours
