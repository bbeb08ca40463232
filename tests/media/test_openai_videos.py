"""The adapter for OpenAI's shape, over a scripted exchange; and the bodies that it reads."""

import asyncio
import gzip
import json
import random
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.clocks import machine_clocks
from proxy.configfile import read_config
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply, Request, get
from proxy.core.links import ANSWER_BYTES_MAX
from proxy.media.forms import BODY_BYTES_MAX, FIELDS_MAX, HEADERS_MAX, read_fields
from proxy.media.openai_videos import OpenAIVideos
from proxy.store import Ledger, LedgerUnavailableError, Memory, memory
from proxy.upstream import BrokenError
from proxy.visit import Snapshot
from tests.exchange.conftest import write_config

JSON: Headers = ((b"Content-Type", b"application/json"),)
NO_REPEAT: Headers = ((b"X-Should-Retry", b"false"),)
FORM = "multipart/form-data; boundary=b"
GOOD = (
    b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na w\xc3\xa9ve\r\n'
    b'--b\r\nContent-Disposition: form-data; name="urls[]"\r\n\r\n1\n2\r\n--b--\r\n'
)


class Sent:
    """A body as a client sends it, in pieces."""

    def __init__(self, data: bytes, piece: int = 65_536) -> None:
        self._data = data
        self._piece = piece
        self.read = 0

    @property
    def length(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield them."""
        while self.read < len(self._data):
            piece = self._data[self.read : self.read + self._piece]
            self.read += len(piece)
            yield piece


class Stream(AsyncIterator[bytes]):
    """An answer's body that comes in pieces, and may break or never end."""

    def __init__(self, *pieces: bytes | BaseException) -> None:
        self._pieces = list(pieces)
        self.closed = False

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        piece = self._pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def aclose(self) -> None:
        """Stop."""
        self.closed = True


class Bare(AsyncIterator[bytes]):
    """An answer's body without an end, and without a way to let go of it."""

    read = 0

    async def __anext__(self) -> bytes:
        self.read += 1
        return b"x" * ANSWER_BYTES_MAX


class Bench:
    """The adapter, with an exchange below it that gives one answer to everything."""

    def __init__(self, ledger: Ledger, folder: Path, **parts: Any) -> None:
        config = read_config(write_config(folder, **parts)).config
        snapshot = Snapshot(config, None, {})
        self.ledger = ledger
        self.answer: Reply | Refused = Reply(404, "", ())
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: Headers = ()
        self.reached = asyncio.Event()
        self.clips: list[tuple[str, str, str]] = []
        self.adapter = OpenAIVideos(lambda: snapshot, ledger, self._serve, self._clip, folder)

    async def _serve(self, request: Request) -> Reply:
        body = b"".join([chunk async for chunk in request.body.chunks()])
        self.asked.append((request.method, request.target, body))
        self.headers = request.headers
        self.reached.set()
        if isinstance(self.answer, Refused):
            raise self.answer
        return self.answer

    async def _clip(self, _request: Request, provider: str, job: str, url: str) -> Reply:
        self.clips.append((provider, job, url))
        return Reply(302, "Found", ((b"Location", url.encode()),))

    async def ask(
        self, method: str, target: str, body: bytes = b"", headers: Headers = JSON
    ) -> Reply:
        """Send a request of this shape through the adapter."""
        path, _, query = target.partition("?")
        request = Request("req_1", method, path, query or None, headers, Sent(body), "localhost")
        reply = await self.adapter.serve(request)
        assert reply is not None
        return reply

    async def create(self, **fields: Any) -> Reply:
        """Ask for a video."""
        return await self.ask("POST", "/v1/videos", json.dumps(fields).encode())


def told(document: object, status: int = 202, headers: Headers = JSON) -> Reply:
    """A common answer."""
    reply = Reply(status, "Accepted", headers, json.dumps(document).encode())
    reply.story = {"provider": "blockrun"}
    return reply


def shown(reply: Reply) -> Any:
    """The JSON of a reply."""
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger of its own."""
    (tmp_path / "ledger").mkdir()
    opened = await Ledger.open(tmp_path / "ledger", machine_clocks())
    yield opened
    await opened.close()


@pytest.fixture
def bench(ledger: Ledger, tmp_path: Path) -> Bench:
    """The adapter on the default routes."""
    url = "http://127.0.0.1:1"
    key = {"bearer": {"file": "provider.key"}}
    providers = {
        "blockrun": {"kind": "blockrun", "base_url": url, "pay": {}},
        "pomex": {"kind": "pomex", "base_url": url, "auth": key},
        "sunra": {"kind": "sunra", "base_url": url, "auth": key},
    }
    return Bench(ledger, tmp_path, providers=providers)


async def test_a_hang_up_after_the_answer(bench: Bench) -> None:
    """What was paid for is kept for who asks again, though its client left while we looked on."""
    left: list[bool] = []
    bench.answer = told({"id": "x", "status": "queued"})
    bench.answer.undelivered = lambda: left.append(True)
    go_on = threading.Event()
    held = asyncio.ensure_future(bench.ledger.ask(lambda _: go_on.wait(10)))
    asking = asyncio.create_task(bench.create(prompt="a wave"))
    await bench.reached.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    assert await held
    assert left == [True]


async def test_a_ledger_that_cannot_be_asked(bench: Bench) -> None:
    """A job that was paid for is told of all the same; a list is not made up."""
    bench.answer = told({"id": "x", "status": "queued", "model": "m"})
    await bench.ledger.close()
    made = shown(await bench.create(prompt="a wave"))
    assert (made["id"], made["model"], made["created_at"] > 0) == ("x", "m", True)
    assert "created_at" not in shown(await bench.ask("GET", "/v1/videos/x"))
    with pytest.raises(LedgerUnavailableError):
        await bench.ask("GET", "/v1/videos")


async def test_the_kept_answer_stays_as_it_was(bench: Bench) -> None:
    """The common reply is not written over: it may be handed to another client."""
    bench.answer = common = told({"id": "x", "status": "queued"})
    body = common.body
    common.undelivered = lambda: None
    reply = await bench.create(prompt="a wave")
    assert (reply.status, shown(reply)["object"]) == (200, "video")
    assert reply.undelivered is common.undelivered
    assert reply.story is common.story
    assert (common.status, common.body, common.headers) == (202, body, JSON)


async def test_the_same_fields_are_the_same_request(bench: Bench) -> None:
    """Whatever the body's form, order and boundary."""
    bench.answer = told({"id": "x", "status": "queued"})
    await bench.create(prompt="a", model="m", seconds=8)
    await bench.create(seconds="8", model="m", prompt="a")
    for boundary in ("1", "2"):
        parts = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
            for name, text in (("prompt", "a"), ("seconds", "8"), ("model", "m"))
        )
        kind = f"multipart/form-data; boundary={boundary}".encode()
        body = f"{parts}--{boundary}--\r\n".encode()
        await bench.ask("POST", "/v1/videos", body, ((b"Content-Type", kind),))
    assert len(bench.asked) == 4
    assert len(set(bench.asked)) == 1
    assert bench.asked[0][:2] == ("POST", "/v1/videos/generations")


