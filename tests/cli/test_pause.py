"""`farebox pause` and `farebox resume`."""

from pathlib import Path

import aiohttp

from proxy.app import running
from proxy.sandbox import SandboxOptions, sandbox
from tests.cli.house import House, build

PORTRAIT = {"name": "Rachel", "image_url": "https://example.com/rachel.png"}


def test_pause_and_resume_without_a_daemon(house: House) -> None:
    """The switch is kept in the ledger, made for it if need be, with the reason."""
    said = house.run("pause", "--reason", "on holiday")
    status = house.run("status").json()

    assert (said.code, said.json()) == (0, {"paused": True, "pause_reason": "on holiday"})
    assert (status["paused"], status["pause_reason"]) == (True, "on holiday")
    assert "paused: on holiday" in house.run("status", "--text").out
    assert house.state_dir.stat().st_mode & 0o077 == 0

    assert house.run("resume").json() == {"paused": False, "pause_reason": None}
    assert not house.run("status").json()["paused"]


def test_pause_twice(house: House) -> None:
    """The last reason counts, and one `resume` is enough."""
    house.run("pause", "--reason", "one")
    house.run("pause")

    assert house.run("status").json()["pause_reason"] is None
    assert house.run("resume", "--text").code == 0
    assert not house.run("status").json()["paused"]


def test_switch_that_cannot_be_turned(house: House) -> None:
    """A switch that did not turn is exit code 1: nobody may believe that it did."""
    house.state_dir.write_text("a file where the directory should be")

    said = house.run("pause")

    assert (said.code, said.out) == (1, "")
    assert "NOT" in said.err


async def test_pause_stops_a_running_daemon_from_paying(tmp_path: Path) -> None:
    """From the moment that `pause` ends nothing is signed; after `resume` it is again."""
    house = build(tmp_path)
    async with sandbox(SandboxOptions()) as town, aiohttp.ClientSession() as client:
        text = house.config.read_text().replace("http://127.0.0.1:9/api", town.blockrun_url)
        house.config.write_text(text.replace("{env: CANARY}", "{file: wallet.key}"))
        url = f"http://127.0.0.1:{house.port}/v1/portrait/enroll"
        async with running(house.config):
            house.run("pause", "--reason", "enough")
            async with client.post(url, json=PORTRAIT) as answer:
                paused = answer.status, await answer.json()
            house.run("resume")
            async with client.post(url, json=PORTRAIT) as answer:
                resumed = answer.status

    assert paused[0] == 503
    assert paused[1]["error"]["code"] == "paused"
    assert "enough" in paused[1]["error"]["message"]
    assert resumed == 200
    assert len(town.facilitator.settled) == 1
