"""kill -9 around a generation: the clip is claimed after it, and one price is all that it costs.

A daemon of its own process stands in front of the sandbox, whose facilitator judges every header.
At each moment of a job's life the daemon is killed without a word and started again.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from eth_account import Account

from proxy.sandbox import Sandbox, SandboxOptions
from proxy.sandbox.seen import Seen
from tests.rig.process import deadline
from tests.sellers.daemon import POLL_S, Answer, Daemon, Json, write_key

JOB_S: Final = 60.0
PRICE: Final = 450_000
PATH: Final = "/v1/videos/generations"
ORDERS: Final[dict[str, Json]] = {
    "blockrun": {"model": "bytedance/seedance-2.0-fast", "prompt": "a fare box"},
    "sunra": {"model": "bytedance/seedance-2.0/text-to-video", "prompt": "a fare box"},
    "pomex": {"model": "byteplus/seedance-2.0-fast", "prompt": "a fare box"},
}
PRICES: Final = {"blockrun": 0.45, "sunra": 1.0, "pomex": 0.0}
"""What each order costs in dollars: by its 402, by the table, by nothing that anybody knows."""

ACCEPTED: Final = 202
ASYNC: Final = {"Prefer": "respond-async"}
WAIT: Final = {"Prefer": "wait=30"}


@dataclass
class Ahead:
    """The machine's clock, and what it is to be ahead by at the providers'."""

    by_s: float = 0

    def __call__(self) -> float:
        """The time, in seconds."""
        return time.time() + self.by_s


@dataclass
class Street:
    """The daemon and the three providers, where clips are finished when the test says so."""

    daemon: Daemon
    town: Sandbox
    clock: Ahead

    def finish(self) -> None:
        """Let every clip be there by now."""
        self.clock.by_s += JOB_S

    async def submit(self, provider: str, query: str = "", **headers: str) -> Answer:
        """Submit a provider's order."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.daemon.ask("POST", PATH + query, json=ORDERS[provider], headers=named)

    async def wait(self, job: str) -> Answer:
        """Have the daemon wait for the clip: it asks at once, and then at its pace."""
        return await self.daemon.ask("GET", f"{PATH}/{job}", headers=WAIT)

    async def claim(self, job: str, query: str = "") -> Answer:
        """Ask for the clip until it is there, by its job's id."""
        for _ in deadline(20):
            answer = await self.daemon.ask("GET", f"{PATH}/{job}{query}")
            if answer.status != ACCEPTED:
                return answer
            await asyncio.sleep(POLL_S)
        raise AssertionError

    async def again(self) -> None:
        """Kill the daemon, and start it on what is left."""
        self.daemon.kill()
        await self.daemon.start()

    async def seen(self, wanted: str, count: int = 1) -> None:
        """Wait until so many requests of a method, with a payment or a key, have arrived."""
        for _ in deadline(20):
            if sum(_is_paid(each, wanted) for each in self.town.requests) >= count:
                return
            await asyncio.sleep(POLL_S)

    @property
    def taken(self) -> list[int]:
        """What the facilitator settled."""
        return [each.amount for each in self.town.facilitator.settled]

    @property
    def nonces(self) -> set[str]:
        """Every payment header that any provider was shown."""
        headers = (each.header("PAYMENT-SIGNATURE") for each in self.town.requests)
        return {header for header in headers if header is not None}

    async def counted(self) -> float:
        """What counts against the day."""
        caps = (await self.daemon.ask("GET", "/-/status")).json["caps"]
        (day,) = [cap for cap in caps if (cap["scope"], cap["window"]) == ("all", "day")]
        return round(float(day["settled"]) + float(day["live"]), 6)


def _is_paid(seen: Seen, method: str) -> bool:
    paid = seen.header("PAYMENT-SIGNATURE") or seen.header("Authorization")
    return seen.method == method and paid is not None


