"""What is written back: the provider's bytes, a part of them never to be taken for the whole."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from proxy.core.http import Headers, Reply, Request
from proxy.gate.connection import Bounds
from proxy.gate.handler import Serve
from tests.gate.rig import PATIENCE_S, Heard, House, opened

GET = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET_AND_CLOSE = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
GET_1_0 = b"GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n"
HEAD = b"HEAD /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def serving(
    *chunks: bytes,
    status: int = 200,
    headers: Headers = (),
    whole: bool = False,
    reason: str = "OK",
) -> Serve:
    """Serve one and the same reply: streamed in these chunks, or whole."""

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def serve(_: Request) -> Reply:
        return Reply(status, reason, headers, b"".join(chunks) if whole else stream())

    return serve


async def transcript(house: House, said: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    async with await house.wire() as wire:
        await wire.say(said)
        return await wire.rest()


CL5 = (b"Content-Length", b"5")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
TRANSCRIPTS = {
    "whole": (
        serving(b"hello", whole=True),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "whole, its length kept where it stood": (
        serving(
            b"hello", whole=True, headers=((b"A", b"1"), (b"content-length", b"5"), (b"B", b"2"))
        ),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nA: 1\r\ncontent-length: 5\r\nB: 2\r\nConnection: close\r\n\r\nhello",
    ),
    "whole, rewritten since its length was said": (
        serving(b"hello", whole=True, headers=((b"Content-Length", b"7"),)),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "whole and empty": (
        serving(whole=True),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    "streamed with a length": (
        serving(b"he", b"llo", headers=(CL5,)),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "streamed with its length said twice": (
        serving(b"he", b"llo", headers=(CL5, CL5)),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "streamed with two lengths": (
        serving(b"hello", headers=(CL5, (b"Content-Length", b"6"))),
        GET_AND_CLOSE,
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    ),
    "streamed": (
        serving(b"he", b"", b"llo"),
        GET_AND_CLOSE,
        CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ),
    "streamed and empty": (
        serving(),
        GET_AND_CLOSE,
        CHUNKED + b"0\r\n\r\n",
    ),
    "streamed to HTTP/1.0": (
        serving(b"he", b"llo"),
        GET_1_0.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ),
    "HEAD": (
        serving(b"hello", headers=(CL5,)),
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
    ),
    "HEAD, whole": (
        serving(b"hello", whole=True, headers=((b"Content-Length", b"99"),)),
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n",
    ),
    "HEAD, no length": (
        serving(b"hello"),
        HEAD,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ),
    "204": (
        serving(status=204, reason="No Content"),
        GET_AND_CLOSE,
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    ),
    "304 keeps its length": (
        serving(status=304, reason="Not Modified", headers=(CL5, (b"ETag", b'"x"'))),
        GET_AND_CLOSE,
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\nConnection: close\r\n\r\n',
    ),
    "bytes above 127, order, case, repetition": (
        serving(
            b"hello",
            reason="\udcff\u00e9",
            headers=(
                CL5,
                (b"Set-Cookie", b"b=\xff\xfe"),
                (b"X", b"caf\xc3\xa9"),
                (b"set-cookie", b"a=1"),
                (b"Date", b"yesterday"),
                (b"X-Empty", b""),
            ),
        ),
        GET_AND_CLOSE,
        b"\r\n".join(
            (
                b"HTTP/1.1 200 \xff\xc3\xa9",
                b"Content-Length: 5",
                b"Set-Cookie: b=\xff\xfe",
                b"X: caf\xc3\xa9",
                b"set-cookie: a=1",
                b"Date: yesterday",
                b"X-Empty: ",
                b"Connection: close",
                b"",
                b"hello",
            )
        ),
    ),
    "the provider's own framing": (
        serving(
            b"hello",
            headers=(
                (b"Transfer-Encoding", b"chunked"),
                (b"Connection", b"keep-alive"),
                (b"Keep-Alive", b"timeout=5"),
                CL5,
            ),
        ),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "what would break the head apart": (
        serving(
            b"hello",
            reason="O\r\nK: x",
            headers=(
                (b"A", b"b\r\nC: d"),
                (b"E\n", b"f"),
                (b"G H", b"i"),
                (b"", b"j"),
                (b"K", b"\0"),
                CL5,
            ),
        ),
        GET_AND_CLOSE,
        b"HTTP/1.1 200 O K: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    "a status nobody knows": (
        serving(b"hello", status=799, reason="", headers=(CL5,)),
        GET_AND_CLOSE,
        b"HTTP/1.1 799 \r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_answer_on_the_wire(name: str) -> None:
    """Status, reason, headers and body are the provider's; framing is ours and all that is."""
    serve, said, expected = TRANSCRIPTS[name]
    async with opened(serve) as house:
        assert await transcript(house, said) == expected


