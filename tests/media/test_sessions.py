"""Real people through the whole daemon: sessions, scans, callbacks, and the enrolments after them.

The providers are the sandbox's, except where they lie; the clock is one for all of them. A
provider's redirect goes to the public URL: a tunnel is played by calling the daemon with its host.
"""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
import segno
from eth_account import Account

from proxy.media.verification import qr_svg
from proxy.store import schema
from tests.exchange.conftest import SECRET, House, house, until, write_config
from tests.exchange.provider import Got, Provider, Script, response
from tests.media.town import PUBLIC, SESSIONS, Street, parts_for, street
from tests.sellers.daemon import Daemon, write_key
from tests.store.books import Clock

IMAGE = "https://example.com/face.jpg"
ENROL = "/v1/portrait/enroll"
INIT = ("POST", "/api/v1/realface/init")
NATIVE = ("POST", "/v1/video/assets/sessions")
SUNRA_MODEL = {"model": "bytedance/seedance-2.0-relay"}
POMEX = {"Farebox_Provider": "pomex"}
PRICES = [{"path": "/v1/video/assets/sessions", "usd": "0.50"}]
LINK_S = {"blockrun": 120, "pomex": 1800}


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Street]:
    """The daemon in front of the three providers, by the machine's clock."""
    async with street(tmp_path) as found:
        yield found


def status_call(session: Any) -> tuple[str, str]:
    """BlockRun's question after a person."""
    return "GET", f"/api/v1/realface/status?groupId={session['group_id']}"


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    """A refusal's status and code."""
    return answer[0], answer[1]["error"]["code"]


def result(**changes: str | None) -> str:
    """The query of the document's redirect, with changes; None leaves a parameter out."""
    words: dict[str, str | None] = {
        "resultCode": "10000",
        "group_id": "group-20260619145855-snq4q",
        "verify_type": "real_time",
        "algorithmBaseRespCode": "0",
        "reqMeasureInfoValue": "1",
        **changes,
    }
    return "&".join(f"{name}={value}" for name, value in words.items() if value is not None)


# What tries to break it.


FORGED = [
    (result(resultCode=None), 400),
    (result(resultCode=""), 400),
    ("", 400),
    ("resultCode", 400),
    (result() + "&resultCode=10000", 400),
    (result() + "&group_id=group-2", 400),
    (result() + "&verify_type=real_time", 400),
    (result() + "&resultCode=60000", 400),
    (result(group_id=None), 400),
    (result(group_id=""), 400),
    (result(group_id="x" * 129), 400),
    (result(group_id="a%20b"), 400),
    (result(group_id="a%00"), 400),
    (result(group_id="%22%3E%3Cscript%3Ealert(1)%3C/script%3E"), 400),
    (result(group_id="gr%C3%B6up"), 400),
    (result() + "&x=" + "&x".join(f"{n}=1" for n in range(40)), 400),
]


@pytest.mark.parametrize(("query", "status"), FORGED)
async def test_query_that_is_no_result(town: Street, query: str, status: int) -> None:
    """It is a 400 that uses nothing up: the true result is taken after it."""
    session = await town.open()
    landing = await town.scan(session)
    forged = await town.land(f"{urlsplit(landing).path}?{query}")
    assert forged.status == status
    assert (await town.show(session))["status"] == "pending"
    assert (await town.land(landing)).status == 200
    assert (await town.show(session))["status"] == "verified"


FAILURES = [
    (result(resultCode="60000", algorithmBaseRespCode="7"), "result 60000, detail 7"),
    (result(resultCode="010000"), "result 010000, detail 0"),
    (result(resultCode="10000%20"), "result 10000?, detail 0"),
    (result(resultCode="%EF%BC%91", algorithmBaseRespCode=None), "result ?"),
    (result(resultCode="%3Cb%3E%22'%0d%0aX:"), "result ?b?X:, detail 0"),
    (result(resultCode="x" * 999, algorithmBaseRespCode=""), f"result {'x' * 40}"),
    (result(verify_type="pre_record"), "the scan was a recording, and a live one is needed"),
    (result(verify_type="%20PRE_RECORD", group_id=None), "the scan was a recording, and a live"),
]


@pytest.mark.parametrize(("query", "reason"), FAILURES)
async def test_scan_that_fails(town: Street, query: str, reason: str) -> None:
    """The session says why, in harmless words; the state is used up, and a new link is to be had.

    No group is recorded, whatever stands beside the failure.
    """
    session = await town.open()
    path = urlsplit(await town.scan(session)).path
    page = await town.land(f"{path}?{query}")
    assert (page.status, reason in page.text) == (200, True)
    shown = await town.show(session)
    assert (shown["status"], "group_id" in shown) == ("failed", False)
    assert shown["reason"].startswith(reason)
    assert (await town.land(f"{path}?{result()}")).status == 404
    again = await town.open()
    assert (again["id"], again["status"], "reason" in again) == (session["id"], "pending", False)
    assert again["h5_link"] != session["h5_link"]
    await town.verify(again)
    assert (await town.show(session))["status"] == "verified"


async def test_states_that_are_not_good(tmp_path: Path) -> None:
    """Unknown, used, expired and malformed ones get one and the same answer."""
    clock = Clock()
    async with street(tmp_path, clock) as town:
        used = await town.scan(await town.open("used"))
        assert (await town.land(used)).status == 200
        expired = await town.scan(await town.open("late"))
        clock.now += LINK_S["pomex"] + 600
        path = urlsplit(expired).path
        others = [
            f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}",
            f"{path}A",
            path[:-1],
            "/v1/portrait/callback/",
            "/v1/portrait/callback/..%3bx/y",
            f"{path}/",
            f"{path}/x",
        ]
        pages = [await town.land(used), await town.land(expired)]
        pages += [await town.land(f"{other}?{result()}") for other in others]
        assert {page.status for page in pages} <= {400, 404}
        told = {page.text for page in pages if page.status == 404}
        assert len(told) == 1
        assert sum(page.status == 404 for page in pages) >= 8
        for page in pages:
            page.headers.pop("Date", None)  # type: ignore[attr-defined]
        assert len({str(page.headers) for page in pages if page.status == 404}) == 1