async def test_headers(bench: Bench) -> None:
    """What speaks of a body speaks of the new one; the rest stays for those who read it."""
    bench.answer = told(
        {"id": "x", "status": "queued"},
        headers=(
            *JSON,
            (b"Content-Length", b"999"),
            (b"ETag", b'"x"'),
            (b"Retry-After", b"7"),
            (b"Farebox-Payment", b"id"),
        ),
    )
    sent = (
        *JSON,
        (b"Content-Length", b"2"),
        (b"Accept", b"application/binary"),
        (b"Accept-Encoding", b"br"),
        (b"Prefer", b"wait=60"),
        (b"Farebox-Provider", b"blockrun"),
        (b"Idempotency-Key", b"k"),
    )
    reply = await bench.ask("POST", "/v1/videos?fault=x", b'{"prompt": "a"}', sent)
    assert bench.asked[0][1] == "/v1/videos/generations?fault=x"
    assert dict(bench.headers) == {
        b"Content-Type": b"application/json",
        b"Content-Length": b"%d" % len(bench.asked[0][2]),
        b"Prefer": b"respond-async",
        b"Farebox-Provider": b"blockrun",
        b"Idempotency-Key": b"k",
    }
    assert get(reply.headers, b"retry-after") == b"7"
    assert get(reply.headers, b"openai-poll-after-ms") == b"7000"
    assert get(reply.headers, b"farebox-payment") == b"id"
    assert get(reply.headers, b"etag") is None
    assert [v for n, v in reply.headers if n == b"Content-Length"] == [b"%d" % len(reply.body)]  # type: ignore[arg-type] # it is bytes


