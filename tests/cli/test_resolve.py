"""`farebox payments resolve`: a person's word on a payment whose outcome is unknown."""

import asyncio
import os
import pwd
import socket

import pytest

from proxy.core.ledger import Evidence
from tests.cli.house import Entry, House

TX = "0x" + "ab" * 32
DEAD = Entry("pay_1", "4.90", Evidence.NO_RECEIPT, age_s=3600)
ALIVE = Entry("pay_2", "0.25", Evidence.NO_RECEIPT, age_s=60)
ME = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


def test_settled(house: House) -> None:
    """With its transaction it is settled by a person's word, dead or alive; it goes on to count."""
    house.enter(DEAD, ALIVE)
    free = house.call("status").json()["caps"][1]["free"]

    said = house.call("payments", "resolve", "pay_2", "--settled", TX).json()
    card = house.call("payments", "show", "pay_2", "--text").out

    assert (said["resolved"], said["by"], said["payment"]["tx"]) == ("settled", ME, TX)
    assert "goes on to" in said["meaning"]
    assert said["payment"]["authorizations"][0]["evidence"] == "hand_settled"
    assert f"settled by the word of {ME}" in card
    assert "a person's word" in card
    assert house.call("status").json()["caps"][1]["free"] == free


def test_void(house: House) -> None:
    """What is dead and was not taken gives its money back, and says so."""
    house.enter(DEAD)
    assert house.call("status").json()["caps"][1]["free"] == "0.10"

    said = house.call("payments", "resolve", "pay_1", "--void", "--text")
    status = house.call("status").json()

    assert said.code == 0
    assert f"pay_1, $4.90 to blockrun, is void, by the word of {ME}." in said.out
    assert "counts no longer" in said.out
    assert (status["caps"][1]["free"], status["alerts"]) == ("5.00", [])


def test_void_while_it_is_alive(house: House) -> None:
    """What the seller can still take is not void: exit code 1, until when, and nothing changes."""
    house.enter(ALIVE)

    said = house.call("payments", "resolve", "pay_2", "--void")

    assert (said.code, said.out) == (1, "")
    assert "NOT resolved" in said.err
    assert "can still be taken for" in said.err
    assert "(20" in said.err
    assert house.call("payments", "show", "pay_2").json()["state"] == "unknown"


def test_one_of_several_authorizations(house: House) -> None:
    """One that was taken settles the payment; the others count on, and that is said."""
    house.enter(DEAD)
    with house.opened() as db:
        db.execute(
            "INSERT INTO hold SELECT 99, payment, wallet, zeroblob(32), valid_after, valid_before,"
            " lag_s, usd, state, scopes, terms, booked, evidence, chain, reserved_at FROM hold"
        )

    said = house.call("payments", "resolve", "pay_1", "--settled", TX).json()

    assert [a["state"] for a in said["payment"]["authorizations"]] == ["unknown", "settled"]
    assert "1 more of its authorizations" in said["meaning"]


@pytest.mark.parametrize(
    ("id_", "part"),
    [("pay_3", "it is settled"), ("pay_9", "no such payment"), ("\x1b[2J", "no such")],
)
def test_what_cannot_be_resolved(house: House, id_: str, part: str) -> None:
    """A payment that is known to be something else, or not known at all, is exit code 1."""
    house.enter(Entry("pay_3", "0.10", Evidence.RECEIPT, tx=TX))

    said = house.call("payments", "resolve", id_, "--settled", TX)

    assert (said.code, said.out) == (1, "")
    assert part in said.err
    assert "\x1b" not in said.err


def test_before_the_first_ledger(house: House) -> None:
    """Where there is no ledger there is no payment, and none is made."""
    said = house.call("payments", "resolve", "pay_1", "--void")

    assert (said.code, said.out) == (1, "")
    assert not house.state_dir.exists()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--void", "--settled", TX),
        ("--settled", TX[:-1]),
        ("--settled", "ab" * 32),
        ("--settled",),
    ],
)
def test_wrong_usage(house: House, words: tuple[str, ...]) -> None:
    """Exactly one of the two, and a transaction that is one: else exit code 2."""
    house.enter(DEAD)

    assert house.call("payments", "resolve", "pay_1", *words).code == 2
    assert house.call("payments", "show", "pay_1").json()["state"] == "unknown"


async def test_a_running_daemon_hears_of_it(house: House) -> None:
    """The room that a void payment leaves is there for the next request."""
    await asyncio.to_thread(house.enter, DEAD)

    async with house.daemon() as daemon:
        full = await daemon.buy()
        house.run("payments", "resolve", "pay_1", "--void")
        free = await daemon.buy()

    assert (full, free) == ((429, "cap_day"), (200, ""))
