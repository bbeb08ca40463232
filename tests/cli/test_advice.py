"""What `farebox check` warns of: keys that do something are not among it."""

import pytest

from tests.cli.house import House


def warned(house: House) -> list[str]:
    """The places that a check warns of, beyond those of the usual config."""
    answer = house.call("check").json()
    assert answer["ok"], answer
    return [w["path"] for w in answer["warnings"] if w["path"] != "providers.pomex"]


@pytest.mark.parametrize(
    "added",
    [
        "idempotency: {retention_s: 60}",
        "networks: {'eip155:8453': {rpc_url: 'https://x.example'}}",
        "payees: [{address: any, caps: {day: '1.00'}}]",
        "paused: false",
        "",
    ],
)
def test_what_has_its_effect(house: House, added: str) -> None:
    """What does what it says is not warned of, nor is a network that nobody reads."""
    with house.config.open("a") as config:
        config.write(f"{added}\n")

    assert warned(house) == []


def test_prices_that_are_watched(house: House) -> None:
    """`quote_jump` has its effect where something is paid, and none elsewhere."""
    house.edit("pay: {}", "pay: {}, quote_jump: '3'")
    assert warned(house) == []

    house.edit("auth:", "quote_jump: '3', auth:")
    assert warned(house) == ["providers.pomex.quote_jump"]


@pytest.mark.parametrize(
    ("added", "path"),
    [
        ("paused: true", "paused"),
        ("paused: audit", "paused"),
        ("public_url: 'http://localhost:9'", "public_url"),
        ("payees: [{address: any, caps: {hour: '3', day: '2'}}]", "payees[0].caps.hour"),
    ],
)
def test_what_may_not_be_meant(house: House, added: str, path: str) -> None:
    """A switch that stops all paying, a key without effect and a cap that is never reached."""
    with house.config.open("a") as config:
        config.write(f"{added}\n")

    assert warned(house) == [path]


def test_where_providers_call_back(house: House) -> None:
    """`public_url` has its effect where a provider calls back, and none elsewhere."""
    with house.config.open("a") as config:
        config.write("public_url: 'https://me.example'\n")
        config.write(f"clients: [{{name: me, token_sha256: '{'0' * 64}'}}]\n")
    assert warned(house) == []

    house.edit("kind: pomex", "kind: sunra")
    assert warned(house) == ["public_url"]


def test_tunnel_without_clients(house: House) -> None:
    """A tunnel that nobody can tell from this machine must let one path through and no more."""
    with house.config.open("a") as config:
        config.write("public_url: 'https://me.example'\n")

    assert warned(house) == ["public_url"]
    (warning,) = [w for w in house.call("check").json()["warnings"] if w["path"] == "public_url"]
    assert "/v1/portrait/callback/" in warning["message"]
