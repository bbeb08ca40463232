"""Serving clips through the real door: kept ones from the disk, the others from where they lie."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.clipfiles import READ_BYTES
from proxy.core.http import Reply, Request
from proxy.media.clips import Clips
from proxy.mirror import Pace
from proxy.spool import Spool
from tests.exchange.provider import Script, response
from tests.gate.rig import House, opened
from tests.mirror.studio import CLIP, MP4, PROVIDER, QUICK, Slow, Studio, film, gives, studio

LINK = "https://maker.example/clip.mp4?sig=a%2Fb"
LARGE = os.urandom(3 * READ_BYTES + 17)


@dataclass
class Shop:
    """A door that gives out a studio's clips under `/v1/{job}`."""

    studio: Studio
    house: House
    client: aiohttp.ClientSession

    async def get(
        self, job: str = "job:1", method: str = "GET", **headers: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Ask for a clip."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.house.url}/v1/{job}"
        async with self.client.request(method, url, headers=named, allow_redirects=False) as answer:
            return answer, await answer.read()


@asynccontextmanager
async def shop(
    folder: Path, script: Script, config: dict[str, Any] | None = None, pace: Pace = QUICK
) -> AsyncIterator[Shop]:
    """Open a shop whose mirror runs."""
    config = {} if config is None else config
    async with studio(folder, script, config, pace=pace) as at:
        clips = Clips(at.mirror)

        async def serve(request: Request) -> Reply:
            job = unquote(request.path.removeprefix("/v1/"))
            return await clips.serve(request, PROVIDER, job, LINK)

        async with opened(serve) as house, aiohttp.ClientSession() as client, at.running():
            yield Shop(at, house, client)


def open_files(folder: Path) -> list[str]:
    """The files below a directory that this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:  # it was the one of this very listing
            continue
        if name.startswith(f"{folder}/clips"):
            found.append(name)
    return found


async def test_kept_clip(tmp_path: Path) -> None:
    """All of it, with what a player and a cache want to know."""
    async with shop(tmp_path, gives(film(LARGE))) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        answer, body = await at.get()
        assert (answer.status, body) == (200, LARGE)
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Content-Length"] == str(len(LARGE))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Disposition"] == 'inline; filename="job_1.mp4"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        tag = answer.headers["ETag"]
        assert len(tag) == 66
        for method in ("GET", "HEAD"):
            same, nothing = await at.get(method=method, If_None_Match=tag)
            assert (same.status, nothing, same.headers["ETag"]) == (304, b"", tag)
            other, nothing = await at.get(method=method, If_Match='"another"')
            assert (other.status, nothing, other.headers["ETag"]) == (412, b"", tag)
        head, nothing = await at.get(method="HEAD")
        assert (head.status, nothing) == (200, b"")
        assert head.headers["Content-Length"] == str(len(LARGE))
        assert open_files(tmp_path) == []


async def test_parts(tmp_path: Path) -> None:
    """A part, a part past the end, and parts of a clip that is another by now."""
    async with shop(tmp_path, gives(film(LARGE))) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        first = READ_BYTES - 5
        answer, body = await at.get(Range=f"bytes={first}-{2 * READ_BYTES}")
        assert (answer.status, body) == (206, LARGE[first : 2 * READ_BYTES + 1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{2 * READ_BYTES}/{len(LARGE)}"
        answer, body = await at.get(Range=f"bytes={len(LARGE)}-")
        assert (answer.status, body) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{len(LARGE)}"
        answer, body = await at.get(Range="bytes=5-", If_Range='"another"')
        assert (answer.status, body) == (200, LARGE)
        assert "Content-Range" not in answer.headers
        assert open_files(tmp_path) == []


async def test_any_range(tmp_path: Path) -> None:
    """Whatever is asked for, the bytes are those that the answer says they are."""
    async with shop(tmp_path, gives(film())) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        loop = asyncio.get_running_loop()

        async def ask(value: str) -> None:
            answer, body = await at.get(Range=value)
            if answer.status == 206:
                place, _, size = (
                    answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
                )
                first, _, last = place.partition("-")
                assert body == CLIP[int(first) : int(last) + 1] != b""
                assert int(size) == len(CLIP)
            else:
                assert (answer.status, body) in {(200, CLIP), (416, b"")}

        numbers = st.one_of(st.just(""), st.integers(0, 2 * len(CLIP)).map(str))
        specs = st.builds(lambda a, b: f"{a}-{b}", numbers, numbers)
        values = st.lists(specs, max_size=2).map(lambda found: f"bytes={','.join(found)}")

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(values)
        def every(value: str) -> None:
            asyncio.run_coroutine_threadsafe(ask(value), loop).result(10)

        await asyncio.to_thread(every)
        assert open_files(tmp_path) == []


async def test_download_that_is_taken_up_again(tmp_path: Path) -> None:
    """`curl -C -` goes on where its file ends, and the whole is the clip."""
    async with shop(tmp_path, gives(film(LARGE))) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        target = tmp_path / "download.mp4"
        target.write_bytes(LARGE[:12345])
        command = ["curl", "-sS", "-f", "-C", "-", "-o", str(target), f"{at.house.url}/v1/job:1"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=30)
        assert target.read_bytes() == LARGE
        assert [request.method for request in at.house.served] == ["GET"]


async def test_client_that_leaves(tmp_path: Path) -> None:
    """The file is closed when its client leaves in the middle."""
    large = bytes(32 << 20)
    async with shop(tmp_path, gives(film(large))) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        for _ in range(3):
            async with await at.house.wire() as wire:
                host = at.house.port
                await wire.say(f"GET /v1/job:1 HTTP/1.1\r\nHost: 127.0.0.1:{host}\r\n\r\n".encode())
                await wire.until(b"\r\n\r\n")
                assert open_files(tmp_path)
                wire.hang_up()
            async with asyncio.timeout(10):
                while open_files(tmp_path):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [response("404 Not Found"), response("400 Bad Request")])
async def test_clip_that_is_not_kept(tmp_path: Path, answer: bytes) -> None:
    """It is at its provider's, and nobody is to remember that; nor is it waited for."""
    async with shop(tmp_path, gives(answer)) as at:
        await at.studio.finish()
        state = "fetching" if b"404" in answer else "failed"
        await at.studio.becomes(state, note="answers")
        for method in ("GET", "HEAD"):
            found, body = await at.get(method=method)
            assert (found.status, body) == (302, b"")
            assert found.headers["Location"] == LINK
            assert found.headers["Cache-Control"] == "no-store"


async def test_without_mirroring(tmp_path: Path) -> None:
    """A redirect at once, whatever is known of the job; one that nobody knows too."""
    async with shop(tmp_path, gives(film())) as at:
        assert (await at.get("nobody"))[0].status == 302
        at.studio.reconfigure(None)
        await at.studio.finish()
        assert (await at.get())[0].status == 302
        assert at.studio.names() == []


async def test_hostile_link(tmp_path: Path) -> None:
    """What a provider calls a link breaks no head."""
    async with studio(tmp_path, gives(film()), None) as at:
        clips = Clips(at.mirror)

        async def serve(request: Request) -> Reply:
            return await clips.serve(request, PROVIDER, "x", "https://a/\r\nSet-Cookie: a=b\u00e9")

        async with opened(serve) as house:
            heard = await house.ask(
                b"GET /v1/x HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
            )
        assert heard.headers[b"location"] == b"https://a/%0D%0ASet-Cookie:%20a=b%C3%A9"
        assert b"set-cookie" not in heard.headers


NAMES = {
    "azure:vidjob_abc": 'inline; filename="azure_vidjob_abc.mp4"',
    'a"; x="': 'inline; filename="a_x.mp4"',
    "../../etc/passwd": 'inline; filename="etc_passwd.mp4"',
    "\u00e9\r\n": 'inline; filename="clip.mp4"',
    "x" * 500: f'inline; filename="{"x" * 100}.mp4"',
}


async def test_names_and_types(tmp_path: Path) -> None:
    """What a clip is called and what it is comes from no one who could harm with it."""
    kinds = {
        "video/webm": ("video/webm", "webm"),
        "Video/QuickTime; x=y": ("video/quicktime", "mov"),
        "image/svg+xml": ("video/mp4", "mp4"),
        "video/<script>": ("video/mp4", "mp4"),
        "application/octet-stream": ("video/mp4", "mp4"),
    }
    answers = [film(CLIP, ("Content-Type", kind)) for kind in kinds]
    async with shop(tmp_path, gives(*answers, film(CLIP, MP4))) as at:
        for number, (told, extension) in enumerate(kinds.values()):
            await at.studio.finish(f"job:{number}")
            await at.studio.becomes("kept", f"job:{number}")
            answer, _ = await at.get(f"job:{number}")
            assert answer.headers["Content-Type"] == told
            assert answer.headers["Content-Disposition"].endswith(f'.{extension}"')
        clips = Clips(at.studio.mirror)
        for job, disposition in NAMES.items():
            await at.studio.finish(job, f"{at.studio.provider.url}/x")
            await at.studio.becomes("kept", job)
            reply = await clips.serve(bare(tmp_path), PROVIDER, job, LINK)
            assert dict(reply.headers)[b"Content-Disposition"].decode() == disposition
            assert not isinstance(reply.body, bytes)
            await reply.body.aclose()  # type: ignore[attr-defined]  # as the door does it
        assert open_files(tmp_path) == []


def bare(folder: Path) -> Request:
    """A request that came through no door."""
    return Request("r", "GET", "/", None, (), Spool(folder), "h")


async def test_clip_that_is_on_its_way(tmp_path: Path) -> None:
    """It is waited for, and served from the disk when it is there."""
    slow = Slow()
    async with shop(tmp_path, slow) as at:
        await at.studio.finish()
        await slow.halfway.wait()
        first, second = (asyncio.create_task(at.get()) for _ in range(2))
        async with asyncio.timeout(10):
            while len(at.house.served) < 2:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert not first.done()
        slow.go_on.set()
        for answer, body in (await first, await second):
            assert (answer.status, body) == (200, CLIP)
        assert len(at.studio.provider.got) == 1


async def test_clip_that_nobody_has_begun(tmp_path: Path) -> None:
    """One that is wanted is waited for as well, from the moment its job is done."""
    async with shop(tmp_path, gives(film()), pace=Pace(wait_s=5)) as at:
        await at.studio.finish()
        answer, body = await at.get()
        assert (answer.status, body) == (200, CLIP)


async def test_clip_that_is_long_on_its_way(tmp_path: Path) -> None:
    """There is an end to waiting: a redirect."""
    slow = Slow()
    async with shop(tmp_path, slow, pace=Pace(wait_s=0.05)) as at:
        await at.studio.finish()
        await slow.halfway.wait()
        assert (await at.get())[0].status == 302
        slow.go_on.set()
        await at.studio.becomes("kept")


async def test_waiting_while_the_daemon_stops(tmp_path: Path) -> None:
    """Nobody waits for a clip that nobody fetches any more."""
    slow = Slow()
    async with studio(tmp_path, slow, {}, pace=Pace(wait_s=60)) as at:
        async with at.running():
            await at.finish()
            await slow.halfway.wait()
            waiting = asyncio.create_task(at.mirror.settled(PROVIDER, "job:1"))
            await at.books.ledger.flush()
        async with asyncio.timeout(10):
            found = await waiting
        assert found is not None
        assert found.state == "fetching"


async def test_waiting_client_that_leaves(tmp_path: Path) -> None:
    """The fetch goes on without it."""
    slow = Slow()
    async with shop(tmp_path, slow) as at:
        await at.studio.finish()
        await slow.halfway.wait()
        async with await at.house.wire() as wire:
            host = at.house.port
            await wire.say(f"GET /v1/job:1 HTTP/1.1\r\nHost: 127.0.0.1:{host}\r\n\r\n".encode())
            async with asyncio.timeout(10):
                while not at.house.served:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
        slow.go_on.set()
        await at.studio.becomes("kept")
        assert len(at.studio.provider.got) == 1


@pytest.mark.parametrize("harm", ["gone", "shorter", "a directory", "a link"])
async def test_file_that_was_tampered_with(tmp_path: Path, harm: str) -> None:
    """What is not there as it was written is not kept: a redirect, from then on."""
    async with shop(tmp_path, gives(film())) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        path = at.studio.kept()
        if harm == "shorter":
            path.write_bytes(CLIP[:-1])
        else:
            path.unlink()
        if harm == "a directory":
            path.mkdir()
        if harm == "a link":
            (tmp_path / "secret").write_bytes(CLIP)
            path.symlink_to(tmp_path / "secret")
        assert (await at.get())[0].status == 302
        clip = await at.studio.becomes("failed", note="gone from the disk")
        assert "bytes" not in clip
        assert open_files(tmp_path) == []


async def test_file_that_becomes_shorter_on_the_way(tmp_path: Path) -> None:
    """The client sees that something is missing."""
    large = bytes(32 << 20)
    async with shop(tmp_path, gives(film(large))) as at:
        await at.studio.finish()
        await at.studio.becomes("kept")
        async with at.client.get(f"{at.house.url}/v1/job:1") as answer:
            await answer.content.readexactly(1)
            os.truncate(at.studio.kept(), 1 << 20)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        line = await at.house.log.line()
        assert line["broken"] == "OSError"


async def test_ledger_that_is_gone(tmp_path: Path) -> None:
    """The provider's link needs no ledger."""
    async with studio(tmp_path, gives(film()), {}) as at:
        await at.books.ledger.close()
        request = bare(tmp_path)
        reply = await Clips(at.mirror).serve(request, PROVIDER, "job:1", LINK)
        assert reply.status == 302