@pytest.mark.parametrize(
    "answer",
    [
        told({"dry_run": True}, 200),
        told({"id": 7, "status": "queued"}, 200),
        told([], 200),
        told({"error": {"code": "x"}}, 402),
        told({"id": "x", "status": "queued"}, 500),
        Reply(200, "OK", JSON, b"\xff"),
        Reply(200, "OK", (*JSON, (b"Content-Encoding", b"br")), b"{}"),
    ],
)
async def test_answers_that_tell_of_no_job(bench: Bench, answer: Reply) -> None:
    """They go through as they are."""
    bench.answer = answer
    reply = await bench.create(prompt="a wave")
    assert (reply.status, reply.headers, reply.body) == (
        answer.status,
        answer.headers,
        answer.body,
    )


@pytest.mark.parametrize("status", ["processing", None, [], 7])
async def test_a_state_in_other_words(bench: Bench, status: object) -> None:
    """Who answers 202 works on it, whatever it calls that."""
    bench.answer = told({"id": "x", "status": status})
    for reply in (await bench.create(prompt="a"), await bench.ask("GET", "/v1/videos/x")):
        assert (reply.status, shown(reply)["status"]) == (200, "in_progress")


async def test_compressed_answers(bench: Bench) -> None:
    """They are read, and what is written of them is not compressed."""
    bench.answer = told({}, 200, headers=(*JSON, (b"Content-Encoding", b"gzip")))
    bench.answer.body = gzip.compress(json.dumps({"status": "completed"}).encode())
    reply = await bench.ask("GET", "/v1/videos/x")
    assert shown(reply)["status"] == "completed"
    assert get(reply.headers, b"content-encoding") is None


async def test_streams(bench: Bench) -> None:
    """A streamed answer is read like any other."""
    bench.answer = told({})
    bench.answer.body = Stream(b'{"status":', b' "queued"}')
    assert shown(await bench.ask("GET", "/v1/videos/x"))["status"] == "queued"


async def test_a_stream_that_breaks(bench: Bench) -> None:
    """The provider is said to have broken off, and the stream is let go."""
    bench.answer = told({})
    for failure, kind in ((BrokenError("reset"), Refused), (ValueError("?"), ValueError)):
        bench.answer.body = stream = Stream(b"{", failure)
        with pytest.raises(kind) as problem:
            await bench.ask("GET", "/v1/videos/x")
        assert stream.closed
    assert isinstance(problem.value, ValueError)


async def test_a_stream_that_breaks_after_paying(bench: Bench) -> None:
    """The payment behind it is named, and counts as taken until it is known."""
    bench.answer = told({})
    bench.answer.body = Stream(b"{", BrokenError("reset"))
    bench.answer.story["payment"] = "pay_1"
    with pytest.raises(Refused) as problem:
        await bench.create(prompt="a")
    assert problem.value.refusal.code == "payment_outcome_unknown"
    assert problem.value.refusal.payment == "pay_1"
    assert problem.value.story == bench.answer.story
    assert problem.value.headers == ()


