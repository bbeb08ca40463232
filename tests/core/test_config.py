"""The config's model: what is left out, what is refused, what contradicts what."""

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.core.config import (
    DEFAULT_ROUTES,
    Config,
    KeyRef,
    SecretRef,
)
from proxy.core.config_values import is_loopback, parse_listen
from proxy.core.contradictions import contradictions
from tests.core.parts import THREE, config, provider

BARE: dict[str, Any] = {
    "caps": {"per_request": "1.00", "day": "none"},
    "providers": {"shop": {"kind": "http", "base_url": "https://shop.example"}},
}


def test_defaults() -> None:
    """What is left out means what the documents say."""
    bare = Config.model_validate(BARE)
    assert bare.listen == ("127.0.0.1:8402",)
    assert (bare.default_provider, bare.routes, bare.clients) == ("blockrun", DEFAULT_ROUTES, ())
    assert (bare.caps.per_request, bare.caps.day, bare.caps.hour) == (1_000_000, None, None)
    assert (bare.limits.body_bytes_max, bare.limits.header_s, bare.limits.drain_s) == (
        2**28,
        10,
        30,
    )
    assert (bare.idempotency.retention_s, bare.idempotency.body_bytes_max) == (86_400, 2**20)
    assert list(contradictions(bare)) == []
    shop = bare.providers["shop"]
    assert (shop.pay, shop.pay_methods, shop.cookies, shop.prices) == (None, (), False, None)
    assert len(bare.assets.assets) == 13


@pytest.mark.parametrize(
    ("kind", "headers", "sent"),
    [
        ("blockrun", None, "both"),
        ("http", None, "auto"),
        ("http", "both", "both"),
        ("blockrun", "auto", "auto"),
    ],
)
def test_payment_headers(kind: str, headers: str | None, sent: str) -> None:
    """Either spelling for blockrun, by version for the others, or as is said."""
    pay = {} if headers is None else {"headers": headers}
    assert provider(kind=kind, pay=pay).payment_headers == sent
    assert provider(kind=kind).payment_headers == ("both" if kind == "blockrun" else "auto")


@pytest.mark.parametrize(
    "change",
    [
        {"caps": {"per_request": "1.00"}},
        {"caps": {"per_request": 1, "day": "1"}},
        {"caps": {"per_request": 1.5, "day": "1"}},
        {"caps": {"per_request": True, "day": "1"}},
        {"caps": {"per_request": "1e3", "day": "1"}},
        {"caps": {"per_request": "-1", "day": "1"}},
        {"caps": {"per_request": "1", "day": None}},
        {"caps": {"per_request": "1", "day": "None"}},
        {"caps": {"per_request": "0.0000001", "day": "1"}},
        {"caps": {"per_request": "1", "day": "1", "year": "1"}},
        {"providers": {}},
        {"providers": {"a b": THREE["pomex"]}},
        {"unknown": 1},
        {"listen": []},
        {"wallet": {"key": {}}},
        {"wallet": {"key": {"file": "a", "env": "B"}}},
        {"wallet": {"key": {"keystore": "a"}}},
        {"wallet": {"key": {"file": "a", "password": {"env": "B"}}}},
        {"networks": {"base": {}}},
        {"networks": {"eip155:1": {"rpc_url": "http://rpc.example"}}},
        {
            "networks": {
                "eip155:1": {"assets": [{"address": 5, "name": "x", "version": "1", "decimals": 6}]}
            }
        },
        {
            "networks": {
                "eip155:1": {
                    "assets": [{"address": "0x5", "name": "x", "version": "1", "decimals": 6}]
                }
            }
        },
        {"clients": [{"name": "a", "token_sha256": "A" * 64}]},
        {"clients": [{"name": "a/b", "token_sha256": "0" * 64}]},
        {"routes": [{"path": "x", "provider": "shop"}]},
        {"routes": [{"path": "/x*", "provider": "shop"}]},
        {"routes": [{"path": "/*/x", "provider": "shop"}]},
        {"routes": [{"path": "/x/*", "provider": "shop", "strip_prefix": "x"}]},
        {"routes": [{"path": "/x/*", "provider": "shop", "strip_prefix": "/x/"}]},
        {"public_url": "https://me.example/path"},
        {"public_url": "https://user@me.example"},
        {"public_url": "me.example"},
        {"public_url": "https://me.example:port"},
        {"allow_hosts": ["http://x"]},
        {"limits": {"body_bytes_max": "1 MB"}},
        {"limits": {"drain_s": True}},
    ],
)
def test_refused(change: dict[str, Any]) -> None:
    """What makes no sense is refused, and the report quotes none of it."""
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(BARE | change)
    assert "input_value" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "shop.example"}, {"base_url": "http://shop.example"}, {"base_url": "https://"},
        {"base_url": "https://u:p@shop.example"}, {"base_url": "https://shop.example?x"},
        {"base_url": "https://shop.example#x"}, {"base_url": "ftp://shop.example"},
        {"kind": "shop"}, {"quote_jump": "1"}, {"quote_jump": "x"}, {"quote_jump": 3}, {"extra": 1},
        {"pay": {"networks": []}}, {"pay": {"pay_to": []}}, {"pay": {"pay_to": "second"}},
        {"pay": {"pay_to": ["0x1"]}}, {"pay": {"authorization_s": 14}},
        {"pay": {"networks": [8453]}},
        {"prices": [{"model": "x"}]}, {"prices": [{"usd": "1"}]},
        {"prices": [{"model": "x", "path": "/y", "usd": "1"}]},
        {"prices": [{"model": "x", "usd": "1", "usd_per_second": "1"}]},
        {"prices": [{"model": "x", "usd": 1}]}, {"auth": {"bearer": {}}},
    ],
)  # fmt: skip
def test_provider_refused(change: dict[str, Any]) -> None:
    """The same for a provider."""
    with pytest.raises(ValidationError):
        provider(**{"base_url": "https://shop.example", **change})