async def test_events_are_not_held() -> None:
    """Each event of a stream is with the client before the next one exists."""
    gates = [asyncio.Event() for _ in range(3)]

    async def events() -> AsyncIterator[bytes]:
        for number, gate in enumerate(gates):
            await gate.wait()
            yield b"data: %d\n\n" % number

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", ((b"Content-Type", b"text/event-stream"),), events())

    async with opened(serve) as house, await house.wire() as wire:
        await wire.say(GET)
        assert b"text/event-stream" in await wire.until(b"\r\n\r\n")
        for number, gate in enumerate(gates):
            gate.set()
            assert await wire.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
        assert await wire.until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_ordinary_client_reads_it_all() -> None:
    """A client that is no test of ours reads a long stream byte for byte, on one connection."""
    chunks = [bytes([n % 251]) * 65_521 for n in range(200)]
    async with opened(serving(*chunks)) as house, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(2):
            answer = await client.get(f"{house.url}/v1/x")
            assert answer.content == b"".join(chunks)
        assert (await house.log.line(1))["bytes_out"] == 200 * 65_521


class Source:
    """A stream that can be watched: an endless one, or one that breaks."""

    def __init__(self, first: bytes, *, then: Callable[[], bytes]) -> None:
        self._first = first
        self._then = then
        self.taken = 0
        self.closed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the first chunk, then what comes."""
        try:
            yield self._first
            while True:
                await asyncio.sleep(0)
                chunk = self._then()
                yield chunk
                self.taken += len(chunk)
        finally:
            self.closed.set()

    async def is_closed(self) -> None:
        """Wait until the stream was let go of."""
        async with asyncio.timeout(PATIENCE_S):
            await self.closed.wait()

    def serve(self, headers: Headers = ()) -> Serve:
        """Serve it."""

        async def serve(_: Request) -> Reply:
            return Reply(200, "OK", headers, self.chunks())

        return serve


def breaks() -> bytes:
    """Break as a provider does."""
    raise ConnectionResetError("the provider went away")


@pytest.mark.parametrize(
    ("headers", "said"),
    [((), GET), (((b"Content-Length", b"99"),), GET), (((b"Content-Length", b"99"),), GET_1_0)],
)
async def test_broken_stream_does_not_look_whole(headers: Headers, said: bytes) -> None:
    """When a provider breaks off the client gets what came and sees that something is missing."""
    source = Source(b"part", then=breaks)
    async with opened(source.serve(headers)) as house:
        heard = await transcript(house, said)
        assert b"part" in heard
        assert not heard.endswith(b"0\r\n\r\n")
        await source.is_closed()
        line = await house.log.line()
        assert line["broken"] == "ConnectionResetError"
        assert (line["client_gone"], line["bytes_out"]) == (False, 4)


async def test_broken_stream_without_framing_is_a_reset() -> None:
    """To HTTP/1.0 without a length the end is the end of the body, so a broken one is reset."""
    async with opened(Source(b"part", then=breaks).serve()) as house:
        with pytest.raises(ConnectionResetError):
            await transcript(house, GET_1_0)


@pytest.mark.parametrize("chunks", [(b"par", b"t"), (b"too long",), (b"five5", b"+")])
async def test_stream_of_another_length_than_said(chunks: tuple[bytes, ...]) -> None:
    """Less than was said is not whole, and what is more would be read as the next answer."""
    async with opened(serving(*chunks, headers=(CL5,))) as house:
        heard = Heard.of(await transcript(house, GET))
        assert len(heard.body) <= 5
        assert (await house.log.line())["broken"] == "LengthError"


def always() -> bytes:
    """Go on for ever."""
    return b"x" * 10_000


async def test_client_that_hangs_up_while_it_is_sent_to() -> None:
    """The stream is let go of, and the log says that the client left: nobody else is to blame."""
    source = Source(b"first", then=always)
    async with opened(source.serve()) as house:
        async with await house.wire() as wire:
            await wire.say(GET)
            await wire.until(b"first")
        await source.is_closed()
        line = await house.log.line()
        assert line["client_gone"] is True
        assert "broken" not in line
        assert house.log.faults == []


async def test_client_that_hangs_up_in_a_silence() -> None:
    """A hang-up is noticed at once, not when the next event would be written."""
    closed = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", (), silent(), {"provider": "shop"})

    async with opened(serve) as house:
        async with await house.wire() as wire:
            await wire.say(GET)
            await wire.until(b"first")
        async with asyncio.timeout(PATIENCE_S):
            await closed.wait()
        line = await house.log.line()
        assert (line["client_gone"], line["status"], line["provider"]) == (True, 200, "shop")


async def test_client_that_hangs_up_before_the_answer() -> None:
    """What is served is cancelled; what it shields goes on without the client."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pay() -> None:
        await may_end.wait()
        ended.set()

    async def serve(_: Request) -> Reply:
        payment = asyncio.create_task(pay())
        begun.set()
        await asyncio.shield(payment)
        raise AssertionError("nobody is there to answer")

    async with opened(serve) as house:
        async with await house.wire() as wire:
            await wire.say(GET)
            await begun.wait()
        assert (await house.log.line())["client_gone"] is True
        may_end.set()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
        assert house.log.faults == []