async def test_scan_that_ends_after_its_link(tmp_path: Path) -> None:
    """Who opened the link in its last minute is verified, though the session reads expired."""
    clock = Clock()
    async with street(tmp_path, clock) as town:
        session = await town.open()
        landing = await town.scan(session)
        clock.now += LINK_S["pomex"]
        assert (await town.show(session))["status"] == "expired"
        clock.now += 599
        assert (await town.land(landing)).status == 200
        assert (await town.show(session))["status"] == "verified"


async def test_result_that_comes_many_times_at_once(town: Street) -> None:
    """One is taken; the others find the state used."""
    session = await town.open()
    landing = await town.scan(session)
    pages = await asyncio.gather(*(town.land(landing) for _ in range(20)))
    assert sorted(page.status for page in pages) == [200] + [404] * 19
    assert (await town.show(session))["status"] == "verified"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_at_the_callback(town: Street, method: str) -> None:
    """They are refused at the door, and no provider hears of them."""
    session = await town.open()
    landing = await town.scan(session)
    asked = town.asked()
    assert (await town.land(landing, method)).status == 421
    port = f"127.0.0.1:{town.house.port}"
    page = await town.land(landing, method, host=port)
    assert (page.status, page.headers["Allow"]) == (405, "GET")
    assert town.asked() == asked
    assert (await town.show(session))["status"] == "pending"


async def test_stranger_with_the_public_name(town: Street) -> None:
    """The callback is all that the public name leads to; any other name leads nowhere."""
    session = await town.open()
    landing = await town.scan(session)
    for path in (SESSIONS, f"{SESSIONS}/{session['id']}", "/v1/portrait", "/-/status", "/"):
        assert (await town.land(path)).status == 421
    assert (await town.land(landing, host="evil.example")).status == 421
    assert (await town.land(landing, Sec_Fetch_Site="cross-site")).status == 200