async def test_a_stream_that_breaks_at_a_keyed_provider(bench: Bench) -> None:
    """A repeat of a submission would be another order; asking after the job again would not."""
    for ask, headers in (
        (bench.create(prompt="a"), NO_REPEAT),
        (bench.ask("GET", "/v1/videos/x"), ()),
    ):
        bench.answer = told({})
        bench.answer.story = {"provider": "pomex"}
        bench.answer.body = Stream(b"{", BrokenError("reset"))
        with pytest.raises(Refused) as problem:
            await ask
        assert problem.value.headers == headers


@pytest.mark.parametrize(
    ("provider", "status", "is_told"),
    [
        ("pomex", 500, True),
        ("pomex", 504, True),
        ("pomex", 429, False),
        ("pomex", 400, False),
        ("blockrun", 500, False),
    ],
)
async def test_a_fault_of_the_providers_own(
    bench: Bench,
    provider: str,
    status: int,
    is_told: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Where a key pays, nobody could tell the client's repeat from another order."""
    theirs = (*JSON, (b"X-Should-Retry", b"true"))
    bench.answer = told({"error": "busy"}, status, theirs)
    bench.answer.story = {"provider": provider}
    reply = await bench.create(prompt="a")
    assert reply.status == status
    assert reply.headers == ((*JSON, *NO_REPEAT) if is_told else theirs)
    assert bench.answer.headers == theirs
    assert (await bench.ask("GET", "/v1/videos/x")).headers == theirs


DONE = {"status": "completed", "data": [{"url": "https://example.com/clip.mp4"}]}


async def test_looking_without_asking(bench: Bench) -> None:
    """HEAD is answered as GET is, from what is remembered: nobody is asked, nothing is paid."""
    kept = json.dumps(DONE).encode()
    done = Memory("a", "job", "blockrun", model="m", state="completed", answer=kept)
    await bench.ledger.remember([done, Memory("b", "job", "blockrun", state="in_progress")])
    reply = await bench.ask("HEAD", "/v1/videos/a")
    assert (reply.status, shown(reply)["status"]) == (200, "completed")
    assert reply.story == {"provider": "blockrun", "job": "a"}
    bench.answer = told(DONE, 200)
    assert shown(await bench.ask("GET", "/v1/videos/a")) == shown(reply)
    bench.asked.clear()
    reply = await bench.ask("HEAD", "/v1/videos/b")
    assert shown(reply)["status"] == "in_progress"
    assert get(reply.headers, b"openai-poll-after-ms") is not None
    assert (await bench.ask("HEAD", "/v1/videos/a/content")).status == 302
    assert bench.clips == [("blockrun", "a", "https://example.com/clip.mp4")]
    with pytest.raises(Refused) as running:
        await bench.ask("HEAD", "/v1/videos/b/content")
    assert (running.value.refusal.code, running.value.refusal.status) == ("clip_not_ready", 409)
    assert running.value.refusal.retry_after_s is not None
    assert (await bench.ask("HEAD", "/v1/videos")).status == 200
    assert bench.asked == []


@pytest.mark.parametrize("job", ["x", "azure:x", "pd_x"])
async def test_looking_at_a_job_that_nobody_knows(bench: Bench, job: str) -> None:
    """Nobody is asked by HEAD, not even whoever would know."""
    for path in (f"/v1/videos/{job}", f"/v1/videos/{job}/content"):
        with pytest.raises(Refused) as refused:
            await bench.ask("HEAD", path)
        assert refused.value.refusal.status == 404
    assert bench.asked == []


async def test_looking_at_one_of_two_jobs(bench: Bench) -> None:
    """Of two with one id it is the provider's that the client names, else the older one's."""
    for provider, state in (("blockrun", "failed"), ("pomex", "queued")):
        await bench.ledger.remember([Memory("x", "job", provider, state=state)])
    for name, status in (("pomex", "queued"), ("blockrun", "failed")):
        named = ((b"Farebox-Provider", name.encode()),)
        assert shown(await bench.ask("HEAD", "/v1/videos/x", b"", named))["status"] == status
    assert shown(await bench.ask("HEAD", "/v1/videos/x"))["status"] == "failed"
    for name, code in (("sunra", "route_conflict"), ("nobody", "provider_unknown")):
        with pytest.raises(Refused) as refused:
            await bench.ask("HEAD", "/v1/videos/x", b"", ((b"Farebox-Provider", name.encode()),))
        assert refused.value.refusal.code == code


async def test_looking_where_the_route_decides(ledger: Ledger, tmp_path: Path) -> None:
    """A job of another provider's than the route's is none there."""
    url = "http://127.0.0.1:1"
    providers = {kind: {"kind": kind, "base_url": url} for kind in ("blockrun", "sunra")}
    routes = [{"path": "/v1/videos/*", "provider": "sunra"}]
    bench = Bench(ledger, tmp_path, providers=providers, routes=routes)
    for id_, provider in (("x", "blockrun"), ("x", "sunra"), ("y", "blockrun")):
        await ledger.remember([Memory(id_, "job", provider, state="queued")])
    assert (await bench.ask("HEAD", "/v1/videos/x")).story["provider"] == "sunra"
    with pytest.raises(Refused) as refused:
        await bench.ask("HEAD", "/v1/videos/y")
    assert refused.value.refusal.code == "job_unknown"


async def test_a_stream_that_is_no_jobs(bench: Bench) -> None:
    """One that is too long goes through whole, and is let go by who reads it."""
    bench.answer = told({})
    pieces = [b"x" * ANSWER_BYTES_MAX, b"y", b"z"]
    bench.answer.body = stream = Stream(*pieces)
    reply = await bench.ask("GET", "/v1/videos/x")
    assert not isinstance(reply.body, bytes)
    assert [piece async for piece in reply.body] == [b"".join(pieces[:2]), b"z"]
    await reply.body.aclose()  # type: ignore[attr-defined] # whoever writes a reply looks for it
    assert stream.closed
    bench.answer.body = bare = Bare()
    reply = await bench.ask("GET", "/v1/videos/x")
    assert reply.status == 202
    await reply.body.aclose()  # type: ignore[union-attr] # the same
    assert bare.read > 1


async def test_refusals(bench: Bench) -> None:
    """They keep their code and tell what the client's own field was."""
    bench.answer = Refused(Refusal("field_not_supported", "resolution: not known"))
    with pytest.raises(Refused) as refused:
        await bench.create(prompt="a", size="1280x720")
    assert refused.value.refusal.message.endswith("(resolution is written from size)")
    with pytest.raises(Refused) as same:
        await bench.ask("GET", "/v1/videos/x")
    assert same.value.refusal == refused.value.refusal


async def test_a_download(bench: Bench) -> None:
    """The job is asked after, and its clip handed over with the receipt of what that took."""
    link = "https://example.com/clip.mp4"
    answer = {"status": "completed", "data": [{"url": link}]}
    bench.answer = told(answer, 200, (*JSON, (b"Farebox-Payment", b"id"), (b"ETag", b"x")))
    sent = ((b"Range", b"bytes=0-1"), (b"If-None-Match", b"x"), (b"Prefer", b"wait=5"))
    reply = await bench.ask("GET", "/v1/videos/azure:x/content?variant=video", b"", sent)
    assert bench.asked == [("GET", "/v1/videos/generations/azure%3Ax", b"")]
    assert bench.headers == ((b"Prefer", b"wait=5"),)
    assert bench.clips == [("blockrun", "azure:x", link)]
    assert reply.headers == ((b"Location", link.encode()), (b"Farebox-Payment", b"id"))
    assert reply.story["provider"] == "blockrun"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"status": "queued"}, "clip_not_ready"),
        ({"status": "in_progress"}, "clip_not_ready"),
        ({"status": "failed"}, "clip_unknown"),
        ({"status": "completed", "data": []}, "clip_unknown"),
    ],
)
async def test_downloads_of_nothing(bench: Bench, answer: dict[str, Any], code: str) -> None:
    """What is not there yet says when to come back; what never will be does not."""
    bench.answer = told(answer, 200, (*JSON, (b"Retry-After", b"7")))
    with pytest.raises(Refused) as refused:
        await bench.ask("GET", "/v1/videos/x/content")
    assert refused.value.refusal.code == code
    assert refused.value.refusal.retry_after_s == (7 if code == "clip_not_ready" else None)
    assert refused.value.story == {"provider": "blockrun"}


