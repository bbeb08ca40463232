"""Jobs that outlive their authorizations: a quarter of an hour, on a clock that the tests move.

The clip takes 900 seconds and somebody asks after it every nine, while an authorization lives for a
fraction of that. Whatever the provider was shown is kept and judged: at no moment are there two
that it could take. The clock is the daemon's, the provider's and the chain's alike.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from aiohttp import web
from eth_account import Account

from proxy.sandbox import Sandbox, SandboxOptions
from tests.exchange.conftest import KEY, House, house, write_config
from tests.exchange.provider import b64
from tests.rig.chain import NETWORK, USDC, USDC_DOMAIN, Chain, _calldata, running_chain
from tests.store.books import Clock

PRICE: Final = 450_000
PRICE_USD: Final = 0.45
JOB_S: Final = 900
STEP_S: Final = 9
MARGIN_S: Final = 60
"""How long a dead authorization goes on counting as alive, for clocks differ."""

TOO_LATE_S: Final = 10
SAFE_DEPTH: Final = 32
"""How far the private chain's safe block is behind."""

PATH: Final = "/v1/videos/generations"
ORDER: Final = {"model": "bytedance/seedance-2.0-fast", "prompt": "a fare box"}
PAYER: Final = Account.from_key(KEY).address
TRANSFER: Final = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"

Json = dict[str, Any]


class Seller(Protocol):
    """Whoever makes the clip: what it was shown, what it took, and how time passes there."""

    @property
    def shown(self) -> list[Json]:
        """Every authorization that came with a request, repeats included."""
        ...

    @property
    def taken(self) -> list[int]:
        """The amounts that moved."""
        ...

    def pass_on(self, seconds: int) -> None:
        """Let time pass, for everybody."""
        ...


@dataclass
class Town:
    """The sandbox as the seller: its facilitator judges every header, by the same clock."""

    site: Sandbox
    clock: Clock

    @property
    def shown(self) -> list[Json]:
        """By either header; one payload under two names is one."""
        return [
            authorization(value)
            for seen in self.site.requests
            if (value := seen.header("PAYMENT-SIGNATURE")) is not None
        ]

    @property
    def taken(self) -> list[int]:
        """What its facilitator settled."""
        return [each.amount for each in self.site.facilitator.settled]

    def pass_on(self, seconds: int) -> None:
        """Move the one clock."""
        self.clock.now += seconds


@dataclass
class Watched:
    """A job under way: after each look, what must hold holds."""

    at: House
    seller: Seller
    clock: Clock
    id: str
    lives: set[int] = field(default_factory=set)

    async def ask(self) -> tuple[int, Json]:
        """Ask after the job once, by its id alone."""
        async with self.at.client.get(f"{self.at.url}{PATH}/{self.id}") as answer:
            said = answer.status, await answer.json()
        await self.check()
        return said

    async def check(self) -> None:
        """One payment; of its authorizations one lives at most, here and at the seller's."""
        (payment,) = await self.at.payments()
        assert payment["job"] == self.id
        known = payment["authorizations"]
        alive = [each for each in known if each["valid_before"] > self.clock.now]
        assert len(alive) <= 1, known
        shown = {each["nonce"]: int(each["validBefore"]) for each in self.seller.shown}
        assert shown.keys() <= {each["nonce"] for each in known}
        assert sum(before > self.clock.now for before in shown.values()) <= 1
        self.lives.add(len(known))


def authorization(header: str) -> Json:
    """The authorization in a payment header."""
    found: Json = json.loads(base64.b64decode(header))["payload"]["authorization"]
    return found


def config(folder: Path, url: str, life_s: int, caps: Json, **more: Any) -> Path:
    """BlockRun alone, whose jobs are paid by authorizations of so many seconds."""
    pay = {"networks": [NETWORK, "eip155:8453"], "job_authorization_s": life_s}
    blockrun = {"kind": "blockrun", "base_url": url, "pay": pay}
    return write_config(folder, providers={"blockrun": blockrun}, caps=caps, **more)