async def test_page_that_a_phone_gets(town: Street) -> None:
    """It is small, keeps to itself, is kept by nobody, and shows nothing of anybody."""
    session = await town.open("Rachel <b>")
    landing = await town.scan(session)
    good = await town.land(landing)
    bad = await town.land(landing)
    curious = await town.land(urlsplit(landing).path)
    assert [page.status for page in (good, bad, curious)] == [200, 404, 400]
    group = dict(parse_qsl(urlsplit(landing).query))["group_id"]
    for page in (good, bad, curious):
        head = page.headers
        assert head["Content-Type"] == "text/html; charset=utf-8"
        policy = head["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "script-src" not in policy
        assert (head["Referrer-Policy"], head["Cache-Control"]) == ("no-referrer", "no-store")
        assert head["X-Content-Type-Options"] == "nosniff"
        assert len(page.text) < 2000
        for word in ("Rachel", group, urlsplit(landing).path.rsplit("/", 1)[1], "<script"):
            assert word not in page.text


async def test_ledger_that_cannot_be_written(town: Street) -> None:
    """The phone is told to try again, and then it works: the state was not used up."""
    session = await town.open()
    landing = await town.scan(session)
    path = town.house.config.parent / "state" / schema.FILE_NAME
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE session RENAME TO elsewhere")
        page = await town.land(landing)
        assert (page.status, "Retry-After" in page.headers) == (503, True)
        assert code_of(await town.call("POST", SESSIONS, {"name": "x"}, **POMEX)) == (
            503,
            "ledger_unavailable",
        )
        db.execute("ALTER TABLE elsewhere RENAME TO session")
    assert (await town.land(landing)).status == 200
    assert (await town.show(session))["status"] == "verified"


async def test_two_links_of_one_person(tmp_path: Path) -> None:
    """Both live for a while; the first success ends them all."""
    clock = Clock()
    async with street(tmp_path, clock) as town:
        first = await town.open()
        landing = await town.scan(first)
        clock.now += LINK_S["pomex"]
        second = await town.open()
        assert second["id"] == first["id"]
        newer = await town.scan(second)
        assert (await town.land(landing)).status == 200
        shown = await town.show(first)
        assert shown["status"] == "verified"
        assert (await town.land(newer)).status == 404
        assert await town.show(first) == shown


@pytest.mark.parametrize("provider", ["blockrun", "pomex"])
async def test_two_at_once(town: Street, provider: str) -> None:
    """They get the same session, for one call; in whatever case the name is written."""
    names = ["Rachel", "rachel", "RACHEL"] * 5
    found = await asyncio.gather(*(town.open(name, provider) for name in names))
    assert len({(each["id"], each["h5_link"]) for each in found}) == 1
    assert len(town.asked()) == 1


async def test_client_that_hangs_up(town: Street) -> None:
    """The session is made nevertheless, and whoever asks again finds it."""
    path = f"{SESSIONS}?fault=slow&fault_s=0.5"
    first = asyncio.create_task(town.call("POST", path, {"name": "rachel"}, **POMEX))
    await until(lambda: _later(town.asked()), bool)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    session = await town.open()
    assert session["status"] == "pending"
    assert len(town.asked()) == 1
    await town.verify(session)


async def _later(found: Any) -> Any:
    await asyncio.sleep(0.01)
    return found


async def test_daemon_that_is_killed(tmp_path: Path) -> None:
    """A session that was begun before is finished after; its secret is neither on disk nor told."""
    home, unused = tmp_path / "home", tmp_path / "unused"
    home.mkdir()
    unused.mkdir()
    async with street(unused) as town, aiohttp.ClientSession() as client:
        write_key(home, payer := Account.from_key("0x" + "11" * 32))
        secret = home / "provider.key"
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
        wallet = {"key": {"file": str(home / "wallet.key")}}
        config = {"state_dir": str(home / "state"), "wallet": wallet, **parts_for(town.sandbox)}
        daemon = Daemon(home, payer, config, client)
        await daemon.start()
        begun = {}
        for provider in ("pomex", "blockrun"):
            named = {"Farebox-Provider": provider}
            answer = await daemon.ask("POST", SESSIONS, json={"name": provider}, headers=named)
            begun[provider] = answer.json
        landing = await town.scan(begun["pomex"])
        state = urlsplit(landing).path.rsplit("/", 1)[1]
        await daemon.ask("GET", urlsplit(landing).path)
        await daemon.ask("GET", f"/api{urlsplit(landing).path}", headers={"Host": "evil.example"})
        daemon.kill()
        await town.scan(begun["blockrun"])
        await daemon.start()
        target = landing.removeprefix(PUBLIC)
        answer = await daemon.ask("GET", target, headers={"Host": "me.example"})
        assert answer.status == 200
        for session in begun.values():
            shown = (await daemon.ask("GET", f"{SESSIONS}/{session['id']}")).json
            assert (shown["status"], shown["name"]) == ("verified", session["name"])
        metrics = (await daemon.ask("GET", "/metrics")).body
        await daemon.stop()
        log = daemon.log.read_text()
        disk = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert "/v1/portrait/callback/…" in json.loads(f'"{_paths(log)}"')
        assert state.encode() not in disk + log.encode() + metrics


def _paths(log: str) -> str:
    return " ".join(re.findall(r'"path": ?"([^"]*)"', log))


LINKS: list[Any] = [
    None,
    5,
    "",
    "javascript:alert(1)",
    "ftp://x.example/y",
    "//x.example/y",
    "https://",
    "https://[",
    "https://x.example/a b",
    "https://x.example/\n",
    "https://x.example/é",
    "https://x.example/" + "a" * 2000,
    ["https://x.example"],
]


def tells(answer: Any, status: str = "200 OK") -> Script:
    """A provider that answers everything alike, in JSON."""
    body = json.dumps(answer).encode()
    said = response(status, ("Content-Type", "application/json"), body=body)

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    return script


def one(kind: str, url: str) -> dict[str, Any]:
    """The parts of a config with one provider."""
    auth = {"auth": {"bearer": {"file": "provider.key"}}} if kind == "pomex" else {"pay": {}}
    provider = {"kind": kind, "base_url": url, **auth}
    return {"providers": {kind: provider}, "default_provider": kind, "public_url": PUBLIC}


@asynccontextmanager
async def begun(
    folder: Path, kind: str, script: Script, clock: Clock | None = None, **more: Any
) -> AsyncIterator[tuple[House, Provider]]:
    """A daemon in front of one scripted provider; `more` goes into its config."""
    async with Provider(script) as provider:
        parts = one(kind, provider.url)
        parts["providers"][kind] |= more
        config = write_config(folder, **parts)
        async with house(config, None if clock is None else clock.clocks) as at:
            yield at, provider


async def post(at: House, name: str) -> tuple[int, Any]:
    """Ask for a session."""
    async with at.client.post(at.url + SESSIONS, json={"name": name}) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("kind", ["blockrun", "pomex"])
@pytest.mark.parametrize("link", LINKS)
async def test_provider_that_gives_no_link(tmp_path: Path, kind: str, link: Any) -> None:
    """Its answer goes through as it came, and there is no session."""
    said = {"h5_link": link, "group_id": "tg_1", "status": "pending"}
    async with begun(tmp_path, kind, tells(said)) as (at, _):
        assert await post(at, "rachel") == (200, said)
        async with at.client.get(at.url + SESSIONS) as answer:
            assert (await answer.json())["sessions"] == []


@pytest.mark.parametrize("group", [None, 5, "", "a b", "x" * 129, "é", {"id": "tg_1"}])
async def test_blockrun_without_a_group(tmp_path: Path, group: Any) -> None:
    """Nobody could be asked after: its answer goes through as it came."""
    said = {"h5_link": "https://x.example/h5", "group_id": group}
    async with begun(tmp_path, "blockrun", tells(said)) as (at, _):
        assert await post(at, "rachel") == (200, said)


@pytest.mark.parametrize("said_s", [None, "120", True, -5, 0, 10**9, 1.5])
async def test_lifetimes_that_make_no_sense(tmp_path: Path, said_s: Any) -> None:
    """The documented one counts."""
    said = {"h5_link": "https://x.example/h5", "group_id": "tg_1", "expires_in_seconds": said_s}
    clock = Clock()
    async with begun(tmp_path, "blockrun", tells(said), clock) as (at, _):
        _, session = await post(at, "rachel")
        assert session["expires_at"] == int(clock.now) + 120


NO_NEWS: list[tuple[str, Any]] = [
    ("200 OK", {"status": "pending_validation", "ready_to_finalize": False}),
    ("200 OK", {"status": "pending_validation", "ready_to_finalize": "true"}),
    ("200 OK", {"status": ["active"], "ready_to_finalize": 1}),
    ("200 OK", ["active"]),
    ("429 Too Many Requests", {"status": "active", "ready_to_finalize": True}),
    ("503 Service Unavailable", {"status": "active"}),
    ("404 Not Found", {"status": "active"}),
    ("402 Payment Required", {"status": "active"}),
]


@pytest.mark.parametrize(("status", "said"), NO_NEWS)
async def test_answers_that_verify_nobody(tmp_path: Path, status: str, said: Any) -> None:
    """They are no news: the session is pending, and nobody is enrolled or paid for."""
    opened = {"h5_link": "https://x.example/h5", "group_id": "tg_1"}

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        answer = tells(opened) if "/init" in got.line else tells(said, status)
        await answer(got, writer)

    async with begun(tmp_path, "blockrun", script) as (at, provider):
        _, session = await post(at, "rachel")
        async with at.client.get(f"{at.url}{SESSIONS}/{session['id']}") as answer:
            assert (await answer.json())["status"] == "pending"
        body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
        async with at.client.post(at.url + ENROL, json=body) as answer:
            assert code_of((answer.status, await answer.json())) == (409, "portrait_not_verified")
        assert await at.payments() == []
    assert not any("enroll" in got.line for got in provider.got)


async def test_provider_that_breaks_off(tmp_path: Path) -> None:
    """While somebody is asked after that is no news either; at the beginning it is told."""
    opened = {"h5_link": "https://x.example/h5", "group_id": "tg_1"}
    broken = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if broken.is_set():
            writer.close()
        else:
            await tells(opened)(got, writer)

    async with begun(tmp_path, "blockrun", script) as (at, _):
        _, session = await post(at, "rachel")
        broken.set()
        async with at.client.get(f"{at.url}{SESSIONS}/{session['id']}") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "pending")
        assert code_of(await post(at, "tom")) == (502, "upstream_unreachable")