@pytest.mark.parametrize(
    ("kind", "said", "does"),
    [("blockrun", None, "fresh"), ("http", None, "resend"), ("http", "fresh", "fresh")],
)
def test_after_a_refusal(kind: str, said: str | None, does: str) -> None:
    """A new authorization where the documents allow one, the old one elsewhere, or as is said."""
    pay = {} if said is None else {"after_refusal": said}
    assert provider(kind=kind, pay=pay).after_refusal == does
    assert provider(kind=kind).after_refusal == ("fresh" if kind == "blockrun" else "resend")


def test_what_the_world_sees() -> None:
    """An origin loses its last slash, and a host is in small letters."""
    seen = config(public_url="https://me.example/", allow_hosts=["Box.Example", "[::1]"])
    assert (seen.public_url, seen.allow_hosts) == ("https://me.example", ("box.example", "[::1]"))


def test_provider_taken() -> None:
    """A base URL loses its last slash; plain http is for this machine alone."""
    assert provider("https://shop.example/api/").base_url == "https://shop.example/api"
    for host in ("localhost:1", "127.0.0.1:1", "127.8.8.8", "[::1]:1", "LOCALHOST"):
        assert provider(f"http://{host}").base_url.endswith(host)
    assert provider(quote_jump="1.5").quote_jump == "1.5"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"listen": "0.0.0.0:8402"}, "listen"),
        ({"listen": ["127.0.0.1:1", "[::]:2"]}, "listen[1]"),
        ({"listen": "8402"}, "listen"),
        ({"listen": "unix:relative"}, "listen"),
        ({"default_provider": "nobody"}, "default_provider"),
        ({"routes": [{"path": "/x", "provider": "nobody"}]}, "routes[0].provider"),
        (
            {"routes": [{"path": "/x/*", "provider": "sunra", "strip_prefix": "/y"}]},
            "routes[0].strip_prefix",
        ),
        (
            {"routes": [{"path": "/xy/*", "provider": "sunra", "strip_prefix": "/x"}]},
            "routes[0].strip_prefix",
        ),
        ({"wallet": None}, "providers.blockrun.pay"),
        ({"providers": THREE | {"auto": THREE["pomex"]}}, "providers.auto"),
        (
            {
                "providers": {
                    "p": THREE["blockrun"] | {"pay": {"networks": ["eip155:8453", "eip155:5"]}}
                }
            },
            "providers.p.pay.networks[1]",
        ),
        (
            {
                "clients": [
                    {"name": "a", "token_sha256": "0" * 64},
                    {"name": "a", "token_sha256": "1" * 64},
                ]
            },
            "clients[1].name",
        ),
        (
            {
                "clients": [
                    {"name": "a", "token_sha256": "0" * 64},
                    {"name": "b", "token_sha256": "0" * 64},
                ]
            },
            "clients[1].token_sha256",
        ),
    ],
)
def test_contradictions(change: dict[str, Any], where: str) -> None:
    """What no single field can know is found, and where."""
    assert [path for path, _ in contradictions(config(**change))] == [where]


def test_no_contradictions() -> None:
    """Beyond loopback with clients; a prefix that is its route's; a token of one's own."""
    token = {"address": "0x" + "1" * 40, "name": "T", "version": "1", "decimals": 6}
    fine = config(
        listen=["0.0.0.0:8402", "unix:/run/farebox.sock"],
        clients=[{"name": "a", "token_sha256": "0" * 64}],
        routes=[{"path": "/x/*", "provider": "sunra", "strip_prefix": "/x"}],
        networks={"eip155:5": {"assets": [token]}},
        providers={"sunra": THREE["sunra"] | {"pay": {"networks": ["eip155:5"]}}},
        default_provider="sunra",
    )
    assert list(contradictions(fine)) == []
    assert fine.assets.find("eip155:5", "0x" + "1" * 40) is not None


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), ("box:65535", ("box", 65_535)),
     ("unix:/a b", "/a b")],
)  # fmt: skip
def test_listen(text: str, parsed: object) -> None:
    """A host and a port, or a path."""
    assert parse_listen(text) == parsed


@pytest.mark.parametrize(
    "text", ["", ":80", "a", "a:", "a:0", "a:65536", "::1:80", "a:8 0", "unix:"]
)
def test_no_listen(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r"expected host:port|absolute"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("host", "yes"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("[::1]", True), ("192.0.2.1", False),
     ("localhost.evil", False), ("127.0.0.1.evil", False), ("", False), ("2130706433", False)],
)  # fmt: skip
def test_loopback(host: str, *, yes: bool) -> None:
    """Only what surely is this machine."""
    assert is_loopback(host) is yes


def test_references() -> None:
    """Exactly one source of a secret."""
    assert SecretRef(env="A").env == "A"
    assert KeyRef(keystore="k", password=SecretRef(file="p")).keystore == "k"