@pytest.fixture
async def street(tmp_path: Path, client: aiohttp.ClientSession) -> AsyncIterator[Street]:
    """A daemon in front of the sandbox; however often it was killed, it leaves in peace."""
    payer = Account.create()
    clock = Ahead()
    async with Sandbox(SandboxOptions(job_s=JOB_S), clock) as town:
        write_key(tmp_path, payer)
        daemon = Daemon(tmp_path, payer, _config(tmp_path, town), client)
        await daemon.start()
        try:
            yield Street(daemon, town, clock)
        finally:
            await daemon.stop()
    assert payer.key.hex() not in daemon.log.read_text()
    assert town.options.api_key not in daemon.log.read_text()


def _config(home: Path, town: Sandbox) -> Json:
    secret = home / "provider.key"
    secret.touch(mode=0o600)
    secret.write_text(town.options.api_key)
    auth = {"bearer": {"file": str(secret)}}
    table = [{"model": "bytedance/seedance-2.0/*", "usd": "1.00"}]
    return {
        "state_dir": str(home / "state"),
        "wallet": {"key": {"file": str(home / "wallet.key")}},
        "caps": {"per_request": "1.00", "day": "20.00"},
        "limits": {"drain_s": 1},
        "providers": {
            "blockrun": {"kind": "blockrun", "base_url": town.blockrun_url, "pay": {}},
            "sunra": {"kind": "sunra", "base_url": town.sunra_url, "auth": auth, "prices": table},
            "pomex": {"kind": "pomex", "base_url": town.pomex_url, "auth": auth},
        },
    }


async def _claimed(street: Street, jobs: dict[str, Json]) -> None:
    """Every job's clip comes, with and without the query, and costs what it cost already."""
    street.finish()
    for provider, job in jobs.items():
        query = job["poll_url"].partition("?")[2]
        clip = await street.claim(job["id"], f"?{query}" if query else "")
        assert (clip.status, clip.json["status"]) == (200, "completed"), provider
        again = await street.claim(job["id"])
        assert (again.status, again.json) == (200, clip.json)
    assert await street.counted() == sum(PRICES[provider] for provider in jobs)


async def test_after_the_202(street: Street) -> None:
    """A job whose 202 the client has is claimed by its id, at each of the three."""
    jobs = {name: (await street.submit(name, **ASYNC)).json for name in ORDERS}
    await street.again()
    assert street.taken == []
    await _claimed(street, jobs)
    assert street.taken == [PRICE]
    assert len(street.nonces) == 1
    payments = {each["provider"]: each for each in await street.daemon.payments()}
    assert payments["blockrun"]["state"] == "settled"
    assert payments["blockrun"]["job"] == jobs["blockrun"]["id"]
    assert payments.keys() == {"blockrun", "sunra"}


async def test_killed_again_and_again(street: Street) -> None:
    """Three kills between two polls each change nothing: one payment, one transfer."""
    jobs = {name: (await street.submit(name, **ASYNC)).json for name in ("blockrun", "pomex")}
    for _ in range(3):
        await street.again()
        asked = [await street.daemon.ask("GET", f"{PATH}/{job['id']}") for job in jobs.values()]
        assert {answer.status for answer in asked} == {ACCEPTED}
    await _claimed(street, jobs)
    assert (street.taken, len(street.nonces)) == ([PRICE], 1)


async def test_while_the_daemon_polls(street: Street) -> None:
    """Clients wait, for what they submitted and by its id; the daemon dies under all of them."""
    waiting = [asyncio.ensure_future(street.submit(name, **WAIT)) for name in ORDERS]
    for _ in deadline(20):
        jobs = (await street.daemon.ask("GET", "/-/jobs")).json["jobs"]
        if len(jobs) == len(ORDERS):
            break
        await asyncio.sleep(POLL_S)
    waiting += [asyncio.ensure_future(street.wait(job["id"])) for job in jobs]
    await street.seen("GET", len(ORDERS))
    await street.again()
    broken = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, aiohttp.ClientError) for each in broken)
    assert street.taken == []
    known = {job["provider"]: {"id": job["id"], "poll_url": ""} for job in jobs}
    assert known.keys() == ORDERS.keys()
    await _claimed(street, known)
    assert (street.taken, len(street.nonces)) == ([PRICE], 1)