async def submitted(at: House, seller: Seller, clock: Clock) -> Watched:
    """Submit the video, and wait for nothing."""
    headers = {"Prefer": "respond-async"}
    async with at.client.post(at.url + PATH, json=ORDER, headers=headers) as answer:
        assert answer.status == 202, await answer.read()
        job = Watched(at, seller, clock, (await answer.json())["id"])
    await job.check()
    return job


async def counted(at: House) -> float:
    """What counts against the day."""
    async with at.client.get(f"{at.url}/-/status") as answer:
        caps = (await answer.json())["caps"]
    (day,) = [cap for cap in caps if (cap["scope"], cap["window"]) == ("all", "day")]
    return round(float(day["settled"]) + float(day["live"]), 6)


def signings(life_s: int, until_s: int) -> list[int]:
    """When something is signed, for one who asks every nine seconds: once the last one is dead."""
    signed = [0]
    for now in range(STEP_S, until_s + 1, STEP_S):
        if now > signed[-1] + life_s + MARGIN_S:
            signed.append(now)
    return signed


@asynccontextmanager
async def sandbox_town() -> AsyncIterator[Town]:
    """A sandbox whose clips take a quarter of an hour."""
    clock = Clock()
    async with Sandbox(SandboxOptions(job_s=JOB_S), clock) as site:
        yield Town(site, clock)


@pytest.mark.parametrize("life_s", [70, 120, 200, 299])
async def test_a_hundred_polls_and_several_lives(tmp_path: Path, life_s: int) -> None:
    """Without a node the dead go on counting, one never lives beside another, one is taken.

    The cap on what is outstanding has room for one price and no more, all the time.
    """
    caps = {"per_request": "0.45", "outstanding": "0.45", "day": "9.00"}
    async with sandbox_town() as town:
        path = config(tmp_path, town.site.blockrun_url, life_s, caps)
        async with house(path, town.clock.clocks) as at:
            job = await submitted(at, town, town.clock)
            polls, status = 0, 202
            while status == 202:
                town.pass_on(STEP_S)
                polls += 1
                status, answer = await job.ask()
                signed = signings(life_s, polls * STEP_S)
                assert await counted(at) == round(PRICE_USD * len(signed), 6)
                assert town.taken == ([] if status == 202 else [PRICE])
            assert (status, answer["status"]) == (200, "completed")
            assert polls >= 100
            (payment,) = await at.payments()
            states = [each["state"] for each in payment["authorizations"]]
            assert payment["state"] == "settled"
            assert len(states) == len(signed) >= 3
            assert states == [*["sent"] * (len(signed) - 1), "settled"]
            assert {each["nonce"] for each in town.shown} == {
                each["nonce"] for each in payment["authorizations"]
            }
            assert await job.ask() == (200, answer)
    assert town.taken == [PRICE]
    assert town.site.facilitator.refusals == []


async def test_a_quarter_of_an_hour_with_restarts(tmp_path: Path) -> None:
    """A new daemon every four minutes goes on with the authorization of the one before."""
    caps = {"per_request": "0.45", "outstanding": "0.45", "day": "9.00"}
    async with sandbox_town() as town:
        path = config(tmp_path, town.site.blockrun_url, 200, caps)
        async with house(path, town.clock.clocks) as at:
            job = await submitted(at, town, town.clock)
        status = 202
        while status == 202:
            async with house(path, town.clock.clocks) as job.at:
                for _ in range(27):
                    town.pass_on(STEP_S)
                    status, _ = await job.ask()
                    if status == 200:
                        break
        assert status == 200
        assert len({each["nonce"] for each in town.shown}) == len(signings(200, JOB_S))
    assert town.taken == [PRICE]


