"""`farebox pause` and `farebox resume`."""

import sqlite3

import pytest

from proxy.clocks import machine_clocks
from proxy.core.clock import Anchor
from proxy.store.timekeeping import write_anchor
from tests.cli.house import House

CLOCKS = machine_clocks()


def test_pause_and_resume_without_a_daemon(house: House) -> None:
    """The switch is kept in the ledger, made for it if need be, with the reason."""
    said = house.run("pause", "--reason", "on holiday")
    status = house.run("status").json()

    assert said.code == 0
    assert (said.json()["paused"], said.json()["pause_reason"]) == (True, "on holiday")
    assert (status["paused"], status["pause_reason"]) == (True, "on holiday")
    assert "paused: on holiday" in house.run("status", "--text").out
    assert house.state_dir.stat().st_mode & 0o077 == 0

    assert house.run("resume").json() == {
        "paused": False,
        "pause_reason": None,
        "clock_accepted": False,
        "ledger": str(house.ledger),
        "warnings": [],
    }
    assert not house.run("status").json()["paused"]


def test_pause_twice(house: House) -> None:
    """The last reason counts, and one `resume` is enough."""
    house.run("pause", "--reason", "one")
    house.run("pause")

    assert house.run("status").json()["pause_reason"] is None
    assert house.run("resume", "--text").code == 0
    assert not house.run("status").json()["paused"]


def test_which_switch_was_turned(house: House) -> None:
    """The ledger is named, and one that no daemon has used yet is warned of, once."""
    first, second = house.run("pause").json(), house.run("pause").json()

    assert first["ledger"] == second["ledger"] == str(house.ledger)
    assert second["warnings"] == []
    (warning,) = first["warnings"]
    assert "is not there yet" in warning
    assert "another state_dir" in warning
    assert str(house.ledger) in house.run("pause", "--text").out
    house.ledger.unlink()
    assert "WARNING: " in house.run("pause", "--text").out


def test_switch_that_cannot_be_turned(house: House) -> None:
    """A switch that did not turn is exit code 1: nobody may believe that it did."""
    house.state_dir.write_text("a file where the directory should be")

    for verb in ("pause", "resume"):
        said = house.run(verb)

        assert (said.code, said.out) == (1, "")
        assert "NOT" in said.err


def test_resume_while_the_file_is_there(house: House) -> None:
    """The file PAUSE would turn the switch on again: it is to be removed first."""
    house.run("pause", "--reason", "one")
    file = house.state_dir / "PAUSE"
    file.touch()

    said = house.run("resume")

    assert (said.code, said.out) == (1, "")
    assert f"{file} is there; remove it" in said.err
    assert house.run("status").json()["pause_reason"] == "one"
    file.unlink()
    assert house.run("resume").code == 0


@pytest.mark.parametrize("value", ["true", "'audit'"])
def test_resume_while_the_config_says_paused(house: House, value: str) -> None:
    """So would the config: the key is named, with its line."""
    house.run("pause")
    with house.config.open("a") as config:
        config.write(f"paused: {value}\n")

    said = house.run("resume")

    assert (said.code, said.out) == (1, "")
    assert f"`paused` ({house.config}, line 9)" in said.err
    assert house.run("status").json()["paused"]


async def test_pause_stops_a_running_daemon_from_paying(house: House) -> None:
    """From the moment that `pause` ends nothing is signed; after `resume` it is again."""
    async with house.daemon() as daemon:
        house.run("pause", "--reason", "enough")
        paused = await daemon.buy()
        house.run("resume")
        resumed = await daemon.buy()

    assert (paused, resumed) == ((503, "paused"), (200, ""))


@pytest.mark.skipif(not CLOCKS.boot_id, reason="the system hides which boot this is")
async def test_clock_that_jumped(house: House) -> None:
    """A running daemon that signs nothing since its clock jumped goes on once it is accepted."""
    with house.opened() as db:
        _jump(db, 1000)

    async with house.daemon() as daemon:
        jumped = await daemon.buy()
        resumed = house.run("resume").json()["warnings"], await daemon.buy()
        accepted = house.run("resume", "--accept-clock").json(), await daemon.buy()

    assert jumped == (503, "ledger_unavailable")
    assert ["the clock has jumped" in warning for warning in resumed[0]] == [True]
    assert resumed[1] == (503, "ledger_unavailable")
    assert accepted[0]["warnings"] == []
    assert accepted[0]["clock_accepted"]
    assert accepted[1] == (200, "")


def _jump(db: sqlite3.Connection, seconds: int) -> None:
    """Leave an anchor by which the wall clock has jumped since."""
    wall, uptime = CLOCKS.wall(), CLOCKS.uptime()
    write_anchor(db, Anchor(CLOCKS.boot_id, uptime, wall - seconds, wall))
