"""Videos in the common shape, made by the providers that have shapes of their own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.exchange.conftest import house, until
from tests.exchange.test_keys import taken_over
from tests.providers.test_native import Town, opened

pytestmark = pytest.mark.usefixtures("quick_polls")
IMAGE = "https://example.com/face.jpg"
PATH = "/v1/videos/generations"
RELAY = "bytedance/seedance-2.0-fast-relay"
SEEDANCE = "bytedance/seedance-2.0-fast"
BYTEPLUS = "byteplus/seedance-2.0-fast"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The daemon in front of the three providers."""
    async with opened(tmp_path) as found:
        yield found


async def _asset(town: Town, provider: str) -> str:
    """An asset made by a native call, usable."""
    if provider == "sunra":
        _, made = await town.call("POST", "/v1/ark/assets", {"source_url": IMAGE})
        id_, where = made["ark_asset_id"], f"/v1/ark/assets/{made['ark_asset_id']}"
    else:
        body = {"url": IMAGE, "asset_type": "Image"}
        _, made = await town.call("POST", "/v1/video/assets", body)
        id_, where = made["id"], f"/v1/video/assets/{made['id']}"
    await until(lambda: town.call("GET", where), lambda got: got[1]["status"] == "active")
    return str(id_)


def _request(provider: str, asset: str) -> dict[str, Any]:
    model = {"sunra": RELAY, "pomex": BYTEPLUS}[provider]
    return {"model": model, "prompt": "image 1 waves", "real_face_asset_id": asset}


@pytest.mark.parametrize("provider", ["sunra", "pomex"])
async def test_finished_clip(town: Town, provider: str) -> None:
    """One request, and the finished clip in BlockRun's shape, with the provider's own answer."""
    asset = await _asset(town, provider)
    status, clip = await town.call("POST", PATH, _request(provider, asset))
    assert (status, clip["status"], clip["provider"]) == (200, "completed", provider)
    assert clip["data"][0]["url"].startswith("http")
    assert clip["object"] == "video.generation.job"
    assert isinstance(clip["provider_response"], dict)
    again = await town.call("GET", f"{PATH}/{clip['id']}")
    assert again == (200, clip)


@pytest.mark.parametrize("provider", ["sunra", "pomex"])
async def test_respond_async_and_restart(tmp_path: Path, provider: str) -> None:
    """The 202 at once; the job is claimable by id, also by the next daemon."""
    async with opened(tmp_path) as town:
        asset = await _asset(town, provider)
        status, job = await town.call(
            "POST", PATH, _request(provider, asset), Prefer="respond-async"
        )
        assert (status, job["status"], job["provider"]) == (202, "queued", provider)
        assert job["poll_url"] == f"{PATH}/{job['id']}"
        async with house(taken_over(town.house.config, tmp_path / "again")) as again:
            after = Town(again, town.sandbox)
            status, clip = await after.call("GET", f"{PATH}/{job['id']}", Prefer="wait=20")
            assert (status, clip["status"]) == (200, "completed")


async def test_price_of_the_table_counts(town: Town) -> None:
    """Sunra's call is priced by the table, under the caps, and shown as any payment."""
    asset = await _asset(town, "sunra")
    body = _request("sunra", asset) | {"duration_seconds": 4}
    async with town.house.client.post(f"{town.house.url}{PATH}", json=body) as answer:
        assert 'amount="0.8"' in answer.headers["Farebox-Payment"]
        assert answer.status == 200
    priced = [payment for payment in await town.house.payments() if payment["usd"] != "0.00"]
    assert [(p["usd"], p["state"], p["provider"]) for p in priced] == [("0.80", "settled", "sunra")]
    body["duration_seconds"] = 15
    status, refused = await town.call("POST", PATH, body)
    assert (status, refused["error"]["code"]) == (403, "cap_per_request")
    status, quote = await town.call("POST", PATH, body, Farebox_Dry_Run="1")
    assert (status, quote["price"]["usd"], quote["allowed"]) == (200, "3.00", False)


@pytest.mark.parametrize(
    ("provider", "more", "field"),
    [
        ("sunra", {"seed": 1}, "seed"),
        ("sunra", {"resolution": "4k"}, "resolution"),
        ("pomex", {"duration_seconds": 5}, "duration_seconds"),
        ("pomex", {"reference_videos": ["https://example.com/a.mp4"]}, "reference_videos"),
        ("pomex", {"surprise": True}, "surprise"),
    ],
)
async def test_what_cannot_be_said(
    town: Town, provider: str, more: dict[str, Any], field: str
) -> None:
    """A 400 that names the field, before anything is sent or counted."""
    asset = await _asset(town, provider)
    before = await town.house.payments()
    status, said = await town.call("POST", PATH, _request(provider, asset) | more)
    assert status == 400
    assert field in said["error"]["message"]
    assert await town.house.payments() == before