async def test_between_two_lives_the_provider_hears_nothing(tmp_path: Path) -> None:
    """From "too late to settle" until it is dead for certain, asking costs no call at all."""
    caps = {"per_request": "1", "day": "9.00"}
    async with sandbox_town() as town:
        path = config(tmp_path, town.site.blockrun_url, 100, caps)
        async with house(path, town.clock.clocks) as at:
            job = await submitted(at, town, town.clock)
            heard = []
            for _ in range(2 * (100 + MARGIN_S) + 40):
                town.pass_on(1)
                before = len(town.site.requests)
                assert (await job.ask())[0] == 202
                heard.append(len(town.site.requests) > before)
    silent = [second for second, each in enumerate(heard, 1) if not each]
    dead_s = 100 - TOO_LATE_S
    expected = [
        second
        for born in (0, 161, 322)
        for second in range(born + dead_s + 1, born + 100 + MARGIN_S + 1)
    ]
    assert silent == [each for each in expected if each <= len(heard)]


async def test_no_room_for_another_life(tmp_path: Path) -> None:
    """Without a node a renewal needs room under the cap: 429 till then, and the clip stays there.

    What was refused signs nothing, however often it is asked for.
    """
    tight = {"per_request": "0.45", "day": "0.45"}
    async with sandbox_town() as town:
        path = config(tmp_path, town.site.blockrun_url, 100, tight)
        async with house(path, town.clock.clocks) as at:
            job = await submitted(at, town, town.clock)
            town.pass_on(JOB_S)
            for _ in range(3):
                status, refused = await job.ask()
                assert (status, refused["error"]["code"]) == (429, "cap_day")
            assert job.lives == {1}
            assert town.taken == []
            await at.reconfigure(caps={"per_request": "0.45", "day": "0.90"})
            status, clip = await job.ask()
            assert (status, clip["status"]) == (200, "completed")
            assert await counted(at) == 2 * PRICE_USD
    assert town.taken == [PRICE]


async def test_crowd_after_a_death(tmp_path: Path) -> None:
    """Twenty who ask at the moment of the renewal get one new authorization between them."""
    caps = {"per_request": "0.45", "outstanding": "0.45", "day": "9.00"}
    async with sandbox_town() as town:
        path = config(tmp_path, town.site.blockrun_url, 100, caps)
        async with house(path, town.clock.clocks) as at:
            job = await submitted(at, town, town.clock)
            for lives in (2, 3, 4):
                town.pass_on(100 + MARGIN_S + 1)
                said = await asyncio.gather(*(job.ask() for _ in range(20)))
                assert {status for status, _ in said} == {202}
                assert max(job.lives) == lives
            town.pass_on(JOB_S)
            said = await asyncio.gather(*(job.ask() for _ in range(20)))
            assert {status for status, _ in said} <= {200, 202}
            assert (await job.ask())[0] == 200
    assert town.taken == [PRICE]


@pytest.mark.slow
async def test_a_client_that_waits_through_a_death(tmp_path: Path) -> None:
    """In real time: one POST waits while its authorization dies and the next one is signed."""
    caps = {"per_request": "0.45", "outstanding": "0.45", "day": "9.00"}
    async with (
        Sandbox(SandboxOptions(job_s=80)) as site,
        house(config(tmp_path, site.blockrun_url, 15, caps)) as at,
    ):
        async with at.client.post(at.url + PATH, json=ORDER) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "completed")
        (payment,) = await at.payments()
        states = [each["state"] for each in payment["authorizations"]]
        assert (payment["state"], states[-1]) == ("settled", "settled")
        assert len(states) >= 2
    assert [each.amount for each in site.facilitator.settled] == [PRICE]