async def test_refusal_of_our_own_while_asking(tmp_path: Path) -> None:
    """It is told: a call that a cap forbids is not made."""
    script = tells({"h5_link": "https://x.example/h5"})
    async with begun(tmp_path, "pomex", script, prices=PRICES) as (at, _):
        await at.reconfigure(caps={"per_request": "1.00", "day": "0.60"})
        for paid in (True, False):
            async with at.client.post(at.url + SESSIONS, json={"name": "rachel"}) as answer:
                assert (answer.status, "Farebox-Payment" in answer.headers) == (200, paid)
        assert code_of(await post(at, "tom")) == (429, "cap_day")
        assert [payment["usd"] for payment in await at.payments()] == ["0.50"]


async def test_ledger_that_breaks_while_a_link_is_made(tmp_path: Path) -> None:
    """One that was paid for is handed over as it came; one that was free is had again."""
    said = {"h5_link": "https://x.example/h5"}
    path = tmp_path / "state" / schema.FILE_NAME

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("DROP TABLE session_state")
        await tells(said)(got, writer)

    async with begun(tmp_path, "pomex", script, prices=PRICES) as (at, _):
        assert await post(at, "rachel") == (200, said)
        assert [payment["usd"] for payment in await at.payments()] == ["0.50"]
    free = tmp_path / "free"
    free.mkdir()
    path = free / "state" / schema.FILE_NAME
    async with begun(free, "pomex", script) as (at, _):
        assert code_of(await post(at, "rachel")) == (503, "ledger_unavailable")


# What it is for.


async def test_blockrun(town: Street) -> None:
    """A link, a scan, and an enrolment that names the session; one payment in all."""
    session = await town.open(provider="blockrun")
    expected = {
        "object": "portrait.session",
        "provider": "blockrun",
        "name": "rachel",
        "status": "pending",
        "expires_at": session["created_at"] + 120,
    }
    assert expected.items() <= session.items()
    assert re.fullmatch("ps_[0-9a-f]{20}", session["id"])
    assert session["h5_link"] == session["provider_response"]["h5_link"]
    assert session["group_id"] == session["provider_response"]["group_id"]
    assert session["qr_svg"] == qr_svg(session["h5_link"])
    assert (await town.show(session))["status"] == "pending"
    await town.verify(session)
    shown = await town.show(session)
    assert (shown["status"], shown["id"]) == ("verified", session["id"])
    assert shown["provider_response"] == {"status": "active", "ready_to_finalize": True}
    asked = town.asked()
    assert asked == [INIT, status_call(session), status_call(session)]
    assert (await town.show(session)) == shown
    assert town.asked() == asked
    body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
    status, portrait = await town.call("POST", ENROL, body)
    assert (status, portrait["object"]) == (200, "realface")
    assert portrait["group_id"] == session["group_id"]
    assert town.settled == [500_000]
    _, book = await town.call("GET", "/v1/portrait/rachel")
    assert (book["kind"], book["group_id"]) == ("real", session["group_id"])


async def test_pomex(town: Street) -> None:
    """The phone's redirect brings the group, and the session is enrolled by it, key and all."""
    session = await town.open(lang="en")
    assert "group_id" not in session
    assert session["expires_at"] == session["created_at"] + 1800
    (call,) = [seen for seen in town.sandbox.requests if seen.method == "POST"]
    told = json.loads(call.body)
    assert told.pop("callback_url").startswith(f"{PUBLIC}/v1/portrait/callback/")
    assert told == {"lang": "en"}
    assert call.header("Authorization") == f"Bearer {SECRET}"
    assert (await town.show(session))["status"] == "pending"
    await town.verify(session)
    shown = await town.show(session)
    assert shown["status"] == "verified"
    body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
    status, portrait = await town.call("POST", ENROL, body, Prefer="respond-async")
    assert (status, portrait["object"], portrait["provider"]) == (202, "realface", "pomex")
    assert portrait["group_id"] == shown["group_id"]
    assert len(town.asked("blockrun")) == 0


