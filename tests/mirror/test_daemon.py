"""The whole daemon: a job that ends is kept; a kill, a restart, a full load of paid calls."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from eth_account import Account

from proxy.clipfiles import PART, SUFFIX
from proxy.clocks import machine_clocks
from proxy.sandbox import SandboxOptions, sandbox
from proxy.store import Ledger, Memory
from tests.exchange.conftest import SECRET, house, until, write_config
from tests.exchange.provider import Provider
from tests.mirror.studio import CLIP, Slow, film, gives
from tests.providers.test_native import Town
from tests.sellers.daemon import Daemon
from tests.store.books import rows

VIDEOS = "/v1/videos/generations"
JOB = "maker:job"


@asynccontextmanager
async def mirroring(folder: Path, **mirror: Any) -> AsyncIterator[Town]:
    """A daemon that keeps clips, in front of the three providers."""
    async with sandbox(SandboxOptions(api_key=SECRET, job_s=0.2, asset_s=0.05)) as site:
        key = {"bearer": {"file": "provider.key"}}
        providers = {
            "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
            "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key},
            "pomex": {"kind": "pomex", "base_url": site.pomex_url, "auth": key},
        }
        path = write_config(folder, providers=providers, mirror=mirror)
        async with house(path) as at:
            running = asyncio.create_task(at.daemon.mirror.run())
            try:
                yield Town(at, site)
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running


@pytest.mark.usefixtures("quick_polls")
@pytest.mark.parametrize(
    "body",
    [
        {"model": "azure/sora-2", "prompt": "a fare box"},
        {"model": "bytedance/seedance-2.0-fast/text-to-video", "prompt": "a fare box"},
        {"model": "byteplus/seedance-2.0-fast", "prompt": "a fare box"},
    ],
    ids=["blockrun", "sunra", "pomex"],
)
async def test_job_that_ends(tmp_path: Path, body: dict[str, str]) -> None:
    """Its clip is on the disk soon, and the list of jobs says so; no key went with the fetch."""
    async with mirroring(tmp_path) as town:
        status, done = await town.call("POST", VIDEOS, body)
        assert (status, done["status"]) == (200, "completed")
        asked_before = len(town.sandbox.requests)

        async def only() -> dict[str, Any]:
            _, listed = await town.call("GET", "/-/jobs")
            found: dict[str, Any] = listed["jobs"][0]
            return found

        job = await until(only, lambda job: job.get("clip", {}).get("state") == "kept")
        (path,) = (tmp_path / "state" / "clips").iterdir()
        assert path.stat().st_size == job["clip"]["bytes"] > 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"ftyp" in path.read_bytes()
        for request in town.sandbox.requests[asked_before:]:
            assert SECRET not in str(request)
        content = f"{town.house.url}/v1/videos/{quote(job['id'], safe='')}/content"
        part = {"Range": "bytes=4-7"}
        async with town.house.client.get(content, headers=part, allow_redirects=False) as answer:
            assert (answer.status, await answer.read()) == (206, b"ftyp")
            assert answer.headers["Content-Type"] == "video/mp4"


@asynccontextmanager
async def daemon(folder: Path, base_url: str, **mirror: Any) -> AsyncIterator[Daemon]:
    """A daemon that is a process of its own, with one finished job in its ledger."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    ledger = await Ledger.open(state, machine_clocks())
    answer = {"status": "completed", "data": [{"url": f"{base_url}/clip.mp4"}]}
    job = Memory(JOB, "job", "maker", state="completed", answer=json.dumps(answer).encode())
    await ledger.remember([job])
    await ledger.close()
    config = {
        "state_dir": str(state),
        "caps": {"per_request": "1.00", "day": "none"},
        "providers": {"maker": {"kind": "pomex", "base_url": base_url}},
        "mirror": mirror,
    }
    async with aiohttp.ClientSession() as client:
        found = Daemon(folder, Account.create(), config, client)
        try:
            yield found
        finally:
            await found.stop()