async def test_a_download_that_the_provider_refuses(bench: Bench) -> None:
    """Its own answer goes through."""
    bench.answer = told({"error": "Job not found"}, 404)
    reply = await bench.ask("GET", "/v1/videos/x/content")
    assert (reply.status, shown(reply)) == (404, {"error": "Job not found"})


async def test_pages_of_jobs(bench: Bench) -> None:
    """Each job once and in order, both ways, at any size of a page; nothing else is listed."""
    every = [Memory(f"j{n}", "job", "blockrun", model="m", state="queued") for n in range(7)]
    await bench.ledger.remember([Memory("ta_1", "asset", "blockrun")])
    for job in every:
        await bench.ledger.remember([job])
    ids = [job.id for job in every]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        for limit in (1, 2, 3, 7, 100):
            assert await _all_pages(bench, f"order={order}&limit={limit}") == expected


async def _all_pages(bench: Bench, query: str) -> list[str]:
    found: list[str] = []
    after = ""
    for _ in range(8):
        page = shown(await bench.ask("GET", f"/v1/videos?{query}{after}"))
        found += [each["id"] for each in page["data"]]
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    return found


async def test_an_id_that_two_providers_gave_out(bench: Bench) -> None:
    """Going on after it comes to an end; a job is dated by the provider that served it."""
    jobs = [Memory(id_, "job", at) for id_, at in (("x", "a"), ("y", "a"), ("x", "b"), ("z", "a"))]
    for job in jobs:
        await bench.ledger.remember([job])
    assert await _all_pages(bench, "order=asc&limit=1") == ["x", "z"]
    assert await _all_pages(bench, "order=desc&limit=1") == ["z", "x"]
    dated = await bench.ledger.ask(lambda db: memory.dated_job(db, "b", "x"))
    assert dated is not None
    assert (dated[0].provider, dated[1] > 0) == ("b", True)
    assert await bench.ledger.ask(lambda db: memory.dated_job(db, "c", "x")) is None