async def test_client_that_waits_for_the_callback(town: Street) -> None:
    """It is answered when the phone has landed, without a question to anybody."""
    session = await town.open()
    waits = [asyncio.create_task(town.show(session, Prefer="wait=600")) for _ in range(3)]
    await until(town.house.connections, lambda count: count >= 3)
    await town.verify(session)
    async with asyncio.timeout(10):
        shown = await asyncio.gather(*waits)
    assert {each["status"] for each in shown} == {"verified"}
    assert town.asked() == [NATIVE]


async def test_client_that_waits_while_a_scan_fails(town: Street) -> None:
    """It is answered at once: there is nothing more to wait for."""
    session = await town.open()
    waiting = asyncio.create_task(town.show(session, Prefer="wait=600"))
    await until(town.house.connections, lambda count: count >= 1)
    await town.land(await town.scan(session, "failed"))
    async with asyncio.timeout(10):
        assert (await waiting)["status"] == "failed"


async def test_wait_that_runs_out(town: Street) -> None:
    """The session is shown as it is."""
    session = await town.open()
    assert (await town.show(session, Prefer="wait=1"))["status"] == "pending"


@pytest.mark.parametrize("provider", ["blockrun", "pomex"])
async def test_refresh(tmp_path: Path, provider: str) -> None:
    """A link that lives is given again; after it a new one, under the same id and group."""
    clock = Clock()
    async with street(tmp_path, clock) as town:
        first = await town.open(provider=provider)
        clock.now += LINK_S[provider] - 1
        assert await town.open("RACHEL", provider) == first
        assert len(town.asked()) == 1
        clock.now += 1
        assert (await town.show(first))["status"] == "expired"
        second = await town.open(provider=provider)
        assert (second["id"], second["status"]) == (first["id"], "pending")
        assert second["h5_link"] != first["h5_link"]
        assert second.get("group_id") == first.get("group_id")
        assert second["expires_at"] == first["expires_at"] + LINK_S[provider]
        begun = [s for s in town.sandbox.requests if (s.method, s.path) in (INIT, NATIVE)]
        assert len(begun) == 2
        if provider == "blockrun":
            sent = {"name": "rachel", "groupId": first["group_id"]}
            assert json.loads(begun[1].body) == sent
        await town.verify(second)
        assert (await town.show(first))["status"] == "verified"
        clock.now += 10_000
        assert (await town.open(provider=provider))["status"] == "verified"
        assert len([s for s in town.sandbox.requests if (s.method, s.path) in (INIT, NATIVE)]) == 2


async def test_scan_that_nobody_looked_after(tmp_path: Path) -> None:
    """Who asks for a new link hears that the person is verified, and they are not scanned again."""
    clock = Clock()
    async with street(tmp_path, clock) as town:
        session = await town.open(provider="blockrun")
        await town.verify(session)
        clock.now += 1000
        again = await town.open(provider="blockrun")
        assert (again["id"], again["status"]) == (session["id"], "verified")
        assert town.asked() == [INIT, status_call(session)]


async def test_group_that_blockrun_does_not_know_any_more(tmp_path: Path) -> None:
    """Its 404 goes through; the next link begins anew, with a group of its own."""
    clock = Clock()
    async with begun(tmp_path, "blockrun", _forgetful(), clock) as (at, _):
        found = []
        for _ in range(3):
            found.append(await post(at, "rachel"))
            clock.now += 120
    assert [status for status, _ in found] == [200, 404, 200]
    assert found[1][1] == {"error": "Group not found"}
    assert found[0][1]["id"] == found[2][1]["id"]


def _forgetful() -> Script:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        opened = {"h5_link": "https://x.example/h5", "group_id": "tg_1"}
        gone = got.body == b"" or b"groupId" in got.body
        lost = tells({"error": "Group not found"}, "404 Not Found")
        await (lost if gone else tells(opened))(got, writer)

    return script


async def test_own_callback(town: Street) -> None:
    """The provider gets it, so the daemon never learns the group; the client enrols by it."""
    mine = "https://mine.example/done?x=1"
    session = await town.open(callback_url=mine)
    landing = await town.scan(session)
    assert landing.startswith(mine)
    assert (await town.show(session))["status"] == "pending"
    assert (await town.show(session, Prefer="wait=1"))["status"] == "pending"
    group = dict(parse_qsl(urlsplit(landing).query))["group_id"]
    body = {"name": "rachel", "image_url": IMAGE, "group_id": group}
    status, portrait = await town.call("POST", ENROL, body, **POMEX, Prefer="respond-async")
    assert (status, portrait["group_id"]) == (202, group)


async def test_another_callback_than_the_living_link_has(town: Street) -> None:
    """That link is not what was asked for: a new one is made, under the same id."""
    session = await town.open()
    mine = await town.open(callback_url="https://mine.example/done")
    assert mine["id"] == session["id"]
    assert mine["h5_link"] != session["h5_link"]
    assert await town.open(callback_url="https://mine.example/done") == mine
    assert (await town.open(callback_url="https://mine.example/done", lang="en")) != mine
    await town.verify(session)
    assert (await town.show(session))["status"] == "verified"


