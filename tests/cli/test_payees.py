"""`farebox payees`: whom providers are paid at, and what people have to say about it."""

import shlex
from typing import Any

import pytest

from proxy.core.money import Usd
from proxy.core.policy import thing
from proxy.store import payees, quotes
from tests.cli.house import PORTRAIT, House

OLD, NEW, OTHER = (f"0x{digit * 40}" for digit in "abc")
BASE, SEPOLIA = "eip155:8453", "eip155:84532"


@pytest.fixture
def pinned(house: House) -> House:
    """A provider that was paid at one address, and asks for another by now."""
    with house.opened() as db:
        payees.accept(db, "blockrun", BASE, OLD, 1_700_000_000)
        assert payees.check(db, "blockrun", BASE, NEW, 1_700_000_060) is not None
    return house


def listed(house: House) -> list[tuple[str, str]]:
    """The addresses and what they are."""
    return [(row["pay_to"], row["state"]) for row in house.call("payees").json()["payees"]]


def test_before_anybody_was_paid(house: House) -> None:
    """Nobody is pinned, and no ledger is made for it."""
    assert house.call("payees").json() == {"payees": [], "warnings": []}
    assert "Nobody is pinned yet" in house.call("payees", "--text").out
    assert not house.state_dir.exists()


def test_list(pinned: House) -> None:
    """Who was accepted and who waits, with the command that accepts; it does."""
    found = pinned.call("payees", "list").json()["payees"]
    text = pinned.call("payees", "--text").out

    assert listed(pinned) == [(OLD, "accepted"), (NEW, "waiting")]
    assert [row.get("accept") for row in found] == [
        None,
        f"farebox payees accept blockrun {NEW} --network {BASE}",
    ]
    assert "WAITING" in text
    assert found[1]["accept"] in text
    assert pinned.call(*shlex.split(found[1]["accept"])[1:]).code == 0
    assert listed(pinned) == [(OLD, "accepted"), (NEW, "accepted")]


def test_accept_one_that_waits(pinned: House) -> None:
    """Its network is known; who was accepted before stays, and how to end that is said."""
    pinned.edit("pay: {}", f"pay: {{networks: ['{SEPOLIA}', '{BASE}']}}")

    said = pinned.call("payees", "accept", "blockrun", f"0x{'B' * 40}", "--text")

    assert said.code == 0
    assert f"may be paid at {NEW} on {BASE}" in said.out
    assert f"farebox payees forget blockrun {OLD}" in said.out
    assert listed(pinned) == [(OLD, "accepted"), (NEW, "accepted")]


def test_accept_one_that_does_not_wait(house: House) -> None:
    """The provider's only network is meant; of several one must be said, and be one of them."""
    said = house.call("payees", "accept", "blockrun", OLD).json()
    assert (said["network"], said["pay_to"], said["beside"]) == (BASE, OLD, [])
    assert "is not there yet" in said["warnings"][0]

    house.edit("pay: {}", f"pay: {{networks: ['{BASE}', '{SEPOLIA}']}}")
    assert house.call("payees", "accept", "blockrun", NEW).code == 2
    assert house.call("payees", "accept", "blockrun", NEW, "--network", "eip155:1").code == 2
    assert house.call("payees", "accept", "blockrun", NEW, "--network", SEPOLIA).code == 0
    assert listed(house) == [(OLD, "accepted"), (NEW, "accepted")]


def test_one_that_waits_on_two_networks(pinned: House) -> None:
    """Which is meant must be said."""
    pinned.edit("pay: {}", f"pay: {{networks: ['{BASE}', '{SEPOLIA}']}}")
    with pinned.opened() as db:
        payees.accept(db, "blockrun", SEPOLIA, OLD, 1)
        payees.check(db, "blockrun", SEPOLIA, NEW, 1)

    said = pinned.call("payees", "accept", "blockrun", NEW)

    assert (said.code, said.out) == (2, "")
    assert "--network" in said.err
    assert pinned.call("payees", "accept", "blockrun", NEW, "--network", SEPOLIA).code == 0
    states = {
        (r["network"], r["pay_to"]): r["state"] for r in pinned.call("payees").json()["payees"]
    }
    assert (states[BASE, NEW], states[SEPOLIA, NEW]) == ("waiting", "accepted")


