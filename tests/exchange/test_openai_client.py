"""OpenAI's own Python client, unchanged, in front of the whole daemon; and others that speak so."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Video

from tests.exchange.conftest import Open, house, until
from tests.exchange.provider import Got, Provider, Script, response
from tests.exchange.test_keys import taken_over
from tests.providers.test_native import IMAGE, Town, opened

pytestmark = [
    # OpenAI ends its own service, and its client says so on every call.
    pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning"),
    pytest.mark.usefixtures("quick_polls"),
]
SEEDANCE = "bytedance/seedance-2.0-fast"
SUNRA = "bytedance/seedance-2.0/text-to-video"
BYTEPLUS = "byteplus/seedance-2.0-fast"
MODELS = [SEEDANCE, SUNRA, BYTEPLUS]
LONG_S = 600.0


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The daemon in front of the three providers."""
    async with opened(tmp_path) as found:
        yield found


@asynccontextmanager
async def speaking(
    url: str, max_retries: int = 0, api_key: str = "anything"
) -> AsyncIterator[AsyncOpenAI]:
    """Open a client as a program has it, but that it does not retry."""
    async with AsyncOpenAI(
        base_url=f"{url}/v1", api_key=api_key, max_retries=max_retries
    ) as client:
        yield client


@pytest.fixture
async def client(town: Town) -> AsyncIterator[AsyncOpenAI]:
    """A client of the daemon."""
    async with speaking(town.house.url) as found:
        yield found


async def finished(client: AsyncOpenAI, id_: str) -> Video:
    """Ask until a video is over."""
    return await until(
        lambda: client.videos.retrieve(id_), lambda video: video.status in ("completed", "failed")
    )


async def test_an_answer_was_lost_and_the_client_repeats_itself(town: Town) -> None:
    """The repeat has another boundary, and shows the payment of the first: one job, paid once."""
    async with speaking(town.house.url, max_retries=2) as client:
        video = await client.videos.create(
            model=SEEDANCE,
            prompt="a wave",
            extra_query={"fault": "drop_before_settle", "fault_times": "1"},
        )
        assert (await finished(client, video.id)).status == "completed"
    (payment,) = await town.house.payments()
    assert (payment["state"], len(payment["authorizations"])) == ("settled", 1)
    assert len(town.settled) == 1


