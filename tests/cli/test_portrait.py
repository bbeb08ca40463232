"""`farebox portrait`: the book of portraits, beside the real daemon on the sandbox."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import click
import pytest

from proxy.app import running
from proxy.cli import enrolling, verify
from proxy.cli.common import Settings
from proxy.cli.talk import Daemon
from proxy.sandbox import Sandbox, SandboxOptions, sandbox
from proxy.store import portraits
from proxy.store.portraits import Portrait
from tests.cli.house import API_KEY, House, Said, clean_environment, command
from tests.exchange.provider import Got, Provider, response
from tests.rig.process import ROOT, STOP_S

IMAGE = "https://example.com/rachel.jpg"
PUBLIC = "https://me.example"
OPTIONS = SandboxOptions(api_key=API_KEY, job_s=0, asset_s=0.05)


@dataclass
class Town:
    """A daemon in front of the three providers, and a phone."""

    house: House
    sandbox: Sandbox
    phone: aiohttp.ClientSession

    async def run(self, *words: str) -> Said:
        """Run `farebox portrait …` to its end."""
        return await asyncio.to_thread(self.house.run, "portrait", *words)

    async def scan(self, link: str, outcome: str = "real_time") -> int:
        """Open a link on the phone; the provider's page may send it on to the daemon."""
        mark = "&" if "?" in link else "?"
        url = f"{link}{mark}scan={outcome}"
        async with self.phone.get(url, allow_redirects=False) as answer:
            status, location = answer.status, answer.headers.get("Location", "")
        if not location.startswith(PUBLIC):
            return status
        local = location.replace(PUBLIC, f"http://127.0.0.1:{self.house.port}")
        host = PUBLIC.removeprefix("https://")
        async with self.phone.get(local, headers={"Host": host}) as answer:
            return answer.status

    async def verify(self, *words: str, look: Callable[[str], str | None]) -> Said:
        """Run `verify`; whenever `look` names an outcome for what is printed, the phone scans."""
        process = await asyncio.create_subprocess_exec(
            *command("portrait", "verify", *words, "--text", config=self.house.config),
            cwd=ROOT,
            env=clean_environment(self.house.directory) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        async with asyncio.timeout(STOP_S):
            async for line in process.stdout:
                lines.append(line.decode())
                if (outcome := look(lines[-1])) is not None:
                    assert await self.scan(lines[-1].strip(), outcome) in (200, 302)
            said = await process.stderr.read()
            code = await process.wait()
        return Said(code, "".join(lines), said.decode())


@pytest.fixture
async def town(house: House) -> AsyncIterator[Town]:
    """The three providers behind one daemon that a tunnel shows to the world."""
    async with opened(house) as found:
        yield found


@asynccontextmanager
async def opened(house: House, options: SandboxOptions = OPTIONS) -> AsyncIterator[Town]:
    """Open the town."""
    secret = house.directory / "api.key"
    secret.touch(mode=0o600)
    secret.write_text(API_KEY)
    async with sandbox(options) as site, aiohttp.ClientSession() as phone:
        key = {"bearer": {"file": str(secret)}}
        document = {
            "listen": f"127.0.0.1:{house.port}",
            "state_dir": "state",
            "public_url": PUBLIC,
            "wallet": {"key": {"file": "wallet.key"}},
            "caps": {"per_request": "1.00", "day": "1.00"},
            "providers": {
                "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
                "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key},
                "pomex": {"kind": "pomex", "base_url": site.pomex_url, "auth": key},
            },
        }
        house.config.write_text(json.dumps(document))
        async with running(house.config):
            yield Town(house, site, phone)


def links(outcomes: list[str]) -> Callable[[str], str | None]:
    """For each new link that is printed, what the phone makes of it."""
    left = list(outcomes)

    def look(line: str) -> str | None:
        is_link = re.fullmatch(r"http://\S+/h5/\S+", line.strip())
        return left.pop(0) if is_link and left else None

    return look


def test_no_portraits_yet(house: House) -> None:
    """Without a ledger the list is empty, and needs no daemon; to show one needs one."""
    assert house.call("portrait", "--text").out == "No portraits yet.\n"
    assert house.call("portrait", "list").json() == {"portraits": []}
    said = house.call("portrait", "show", "rachel")

    assert (said.code, said.out) == (1, "")
    assert "`farebox serve` starts it" in said.err


def test_list_for_people(house: House) -> None:
    """One line each; what a provider called it cannot move the cursor."""
    new = Portrait("pomex", "asset-1\x1b[2J", "rachel", "real", "group-1", "active", IMAGE)
    with house.opened() as db:
        portraits.enter(db, new, 1_000_000_000)
    header, line = house.call("portrait", "--text").out.splitlines()

    assert header.split() == ["NAME", "ID", "PROVIDER", "KIND", "STATUS", "WHEN"]
    assert line.split()[:5] == ["rachel", "asset-1?[2J", "pomex", "real", "active"]


@pytest.mark.parametrize("provider", ["blockrun", "sunra", "pomex"])
async def test_enrol_show_and_delete(town: Town, provider: str) -> None:
    """A portrait is enrolled, shown by its name, and deleted where the provider can."""
    said = await town.run("enroll", "rachel", IMAGE, "--provider", provider, "--text")
    shown = await town.run("show", "rachel", "--json")
    listed = await town.run("list", "--json")
    gone = await town.run("delete", "rachel", "--yes", "--text")

    assert said.code == 0, said.err
    (row,) = listed.json()["portraits"]
    assert said.out.splitlines()[-1].startswith("  paid: ") == (provider == "blockrun")
    assert f"rachel is {row['id']}\n" in said.out
    assert '"portrait": "rachel"' in said.out
    assert (row["status"], shown.json()["status"]) == ("active", "active")
    if provider == "sunra":
        assert (gone.code, gone.out) == (0, f"Deleted {row['id']}.\n")
    else:
        assert gone.code == 1
        assert "documents no call that deletes" in gone.err


async def test_names_and_caps_are_in_the_way(town: Town) -> None:
    """A taken name is exit code 1, a cap 3, and neither costs anything."""
    await town.run("enroll", "rachel", IMAGE)
    taken = await town.run("enroll", "rachel", IMAGE)
    small = await town.run("enroll", "ross", IMAGE, "--max-amount", "0.01")

    assert (taken.code, small.code) == (1, 3)
    assert "portrait_name_taken: " in taken.err
    assert "cap_call: " in small.err
    assert len(town.sandbox.facilitator.settled) == 1


async def test_a_portrait_is_asked_after_by_its_id() -> None:
    """What is enrolled is asked after by the id that was given out, as one segment of a path."""
    lines: list[str] = []

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        lines.append(got.line)
        status = "processing" if len(lines) == 1 else "active"
        body = {"asset_id": "a/1", "name": "sessions", "status": status}
        head = ("202 Accepted", ("Retry-After", "1")) if len(lines) == 1 else ("200 OK",)
        writer.write(response(*head, JSON, body=json.dumps(body).encode()))

    def enrol(url: str) -> int:
        wanted = {"name": "sessions", "image_url": IMAGE}
        with click.Context(click.Command("enroll")), pytest.raises(click.exceptions.Exit) as end:
            enrolling.enrol(Settings(None, json=True), Daemon(url, STOP_S), wanted, {})
        return end.value.exit_code

    async with Provider(script) as town:
        code = await asyncio.to_thread(enrol, town.url)

    assert code == 0
    assert lines == [
        "POST /v1/portrait/enroll HTTP/1.1",
        "GET /v1/portrait/a%2F1 HTTP/1.1",
    ]


async def test_who_stops_waiting_for_a_portrait(house: House) -> None:
    """Ctrl-C is exit code 130, and what is printed finds the portrait, whatever it is called."""
    words = ("portrait", "enroll", "ra chel;", IMAGE, "--provider", "sunra", "--text")
    async with opened(house, SandboxOptions(api_key=API_KEY, asset_s=3600)) as town:
        process = await asyncio.create_subprocess_exec(
            *command(*words, config=house.config),
            cwd=ROOT,
            env=clean_environment(house.directory) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(STOP_S):
            while b"processing" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, said = await process.communicate()
        (row,) = (await town.run("list", "--json")).json()["portraits"]

    assert process.returncode == 130
    assert said.decode() == f"Stopped waiting; it goes on: farebox portrait show {row['id']}\n"


async def test_a_name_that_is_no_text(town: Town) -> None:
    """Bytes that are not UTF-8 name no portrait, and nothing falls over them."""
    said = await town.run("show", "\udcff")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: bad_path: ")


@pytest.mark.parametrize("provider", ["blockrun", "sunra"])
@pytest.mark.parametrize("name", ["a/b", "..", "sessions"])
async def test_a_name_that_no_path_could_hold(town: Town, name: str, provider: str) -> None:
    """It is refused before anything is enrolled, with what a name may be."""
    said = await town.run("enroll", name, IMAGE, "--provider", provider)

    assert said.code == 1
    assert "bad_request: name is what the portrait is to be called: 1 to 64 " in said.err
    assert (await town.run("list", "--json")).json() == {"portraits": []}
    assert town.sandbox.facilitator.settled == []


def test_a_command_that_is_printed_can_be_pasted() -> None:
    """A name with a space or a sign of the shell's is quoted in it."""
    session = {"id": "ps_1", "name": "ra $(chel)", "group_id": "g"}

    assert verify._goes_on(session).endswith(
        " farebox portrait enroll 'ra $(chel)' IMAGE_URL --session ps_1"
    )


async def test_a_picture_that_fails(town: Town) -> None:
    """A portrait that the provider cannot use is exit code 1, with its id."""
    said = await town.run(
        "enroll", "rachel", "https://example.com/noface.jpg", "--provider", "pomex", "--text"
    )  # fmt: skip

    assert said.code == 1
    assert "rachel failed: " in said.out


async def test_nobody_to_be_asked(town: Town) -> None:
    """Without a terminal a portrait is deleted only if it is meant."""
    said = await town.run("delete", "rachel")

    assert said.code == 2
    assert "--yes" in said.err


@pytest.mark.parametrize("provider", ["blockrun", "pomex"])
async def test_verify_and_enrol(town: Town, provider: str) -> None:
    """The link is shown, a phone opens it, and the person's picture is enrolled."""
    said = await town.verify(
        "rachel", "--image", IMAGE, "--provider", provider, look=links(["real_time"])
    )
    (row,) = (await town.run("list", "--json")).json()["portraits"]

    assert said.code == 0, said.err
    assert "█" in said.out
    assert (row["name"], row["provider"], row["kind"]) == ("rachel", provider, "real")
    assert f"rachel is {row['id']}\n" in said.out


async def test_a_failed_scan_gets_a_new_link(town: Town) -> None:
    """After a failed scan another link is shown, and the second scan verifies."""
    outcomes = ["failed", "real_time"]
    said = await town.verify("rachel", "--provider", "pomex", look=links(outcomes))

    assert said.code == 0, said.err
    assert "The scan failed: " in said.out
    assert "rachel is verified (group group-" in said.out
    assert "--session ps_" in said.out


async def test_an_expired_link_is_replaced_on_the_same_group(house: House) -> None:
    """A link that ran out before anybody came is replaced, and the person keeps their group."""
    asked: list[str] = []

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if "/init" in got.line:
            asked.append(got.body.decode())
            link = f"https://kyc.example/{len(asked)}"
            begun = {"group_id": "tg_1", "h5_link": link, "expires_in_seconds": 1}
            writer.write(response("200 OK", JSON, body=json.dumps(begun).encode()))
        else:
            status = {"status": "active" if len(asked) > 1 else "pending_validation"}
            writer.write(response("200 OK", JSON, body=json.dumps(status).encode()))

    async with Provider(script) as provider:
        house.edit("http://127.0.0.1:9/api", f"{provider.url}/api")
        house.edit("{env: CANARY}", "{file: wallet.key}")
        async with running(house.config):
            said = await asyncio.to_thread(house.run, "portrait", "verify", "rachel", "--text")

    assert said.code == 0, said.err
    assert [json.loads(each) for each in asked] == [
        {"name": "rachel"},
        {"name": "rachel", "groupId": "tg_1"},
    ]
    assert "The link has expired. Here is a new one." in said.out
    assert "https://kyc.example/2" in said.out


JSON = ("Content-Type", "application/json")


async def test_who_stops_waiting_goes_on_later(town: Town) -> None:
    """Ctrl-C is exit code 130; the same command shows the same link again."""
    words = ("portrait", "verify", "rachel", "--provider", "pomex", "--text")
    found = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            *command(*words, config=town.house.config),
            cwd=ROOT,
            env=clean_environment(town.house.directory) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(STOP_S):
            async for line in process.stdout:
                if b"/h5/" in line:
                    found.append(line)
                    break
            process.send_signal(signal.SIGINT)
            _, said = await process.communicate()
        assert process.returncode == 130
        assert b"the same command goes on" in said
    assert found[0] == found[1]


async def test_a_callback_of_ones_own(town: Town) -> None:
    """With --callback the provider tells somebody else: the link is shown, and that is all."""
    said = await town.run(
        "verify", "rachel", "--provider", "pomex", "--callback", "https://own.example/cb", "--text"
    )  # fmt: skip

    assert said.code == 0, said.err
    assert "/h5/" in said.out
    assert "farebox portrait enroll --group" in said.out


async def test_programs_see_the_link_on_stderr(town: Town) -> None:
    """With --json stdout is kept for the session, and the link is told beside it."""
    own = "https://own.example/cb"
    said = await town.run("verify", "rachel", "--provider", "pomex", "--callback", own, "--json")

    assert said.json()["status"] == "pending"
    assert said.json()["h5_link"] in said.err


async def test_who_cannot_verify_says_so(town: Town) -> None:
    """Sunra documents no verification, and BlockRun takes no language: exit code 1."""
    none = await town.run("verify", "rachel", "--provider", "sunra")
    field = await town.run("verify", "rachel", "--provider", "blockrun", "--lang", "en")

    assert (none.code, field.code) == (1, 1)
    assert "method_not_allowed: " in none.err
    assert "field_not_supported: " in field.err


async def test_deleting_asks_on_a_terminal(town: Town) -> None:
    """On a terminal a person is asked, and anything but yes deletes nothing."""
    await town.run("enroll", "rachel", IMAGE, "--provider", "sunra")
    here, there = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command("portrait", "delete", "rachel", config=town.house.config),
        cwd=ROOT,
        env=clean_environment(town.house.directory),
        stdin=there,
        stderr=there,
    )
    os.write(here, b"n\n")
    async with asyncio.timeout(STOP_S):
        code = await process.wait()
    os.close(there)
    os.close(here)

    assert code == 1
    assert (await town.run("show", "rachel", "--json")).json()["status"] == "active"