async def test_without_a_public_url(tmp_path: Path) -> None:
    """PomexAI needs a callback: the refusal names both ways out."""
    async with street(tmp_path, public_url=None) as town:
        answer = await town.call("POST", SESSIONS, {"name": "rachel"}, **POMEX)
        assert code_of(answer) == (400, "bad_request")
        assert "callback_url" in answer[1]["error"]["message"]
        assert "public_url" in answer[1]["error"]["message"]
        assert town.asked() == []
        assert (await town.open(callback_url="https://mine.example"))["status"] == "pending"
        assert (await town.open(provider="blockrun"))["status"] == "pending"
        missing = f"/v1/portrait/callback/{'A' * 43}?{result()}"
        port = f"127.0.0.1:{town.house.port}"
        assert (await town.land(missing)).status == 421
        assert (await town.land(missing, host=port)).status == 404


REFUSED = [
    ("blockrun", {"lang": "en"}, 400, "field_not_supported", "lang"),
    ("blockrun", {"callback_url": "https://x"}, 400, "field_not_supported", "callback_url"),
    ("blockrun", {"groupId": "tg_1"}, 400, "field_not_supported", "groupId"),
    ("pomex", {"image_url": IMAGE}, 400, "field_not_supported", "image_url"),
    ("pomex", {"callback_url": 5}, 400, "bad_request", "callback_url"),
    ("pomex", {"callback_url": "https://" + "x" * 2000}, 400, "bad_request", "callback_url"),
    ("pomex", {"lang": "e\nn"}, 400, "bad_request", "lang"),
    ("pomex", {"name": ""}, 400, "bad_request", "name"),
    ("pomex", {"name": None}, 400, "bad_request", "name"),
    ("pomex", {"name": "x" * 65}, 400, "bad_request", "name"),
    ("blockrun", {"name": "a\u0000b"}, 400, "bad_request", "name"),
    ("blockrun", {"name": ["rachel"]}, 400, "bad_request", "name"),
    ("sunra", {}, 405, "method_not_allowed", "sunra"),
]


@pytest.mark.parametrize(("provider", "fields", "status", "code", "word"), REFUSED)
async def test_what_cannot_be_begun(
    town: Street, provider: str, fields: dict[str, Any], status: int, code: str, word: str
) -> None:
    """It is refused before anybody is asked, by the name of what is wrong."""
    body = {"name": "rachel", **fields}
    answer = await town.call("POST", SESSIONS, body, Farebox_Provider=provider)
    assert code_of(answer) == (status, code)
    assert word in answer[1]["error"]["message"]
    assert town.asked() == []


async def test_provider_that_refuses(town: Street) -> None:
    """Its answer goes through as it came, and there is no session."""
    body = {"name": "rachel", "callback_url": "http://plain.example"}
    status, error = await town.call("POST", SESSIONS, body, **POMEX)
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")
    assert error["error"]["message"] == "callback_url must be a valid https URL"
    path = f"{SESSIONS}?fault=unavailable&fault_times=1"
    assert (await town.call("POST", path, {"name": "rachel"}, **POMEX))[0] == 503
    assert (await town.call("GET", SESSIONS))[1] == {"object": "list", "sessions": []}
    assert (await town.call("POST", path, {"name": "rachel"}, **POMEX))[0] == 200


async def test_list(town: Street) -> None:
    """All sessions, without their pictures; no provider is asked."""
    tom = await town.open("tom", "blockrun")
    rachel = await town.open()
    asked = town.asked()
    _, listed = await town.call("GET", SESSIONS)
    assert listed["object"] == "list"
    found = {each["id"]: each for each in listed["sessions"]}
    for session in (tom, rachel):
        session.pop("qr_svg")
        assert found[session["id"]] == session
    assert town.asked() == asked


async def test_session_and_routing(town: Street) -> None:
    """A session is its provider's, whatever the default is; a header cannot say otherwise."""
    session = await town.open()
    path = f"{SESSIONS}/{session['id']}"
    assert (await town.call("GET", path, **POMEX))[0] == 200
    assert code_of(await town.call("GET", path, Farebox_Provider="blockrun")) == (
        400,
        "route_conflict",
    )
    assert code_of(await town.call("GET", path, Farebox_Provider="nobody")) == (
        400,
        "provider_unknown",
    )
    for word in ("ps_0", "%00", "a%20b", "%FF"):
        answer = await town.call("GET", f"{SESSIONS}/{word}")
        assert answer[0] in (400, 404), word
    assert code_of(await town.call("GET", f"{SESSIONS}/ps_0")) == (404, "portrait_unknown")


async def test_provider_that_is_not_configured_any_more(tmp_path: Path) -> None:
    """Its sessions are shown as they were, also where no default is configured; none is begun."""
    async with street(tmp_path) as town:
        session = await town.open(provider="blockrun")
        await town.verify(session)
        by_group = {"name": "x", "image_url": IMAGE, "group_id": session["group_id"]}
        parts = parts_for(town.sandbox)
        only = {"sunra": parts["providers"]["sunra"]}
        await town.house.reconfigure(providers=only)
        assert code_of(await town.call("POST", ENROL, by_group | SUNRA_MODEL)) == (404, "no_route")
        asked = town.asked()
        shown = await town.show(session)
        assert (shown["status"], shown["provider"]) == ("pending", "blockrun")
        assert len((await town.call("GET", SESSIONS))[1]["sessions"]) == 1
        assert code_of(await town.call("POST", SESSIONS, {"name": "x"})) == (404, "no_route")
        body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
        assert code_of(await town.call("POST", ENROL, body)) == (404, "no_route")
        assert code_of(await town.call("POST", ENROL, by_group)) == (404, "no_route")
        assert town.asked() == asked


async def test_paths_beside_the_sessions(town: Street) -> None:
    """They are the provider's, as any other path is."""
    session = await town.open()
    for method, path in (
        ("DELETE", f"{SESSIONS}/{session['id']}"),
        ("GET", f"{SESSIONS}/{session['id']}/x"),
        ("GET", f"{SESSIONS}/"),
    ):
        status, _ = await town.call(method, path)
        assert status in (404, 405)
        assert town.asked("blockrun")[-1] == (method, f"/api{path}")