async def test_while_a_poll_is_in_flight(street: Street) -> None:
    """A poll that finds the clip settles at the provider, and nobody is left to hear of it.

    The next daemon shows the same payment, and is told that it was taken.
    """
    stall = "?poll_fault=stall&fault_s=1&fault_times=1"
    job = (await street.submit("blockrun", stall, **ASYNC)).json
    street.finish()
    waiting = asyncio.ensure_future(street.wait(job["id"]))
    await street.seen("GET")
    await street.again()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], BaseException)
    for _ in deadline(20):
        if street.taken:
            break
        await asyncio.sleep(POLL_S)
    assert await street.counted() == PRICES["blockrun"]
    await _claimed(street, {"blockrun": job})
    assert (street.taken, len(street.nonces)) == ([PRICE], 1)
    (payment,) = await street.daemon.payments()
    assert (payment["state"], payment["tx"]) == ("settled", street.town.facilitator.settled[0].tx)


async def test_while_the_submission_is_in_flight(street: Street) -> None:
    """Paid and unanswered: one price counts, and asking the same again shows the same payment."""
    lost = asyncio.ensure_future(street.submit("blockrun", "?fault=stall&fault_s=9&fault_times=1"))
    await street.seen("POST")
    await street.again()
    assert isinstance((await asyncio.gather(lost, return_exceptions=True))[0], BaseException)
    (payment,) = await street.daemon.payments()
    assert (payment["state"], await street.counted()) == ("unknown", PRICES["blockrun"])

    query = "?fault=stall&fault_s=9&fault_times=1"
    job = (await street.submit("blockrun", query, **ASYNC)).json
    await _claimed(street, {"blockrun": job})
    (payment,) = await street.daemon.payments()
    assert (payment["state"], len(payment["authorizations"])) == ("settled", 1)
    assert (street.taken, len(street.nonces)) == ([PRICE], 1)


@pytest.mark.parametrize("provider", ["blockrun", "sunra"])
async def test_a_keyed_submission_in_flight(street: Street, provider: str) -> None:
    """Under a key, what was lost in flight is a 409 with its payment, and nothing more is sent."""
    fault = {"blockrun": "stall", "sunra": "slow"}[provider]
    key = {"Idempotency_Key": "clip-1"}
    query = f"?fault={fault}&fault_s=9"
    lost = asyncio.ensure_future(street.submit(provider, query, **key))
    await street.seen("POST")
    await street.again()
    assert isinstance((await asyncio.gather(lost, return_exceptions=True))[0], BaseException)
    before = len(street.town.requests)
    again = await street.submit(provider, query, **key)
    assert (again.status, again.error) == (409, "payment_pending")
    (payment,) = await street.daemon.payments()
    assert again.json["error"]["payment"] == payment["id"]
    assert payment["state"] == "unknown"
    assert await street.counted() == PRICES[provider]
    assert len(street.town.requests) == before


async def test_unkeyed_submissions_in_flight(street: Street) -> None:
    """Where a key pays, the lost one counts as taken, and the next is a purchase of its own."""
    slow = "?fault=slow&fault_s=9&fault_times=1"
    lost: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(street.submit(name, slow)) for name in ("sunra", "pomex")
    ]
    await street.seen("POST", 2)
    await street.again()
    await asyncio.gather(*lost, return_exceptions=True)
    assert await street.counted() == PRICES["sunra"]
    job = (await street.submit("sunra", **ASYNC)).json
    street.finish()
    clip = await street.claim(job["id"])
    assert (clip.status, clip.json["status"]) == (200, "completed")
    assert await street.counted() == 2 * PRICES["sunra"]
    states = sorted(each["state"] for each in await street.daemon.payments())
    assert states == ["settled", "unknown"]
