"""`farebox status`, without a daemon and with one."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from proxy import __version__
from proxy.app import running
from proxy.core.ledger import Evidence
from proxy.store import Memory
from proxy.store.memory import remember
from tests.cli.house import ADDRESS, DAY_S, Entry, House

CLIENTS = f"clients: [{{name: me, token_sha256: '{'0' * 64}'}}]\n"
"""With clients everything but the health paths wants a token, and so does listening widely."""


def test_before_anything_was_paid(house: House) -> None:
    """Without a ledger everything is free, nothing runs, and no file is made."""
    found = house.run("status").json()

    assert found["daemon"] == {"running": False, "address": None, "version": None}
    assert (found["wallet"], found["paused"], found["spent"]) == (ADDRESS, False, "0.00")
    assert [(c["window"], c["limit"], c["free"]) for c in found["caps"]] == [
        ("per_request", "1.00", "1.00"),
        ("day", "5.00", "5.00"),
    ]
    assert set(found["payments"].values()) == {0}
    assert "Nothing was paid yet." in house.run("status", "--text").out
    assert not house.state_dir.exists()


def test_what_was_spent(house: House) -> None:
    """Settled and unknown both count; the unknown is called out with its reason."""
    house.enter(
        Entry("pay_1", "0.50", Evidence.RECEIPT, age_s=60, tx="0x01"),
        Entry("pay_2", "0.25", Evidence.NO_RECEIPT, age_s=30, note="the line went dead"),
    )

    found = house.run("status").json()
    text = house.run("status", "--text").out

    assert (found["payments"]["settled"], found["payments"]["unknown"]) == (1, 1)
    assert found["spent"] == "0.50"
    assert found["caps"][1] == {
        "scope": "all",
        "window": "day",
        "limit": "5.00",
        "settled": "0.50",
        "live": "0.25",
        "free": "4.25",
    }
    assert [p["id"] for p in found["unknown"]] == ["pay_2"]
    assert "UNKNOWN" in text
    assert "the line went dead" in text
    assert "Payments: 1 unknown, 1 settled; $0.50 settled in all." in text


def test_what_died_while_no_daemon_ran(house: House) -> None:
    """An authorization that died long ago has left the day, though no daemon has booked it."""
    house.enter(
        Entry("pay_1", "0.50", Evidence.RECEIPT, age_s=2 * DAY_S),
        Entry("pay_2", "0.25", Evidence.NO_RECEIPT, age_s=DAY_S // 2),
    )

    day = house.run("status").json()["caps"][1]

    assert (day["settled"], day["live"], day["free"]) == ("0.25", "0.00", "4.75")
    with closing(sqlite3.connect(house.state_dir / "ledger.sqlite3")) as db:
        assert db.execute("SELECT max(booked) FROM hold WHERE payment = 'pay_2'").fetchone() == (0,)


def test_alerts_come_first(house: House) -> None:
    """What waits for a person is the first thing that is said, loudly and with its age."""
    assert house.run("status").json()["alerts"] == []
    house.enter(Entry("pay_1", "0.25", Evidence.NO_RECEIPT, age_s=30))
    house.run("pause", "--reason", "\x1b[31mred")

    found = house.run("status").json()
    lines = house.run("status", "--text").out.splitlines()

    assert next(iter(found)) == "alerts"
    assert [alert["code"] for alert in found["alerts"]] == ["paused", "payment_unknown"]
    assert set(found["alerts"][0]) == {"code", "message", "since"}
    assert found["alerts"][1]["since"] == found["unknown"][0]["created_at"]
    assert lines[0].startswith("ALERT paused since 20")
    assert lines[0].endswith("?[31mred")
    assert lines[1].startswith("ALERT payment_unknown since 20")
    assert "pay_1" in lines[1]


@pytest.mark.parametrize("is_over", [False, True])
def test_a_job_whose_payment_is_unknown(house: House, *, is_over: bool) -> None:
    """To watch a job to its end is what helps; one that is over does not help any more."""
    house.enter(Entry("pay_1", "0.25", Evidence.NO_RECEIPT))
    answer = b"{}" if is_over else None
    with house.opened() as db:
        job = Memory("azure:a b", "job", "blockrun", payment="pay_1", answer=answer)
        remember(db, [job], 1)

    status = house.call("status", "--text").out
    checks = house.call("doctor").json()["checks"]
    (todo,) = (check["todo"] for check in checks if check["check"] == "payment_unknown")

    advice = "farebox jobs watch 'azure:a b'"
    assert (advice in status, todo.startswith(advice)) == (not is_over, not is_over)
    assert "farebox payments resolve ID" in status
    assert todo.endswith("farebox payments resolve ID")


@pytest.mark.parametrize(("file", "part"), [(True, "file PAUSE"), (False, "config")])
def test_switches_that_no_daemon_has_met_yet(house: House, *, file: bool, part: str) -> None:
    """The file PAUSE and the config's own switch count before a daemon has written them down."""
    if file:
        house.state_dir.mkdir()
        (house.state_dir / "PAUSE").touch()
    else:
        with house.config.open("a") as config:
            config.write("paused: true\n")

    found = house.call("status").json()

    assert found["paused"]
    assert part in found["pause_reason"]


def test_wallet_that_cannot_be_opened(house: House) -> None:
    """The books can be read without the key: what is wrong with it is said in its place."""
    (house.directory / "wallet.key").unlink()

    said = house.run("status")

    assert said.code == 0
    assert said.json()["wallet"] is None
    assert "no such file" in said.json()["wallet_problem"]
    assert "no such file" in house.run("status", "--text").out


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "0.0.0.0:{port}", "unix:{directory}/door"])
async def test_a_running_daemon(house: House, listen: str) -> None:
    """A daemon is found where the config has it listen, and missed once it is gone."""
    where = listen.format(port=house.port, directory=house.directory)
    text = house.config.read_text().replace(f"127.0.0.1:{house.port}", where)
    house.config.write_text(text.replace("{env: CANARY}", "{file: wallet.key}") + CLIENTS)

    async with running(house.config):
        found = (await asyncio.to_thread(house.run, "status")).json()

    shown = where if where.startswith("unix:") else f"http://{where}"
    assert found["daemon"] == {"running": True, "address": shown, "version": __version__}
    assert found["wallet"] == ADDRESS
    assert not house.run("status").json()["daemon"]["running"]


def test_config_that_cannot_be_used(house: House) -> None:
    """A broken config is exit code 2, with the place in it."""
    house.config.write_text("caps: {per_request: 1}\n")

    said = house.run("status")

    assert (said.code, said.out) == (2, "")
    assert "caps.per_request" in said.err