@pytest.mark.parametrize(
    "words",
    [
        ("accept", "nobody", NEW),
        ("accept", "blockrun", "0x12"),
        ("accept", "blockrun"),
        ("accept", "pomex", NEW),
        ("accept", "blockrun", NEW, "--prices"),
        ("accept", "blockrun", "--prices", "--network", BASE),
        ("forget", "nobody", OLD),
        ("forget", "blockrun", "0x12"),
        ("forget", "blockrun"),
    ],
)
def test_wrong_usage(pinned: House, words: tuple[str, ...]) -> None:
    """A provider that is not there or never paid, no address, two things at once: exit code 2."""
    said = pinned.call("payees", *words)

    assert (said.code, said.out) == (2, "")
    assert listed(pinned) == [(OLD, "accepted"), (NEW, "waiting")]


def test_forget(pinned: House) -> None:
    """The last one to go lets the next payment pin anew, which is said; twice is a failure."""
    pinned.call("payees", "accept", "blockrun", NEW)
    first = pinned.call("payees", "forget", "blockrun", OLD).json()
    second = pinned.call("payees", "forget", "blockrun", NEW, "--network", BASE, "--text")

    assert (first["forgotten"], first["pins_anew"]) == (True, False)
    assert "the next payment pins whoever blockrun then names" in second.out
    assert listed(pinned) == []
    assert pinned.call("payees", "forget", "blockrun", NEW).code == 1


def test_forget_what_the_config_no_longer_names(pinned: House) -> None:
    """A provider that is gone from the config can be cleared away, network by network."""
    with pinned.opened() as db:
        payees.accept(db, "gone", BASE, OTHER, 1)
        payees.accept(db, "gone", SEPOLIA, OTHER, 1)

    assert "no provider is called gone" in pinned.call("payees").json()["warnings"][0]
    assert pinned.call("payees", "forget", "gone", OTHER).code == 2
    assert pinned.call("payees", "forget", "gone", OTHER, "--network", "eip155:1").code == 1
    assert pinned.call("payees", "forget", "gone", OTHER, "--network", SEPOLIA).code == 0
    assert pinned.call("payees", "forget", "gone", OTHER).code == 0


@pytest.mark.parametrize(
    ("pay_to", "part"), [("any", "is any"), (f"['{OLD}']", "is a list"), ("first", None)]
)
def test_where_pins_are_not_consulted(pinned: House, pay_to: str, part: str | None) -> None:
    """Where the config itself says who is paid, accepting somebody does nothing: that is said."""
    pinned.edit("pay: {}", f"pay: {{pay_to: {pay_to}}}")

    for words in (("list",), ("accept", "blockrun", NEW)):
        warnings = pinned.call("payees", *words).json()["warnings"]
        assert [part in warning for warning in warnings] == ([True] if part else [])


def test_prices_that_nobody_watches(house: House) -> None:
    """Without `quote_jump` there is nothing to accept, and no ledger is made for it."""
    said: Any = house.call("payees", "accept", "blockrun", "--prices").json()

    assert said["prices_forgotten"] == 0
    assert any("no quote_jump" in warning for warning in said["warnings"])
    assert not house.state_dir.exists()


async def test_a_running_daemon_pays_whom_a_person_accepts(house: House) -> None:
    """The address that a provider asks for waits, and once it is accepted it is paid."""
    with house.opened() as db:
        payees.accept(db, "blockrun", BASE, OLD, 1)

    async with house.daemon() as daemon:
        refused = await daemon.buy()
        (waiting,) = (row for row in house.run("payees").json()["payees"] if "accept" in row)
        house.run(*shlex.split(waiting["accept"])[1:])
        accepted = await daemon.buy()

    assert (refused, accepted) == ((403, "payee_not_allowed"), (200, ""))


async def test_a_running_daemon_pays_prices_that_a_person_accepts(house: House) -> None:
    """A price that jumped is refused, until a person says that it is right."""
    house.edit("pay: {}", "pay: {}, quote_jump: '3'")
    with house.opened() as db:
        what = thing("POST", "/v1/portrait/enroll", PORTRAIT)
        quotes.note(db, "blockrun", what, Usd(1), 1)

    async with house.daemon() as daemon:
        refused = await daemon.buy()
        said = house.run("payees", "accept", "blockrun", "--prices").json()
        accepted = await daemon.buy()

    assert (refused, accepted) == ((403, "quote_jump"), (200, ""))
    assert (said["prices_forgotten"], said["warnings"]) == (1, [])