async def test_jobs_in_the_list(bench: Bench) -> None:
    """Each by its last answer; one that is no JSON by its state."""
    kept = json.dumps({"status": "failed", "error": "no"}).encode()
    await bench.ledger.remember([Memory("a", "job", "blockrun", state="x", answer=kept)])
    await bench.ledger.remember([Memory("b", "job", "blockrun", state="x", answer=b"\xff")])
    page = shown(await bench.ask("GET", "/v1/videos?order=asc"))
    assert [(v["id"], v["status"]) for v in page["data"]] == [("a", "failed"), ("b", "in_progress")]
    assert page["data"][0]["error"]["message"] == "no"
    with pytest.raises(Refused):
        await bench.ask("GET", "/v1/videos?limit=0")


ROUTES = [
    ([{"path": "/v1/videos/*", "provider": "auto"}], True),
    ([{"path": "/v1/videos/*", "provider": "blockrun"}], True),
    ([{"path": "/v1/videos/*", "provider": "own"}], False),
    (
        [
            {"path": "/v1/videos/generations/*", "provider": "auto"},
            {"path": "/v1/*", "provider": "own"},
        ],
        False,
    ),
    ([{"path": "/v1/videos", "provider": "blockrun"}], False),
    ([{"path": "/v1/images/*", "provider": "blockrun"}], False),
    (
        [
            {"path": "/v1/videos", "provider": "auto", "pay_methods": []},
            {"path": "/v1/videos/*", "provider": "auto"},
        ],
        False,
    ),
    (
        [
            {"path": "/v1/videos/generations/*", "provider": "blockrun"},
            {"path": "/v1/videos/*", "provider": "auto"},
        ],
        False,
    ),
]


