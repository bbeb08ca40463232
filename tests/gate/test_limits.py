"""The door's limits: how long, how much, how many."""

import asyncio
import json

import pytest

from proxy.core.http import Reply, Request
from proxy.gate.connection import HEAD_BYTES_MAX, Bounds
from tests.gate.rig import Heard, opened

QUICK = {"header_s": 1}
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


async def test_head_that_takes_too_long() -> None:
    """A head that drips is cut off at its deadline, however lively the drip, with a 408 of ours."""
    async with opened(limits=QUICK) as house, await house.wire() as wire:
        started = asyncio.get_running_loop().time()
        answer = asyncio.create_task(wire.rest())
        for byte in b"GET /v1/" + b"x" * 10_000:
            await wire.say(bytes([byte]))
            done, _ = await asyncio.wait([answer], timeout=0.05)
            if done:
                break
        heard = Heard.of(await answer)
        assert (heard.status, heard.code) == (408, "request_timeout")
        assert heard.headers[b"connection"] == b"close"
        assert json.loads(heard.body)["error"]["code"] == "request_timeout"
        assert 0.9 < asyncio.get_running_loop().time() - started < 5
        line = await house.log.line()
        assert (line["status"], line["error"]) == (408, "request_timeout")


async def test_silent_connection_is_closed_in_silence() -> None:
    """A spare connection that never says a word is closed without one: it would be misread."""
    async with opened(limits=QUICK) as house, await house.wire() as wire:
        assert await wire.rest() == b""
        assert house.log.lines == []


async def test_next_head_has_its_own_deadline() -> None:
    """On a connection that was in use the deadline starts with the next head's first byte."""
    async with opened(limits=QUICK) as house, await house.wire() as wire:
        await wire.say(HEALTH + b"\r\n")
        assert (await wire.answer()).status == 200
        await wire.say(b"\r\nGET /v1")
        assert Heard.of(await wire.rest()).status == 408


async def test_head_deadline_does_not_touch_the_request() -> None:
    """A head that was whole in time may be served for longer than heads may take."""

    async def serve(request: Request) -> Reply:
        return Reply(200, "OK", (), b"".join([chunk async for chunk in request.body.chunks()]))

    async with opened(serve, limits=QUICK) as house, await house.wire() as wire:
        await wire.say(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 24\r\n\r\n")
        for _ in range(24):
            await wire.say(b"x")
            await asyncio.sleep(0.06)
        assert (await wire.answer()).status == 200
        await wire.say(HEALTH + b"\r\n")
        assert (await wire.answer()).status == 200


async def test_idle_connection_is_closed() -> None:
    """Between requests a connection may idle for a while."""
    async with opened(bounds=Bounds(keepalive_s=0.2)) as house, await house.wire() as wire:
        await wire.say(HEALTH + b"\r\n")
        assert (await wire.answer()).status == 200
        assert await wire.rest() == b""


async def test_next_head_outlives_the_idle_time() -> None:
    """A head that has begun is not cut off by the idle time of the connection."""
    async with opened(bounds=Bounds(keepalive_s=0.3)) as house, await house.wire() as wire:
        await wire.say(HEALTH + b"\r\n")
        assert (await wire.answer()).status == 200
        await wire.say(HEALTH)
        await asyncio.sleep(0.5)
        await wire.say(b"\r\n")
        assert (await wire.answer()).status == 200


async def test_body_that_stalls() -> None:
    """A body that stops coming is a 408, and the connection ends."""
    async with opened(bounds=Bounds(body_idle_s=0.1)) as house, await house.wire() as wire:
        await wire.say(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        heard = await wire.answer()
        assert (heard.status, heard.code) == (408, "request_timeout")
        assert heard.headers[b"connection"] == b"close"


async def test_one_connection_too_many() -> None:
    """Beyond the cap a connection is told to come back; those that are open go on being served."""
    async with opened(bounds=Bounds(connections_max=2)) as house:
        async with await house.wire() as first, await house.wire() as second:
            for wire in (first, second):
                await wire.say(HEALTH + b"\r\n")
                assert (await wire.answer()).status == 200
            async with await house.wire() as third:
                heard = Heard.of(await third.rest())
                assert (heard.status, heard.code) == (503, "overloaded")
                assert heard.headers[b"retry-after"] == b"1"
            line = await house.log.line(2)
            assert (line["status"], line["error"]) == (503, "overloaded")
            await first.say(HEALTH + b"Connection: close\r\n\r\n")
            assert Heard.of(await first.rest()).status == 200
        assert b"farebox_connections " in house.metrics.render()


async def test_head_that_has_no_end() -> None:
    """Many headers, each of them small enough, are too large together."""
    async with opened() as house, await house.wire() as wire:
        await wire.say(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(HEAD_BYTES_MAX // 60_000 + 1):
            await wire.say(b"X-%d: " % number + b"x" * 60_000 + b"\r\n")
        heard = Heard.of(await wire.rest())
        assert (heard.status, heard.code) == (431, "headers_too_large")


async def test_compressed_body_is_not_inflated() -> None:
    """A body that would inflate to a thousand times its size is passed on as it is."""
    bomb = bytes(100)

    async def serve(request: Request) -> Reply:
        return Reply(200, "OK", (), b"".join([chunk async for chunk in request.body.chunks()]))

    async with opened(serve) as house:
        head = (
            b"POST /v1/x HTTP/1.1\r\nHost: HOST\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
        )
        heard = await house.ask(head + b"Content-Length: 100\r\n\r\n" + bomb)
        assert heard.body == bomb


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
async def test_body_is_counted(size: int) -> None:
    """The log says how many bytes a request brought."""

    async def count(request: Request) -> Reply:
        total = sum([len(chunk) async for chunk in request.body.chunks()])
        return Reply(200, "OK", (), str(total).encode())

    async with opened(count) as house:
        head = (
            b"POST /v1/x HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        )
        heard = await house.ask(head % size + bytes(size))
        assert heard.body == str(size).encode()
        assert (await house.log.line())["bytes_in"] == size