async def test_somebody_elses_service_of_the_same_paths(tmp_path: Path) -> None:
    """A route to it is byte-transparent, whatever its bodies name."""
    async with Provider(tells({"mine": True})) as provider:
        shop = {"kind": "http", "base_url": provider.url}
        routes = [{"path": "/v1/*", "provider": "shop"}]
        config = write_config(tmp_path, providers={"shop": shop}, routes=routes)
        async with house(config) as at:
            for path in (SESSIONS, ENROL):
                body = {"name": "x", "session": "ps_1", "group_id": "g"}
                async with at.client.post(at.url + path, json=body) as answer:
                    assert await answer.json() == {"mine": True}
                assert json.loads(provider.got[-1].body) == body
            async with at.client.get(at.url + SESSIONS) as answer:
                assert await answer.json() == {"mine": True}
        auto = write_config(tmp_path, providers={"shop": shop}, default_provider="shop")
        async with house(auto) as at:
            assert code_of(await post(at, "x")) == (405, "method_not_allowed")


async def test_dry_run(town: Street) -> None:
    """It is free, and begins nothing that anybody could see."""
    for provider in ("pomex", "blockrun"):
        headers = {"Farebox_Provider": provider, "Farebox_Dry_Run": "1"}
        status, told = await town.call("POST", SESSIONS, {"name": "rachel"}, **headers)
        assert (status, told["price"]["usd"], told["allowed"]) == (200, "0.00", True)
    assert town.asked("pomex") == []
    assert (await town.call("GET", SESSIONS))[1]["sessions"] == []


async def test_name_of_a_portrait(town: Street) -> None:
    """It is not had again: a 409 before anybody is asked."""
    body = {"name": "Rachel", "image_url": IMAGE}
    assert (await town.call("POST", ENROL, body))[0] == 200
    asked = town.asked()
    for provider in ("blockrun", "pomex"):
        named = {"Farebox_Provider": provider}
        answer = await town.call("POST", SESSIONS, {"name": "rachel"}, **named)
        assert code_of(answer) == (409, "portrait_name_taken")
    assert town.asked() == asked


async def test_tokens(tmp_path: Path) -> None:
    """Clients need theirs for sessions; a phone has none and needs none."""
    digest = "60de6e9bd04a4b9f4bbbbc7f44d0ed1ea10fe3d14e5c4cd25d3f6d0b9d7e4a7d"
    async with street(tmp_path) as town:
        session = await town.open()
        landing = await town.scan(session)
        await town.house.reconfigure(clients=[{"name": "agent", "token_sha256": digest}])
        assert code_of(await town.call("GET", SESSIONS)) == (401, "client_token")
        assert (await town.land(landing)).status == 200


# Enrolments of real people.


async def test_enrolment_before_the_scan(town: Street) -> None:
    """It is a 409 before anything is paid, by the session and by its group; BlockRun was asked."""
    session = await town.open(provider="blockrun")
    body = {"name": "rachel", "image_url": IMAGE}
    for person in ({"session": session["id"]}, {"group_id": session["group_id"]}):
        for more in ({}, {"Farebox_Dry_Run": "1"}):
            town.sandbox.requests.clear()
            answer = await town.call("POST", ENROL, body | person, **more)
            assert code_of(answer) == (409, "portrait_not_verified")
            assert town.asked() == [status_call(session)]
    assert (town.settled, await town.house.payments()) == ([], [])
    await town.verify(session)
    assert (await town.call("POST", ENROL, body | {"session": session["id"]}))[0] == 200
    assert town.settled == [500_000]


async def test_enrolment_before_the_callback(town: Street) -> None:
    """There is nobody to ask: a 409 that says how the session stands."""
    session = await town.open()
    body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
    answer = await town.call("POST", ENROL, body)
    assert code_of(answer) == (409, "portrait_not_verified")
    assert "pending" in answer[1]["error"]["message"]
    assert town.asked() == [NATIVE]


PEOPLE: list[tuple[dict[str, Any], int, str]] = [
    ({"session": "ps_0"}, 404, "portrait_unknown"),
    ({"session": "\ud800"}, 404, "portrait_unknown"),
    ({"session": 5}, 400, "bad_request"),
    ({"session": {"id": "ps_0"}}, 400, "bad_request"),
    ({"session": "ps_0", "group_id": "group-1"}, 400, "bad_request"),
    ({"group_id": 5}, 400, "bad_request"),
]


@pytest.mark.parametrize(("person", "status", "code"), PEOPLE)
async def test_enrolment_of_nobody(
    town: Street, person: dict[str, Any], status: int, code: str
) -> None:
    """It is refused before anybody is asked."""
    body = {"name": "rachel", "image_url": IMAGE, **person}
    assert code_of(await town.call("POST", ENROL, body, **POMEX)) == (status, code)
    assert town.asked() == []


@pytest.mark.parametrize("name", ["a\nb", " ", "x" * 65, 5])
async def test_person_whose_portrait_has_no_name(town: Street, name: Any) -> None:
    """They are not passed on to be enrolled as a character, and paid for as one."""
    session = await town.open(provider="blockrun")
    await town.verify(session)
    for person in ({"session": session["id"]}, {"group_id": session["group_id"]}):
        body = {"name": name, "image_url": IMAGE, **person}
        assert code_of(await town.call("POST", ENROL, body)) == (400, "bad_request")
    assert town.asked() == [INIT]