async def test_client_that_hangs_up_while_it_sends() -> None:
    """A body that stops short is never taken for a whole one."""
    got = bytearray()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def serve(request: Request) -> Reply:
        try:
            async for chunk in request.body.chunks():
                got.extend(chunk)
                begun.set()
            raise AssertionError("the body seemed whole")
        finally:
            ended.set()

    async with opened(serve) as house:
        async with await house.wire() as wire:
            await wire.say(
                b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"
            )
            await begun.wait()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
        line = await house.log.line()
        assert (line["client_gone"], line["bytes_in"]) == (True, 4)
        assert house.log.faults == []


async def test_client_that_reads_nothing_holds_the_source_back() -> None:
    """Backpressure reaches the provider: memory does not fill up with what nobody reads."""
    source = Source(b"first", then=always)
    async with opened(source.serve(), bounds=Bounds(send_stall_s=0.3)) as house:
        async with await house.wire() as wire:
            await wire.say(GET)
            await source.is_closed()
        line = await house.log.line()
        assert line["client_gone"] is True
        assert source.taken < 20_000_000


async def test_bodiless_answer_lets_go_of_its_stream() -> None:
    """A stream that is not written, for a HEAD, is closed all the same."""
    closed = asyncio.Event()

    class Closable:
        def __aiter__(self) -> "Closable":
            return self

        async def __anext__(self) -> bytes:
            raise AssertionError("nobody wants the body")

        async def aclose(self) -> None:
            closed.set()

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", (CL5,), Closable())

    async with opened(serve) as house:
        assert Heard.of(await transcript(house, HEAD)).headers[b"content-length"] == b"5"
        assert closed.is_set()


async def silence_after(first: bytes) -> AsyncIterator[bytes]:
    """Yield something, and then nothing for ever."""
    yield first
    await asyncio.Event().wait()


@pytest.mark.parametrize("said", [GET, GET_1_0])
async def test_stop_in_the_midst_of_a_stream(said: bytes) -> None:
    """A stream that the daemon cuts off when it stops does not look whole, nor like a hang-up."""

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", (), silence_after(b"part"))

    async with opened(serve) as house, await house.wire() as wire:
        await wire.say(said)
        await wire.until(b"part")
        await house.door.stop(0.05)
        if said is GET:
            assert not (await wire.rest()).endswith(b"0\r\n\r\n")
        else:
            with pytest.raises(ConnectionResetError):
                await wire.rest()
        assert (await house.log.line())["client_gone"] is False


async def test_client_that_leaves_with_everything() -> None:
    """Who has every byte that was announced may go before the provider has closed the stream."""

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", (CL5,), silence_after(b"hello"))

    async with opened(serve) as house:
        async with await house.wire() as wire:
            await wire.say(GET)
            assert (await wire.answer()).body == b"hello"
        assert (await house.log.line())["client_gone"] is False


async def test_head_goes_with_what_is_at_hand() -> None:
    """A head does not wait for a body that is late, and shares its packet with one that is not."""
    late = asyncio.Event()

    async def waits() -> AsyncIterator[bytes]:
        await late.wait()
        yield b"hello"

    async def serve(request: Request) -> Reply:
        if request.path == "/v1/late":
            return Reply(200, "OK", (CL5,), waits())
        return await serving(b"hello", headers=(CL5,))(request)

    async with opened(serve) as house, await house.wire() as wire:
        await wire.say(GET)
        assert (await wire.some()).endswith(b"\r\n\r\nhello")
        await wire.say(GET.replace(b"/v1/x", b"/v1/late"))
        assert (await wire.some()).endswith(b"\r\n\r\n")
        late.set()
        assert await wire.some() == b"hello"


async def test_stream_that_breaks_before_it_begins() -> None:
    """The head was the provider's and goes out; that nothing follows shows that it broke."""

    async def broken() -> AsyncIterator[bytes]:
        if breaks():
            yield b""

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", (CL5,), broken())

    async with opened(serve) as house:
        assert await transcript(house, GET) == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