@dataclass
class Studio:
    """A BlockRun on a private chain: the token's own contract judges, and takes the money."""

    chain: Chain
    clock: Clock
    pay_to: str
    began_at: float = 0
    paid: list[Json] = field(default_factory=list)
    url: str = ""

    @property
    def shown(self) -> list[Json]:
        """Every authorization that came with a request, repeats included."""
        return [each["authorization"] for each in self.paid]

    @property
    def taken(self) -> list[int]:
        """What left its payers: it serves one."""
        balance = self.chain.balance(self.pay_to)
        return [balance] if balance else []

    def pass_on(self, seconds: int) -> None:
        """Move the chain's clock, and everybody's with it; the new block is not safe yet."""
        self.clock.now += seconds
        self.chain.rpc("evm_setNextBlockTimestamp", int(self.clock.now))
        self.chain.rpc("anvil_mine", hex(1))

    def bury(self) -> None:
        """Make all that has happened safe: so many blocks take no time here."""
        self.chain.rpc("anvil_mine", hex(SAFE_DEPTH + 1))

    def take(self) -> None:
        """Take the money of what was shown last."""
        self.chain._transact(TRANSFER, *_words(self.paid[-1]))

    async def submit(self, request: web.Request) -> web.Response:
        """Verify, take nothing, answer 202."""
        payment = self._payment(request)
        if payment is None or not self._is_good(payment):
            return self._asks()
        self.began_at = self.clock.now
        job = "token360:vidjob_1"
        poll_url = f"{request.path}/token360%3Avidjob_1?model=x&duration=5"
        body = {"id": job, "object": "video.generation.job", "status": "queued"}
        return web.json_response(body | {"poll_url": poll_url}, status=202)

    async def poll(self, request: web.Request) -> web.Response:
        """Verify; once the clip is there, take the money and hand it over."""
        payment = self._payment(request)
        if payment is None or not self._is_good(payment):
            return self._asks()
        if self.clock.now < self.began_at + JOB_S:
            running = {"status": "in_progress", "payment_status": "verified"}
            return web.json_response(running, status=202)
        self.take()
        receipt = {"success": True, "transaction": "0x" + "ab" * 32, "network": NETWORK}
        headers = {"PAYMENT-RESPONSE": b64(receipt)}
        body: Json = {"status": "completed", "data": [{"url": "https://cdn.example/v.mp4"}]}
        return web.json_response(body, headers=headers)

    def _payment(self, request: web.Request) -> Json | None:
        header = request.headers.get("PAYMENT-SIGNATURE")
        if header is None:
            return None
        payload: Json = json.loads(base64.b64decode(header))["payload"]
        self.paid.append(payload)
        return payload

    def _is_good(self, payment: Json) -> bool:
        """Whether the contract would move the money now."""
        data = _calldata(TRANSFER, _words(payment))
        call = {"from": self.chain.admin, "to": USDC, "data": data}
        try:
            self.chain.rpc("eth_call", call, "latest")
        except RuntimeError:
            return False
        said = payment["authorization"]
        return (said["to"].lower(), said["value"]) == (self.pay_to.lower(), str(PRICE))

    def _asks(self) -> web.Response:
        entry = {
            "scheme": "exact",
            "network": NETWORK,
            "amount": str(PRICE),
            "asset": USDC,
            "payTo": self.pay_to,
            "maxTimeoutSeconds": 300,
            "extra": USDC_DOMAIN,
        }
        challenge = {"x402Version": 2, "resource": {"url": self.url}, "accepts": [entry]}
        headers = {"X-Payment-Required": b64(challenge)}
        return web.json_response({"error": "Payment Required"}, status=402, headers=headers)


def _words(payment: Json) -> list[str | int | bytes | list[str]]:
    said = payment["authorization"]
    numbers = [int(said[key]) for key in ("value", "validAfter", "validBefore")]
    nonce, signature = (
        bytes.fromhex(text.removeprefix("0x")) for text in (said["nonce"], payment["signature"])
    )
    return [said["from"], said["to"], *numbers, nonce, signature]


def chain_time(chain: Chain) -> int:
    """The time of the latest block."""
    whole = [False]  # blocks without their transactions' content
    return int(chain.rpc("eth_getBlockByNumber", "latest", *whole)["timestamp"], 16)