@pytest.mark.parametrize("provider", ["sunra", "pomex"])
async def test_failed_job(town: Town, provider: str) -> None:
    """A job that fails is a 200 that says so, stored as any other end."""
    asset = await _asset(town, provider)
    url = f"{town.house.url}{PATH}?fault=job_failed"
    async with town.house.client.post(url, json=_request(provider, asset)) as answer:
        failed = await answer.json()
    assert (answer.status, failed["status"]) == (200, "failed")
    assert failed["error"]
    assert await town.call("GET", f"{PATH}/{failed['id']}") == (200, failed)


async def test_key(town: Town) -> None:
    """One submission under a key, however often it is asked for."""
    asset = await _asset(town, "sunra")
    said = [
        await town.call("POST", PATH, _request("sunra", asset), Idempotency_Key="clip-1")
        for _ in range(3)
    ]
    assert {status for status, _ in said} == {200}
    assert len({clip["id"] for _, clip in said}) == 1
    assert len((await town.call("GET", "/-/jobs"))[1]["jobs"]) == 1


async def test_client_that_leaves(town: Town) -> None:
    """Nobody polls for a client that has gone, and the job is there to be asked for."""
    asset = await _asset(town, "pomex")
    timeout = aiohttp.ClientTimeout(total=0.1)
    with pytest.raises(TimeoutError):
        await town.house.client.post(
            f"{town.house.url}{PATH}", json=_request("pomex", asset), timeout=timeout
        )
    (job,) = (await town.call("GET", "/-/jobs"))[1]["jobs"]
    status, clip = await town.call("GET", f"{PATH}/{job['id']}", Prefer="wait=20")
    assert (status, clip["status"]) == (200, "completed")


async def test_native_jobs_through_the_common_path(town: Town) -> None:
    """A job that was made by a native call is asked for in the common shape too."""
    asset = await _asset(town, "pomex")
    part = {
        "type": "image_url",
        "image_url": {"url": f"asset://{asset}"},
        "role": "reference_image",
    }
    body = {"model": BYTEPLUS, "content": [{"type": "text", "text": "image 1"}, part]}
    _, made = await town.call("POST", "/v1/video/generations", body)
    status, clip = await town.call("GET", f"{PATH}/{made['id']}", Prefer="wait=20")
    assert (status, clip["status"], clip["provider"]) == (200, "completed", "pomex")


async def test_the_providers_own_no(town: Town) -> None:
    """What the provider refuses goes through as it said it."""
    status, said = await town.call("POST", PATH, _request("pomex", "asset-unknown"))
    assert status in (400, 404)
    assert "error" in said


@pytest.mark.parametrize("provider", ["blockrun", "sunra", "pomex"])
async def test_portrait_by_its_name(town: Town, provider: str) -> None:
    """A name finds the id, the field, the provider and its usual model."""
    body = {"name": "Rachel", "image_url": IMAGE}
    status, portrait = await town.call(
        "POST", "/v1/portrait/enroll", body, Farebox_Provider=provider
    )
    assert status == 200
    models = {} if provider == "pomex" else {"model": {"sunra": RELAY}.get(provider, SEEDANCE)}
    ask = {"prompt": "@Image1 waves", "portrait": "rachel"} | models
    status, clip = await town.call("POST", PATH, ask)
    assert (status, clip["status"]) == (200, "completed")
    assert clip.get("provider", "blockrun") == provider
    sent = [r.body for r in town.sandbox.requests if r.method == "POST" and b"waves" in r.body]
    assert sent
    assert all(portrait["asset_id"].encode() in each and b"rachel" not in each for each in sent)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"portrait": "nobody"}, "portrait_unknown"),
        ({"portrait": 7}, "bad_request"),
        ({"portrait": "x", "real_face_asset_id": "ta_1"}, "bad_request"),
    ],
)
async def test_names_that_lead_nowhere(town: Town, more: dict[str, Any], code: str) -> None:
    """They are refused before anything is asked of anybody."""
    status, said = await town.call("POST", PATH, {"prompt": "x", **more})
    assert said["error"]["code"] == code
    assert status == (404 if code == "portrait_unknown" else 400)
    assert town.sandbox.requests == []


async def test_digest_of_the_clients_own_body(town: Town) -> None:
    """It does not go along with a body that is written anew, whole or but for a name."""
    digest = {"Content_Digest": "sha-256=:abc=:"}
    made, _ = await town.call("POST", PATH, {"model": BYTEPLUS, "prompt": "x"}, **digest)
    face = {"name": "rachel", "image_url": IMAGE}
    await town.call("POST", "/v1/portrait/enroll", face, Farebox_Provider="blockrun")
    begun = len(town.sandbox.requests)
    body = {"model": SEEDANCE, "prompt": "x", "portrait": "rachel"}
    named, _ = await town.call("POST", PATH, body, **digest)
    assert (made, named) == (200, 200)
    for seen in (town.sandbox.requests[0], town.sandbox.requests[begun]):
        assert seen.header("content-digest") is None