@pytest.mark.parametrize(
    ("model", "code"), [(SUNRA, "payment_outcome_unknown"), (BYTEPLUS, "upstream_unreachable")]
)
async def test_an_answer_was_lost_that_a_key_pays_for(town: Town, model: str, code: str) -> None:
    """Nobody could tell the repeat from a second order: the client is told not to repeat itself."""
    async with speaking(town.house.url, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as lost:
            await client.videos.create(
                model=model, prompt="a wave", extra_query={"fault": "drop", "fault_times": "1"}
            )
    assert lost.value.code == code
    assert len(town.sandbox.requests) == 1


async def test_a_client_that_gave_up_and_asks_again(town: Town) -> None:
    """It gets the job that was paid for while it was away; nothing is paid twice."""
    query = {"fault": "stall", "fault_s": "1", "fault_times": "1"}
    async with speaking(town.house.url) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.videos.create(
                model=SEEDANCE, prompt="a wave", extra_query=query, timeout=0.3
            )
        video = await client.videos.create(model=SEEDANCE, prompt="a wave", extra_query=query)
        assert (await finished(client, video.id)).status == "completed"
    assert len(await town.house.payments()) == 1
    assert len(town.settled) == 1


async def test_two_alike_are_two_purchases(town: Town, client: AsyncOpenAI) -> None:
    """Without a key nobody can tell a twin from a repeat."""
    made = [await client.videos.create(model=SEEDANCE, prompt="a wave") for _ in range(2)]
    assert len({video.id for video in made}) == 2
    assert len(await town.house.payments()) == 2


async def test_one_key(town: Town, client: AsyncOpenAI) -> None:
    """One video under a key, however often it is asked for; another request under it is refused."""
    key = {"Idempotency-Key": "clip-1"}
    made = [
        await client.videos.create(
            model=SEEDANCE, prompt="a wave", seconds="8", size="1280x720", extra_headers=key
        )
        for _ in range(3)
    ]
    assert len({video.id for video in made}) == 1
    assert made[0] == made[1] == made[2]
    assert len(await town.house.payments()) == 1
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await client.videos.create(model=SEEDANCE, prompt="another", extra_headers=key)
    assert refused.value.code == "idempotency_mismatch"


async def test_caps(town: Town, client: AsyncOpenAI) -> None:
    """A cap's refusal is an exception of the client's own, with the cap's code; nothing is paid."""
    with pytest.raises(openai.PermissionDeniedError) as once:
        await client.videos.create(
            model=SEEDANCE, prompt="a wave", extra_headers={"Farebox-Max-Amount": "0.01"}
        )
    assert once.value.code == "cap_call"
    await town.house.reconfigure(caps={"per_request": "2.00", "day": "0.01"})
    with pytest.raises(openai.RateLimitError) as later:
        await client.videos.create(model=SEEDANCE, prompt="a wave")
    assert later.value.code == "cap_day"
    assert later.value.response.headers["Farebox-Error"] == "cap_day"
    await town.house.reconfigure(caps={"per_request": "0.01", "day": "5.00"})
    with pytest.raises(openai.PermissionDeniedError) as dear:
        await client.videos.create(model=SEEDANCE, prompt="a wave")
    assert dear.value.code == "cap_per_request"
    assert town.settled == []


@pytest.mark.parametrize("model", MODELS)
async def test_a_clip(town: Town, client: AsyncOpenAI, model: str) -> None:
    """Created, waited for, listed and downloaded, whoever makes it."""
    video = await client.videos.create_and_poll(model=model, prompt="a wave", poll_interval_ms=20)
    assert (video.object, video.status, video.progress) == ("video", "completed", 100)
    assert (video.model, video.error) == (model, None)
    assert await client.videos.retrieve(video.id) == video
    (listed,) = (await client.videos.list()).data
    assert listed == video
    content = await client.videos.download_content(video.id)
    assert content.response.history[0].status_code == 302
    assert content.read()[4:8] == b"ftyp"
    assert len(town.settled) == (model == SEEDANCE)


def _without_a_loop(url: str) -> tuple[Video, Video, bytes, list[str]]:
    with OpenAI(base_url=f"{url}/v1", api_key="anything") as client:
        first = client.videos.create(model=SEEDANCE, prompt="a wave", seconds="8", size="1280x720")
        done = client.videos.create_and_poll(model=SEEDANCE, prompt="a wave")
        clip = client.videos.download_content(done.id, variant="video").read()
        return first, done, clip, [video.id for video in client.videos.list(limit=1)]


async def test_the_client_without_a_loop(town: Town) -> None:
    """It says what was asked for, polls at the pace that it is told, and pages through the list."""
    first, done, clip, listed = await asyncio.to_thread(_without_a_loop, town.house.url)
    assert (first.seconds, first.size, first.prompt) == ("8", "1280x720", "a wave")
    assert (first.status, first.progress) == ("queued", 0)
    assert first.created_at > 0
    assert (done.status, done.seconds) == ("completed", "5")
    assert clip[4:8] == b"ftyp"
    assert listed == [done.id, first.id]


async def test_a_restart_in_between(tmp_path: Path) -> None:
    """The next daemon knows the videos of the one before, and hands over their clips."""
    async with opened(tmp_path) as town, speaking(town.house.url) as client:
        videos = [await client.videos.create(model=model, prompt="a wave") for model in MODELS]
        async with (
            house(taken_over(town.house.config, tmp_path / "again")) as again,
            speaking(again.url) as after,
        ):
            for video in videos:
                done = await finished(after, video.id)
                assert (done.status, done.created_at) == ("completed", video.created_at)
                assert (await after.videos.download_content(video.id)).read()[4:8] == b"ftyp"
            listed = [video.id async for video in after.videos.list(order="asc", limit=2)]
            assert listed == [video.id for video in videos]
        assert len(town.settled) == 1


async def test_a_portrait_by_its_name(town: Town, client: AsyncOpenAI) -> None:
    """The name is one more field, and decides the provider and the model too."""
    enrol = {"name": "Rachel", "image_url": IMAGE}
    status, portrait = await town.call(
        "POST", "/v1/portrait/enroll", enrol, Farebox_Provider="pomex"
    )
    assert status == 200, portrait
    video = await client.videos.create(prompt="image 1 waves", extra_body={"portrait": "rachel"})
    assert video.model == BYTEPLUS
    assert (await finished(client, video.id)).status == "completed"
    sent = [seen for seen in town.sandbox.requests if seen.path == "/v1/video/generations"]
    assert portrait["asset_id"].encode() in sent[0].body
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.videos.create(prompt="waves", extra_body={"portrait": "nobody"})
    assert unknown.value.code == "portrait_unknown"


@pytest.mark.parametrize("model", MODELS)
async def test_a_failure(town: Town, client: AsyncOpenAI, model: str) -> None:
    """It is a video that failed and says why, costs nothing, and has no clip."""
    video = await client.videos.create_and_poll(model=model, prompt="[fail]", poll_interval_ms=20)
    assert (video.status, video.progress) == ("failed", 100)
    assert video.error is not None
    assert video.error.code
    assert video.error.message
    with pytest.raises(openai.NotFoundError) as none:
        await client.videos.download_content(video.id)
    assert none.value.code == "clip_unknown"
    assert town.settled == []


async def test_a_clip_that_is_not_there_yet(tmp_path: Path) -> None:
    """A 409 that says when to come back; the other variants are not to be had at all."""
    async with opened(tmp_path, LONG_S) as town, speaking(town.house.url) as client:
        video = await client.videos.create(model=SEEDANCE, prompt="a wave")
        with pytest.raises(openai.ConflictError) as early:
            await client.videos.download_content(video.id)
        assert early.value.code == "clip_not_ready"
        assert int(early.value.response.headers["Retry-After"]) >= 1
        with pytest.raises(openai.BadRequestError) as other:
            await client.videos.download_content(video.id, variant="thumbnail")
        assert other.value.code == "field_not_supported"
        assert "variant" in other.value.message
        head = await town.house.client.head(f"{town.house.url}/v1/videos/{video.id}/content")
        assert (head.status, await head.read()) == (409, b"")


async def test_a_range_of_a_clip(client: AsyncOpenAI) -> None:
    """What is asked of the clip is not asked of the job: a range arrives at the clip alone."""
    video = await client.videos.create_and_poll(
        model=SEEDANCE, prompt="a wave", poll_interval_ms=20
    )
    part = await client.videos.download_content(video.id, extra_headers={"Range": "bytes=4-7"})
    assert (part.response.status_code, part.read()) == (206, b"ftyp")


async def test_a_kept_clip(tmp_path: Path) -> None:
    """Where clips are kept on this disk the client gets its bytes from here."""
    async with opened(tmp_path) as town, speaking(town.house.url) as client:
        await town.house.reconfigure(mirror={})
        fetching = asyncio.create_task(town.house.daemon.mirror.run())
        video = await client.videos.create_and_poll(
            model=SEEDANCE, prompt="a wave", poll_interval_ms=20
        )
        url = f"{town.house.url}/v1/videos/{video.id}/content"

        async def ask() -> tuple[int, bytes]:
            async with town.house.client.get(url, allow_redirects=False) as answer:
                return answer.status, await answer.read()

        _, clip = await until(ask, lambda got: got[0] == 200)
        assert clip == (await client.videos.download_content(video.id)).read()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def test_a_picture_to_begin_with(town: Town, client: AsyncOpenAI) -> None:
    """A URL goes to the provider; a file, of any size, is refused by the field's name."""
    # The client's own parameter takes the object in its types and only files when it is called.
    reference = {"input_reference": {"image_url": IMAGE}}
    await client.videos.create(model=SEEDANCE, prompt="it moves", extra_body=reference)
    sent = [seen for seen in town.sandbox.requests if seen.path.endswith("/videos/generations")]
    assert json.loads(sent[-1].body) == {
        "model": SEEDANCE,
        "prompt": "it moves",
        "image_url": IMAGE,
    }
    paid = len(await town.house.payments())
    for picture in (b"png", b"x" * 5_000_000):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.videos.create(
                model=SEEDANCE,
                prompt="it moves",
                input_reference=("face.png", picture, "image/png"),
            )
        assert refused.value.code == "field_not_supported"
        assert "input_reference" in refused.value.message
    reference = {"input_reference": {"file_id": "file-1"}}
    with pytest.raises(openai.BadRequestError) as by_id:
        await client.videos.create(model=SEEDANCE, prompt="it moves", extra_body=reference)
    assert "file_id" in by_id.value.message
    assert len(await town.house.payments()) == paid


async def test_fields_of_the_common_shape(town: Town, client: AsyncOpenAI) -> None:
    """They arrive as they are written, with their types, though a form knows only text."""
    await client.videos.create(
        model=SEEDANCE,
        prompt="é",
        extra_body={
            "generate_audio": False,
            "seed": 7,
            "resolution": "480p",
            "reference_image_urls": [IMAGE, f"{IMAGE}?2"],
        },
    )
    sent = [seen for seen in town.sandbox.requests if seen.path.endswith("/videos/generations")]
    assert json.loads(sent[-1].body) == {
        "model": SEEDANCE,
        "prompt": "é",
        "generate_audio": False,
        "seed": 7,
        "resolution": "480p",
        "reference_image_urls": [IMAGE, f"{IMAGE}?2"],
    }


async def test_what_a_provider_cannot_be_told(town: Town, client: AsyncOpenAI) -> None:
    """The refusal names the provider's field, and the client's own that it is written from."""
    with pytest.raises(openai.BadRequestError) as refused:
        await client.videos.create(model=BYTEPLUS, prompt="a wave", size="1280x720")
    assert refused.value.code == "field_not_supported"
    assert "written from size" in refused.value.message
    with pytest.raises(openai.BadRequestError) as twice:
        await client.videos.create(
            model=SEEDANCE, prompt="x", seconds="8", extra_body={"duration_seconds": 8}
        )
    assert twice.value.code == "bad_request"
    assert town.sandbox.requests == []


async def test_jobs_that_nobody_knows(town: Town, client: AsyncOpenAI) -> None:
    """An id that no one gave out is a 404, with our code where nobody can be asked."""
    for id_ in ("nothing", "é ?&#"):
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.videos.retrieve(id_)
        assert unknown.value.code == "job_unknown"
        with pytest.raises(openai.NotFoundError):
            await client.videos.download_content(id_)
    with pytest.raises(openai.NotFoundError):
        await client.videos.retrieve("azure:vidjob_1")
    assert len(town.sandbox.requests) == 1
    with pytest.raises(openai.BadRequestError) as cursor:
        await client.videos.list(after="nothing")
    assert cursor.value.code == "bad_request"


async def test_what_is_not_served(town: Town, client: AsyncOpenAI) -> None:
    """The client's other calls are refused here, and nothing is asked of a provider."""
    for call in (
        client.videos.delete("video_1"),
        client.videos.remix("video_1", prompt="x"),
        client.videos.edit(prompt="x", video=b"x"),
        client.videos.extend(prompt="x", seconds="4", video=b"x"),
        client.videos.create_character(name="x", video=b"x"),
        client.videos.get_character("char_1"),
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            await call
        assert (refused.value.status_code, refused.value.code) == (405, "method_not_allowed")
        assert "GET /v1/videos/{id}/content" in refused.value.message
    assert town.sandbox.requests == []


async def test_a_token_as_the_api_key(town: Town) -> None:
    """Where clients are configured theirs is the key that the program already sends."""
    token = "fbx_" + "a" * 32
    known = {"name": "agent", "token_sha256": sha256(token.encode()).hexdigest()}
    await town.house.reconfigure(clients=[known])
    async with speaking(town.house.url, api_key=token) as client:
        video = await client.videos.create(model=SEEDANCE, prompt="a wave")
        assert (await client.videos.retrieve(video.id)).model == SEEDANCE
    async with speaking(town.house.url) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.videos.create(model=SEEDANCE, prompt="a wave")
        assert refused.value.code == "client_token"
    assert all(seen.header("authorization") is None for seen in town.sandbox.requests)


async def test_dry_run(town: Town) -> None:
    """It tells the price of what would be asked for, in its own shape."""
    async with httpx.AsyncClient(base_url=town.house.url) as plain:
        body = {"model": SEEDANCE, "prompt": "x", "seconds": 10}
        said = await plain.post("/v1/videos", json=body, headers={"Farebox-Dry-Run": "1"})
        body["seconds"] = 5
        less = await plain.post("/v1/videos", json=body, headers={"Farebox-Dry-Run": "1"})
    assert (said.status_code, said.json()["dry_run"]) == (200, True)
    assert float(said.json()["price"]["usd"]) == 2 * float(less.json()["price"]["usd"])
    assert await town.house.payments() == []


async def test_bodies_of_other_clients(town: Town) -> None:
    """JSON and both kinds of forms say the same thing; a broken one is refused and nothing sent."""
    fields = {"model": SEEDANCE, "prompt": "a wave", "seconds": "8"}
    async with httpx.AsyncClient(base_url=town.house.url) as plain:
        for body in (
            {"json": fields},
            {"data": fields},
            {"files": {name: (None, text) for name, text in fields.items()}},
        ):
            made = await plain.post("/v1/videos", **body)
            assert (made.status_code, made.json()["seconds"]) == (200, "8"), body
            assert made.headers["Farebox-Payment"].startswith('id="pay_')
        sent = {seen.body for seen in town.sandbox.requests}
        assert len(sent) == 1
        before = len(town.sandbox.requests)
        for kind, text in (
            ("application/json", '{"model": "x", "model": "y"}'),
            ("application/json", "["),
            ("multipart/form-data; boundary=b", "--b\r\nContent-"),
            ("multipart/form-data", "--b--"),
            ("text/plain", "a wave"),
        ):
            said = await plain.post("/v1/videos", content=text, headers={"Content-Type": kind})
            assert (said.status_code, said.json()["error"]["code"]) == (400, "bad_request"), text
        large = await plain.post("/v1/videos", json=fields | {"prompt": "x" * 1_048_577})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    assert len(town.sandbox.requests) == before


async def test_curl(town: Town, tmp_path: Path) -> None:
    """A form from a shell, and the clip into a file."""

    async def curl(*arguments: str) -> bytes:
        done = await asyncio.to_thread(
            subprocess.run, ["curl", "-sS", *arguments], capture_output=True, check=True, timeout=30
        )
        return done.stdout

    url = f"{town.house.url}/v1/videos"
    form = ["-F", f"model={SEEDANCE}", "-F", "prompt=a wave", "-F", "generate_audio=true"]
    video = json.loads(await curl(url, *form))
    assert video["object"] == "video"

    async def show() -> Any:
        return json.loads(await curl(f"{url}/{video['id']}"))

    await until(show, lambda shown: shown["status"] == "completed")
    await curl("-L", "-o", str(tmp_path / "clip.mp4"), f"{url}/{video['id']}/content")
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    upload = json.loads(await curl(url, *form, "-F", f"input_reference=@{tmp_path / 'clip.mp4'}"))
    assert upload["error"]["code"] == "field_not_supported"


async def test_a_service_of_its_own_at_the_same_path(open_house: Open) -> None:
    """A route to a plain HTTP service stays as it is: what it answers is its own."""

    async def script(_: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(response("418 Teapot"))

    assert await _teapots(open_house, script) == {418}


async def _teapots(open_house: Open, script: Script) -> set[int]:
    async with Provider(script) as provider:
        at = await open_house(
            providers={"own": {"kind": "http", "base_url": provider.url}},
            routes=[{"path": "/v1/videos/*", "provider": "own"}],
        )
        found = set()
        for method, path in (
            ("POST", "/v1/videos"),
            ("GET", "/v1/videos"),
            ("GET", "/v1/videos/x"),
            ("GET", "/v1/videos/x/content?variant=thumbnail"),
            ("DELETE", "/v1/videos/x"),
        ):
            async with at.client.request(method, at.url + path, data=b"[") as answer:
                found.add(answer.status)
        assert len(provider.got) == 5
        return found