@pytest.mark.parametrize(("routes", "is_ours"), ROUTES)
async def test_routes(
    ledger: Ledger, tmp_path: Path, routes: list[dict[str, str]], *, is_ours: bool
) -> None:
    """Only a path of ours, that is on one route with its common path, is read at all."""
    url = "http://127.0.0.1:1"
    providers = {
        "blockrun": {"kind": "blockrun", "base_url": url},
        "own": {"kind": "http", "base_url": url},
    }
    bench = Bench(ledger, tmp_path, providers=providers, routes=routes)
    body = Sent(b"[")
    request = Request("req_1", "POST", "/v1/videos", None, JSON, body, "localhost")
    if is_ours:
        with pytest.raises(Refused):
            await bench.adapter.serve(request)
    else:
        assert await bench.adapter.serve(request) is None
        assert body.read == 0
    assert bench.asked == []


def _posted(body: Sent, kind: str, *headers: tuple[bytes, bytes]) -> Request:
    head = ((b"Content-Type", kind.encode("latin-1")), *headers)
    return Request("req_1", "POST", "/v1/videos", None, head, body, "localhost")


async def _verdict(request: Request) -> str:
    """Read a body: the code of the refusal, if there is one."""
    try:
        fields = await read_fields(request)
    except Refused as refused:
        return refused.refusal.code
    return "" if all(isinstance(name, str) for name in fields) else "no fields"


VERDICTS = ("", "bad_request", "field_not_supported")
KINDS = ["application/json", FORM, "application/x-www-form-urlencoded", "", "multipart/mixed"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(), st.sampled_from(KINDS) | st.text(alphabet=st.characters(max_codepoint=255)))
@example(b"", FORM)
@example(b"--b--", "multipart/form-data; boundary=" + "x" * 100)
@example(b"--b", "multipart/form-data; boundary*=utf-8''b")
async def test_any_body(body: bytes, kind: str) -> None:
    """It has fields or it is refused; nothing else comes of it."""
    assert await _verdict(_posted(Sent(body, piece=7), kind)) in VERDICTS


async def test_any_form() -> None:
    """A form with bytes changed, lost and put in has fields or is refused."""
    chance = random.Random(402)  # noqa: S311 - the same forms each time
    bits = (b"\r\n", b"--b", b"\r\n--b\r\n", b"--b--", b"\r\n\r\n", b"\xff", b'"', b";", b"\x00")
    more = (
        b"Content-Type: multipart/mixed; boundary=c\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Encoding: gzip\r\n",
        b'; filename="x"',
    )
    for _ in range(3000):
        form = bytearray(GOOD)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(form) + 1)
            form[at : at + chance.choice((0, 0, 1, 5))] = chance.choice(bits + more)
        assert await _verdict(_posted(Sent(bytes(form)), FORM)) in VERDICTS


async def test_a_form_cut_off_anywhere() -> None:
    """It is broken until its end is there: less than what was sent is never taken for all."""
    end = len(GOOD) - len(b"\r\n")
    for cut in range(end):
        with pytest.raises(Refused) as refused:
            await read_fields(_posted(Sent(GOOD[:cut]), FORM))
        assert refused.value.refusal.code == "bad_request"
    for cut in (end, len(GOOD)):
        fields = await read_fields(_posted(Sent(GOOD[:cut], piece=1), FORM))
        assert fields == {"prompt": "a wéve", "urls": ["1\n2"]}


def _part(head: str, text: bytes = b"x") -> bytes:
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + text + b"\r\n--b--\r\n"


NAMED = 'Content-Disposition: form-data; name="prompt"'