async def clip_of(at: Daemon) -> dict[str, Any]:
    """What the daemon says of the clip."""
    (job,) = (await at.ask("GET", "/-/jobs")).json["jobs"]
    found: dict[str, Any] = job.get("clip", {})
    return found


async def test_kill_in_the_middle(tmp_path: Path) -> None:
    """What a kill leaves is no clip; the next daemon sweeps it away and fetches it whole."""
    slow = Slow(bytes(8 << 20))
    clips = tmp_path / "state" / "clips"
    async with Provider(slow) as provider, daemon(tmp_path, provider.url) as at:
        await at.start()
        await slow.halfway.wait()
        async with asyncio.timeout(10):
            while not any(part.stat().st_size for part in clips.iterdir()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        at.kill()
        (left,) = clips.iterdir()
        assert left.name.startswith(PART)
        assert rows(tmp_path / "state", "SELECT state FROM clip") == [("fetching",)]
        slow.go_on.set()
        await at.start()
        await until(lambda: clip_of(at), lambda clip: clip.get("state") == "kept")
        (path,) = clips.iterdir()
        assert path.name.endswith(SUFFIX)
        assert path.read_bytes() == slow.body


@pytest.mark.parametrize("moment", range(6))
async def test_kill_at_any_moment(tmp_path: Path, moment: int) -> None:
    """Whenever it comes: what the ledger says is kept is on the disk, whole."""
    body = CLIP * 100
    async with Provider(gives(film(body))) as provider, daemon(tmp_path, provider.url) as at:
        await at.start()
        await provider.until(1)
        await asyncio.sleep(moment * 0.002)  # for no condition: to be somewhere else each time
        at.kill()
        clips = tmp_path / "state" / "clips"
        for path in clips.iterdir():
            assert path.name.startswith(PART) or path.read_bytes() == body
        if rows(tmp_path / "state", "SELECT state FROM clip") == [("kept",)]:
            (path,) = clips.iterdir()
            assert path.name.endswith(SUFFIX)
        await at.start()
        await until(lambda: clip_of(at), lambda clip: clip.get("state") == "kept")
        assert [path.read_bytes() for path in clips.iterdir()] == [body]


async def test_stop_in_the_middle(tmp_path: Path) -> None:
    """A daemon that is told to stop does so, and leaves nothing half done."""
    slow = Slow()
    async with Provider(slow) as provider, daemon(tmp_path, provider.url) as at:
        await at.start()
        await slow.halfway.wait()
        await at.stop()
        assert list((tmp_path / "state" / "clips").iterdir()) == []
        assert at.log.read_text().count("Traceback") == 0
        slow.go_on.set()


async def test_memory_of_the_process(tmp_path: Path) -> None:
    """A clip of 64 MiB adds a few MiB to what the daemon ever held."""
    size, piece, go_on = 64 << 20, bytes(1 << 18), asyncio.Event()

    async def script(_got: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await go_on.wait()
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()

    async with Provider(script) as provider, daemon(tmp_path, provider.url) as at:
        await at.start()
        await provider.until(1)
        before = _peak_kib(at)
        go_on.set()
        clip = await until(lambda: clip_of(at), lambda clip: clip.get("state") == "kept")
        assert clip["bytes"] == size
        assert _peak_kib(at) - before < 24 << 10


async def test_paying_goes_on_beside_it(tmp_path: Path) -> None:
    """While a clip streams without end, calls are answered and the ledger takes what they bring."""
    go_on = asyncio.Event()

    async def script(_got: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not go_on.is_set() and not writer.is_closing():
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with Provider(script) as provider, daemon(tmp_path, provider.url) as at:
        await at.start()
        await provider.until(1)
        for _ in range(50):
            assert (await at.ask("GET", "/readyz")).status == 200
        assert (await clip_of(at))["state"] == "fetching"
        go_on.set()
        await until(lambda: clip_of(at), lambda clip: clip.get("state") == "kept")


def _peak_kib(at: Daemon) -> int:
    assert at.process is not None
    status = Path(f"/proc/{at.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])