@pytest.fixture(scope="module")
def moved_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain of this file's own, since its clock is moved."""
    with running_chain(tmp_path_factory.mktemp("chain") / "anvil.log") as chain:
        yield chain


@pytest.fixture
async def studio(moved_chain: Chain) -> AsyncIterator[Studio]:
    """The seller on the chain; the payer owns three times the price."""
    moved_chain.mint(PAYER, 3 * PRICE)
    moved_chain.rpc("anvil_mine", hex(SAFE_DEPTH + 1))
    clock = Clock(now=chain_time(moved_chain) + STEP_S)
    seller = Studio(moved_chain, clock, moved_chain.new_payer().address)
    seller.pass_on(STEP_S)
    app = web.Application()
    app.router.add_post(f"/api{PATH}", seller.submit)
    app.router.add_get(f"/api{PATH}/{{id}}", seller.poll)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seller.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    yield seller
    await runner.cleanup()


@pytest.mark.parametrize("life_s", [200])
async def test_with_a_node_one_price_is_enough(tmp_path: Path, studio: Studio, life_s: int) -> None:
    """Where the chain tells that the dead are dead, a day's cap of one price carries the job.

    Exposure is one price or nothing at every look, and one price leaves the wallet in the end.
    """
    caps = {"per_request": "0.45", "outstanding": "0.45", "day": "0.45"}
    networks = {NETWORK: {"rpc_url": studio.chain.rpc_url}}
    path = config(tmp_path, studio.url, life_s, caps, networks=networks)
    async with house(path, studio.clock.clocks) as at:
        job = await submitted(at, studio, studio.clock)
        polls, status = 0, 202
        while status == 202:
            studio.pass_on(STEP_S)
            await look(at, studio)
            assert await counted(at) in (0, PRICE_USD)
            polls += 1
            status, _ = await job.ask()
            assert await counted(at) == PRICE_USD
            assert studio.taken == ([] if status == 202 else [PRICE])
        assert (status, polls >= 100) == (200, True)
        (payment,) = await at.payments()
        states = [each["state"] for each in payment["authorizations"]]
        assert states == [*["expired"] * (len(states) - 1), "settled"]
        assert len(states) >= 4
        studio.pass_on(life_s + MARGIN_S)
        await look(at, studio)
        assert await counted(at) == PRICE_USD
    assert studio.taken == [PRICE]


async def test_seller_that_takes_a_dying_one_in_secret(tmp_path: Path, studio: Studio) -> None:
    """One that is settled in its last moment, and kept still about: nothing is renewed.

    The job's money was taken, so a poll's 402 goes to the client as it is.
    """
    caps = {"per_request": "0.45", "day": "9.00"}
    networks = {NETWORK: {"rpc_url": studio.chain.rpc_url}}
    path = config(tmp_path, studio.url, 120, caps, networks=networks)
    async with house(path, studio.clock.clocks) as at:
        job = await submitted(at, studio, studio.clock)
        studio.pass_on(100)
        studio.take()
        studio.pass_on(120)
        await look(at, studio)
        for _ in range(3):
            status, _ = await job.ask()
            assert status == 402
        (payment,) = await at.payments()
        assert payment["state"] == "settled"
        assert len(payment["authorizations"]) == 1
        assert await counted(at) == PRICE_USD
    assert studio.taken == [PRICE]


async def look(at: House, studio: Studio) -> None:
    """Have the daemon ask the chain once all is safe, where one of its signatures has died."""
    (payment,) = await at.payments()
    last = payment["authorizations"][-1]
    if last["valid_before"] > studio.clock.now or last["state"] == "expired":
        return
    studio.bury()
    await at.daemon.reconciler.look(NETWORK)
    standing = at.daemon.reconciler.standings[NETWORK]
    assert standing.trouble is None, standing