@pytest.mark.parametrize(
    "form",
    [
        _part("Content-Disposition: form-data"),
        _part("Content-Type: text/plain"),
        _part('Content-Disposition: nonsense;; name="x"'),
        _part(NAMED, b"\xff"),
        _part(f"{NAMED}\r\nContent-Transfer-Encoding: base64"),
        _part(f"{NAMED}\r\nContent-Encoding: gzip"),
        _part(f"{NAMED}\r\nContent-Type: multipart/mixed; boundary=c"),
        _part('Content-Disposition: form-data; name="_charset_"', b"u" * 32),
        _part("Content-Disposition: form-data; name=(canary"),
        _part('Content-Disposition: form-data; name="a"; can(ary=1'),
        b"preamble\r\n" + GOOD,
        b"--\n" * 100 + GOOD,
        b"--bb\r\n" + GOOD,
        b"\n" * BODY_BYTES_MAX,
        _part("\r\n".join(f"X-{n}: {n}" for n in range(HEADERS_MAX + 1)) + f"\r\n{NAMED}"),
        b"".join(b"--b\r\n" + NAMED.encode() + b"\r\n\r\nx\r\n" for _ in range(FIELDS_MAX + 1))
        + b"--b--\r\n",
    ],
)
async def test_forms_that_are_none(form: bytes) -> None:
    """A part without a name, that is encoded, or holds parts itself; too many; something before.

    Nothing of it is told to anybody but its client.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(Refused) as refused:
            await read_fields(_posted(Sent(form), FORM))
    assert refused.value.refusal.code == "bad_request"
    assert said == []


async def test_reading_a_form_at_once() -> None:
    """Nobody else runs meanwhile: how aiohttp's warnings are treated is the whole process's."""
    with pytest.raises(StopIteration) as done:
        read_fields(_posted(Sent(GOOD), FORM)).send(None)
    assert done.value.value == {"prompt": "a wéve", "urls": ["1\n2"]}


async def test_forms_that_begin_with_nothing() -> None:
    """Empty lines before a form mean nothing, and a form of nothing has no fields."""
    fields = await read_fields(_posted(Sent(b"\r\n\n\r\n" + GOOD), FORM))
    assert fields["prompt"] == "a wéve"
    assert await read_fields(_posted(Sent(b"--b--\r\n"), FORM)) == {}


async def test_sizes_of_bodies() -> None:
    """A body is read to a limit; a file in a form is refused as one however large it is."""
    for kind in ("application/json", FORM):
        body = Sent(b"x" * (3 * BODY_BYTES_MAX))
        with pytest.raises(Refused) as large:
            await read_fields(_posted(body, kind))
        assert large.value.refusal.code == "body_too_large"
        assert body.read < 2 * BODY_BYTES_MAX
    form = Sent(_part(f'{NAMED}; filename="face.png"', b"x" * (3 * BODY_BYTES_MAX)))
    with pytest.raises(Refused) as upload:
        await read_fields(_posted(form, FORM))
    assert upload.value.refusal.code == "field_not_supported"
    text = Sent(_part(NAMED, b"x" * (3 * BODY_BYTES_MAX)))
    with pytest.raises(Refused) as long:
        await read_fields(_posted(text, FORM))
    assert long.value.refusal.code == "body_too_large"


async def test_the_other_bodies() -> None:
    """JSON and the other form; what is compressed or no object is refused."""
    for kind, body in (
        ("application/json; charset=utf-8", b'{"a": "b c"}'),
        ("", b'{"a": "b c"}'),
        ("application/x-www-form-urlencoded", b"a=b+c"),
    ):
        assert await read_fields(_posted(Sent(body), kind)) == {"a": "b c"}
    assert await read_fields(_posted(Sent(b""), "application/x-www-form-urlencoded")) == {}
    compressed = _posted(Sent(b"{}"), "application/json", (b"Content-Encoding", b"gzip"))
    for request in (
        compressed,
        _posted(Sent(b"[]"), "application/json"),
        _posted(Sent(b"a"), "application/x-www-form-urlencoded"),
        _posted(Sent(b"a=%ff"), "application/x-www-form-urlencoded"),
    ):
        with pytest.raises(Refused) as refused:
            await read_fields(request)
        assert refused.value.refusal.code == "bad_request"