async def test_enrolment_with_an_empty_session(town: Street) -> None:
    """Null is as good as nothing."""
    body = {"name": "rachel", "image_url": IMAGE, "session": None}
    status, portrait = await town.call("POST", ENROL, body, **POMEX, Prefer="respond-async")
    assert (status, portrait["object"]) == (202, "virtual_portrait")


CONTRADICTIONS: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {"Farebox_Provider": "blockrun"}),
    ({}, {"Farebox_Provider": "sunra"}),
    ({"model": "bytedance/seedance-2.0"}, {}),
    ({"model": "bytedance/seedance-2.0-relay"}, {}),
]


@pytest.mark.parametrize(("fields", "headers"), CONTRADICTIONS)
async def test_session_against_a_sign(
    town: Street, fields: dict[str, str], headers: dict[str, str]
) -> None:
    """A person enrols with the provider that verified them, by the session and by the group."""
    session = await town.open()
    await town.verify(session)
    group = (await town.show(session))["group_id"]
    asked = town.asked()
    for person in ({"session": session["id"]}, {"group_id": group}):
        body = {"name": "rachel", "image_url": IMAGE, **person, **fields}
        assert code_of(await town.call("POST", ENROL, body, **headers)) == (400, "route_conflict")
    assert town.asked() == asked


async def test_route_that_names_another_provider(tmp_path: Path) -> None:
    """It contradicts the session too, verified or not."""
    async with street(tmp_path) as town:
        session, pending = await town.open(), await town.open("tom")
        await town.verify(session)
        routes = [{"path": "/v1/portrait/*", "provider": "sunra"}]
        await town.house.reconfigure(routes=routes)
        for each in (session, pending):
            body = {"name": "x", "image_url": IMAGE, "session": each["id"]}
            assert code_of(await town.call("POST", ENROL, body)) == (400, "route_conflict")
        assert (await town.show(session))["status"] == "verified"
        assert code_of(await town.call("POST", SESSIONS, {"name": "x"})) == (
            405,
            "method_not_allowed",
        )


async def test_route_that_names_the_provider(tmp_path: Path) -> None:
    """There a session is begun and enrolled as anywhere else, with or without a way to pay."""
    async with street(tmp_path) as town:
        parts = parts_for(town.sandbox)["providers"]
        parts["blockrun"].pop("pay")
        routes = [{"path": "/v1/portrait/*", "provider": "blockrun"}]
        await town.house.reconfigure(routes=routes, providers=parts)
        status, session = await town.call("POST", SESSIONS, {"name": "rachel"})
        assert (status, session["provider"]) == (200, "blockrun")
        await town.verify(session)
        body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
        assert (await town.call("POST", ENROL, body))[0] == 402


async def test_known_group_is_a_sign(town: Street) -> None:
    """Whoever gave a group out gets its enrolments: to a session, or with a portrait."""
    session = await town.open()
    await town.verify(session)
    group = (await town.show(session))["group_id"]
    body = {"name": "rachel", "image_url": IMAGE, "group_id": group}
    status, portrait = await town.call("POST", ENROL, body, Prefer="respond-async")
    assert (status, portrait["provider"]) == (202, "pomex")
    with closing(sqlite3.connect(town.house.config.parent / "state" / schema.FILE_NAME)) as db, db:
        db.execute("DELETE FROM session")
    more = {"name": "rachel 2", "image_url": IMAGE, "group_id": group}
    status, portrait = await town.call("POST", ENROL, more, Prefer="respond-async")
    assert (status, portrait["provider"]) == (202, "pomex")
    other = {**POMEX, "Prefer": "respond-async"}
    assert (await town.call("POST", ENROL, more | {"name": "y"}, **other))[0] == 202
    assert town.asked("blockrun") == []


async def test_enrolment_under_a_key(town: Street) -> None:
    """A session in the body is the same request each time: paid once, answered again."""
    session = await town.open(provider="blockrun")
    await town.verify(session)
    body = {"name": "rachel", "image_url": IMAGE, "session": session["id"]}
    first = await town.call("POST", ENROL, body, Idempotency_Key="k")
    assert first[0] == 200
    assert await town.call("POST", ENROL, body, Idempotency_Key="k") == first
    assert town.settled == [500_000]


# The picture of a link.


@pytest.mark.parametrize("length", [30, 120, 500, 2000])
def test_code_is_the_link(length: int) -> None:
    """What the picture draws, module by module, is the code of the link and of nothing else."""
    link = ("https://kyc.example/?token=" + "aB3-" * length)[:length]
    svg = qr_svg(link)
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert svg.endswith("</svg>")
    assert "http" not in svg.removeprefix('<svg xmlns="http://www.w3.org/2000/svg"')
    modules = [[bool(each) for each in row] for row in segno.make_qr(link, error="m").matrix]
    assert _drawn(svg, len(modules)) == modules


def _drawn(svg: str, size: int) -> list[list[bool]]:
    """Which modules a picture paints dark: its strokes, row by row, inside the quiet zone."""
    found = re.search(r'stroke="#000" d="([^"]+)"', svg)
    assert found is not None
    dark = [[False] * size for _ in range(size)]
    x, y = 0.0, 0.0
    for verb, words in re.findall(r"([Mmh])([^Mmh]*)", found[1]):
        numbers = [float(each) for each in re.findall(r"-?[0-9]*\.?[0-9]+", words)]
        if verb == "h":
            for column in range(int(x), int(x + numbers[0])):
                dark[int(y) - 4][column - 4] = True
            x += numbers[0]
        elif verb == "M":
            x, y = numbers
        else:
            x, y = x + numbers[0], y + numbers[1]
    return dark
