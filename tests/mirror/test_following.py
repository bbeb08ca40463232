"""Jobs that nobody waits for: followed where asking takes nothing, and left alone elsewhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, Request
from proxy.core.paths import JOBS
from proxy.following import AT_ONCE, Follower, Rhythm
from proxy.sandbox import SandboxOptions, sandbox
from proxy.store import Memory
from proxy.store.clips import WANTED_S
from tests.exchange.conftest import SECRET, House, house, until, write_config
from tests.exchange.provider import NETWORK, Got, Provider, asks
from tests.mirror.studio import Studio, gives, studio
from tests.providers.test_native import Town

QUICK = Rhythm(look_s=0.01, ask_min_s=0, share=1000)
SUNRA = "bytedance/seedance-2.0-fast/text-to-video"
COMMON = {
    "sunra": {"model": SUNRA, "prompt": "a fare box"},
    "pomex": {"model": "byteplus/seedance-2.0-fast", "prompt": "a fare box"},
}
NATIVE = {
    "sunra": (f"/v1/queue/{SUNRA}", {"prompt": "a fare box"}),
    "pomex": (
        "/v1/video/generations",
        {
            "model": "byteplus/seedance-2.0-fast",
            "content": [{"type": "text", "text": "a fare box"}],
        },
    ),
}


@asynccontextmanager
async def at_work(at: House, rhythm: Rhythm = QUICK) -> AsyncIterator[None]:
    """Let a daemon's mirror and follower run as long as the block lasts."""
    at.daemon.follower.rhythm = rhythm
    tasks = [asyncio.create_task(each.run()) for each in (at.daemon.mirror, at.daemon.follower)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def config(folder: Path, site: Any, **parts: Any) -> Path:
    """A config with the three providers."""
    key = {"bearer": {"file": "provider.key"}}
    providers = {
        "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
        "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key},
        "pomex": {"kind": "pomex", "base_url": site.pomex_url, "auth": key},
    }
    return write_config(folder, **{"providers": providers, "mirror": {}, **parts})


@asynccontextmanager
async def town(folder: Path, **parts: Any) -> AsyncIterator[Town]:
    """A daemon in front of the three providers, which follows nothing yet."""
    async with (
        sandbox(SandboxOptions(api_key=SECRET, job_s=0.2, asset_s=0.05)) as site,
        house(config(folder, site, **parts)) as at,
    ):
        yield Town(at, site)


async def only_job(at: House) -> dict[str, Any]:
    """The one job that the daemon knows."""
    async with at.client.get(f"{at.url}/-/jobs") as answer:
        (job,) = (await answer.json())["jobs"]
        found: dict[str, Any] = job
        return found


def is_kept(job: dict[str, Any]) -> bool:
    """Whether a job's clip is on the disk."""
    return bool(job.get("clip", {}).get("state") == "kept")


@pytest.mark.parametrize("provider", COMMON)
async def test_nobody_waits(tmp_path: Path, provider: str) -> None:
    """A clip of the common shape that nobody ever asks for again is kept all the same."""
    async with town(tmp_path) as here, at_work(here.house):
        status, _ = await here.call("POST", JOBS, COMMON[provider], Prefer="respond-async")
        assert status == 202
        job = await until(lambda: only_job(here.house), is_kept)
        assert (job["provider"], job["state"]) == (provider, "completed")


@pytest.mark.parametrize("provider", NATIVE)
async def test_native_job(tmp_path: Path, provider: str) -> None:
    """A job of a provider's own call is followed and kept too."""
    path, body = NATIVE[provider]
    async with town(tmp_path) as here, at_work(here.house):
        assert (await here.call("POST", path, body))[0] == 200
        job = await until(lambda: only_job(here.house), is_kept)
        content = f"{here.house.url}/v1/videos/{job['id']}/content"
        async with here.house.client.get(content, headers={"Range": "bytes=4-7"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"ftyp")


async def test_job_that_is_paid_at_its_end(tmp_path: Path) -> None:
    """Nobody asks BlockRun, whose poll takes the money: it holds what is signed and no more."""
    async with town(tmp_path) as here, at_work(here.house):
        body = {"model": "azure/sora-2", "prompt": "a fare box"}
        status, _ = await here.call("POST", JOBS, body, Prefer="respond-async")
        assert status == 202
        asked = len(here.sandbox.requests)
        await here.call("POST", JOBS, COMMON["pomex"], Prefer="respond-async")

        async def jobs() -> list[dict[str, Any]]:
            _, found = await here.call("GET", "/-/jobs")
            every: list[dict[str, Any]] = found["jobs"]
            return every

        both = await until(jobs, lambda every: any(is_kept(job) for job in every))
        assert {job["provider"]: job["state"] for job in both} == {
            "pomex": "completed",
            "blockrun": "",
        }
        assert "/api/v1/videos/" not in str(here.sandbox.requests[asked:])
        assert here.settled == []


@pytest.mark.parametrize("mirror", [None, {"follow": False}])
async def test_switched_off(tmp_path: Path, mirror: dict[str, Any] | None) -> None:
    """Without the mirror, or without following, a job is asked after for who waits only."""
    async with town(tmp_path, mirror=mirror) as here:
        await here.call("POST", JOBS, COMMON["pomex"], Prefer="respond-async")
        asked = len(here.sandbox.requests)
        async with at_work(here.house):
            for _ in range(50):
                await here.call("GET", "/-/jobs")
        assert len(here.sandbox.requests) == asked


async def test_restart(tmp_path: Path) -> None:
    """The next daemon follows what the one before it began."""
    async with sandbox(SandboxOptions(api_key=SECRET, job_s=0.2, asset_s=0.05)) as site:
        path = config(tmp_path, site)
        async with house(path) as at:
            await Town(at, site).call("POST", JOBS, COMMON["sunra"], Prefer="respond-async")
        async with house(path) as at, at_work(at):
            await until(lambda: only_job(at), is_kept)


async def test_question_that_has_a_price(tmp_path: Path) -> None:
    """One who wants to be paid for telling how a job is gets nothing, though he may be paid."""
    async with Provider(gives(asks())) as greedy:
        provider = {
            "kind": "sunra",
            "base_url": greedy.url,
            "pay": {"networks": [NETWORK]},
        }
        routes = [{"path": "/v1/videos/*", "provider": "auto", "pay_methods": ["GET", "POST"]}]
        path = write_config(
            tmp_path,
            providers={"greedy": provider},
            routes=routes,
            mirror={},
            default_provider="greedy",
        )
        async with house(path) as at:
            await at.daemon._ledger.remember([Memory("pd_1", "job", "greedy")])
            async with at_work(at):
                await greedy.until(3)
            assert await at.payments() == []
            assert greedy.paid == []


async def test_paused(tmp_path: Path) -> None:
    """The switch stops paying, and a clip that is paid for is fetched all the same."""
    async with town(tmp_path) as here:
        await here.call("POST", JOBS, COMMON["pomex"], Prefer="respond-async")
        await here.call("POST", "/-/pause?reason=a%20test")
        async with at_work(here.house):
            await until(lambda: only_job(here.house), is_kept)


class Desk:
    """Stands for the daemon's walk: says who asks, and answers when it is told to."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[Request] = []
        self.go_on = asyncio.Event()
        self.fault = fault

    async def serve(self, request: Request) -> Reply:
        """Answer."""
        assert [chunk async for chunk in request.body.chunks()] == []
        self.asked.append(request)
        await self.go_on.wait()
        if self.fault is not None:
            raise self.fault
        return Reply(200, "", (), b"")

    async def until(self, count: int) -> None:
        """Wait for so many questions."""

        async def asked() -> int:
            return len(self.asked)

        await until(asked, lambda found: found >= count)


@asynccontextmanager
async def following(at: Studio, desk: Desk) -> AsyncIterator[None]:
    """Follow a studio's jobs."""
    task = asyncio.create_task(
        Follower(lambda: at.config, at.books.ledger, desk.serve, QUICK).run()
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_many_jobs(tmp_path: Path) -> None:
    """A few are asked after at a time, each once, until one of them is answered."""
    desk = Desk()
    async with studio(tmp_path, gives(b""), {}) as at:
        await at.books.ledger.remember(
            [Memory(f"job:{number}", "job", "maker") for number in range(AT_ONCE + 3)]
        )
        async with following(at, desk):
            await desk.until(AT_ONCE)
            for _ in range(20):
                await at.books.ledger.flush()
            first = [request.path for request in desk.asked]
            assert len(first) == len(set(first)) == AT_ONCE
            desk.go_on.set()
            await desk.until(AT_ONCE + 3)
        assert {request.path for request in desk.asked} == {
            f"{JOBS}/job%3A{number}" for number in range(AT_ONCE + 3)
        }


async def test_old_and_finished(tmp_path: Path) -> None:
    """What is too old for its provider to have, and what has its answer, is not asked after."""
    desk = Desk()
    desk.go_on.set()
    async with studio(tmp_path, gives(b""), {}) as at:
        await at.remember(Memory("job:old", "job", "maker"))
        at.books.clock.now += WANTED_S
        await at.remember(Memory("job:done", "job", "maker", state="completed", answer=b"{}"))
        await at.remember(Memory("asset:1", "asset", "maker"))
        await at.remember(Memory("job:other", "job", "somebody else"))
        await at.remember(Memory("job:open", "job", "maker"))
        async with following(at, desk):
            await desk.until(3)
        assert {request.path for request in desk.asked} == {f"{JOBS}/job%3Aopen"}


@pytest.mark.parametrize(
    "fault", [Refused(Refusal("no_route", "not any more")), ValueError("a fault of ours")]
)
async def test_faults(tmp_path: Path, fault: Exception) -> None:
    """What goes wrong with one question ends nothing: it is asked again."""
    desk = Desk(fault)
    desk.go_on.set()
    async with studio(tmp_path, gives(b""), {}) as at:
        await at.remember(Memory("job:1", "job", "maker"))
        async with following(at, desk):
            await desk.until(3)


async def test_ledger_that_cannot_be_read(tmp_path: Path) -> None:
    """A look that fails is followed by the next one."""
    desk = Desk()
    desk.go_on.set()
    async with studio(tmp_path, gives(b""), {}) as at:
        await at.remember(Memory("job:1", "job", "maker"))
        moved = at.books.ledger.path.rename(tmp_path / "elsewhere")
        async with following(at, desk):
            for _ in range(20):
                await at.books.ledger.flush()
            assert desk.asked == []
            moved.rename(at.books.ledger.path)
            await desk.until(1)


async def test_provider_that_hangs(tmp_path: Path) -> None:
    """One that never answers its status holds up nobody else's jobs."""
    hung, go_on = asyncio.Event(), asyncio.Event()

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        hung.set()
        await go_on.wait()
        writer.close()

    async with Provider(script) as slow, town(tmp_path) as here:
        document = json.loads(here.house.config.read_text())
        document["providers"]["slow"] = {"kind": "pomex", "base_url": slow.url}
        await here.house.reconfigure(**document)
        for number in range(AT_ONCE):
            await here.house.daemon._ledger.remember([Memory(f"slow:{number}", "job", "slow")])
        async with at_work(here.house):
            await hung.wait()
            await here.call("POST", JOBS, COMMON["pomex"], Prefer="respond-async")

            async def jobs() -> list[dict[str, Any]]:
                _, found = await here.call("GET", "/-/jobs")
                every: list[dict[str, Any]] = found["jobs"]
                return every

            await until(jobs, lambda every: any(is_kept(job) for job in every))
            go_on.set()


@pytest.mark.parametrize(
    ("age_s", "asked_s_ago", "due_in_s"),
    [
        (0, None, 10),
        (12, None, -2),
        (12, 5, 5),
        (120, 10, 20),
        (120, 30, 0),
        (3600, 600, 0),
        (86_400, 0, 600),
    ],
)
def test_rhythm(age_s: int, asked_s_ago: int | None, due_in_s: int) -> None:
    """A quarter of a job's age lies between two questions, and ten seconds to ten minutes."""
    now = 1_000_000
    asked_at = None if asked_s_ago is None else now - asked_s_ago
    assert Rhythm().due_at(now, now - age_s, asked_at) - now == due_in_s
