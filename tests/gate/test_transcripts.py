"""The door on a real socket: bytes in, bytes out."""

import asyncio
import json

import pytest

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, Request
from tests.gate.rig import Heard, House, opened, plain

GET = b"GET /v1/models HTTP/1.1\r\nHost: HOST\r\n"
POST = b"POST /v1/chat HTTP/1.1\r\nHost: HOST\r\n"
END = b"Connection: close\r\n\r\n"

TABLE = {
    "DNS rebinding": (b"GET / HTTP/1.1\r\nHost: evil:8402\r\n" + END, 421, "wrong_host"),
    "absolute form": (b"GET http://evil/v1/x HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "absolute form, its host": (
        b"GET http://evil/v1/x HTTP/1.1\r\nHost: evil\r\n" + END,
        400,
        "bad_path",
    ),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "CONNECT": (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 405, "method_not_allowed"),
    "CONNECT /path": (b"CONNECT /x HTTP/1.1\r\nHost: HOST\r\n\r\n", 405, "method_not_allowed"),
    "TRACE": (b"TRACE /v1/x HTTP/1.1\r\nHost: HOST\r\n" + END, 405, "method_not_allowed"),
    "unknown to us": (b"PROPFIND / HTTP/1.1\r\nHost: HOST\r\n" + END, 405, "method_not_allowed"),
    "unknown to all": (b"STEAL / HTTP/1.1\r\nHost: HOST\r\n" + END, 405, "method_not_allowed"),
    "websocket": (
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n",
        400,
        "bad_request",
    ),
    "foreign form": (POST + b"Origin: http://evil\r\n" + END, 403, "origin_refused"),
    "sandboxed page": (POST + b"Origin: null\r\n" + END, 403, "origin_refused"),
    "no-cors fetch": (POST + b"Sec-Fetch-Site: cross-site\r\n" + END, 403, "origin_refused"),
    "img": (GET + b"Sec-Fetch-Site: cross-site\r\n" + END, 403, "origin_refused"),
    "preflight": (
        b"OPTIONS /v1/chat HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil\r\n" + END,
        403,
        "origin_refused",
    ),
    "unknown token": (GET + b"Farebox-Token: fbx_x\r\n" + END, 401, "client_token"),
    "CL then TE": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    "TE then CL": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    "two CL": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", 400, "bad_request"),
    "listed CL": (POST + b"Content-Length: 5, 5\r\n\r\n12345", 400, "bad_request"),
    "signed CL": (POST + b"Content-Length: +5\r\n\r\n12345", 400, "bad_request"),
    "spaced CL": (POST + b"Content-Length : 5\r\n\r\n12345", 400, "bad_request"),
    "endless CL": (POST + b"Content-Length: 18446744073709551615\r\n\r\n", 400, "bad_request"),
    "gzip TE": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n" + END + b"0\r\n\r\n",
        400,
        "bad_request",
    ),
    "two TE": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    "hidden TE": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "TE in 1.0": (
        b"POST /v1/x HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_request",
    ),
    "two Hosts": (GET + b"Host: HOST\r\n" + END, 400, "bad_request"),
    "no Host": (b"GET /v1/x HTTP/1.1\r\n" + END, 400, "bad_request"),
    "no Host in 1.0": (b"GET /v1/x HTTP/1.0\r\n\r\n", 400, "bad_request"),
    "HTTP/0.9": (b"GET /v1/x\r\n\r\n", 400, "bad_request"),
    "no target": (b"CONNECT \r\n\r\n", 405, "method_not_allowed"),
    "no target, GET": (b"GET \r\n\r\n", 400, "bad_request"),
    "HTTP/2.0": (b"GET /v1/x HTTP/2.0\r\nHost: HOST\r\n\r\n", 400, "bad_request"),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "obs-fold": (GET + b"A: b\r\n c\r\n" + END, 400, "bad_request"),
    "bare LF": (b"GET /v1/x HTTP/1.1\nHost: HOST\n\n", 400, "bad_request"),
    "bare LF in a header": (GET + b"A: b\nB: c\r\n" + END, 400, "bad_request"),
    "bare CR": (GET + b"A: b\rB: c\r\n" + END, 400, "bad_request"),
    "NUL in a value": (GET + b"A: b\x00c\r\n" + END, 400, "bad_request"),
    "NUL in a name": (GET + b"A\x00: b\r\n" + END, 400, "bad_request"),
    "NUL in the path": (b"GET /v1/\x00 HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    "noise": (b"\x00\x01\x02\r\n\r\n", 400, "bad_request"),
    "traversal": (b"GET /v1/../x HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "encoded traversal": (b"GET /v1/..%2fx HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "twice encoded": (b"GET /v1/%252e%252e/x HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "two slashes": (b"GET //evil/x HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "backslash": (b"GET /v1\\x HTTP/1.1\r\nHost: HOST\r\n" + END, 400, "bad_path"),
    "long header": (GET + b"A: " + b"a" * 70_000 + b"\r\n" + END, 431, "headers_too_large"),
    "long name": (GET + b"a" * 70_000 + b": b\r\n" + END, 431, "headers_too_large"),
    "long target": (
        b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: HOST\r\n" + END,
        431,
        "headers_too_large",
    ),
    "many headers": (GET + b"A: b\r\n" * 200 + END, 431, "headers_too_large"),
    "unknown page": (b"GET /-/secrets HTTP/1.1\r\nHost: HOST\r\n" + END, 404, "no_route"),
    "POST to a page": (
        b"POST /-/status HTTP/1.1\r\nHost: HOST\r\n" + END,
        405,
        "method_not_allowed",
    ),
}


@pytest.mark.parametrize("name", TABLE)
async def test_what_the_door_refuses(name: str) -> None:
    """Nothing of a refused request is served, and the answer says in JSON that it is ours."""
    said, status, code = TABLE[name]
    async with opened() as house:
        heard = await house.ask(said)
        assert (heard.status, heard.code) == (status, code)
        assert heard.headers[b"content-type"] == b"application/json"
        error = json.loads(heard.body)["error"]
        assert error["code"] == code
        assert error["type"] == "invalid_request_error"
        assert house.served == []
        assert len(house.log.lines) == 1
        assert house.log.lines[0]["error"] == code


async def test_refusal_names_what_is_allowed() -> None:
    """A 405 says which methods there are, and a 401 what is wanted."""
    async with opened() as house:
        tunnel = await house.ask(TABLE["CONNECT"][0])
        assert tunnel.headers[b"allow"] == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        page = await house.ask(TABLE["POST to a page"][0])
        assert page.headers[b"allow"] == b"GET, HEAD"
        stranger = await house.ask(TABLE["unknown token"][0])
        assert stranger.headers[b"www-authenticate"] == b'Bearer realm="farebox"'


async def test_what_could_not_be_parsed_is_not_quoted() -> None:
    """Neither the answer nor the log repeats bytes that may hold a secret."""
    async with opened() as house:
        heard = await house.ask(GET + b"Authorization: Bearer canary\x00\r\n" + END)
        assert heard.status == 400
        assert b"canary" not in heard.body
        assert "canary" not in repr(house.log)


@pytest.mark.parametrize("upgrade", [b"h2c", b"tcp", b"TLS/1.0"])
async def test_other_upgrades_are_ignored(upgrade: bytes) -> None:
    """A client that offers HTTP/2 is answered in HTTP/1.1, and the connection ends."""
    async with opened() as house:
        offer = b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\nContent-Length: 3\r\n\r\nabc"
        heard = await house.ask(POST + offer)
        assert (heard.status, heard.body) == (200, b"abc")
        assert heard.headers[b"connection"] == b"close"


async def test_request_arrives_as_it_was_sent() -> None:
    """Order, case, repetition and bytes above 127 of the headers are kept, and the raw target."""
    async with opened() as house:
        await house.ask(
            b"PUT /api/v1/a%20b?x=%2F..&y HTTP/1.1\r\nhOST: HOST\r\n"
            b"B: 2\r\na: \xff\xc3\xa9\r\nB: 1\r\nContent-Length: 2\r\n" + END + b"hi"
        )
        (request,) = house.served
        host = b"127.0.0.1:%d" % house.port
        assert (request.method, request.path, request.query) == ("PUT", "/v1/a%20b", "x=%2F..&y")
        assert request.headers == (
            (b"hOST", host),
            (b"B", b"2"),
            (b"a", b"\xff\xc3\xa9"),
            (b"B", b"1"),
            (b"Content-Length", b"2"),
            (b"Connection", b"close"),
        )
        assert request.host == host.decode()
        assert request.client is None
        assert request.body.length == 2
        assert request.id.startswith("req_")


@pytest.mark.parametrize(
    ("head", "body", "length"),
    [
        (b"", b"", 0),
        (b"Content-Length: 3\r\n", b"abc", 3),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: x\r\n\r\n", None),
        (b"Content-Encoding: gzip\r\nContent-Length: 3\r\n", b"abc", 3),
    ],
)
async def test_body_and_its_length(head: bytes, body: bytes, length: int | None) -> None:
    """A body is read as it was sent, and its length is what was declared."""
    async with opened() as house:
        heard = await house.ask(POST + head + END + body)
        assert heard.body == (b"abc" if body else b"/v1/chat")
        assert house.served[0].body.length == length


async def test_keep_alive_and_pipelining() -> None:
    """One connection serves one request after the other, those too that were sent ahead."""
    async with opened() as house, await house.wire() as wire:
        await wire.say(b"\r\n" + (GET + b"\r\n").replace(b"HOST", b"localhost") * 2)
        first, second = await wire.answer(), await wire.answer()
        assert first.body == second.body == b"/v1/models"
        assert b"connection" not in first.headers
        await wire.say(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n" + END)
        third = Heard.of(await wire.rest())
        assert (third.body, third.headers[b"connection"]) == (b"/v1/x", b"close")


async def test_http_1_0() -> None:
    """HTTP/1.0 ends its connection, unless it asks to keep it."""
    async with opened() as house, await house.wire() as wire:
        await wire.say(b"GET /v1/x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
        assert (await wire.answer()).headers[b"connection"] == b"keep-alive"
        await wire.say(b"GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert Heard.of(await wire.rest()).headers[b"connection"] == b"close"


async def test_expect_is_answered_when_the_body_is_wanted() -> None:
    """A client that waits to be told gets its 100 once the body is read."""
    async with opened() as house, await house.wire() as wire:
        await wire.say(
            b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
            b"Expect: 100-Continue\r\n\r\n"
        )
        assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.say(b"abc")
        heard = await wire.answer()
        assert (heard.status, heard.body) == (200, b"abc")
        assert b"connection" not in heard.headers


async def too_large(request: Request) -> Reply:
    """Refuse whatever comes, without a look at its body."""
    raise Refused(Refusal("body_too_large", f"{request.body.length} bytes are too many"))


@pytest.mark.parametrize("target", [b"/v1/x", b"/v1/../x"])
async def test_refused_upload_is_never_sent(target: bytes) -> None:
    """Who waits to be told is told no, by the guard or behind the door, and the connection ends."""
    async with opened(too_large) as house, await house.wire() as wire:
        await wire.say(
            b"POST " + target + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        heard = await wire.answer()
        assert heard.status in (400, 413)
        assert heard.headers[b"connection"] == b"close"


async def test_refused_upload_that_is_under_way() -> None:
    """Who sends without being asked still reads the answer, and the connection goes on after it."""
    async with opened(too_large) as house, await house.wire() as wire:
        size = 4_000_000
        await wire.say(
            b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
        )
        await wire.say(b"x" * size)
        assert (await wire.answer()).status == 413
        await wire.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"5\nabcde\r\n", b"-1\r\n", b"3\r\nabcd\r\n"])
async def test_bad_chunks_are_the_clients_fault(chunk: bytes) -> None:
    """Chunk framing that makes no sense is a bad request and never reaches anybody as a body."""
    async with opened() as house:
        heard = await house.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        assert (heard.status, heard.code) == (400, "bad_request")


async def test_bad_chunk_in_the_midst_of_a_body() -> None:
    """A body that turns to nonsense after it began is refused at once, without waiting for more."""
    begun = asyncio.Event()

    async def serve(request: Request) -> Reply:
        async for _ in request.body.chunks():
            begun.set()
        raise AssertionError("the body seemed whole")

    async with opened(serve) as house, await house.wire() as wire:
        head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        await wire.say(head + b"1\r\na\r\n")
        await begun.wait()
        await wire.say(b"nonsense\r\n")
        heard = await wire.answer()
        assert (heard.status, heard.code) == (400, "bad_request")
        assert heard.headers[b"connection"] == b"close"
        assert await wire.rest() == b""


async def test_bad_chunk_in_a_body_that_waits_its_turn() -> None:
    """The same where the request is second in line behind one that is being served."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def serve(request: Request) -> Reply:
        begun.set()
        await may_end.wait()
        return await plain(request)

    async with opened(serve) as house, await house.wire() as wire:
        head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        await wire.say(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n" + head + b"1\r\na\r\n")
        await begun.wait()
        await wire.say(b"nonsense\r\n")
        async with await house.wire() as other:  # by its answer the nonsense has been read
            await other.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await other.answer()).status == 200
        may_end.set()
        assert (await wire.answer()).status == 200
        assert (await wire.answer()).code == "bad_request"
        assert await wire.rest() == b""


async def test_nonsense_behind_a_whole_request() -> None:
    """What follows a whole request does not harm it, though it is being served still."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def serve(request: Request) -> Reply:
        begun.set()
        await may_end.wait()
        return await plain(request)

    async with opened(serve) as house, await house.wire() as wire:
        await wire.say(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
        await begun.wait()
        await wire.say(b"nonsense\r\n\r\n")
        await wire.say(b"more of it\r\n\r\n")
        may_end.set()
        assert (await wire.answer()).body == b"abc"
        assert (await wire.answer()).status == 400
        assert await wire.rest() == b""


async def test_refusal_from_behind_the_door() -> None:
    """A refusal from inside is written once, here, with its payment and when to come back."""

    async def refuse(_: Request) -> Reply:
        raise Refused(Refusal("cap_day", "enough for today", retry_after_s=77, payment="pay_1"))

    async with opened(refuse) as house:
        heard = await house.ask(GET + END)
        assert (heard.status, heard.code, heard.headers[b"retry-after"]) == (429, "cap_day", b"77")
        assert json.loads(heard.body)["error"] == {
            "message": "enough for today",
            "type": "payment_refused",
            "code": "cap_day",
            "payment": "pay_1",
        }
        line = await house.log.line()
        assert (line["error"], line["payment"], line["status"]) == ("cap_day", "pay_1", 429)


async def test_bug_behind_the_door() -> None:
    """An exception becomes a 500 that says nothing, and a traceback in the log."""

    async def stumble(_: Request) -> Reply:
        raise TimeoutError("secret detail")

    async with opened(stumble) as house:
        heard = await house.ask(GET + END)
        assert (heard.status, heard.code) == (500, "internal_error")
        assert b"secret detail" not in heard.body
        (fault,) = house.log.faults
        assert isinstance(fault["exc_info"], TimeoutError)
        assert fault["id"].encode() in heard.body
        assert (await house.ask(b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n" + END)).status == 200


async def test_bug_in_the_door_itself() -> None:
    """Should the door itself fail, the client gets a 500 and the log a traceback."""

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", ((b"A", None),), b"")  # type: ignore[arg-type] # the bug

    async with opened(serve) as house:
        assert (await house.ask(GET + b"\r\n")).code == "internal_error"
        assert house.log.faults[0]["event"] == "door_fault"


async def test_line_in_the_log() -> None:
    """One line tells a request: who, what, how long, and what its server adds; never the query."""

    async def serve(request: Request) -> Reply:
        reply = await plain(request)
        reply.story.update(provider="shop", payment="pay_1", event="?", id="?")
        return reply

    async with opened(serve) as house:
        await house.ask(
            b"POST /v1/x?key=canary HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n" + END + b"abc"
        )
        line = await house.log.line()
        assert line.pop("duration_ms") >= 0
        assert line.pop("id") == house.served[0].id
        assert line == {
            "provider": "shop",
            "payment": "pay_1",
            "client": None,
            "method": "POST",
            "path": "/v1/x",
            "status": 200,
            "bytes_in": 3,
            "bytes_out": 3,
            "client_gone": False,
            "error": None,
        }
        assert b'provider="shop"' in house.metrics.render()


async def test_labels_are_never_the_peers() -> None:
    """A provider or a code that is not ours does not become a time series."""

    async def serve(_: Request) -> Reply:
        return Reply(200, "OK", ((b"Farebox-Error", b"canary"),), b"", {"provider": "canary"})

    async with opened(serve) as house:
        await house.ask(GET + END)
        rendered = house.metrics.render()
        assert b"canary" not in rendered
        assert b'code_class="2xx",error="other",provider="farebox"' in rendered


async def test_hundreds_of_half_open_heads(house: House) -> None:
    """Five hundred clients that never finish their heads keep nobody else from being served."""
    slow = await asyncio.gather(*(house.wire() for _ in range(500)))
    try:
        await asyncio.gather(*(wire.say(b"GET / HTTP/1.1\r\nHo") for wire in slow))
        heard = await house.ask(b"GET /healthz HTTP/1.1\r\nHost: HOST\r\n" + END)
        assert heard.status == 200
    finally:
        for wire in slow:
            wire.hang_up()
