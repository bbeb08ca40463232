"""Sunra: the Ark Assets and the queue, section by section of its documentation."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.sandbox.buyer import Answer, Buyer
from tests.sandbox.keyed import KEY, sunra

SOURCE = {"source_url": "https://example.com/face.jpg"}
RELAY = "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video"
DIRECT = "/v1/queue/bytedance/seedance-2.0-fast/reference-to-video"
TEXT = "/v1/queue/bytedance/seedance-2.0/text-to-video"
PROMPT = {"prompt": "the person in @Image1 is talking to the camera"}


async def _active(buyer: Buyer, **fields: Any) -> str:
    created = await sunra(buyer, "POST", "/v1/ark/assets", SOURCE | fields)
    buyer.clock.now += 1
    return f"asset://{created.json['ark_asset_id']}"


async def _submitted(buyer: Buyer, path: str = TEXT, **fields: Any) -> Any:
    answer = await sunra(buyer, "POST", path, PROMPT | fields)
    assert answer.status == 200, answer
    return answer.json


@pytest.mark.parametrize(
    "headers",
    [None, {"Authorization": "Bearer sk-other"}, {"Authorization": "Basic sk-sandbox"}],
)
async def test_authentication(buyer: Buyer, headers: dict[str, str] | None) -> None:
    """Sunra docs, Authentication: without the key every endpoint is a 401."""
    for method, path in (("POST", "/v1/ark/assets"), ("POST", RELAY), ("GET", "/v1/other")):
        answer = await buyer.call(method, buyer.town.sunra_url + path, SOURCE, headers)
        assert answer.status == 401
        assert answer.json["error"]["code"] == "UNAUTHORIZED"


async def test_key_scheme(buyer: Buyer) -> None:
    """Sunra docs, Queue: the key is taken after the word Key as well."""
    headers = {"Authorization": "Key sk-sandbox"}
    url = f"{buyer.town.sunra_url}/v1/ark/assets/list"
    assert (await buyer.call("POST", url, {}, headers)).status == 200


async def test_create_and_get(buyer: Buyer) -> None:
    """Sunra docs, Create an asset and Get an asset: processing, then active with an ark_url."""
    created = (await sunra(buyer, "POST", "/v1/ark/assets", SOURCE)).json
    assert re.fullmatch(r"[0-9a-f]{24}", created["id"])
    assert re.fullmatch(r"cgt-\d{8}-[0-9a-z]{6}", created["ark_asset_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created["created_at"])
    assert created == {
        "id": created["id"],
        "ark_asset_id": created["ark_asset_id"],
        "name": "face.jpg",
        "asset_type": "image",
        **SOURCE,
        "status": "processing",
        "created_at": created["created_at"],
    }
    path = f"/v1/ark/assets/{created['ark_asset_id']}"
    assert (await sunra(buyer, "GET", path)).json == created
    buyer.clock.now += 1
    ready = (await sunra(buyer, "GET", path)).json
    assert ready == created | {"status": "active", "ark_url": ready["ark_url"]}


@pytest.mark.parametrize(
    ("source", "kind"),
    [("a.mp4", "video"), ("a.WAV?x=1", "audio"), ("a.png", "image"), ("a", "image")],
)
async def test_inferred_type(buyer: Buyer, source: str, kind: str) -> None:
    """Sunra docs, Create an asset: the type is inferred from the URL, an image by default."""
    body = {"source_url": f"https://example.com/{source}"}
    assert (await sunra(buyer, "POST", "/v1/ark/assets", body)).json["asset_type"] == kind


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        {},
        {"source_url": "face.jpg"},
        SOURCE | {"asset_type": "Image"},
        SOURCE | {"name": 3},
    ],
)
async def test_create_bad_bodies(buyer: Buyer, body: Any) -> None:
    """Sunra docs, Create an asset: source_url is required, the types are three."""
    answer = await sunra(buyer, "POST", "/v1/ark/assets", body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["path"] == "/v1/ark/assets"


async def test_failed_registration(buyer: Buyer) -> None:
    """Sunra docs, Workflow: a registration may end in failed, without an ark_url."""
    asset = await _active(buyer, source_url="https://example.com/nsfw.jpg")
    answer = await sunra(buyer, "GET", f"/v1/ark/assets/{asset.removeprefix('asset://')}")
    assert answer.json["status"] == "failed"
    assert "ark_url" not in answer.json


async def test_list_assets(buyer: Buyer) -> None:
    """Sunra docs, List assets: a status filter and pages, 20 items by default."""
    for index in range(22):
        await sunra(buyer, "POST", "/v1/ark/assets", SOURCE | {"name": f"face {index}"})
    first = (await sunra(buyer, "POST", "/v1/ark/assets/list")).json
    assert (first["total"], first["page"], first["page_size"]) == (22, 1, 20)
    assert [item["name"] for item in first["items"][:2]] == ["face 21", "face 20"]
    second = await sunra(buyer, "POST", "/v1/ark/assets/list", {"page": 2})
    assert len(second.json["items"]) == 2
    active = {"status": "active"}
    assert (await sunra(buyer, "POST", "/v1/ark/assets/list", active)).json["total"] == 0
    buyer.clock.now += 1
    pages = active | {"page_size": 5}
    assert len((await sunra(buyer, "POST", "/v1/ark/assets/list", pages)).json["items"]) == 5


@pytest.mark.parametrize("body", [b"[]", {"status": "new"}, {"page": 0}, {"page_size": "1"}])
async def test_list_bad_bodies(buyer: Buyer, body: Any) -> None:
    """Sunra docs, List assets: a filter or page that cannot be is a 400."""
    assert (await sunra(buyer, "POST", "/v1/ark/assets/list", body)).status == 400


async def test_delete_an_asset(buyer: Buyer) -> None:
    """Sunra docs, Delete an asset: it is gone from the list, and a second time it is a 404."""
    path = f"/v1/ark/assets/{(await _active(buyer)).removeprefix('asset://')}"
    assert (await sunra(buyer, "DELETE", path)).json == {"deleted": True}
    assert (await sunra(buyer, "POST", "/v1/ark/assets/list")).json["total"] == 0
    assert (await sunra(buyer, "DELETE", path)).status == 404
    assert (await sunra(buyer, "GET", path)).status == 404


async def test_submission(buyer: Buyer) -> None:
    """Sunra docs, Queue: a submission answers with an id and absolute URLs of its own origin."""
    asset = await _active(buyer)
    fields = {
        "reference_images": [asset],
        "resolution": "720p",
        "ratio": "adaptive",
        "duration": 5,
        "generate_audio": True,
    }
    answer = await sunra(buyer, "POST", RELAY, PROMPT | fields)
    assert answer.status == 200
    request_id = answer.json["request_id"]
    assert re.fullmatch(r"pd_[0-9A-Za-z]{24}", request_id)
    base = f"{buyer.town.sunra_url}/v1/queue/requests/{request_id}"
    assert answer.json == {
        "request_id": request_id,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


async def test_status_to_result(buyer: Buyer) -> None:
    """Sunra docs, Queue: IN_QUEUE with a position, IN_PROGRESS, COMPLETED; then the video."""
    first = await _submitted(buyer)
    buyer.clock.now += 0.5
    job = await _submitted(buyer)
    common = {"request_id": job["request_id"], "response_url": job["response_url"]}
    queued = (await sunra(buyer, "GET", job["status_url"])).json
    assert queued == {"status": "IN_QUEUE", "queue_position": 1, **common}
    early = await sunra(buyer, "GET", job["response_url"])
    assert (early.status, early.json["error"]["code"]) == (400, "PREDICTION_NOT_COMPLETED")
    buyer.clock.now += 1
    working = (await sunra(buyer, "GET", job["status_url"])).json
    assert working == {"status": "IN_PROGRESS", **common}
    buyer.clock.now += 1
    done = (await sunra(buyer, "GET", job["status_url"])).json
    assert done == {"status": "COMPLETED", "success": True, **common}
    result = (await sunra(buyer, "GET", job["response_url"])).json
    assert result["video"]["url"].startswith(buyer.town.sunra_url)
    assert (await buyer.call("GET", result["video"]["url"])).status == 200
    assert first["request_id"] != job["request_id"]


@pytest.mark.parametrize(
    ("path", "prompt", "code"),
    [
        (TEXT, "a storm [fail]", "service_provider_error"),
        (TEXT, "a storm [unsafe]", "unsafe_content"),
        (f"{TEXT}?fault=unsafe_content", "a storm", "unsafe_content"),
        (f"{TEXT}?fault=job_failed", "a storm", "service_provider_error"),
    ],
)
async def test_failed_prediction(buyer: Buyer, path: str, prompt: str, code: str) -> None:
    """Sunra docs, Using the asset: COMPLETED without success, and a result of 400."""
    job = await _submitted(buyer, path, prompt=prompt)
    buyer.clock.now += 2
    status = (await sunra(buyer, "GET", job["status_url"])).json
    assert (status["status"], status["success"]) == ("COMPLETED", False)
    assert status["error"]["code"] == code
    result = await sunra(buyer, "GET", job["response_url"])
    assert result.status == 400
    error = result.json["error"]
    assert error["code"] == "PREDICTION_FAILED"
    assert error["details"] == status["error"]


def _reference_cases(asset: str) -> list[tuple[str, dict[str, Any], int, str | None]]:
    images, bad = "reference_images", "INVALID_INPUT"
    return [
        (RELAY, {images: [asset] * 9}, 200, None),
        (RELAY, {images: [asset] * 10}, 400, bad),
        (RELAY, {images: asset}, 400, bad),
        (RELAY, {images: [7]}, 400, bad),
        (RELAY, {images: ["https://example.com/face.jpg"]}, 400, bad),
        (RELAY, {images: ["asset://cgt-20260609-nobody"]}, 400, bad),
        (RELAY, {"reference_videos": [asset]}, 200, None),
        (RELAY, {}, 400, bad),
        (RELAY, {images: [asset], "prompt": ""}, 400, bad),
        (RELAY, {images: [asset], "resolution": "4k"}, 400, bad),
        (RELAY, {images: [asset], "duration": 3}, 400, bad),
        (RELAY, {images: [asset], "duration": 16}, 400, bad),
        (RELAY, {images: [asset], "duration": -1}, 200, None),
        (RELAY, {images: [asset], "generate_audio": "yes"}, 400, bad),
        (RELAY, {images: [asset], "ratio": ""}, 400, bad),
        (DIRECT, {images: [asset]}, 400, "InvalidParameter"),
        (DIRECT, {images: ["https://example.com/face.jpg"]}, 200, None),
        ("/v1/queue/bytedance/seedance-2.0-fast-relay", {images: [asset]}, 404, "MODEL_NOT_FOUND"),
    ]


async def test_references(buyer: Buyer) -> None:
    """Sunra docs, Using the asset: relay models take active assets only, the others none."""
    asset = await _active(buyer)
    for path, fields, status, code in _reference_cases(asset):
        buyer.clock.now += 7
        answer = await sunra(buyer, "POST", path, PROMPT | fields)
        assert (answer.status, answer.json.get("error", {}).get("code")) == (status, code), fields
    assert (await sunra(buyer, "POST", TEXT, b"{")).status == 400


async def test_reference_that_is_processing(buyer: Buyer) -> None:
    """Sunra docs, Workflow: an asset is usable once it is active."""
    created = (await sunra(buyer, "POST", "/v1/ark/assets", SOURCE)).json
    fields = {"reference_images": [f"asset://{created['ark_asset_id']}"]}
    answer = await sunra(buyer, "POST", RELAY, PROMPT | fields)
    assert answer.status == 400
    assert "processing" in answer.json["error"]["message"]


async def test_cancel(buyer: Buyer) -> None:
    """Sunra docs, Queue: PUT cancels what is not completed, once."""
    job = await _submitted(buyer)
    assert (await sunra(buyer, "PUT", job["cancel_url"])).json == {"success": True}
    status = (await sunra(buyer, "GET", job["status_url"])).json
    assert (status["status"], status["success"]) == ("COMPLETED", False)
    assert status["error"]["code"] == "cancelled"
    assert (await sunra(buyer, "PUT", job["cancel_url"])).status == 400


async def test_unknown_request(buyer: Buyer) -> None:
    """Sunra docs, Queue: an id that nobody issued is a 404 on every endpoint."""
    base = "/v1/queue/requests/pd_unknown"
    calls = [("GET", ""), ("GET", "/status"), ("GET", "/status/stream"), ("PUT", "/cancel")]
    for method, end in calls:
        assert (await sunra(buyer, method, base + end)).status == 404
    assert (await sunra(buyer, "GET", "/v1/models")).status == 404


@pytest.mark.parametrize("query", ["", "?fault=trickle&fault_s=0.01"])
async def test_status_stream(buyer: Buyer, query: str) -> None:
    """Sunra docs, Queue: the stream sends one event for each change and ends with COMPLETED."""
    job = await _submitted(buyer)
    url = f"{job['status_url']}/stream{query}"
    states = []
    async with buyer.session.get(url, headers=KEY) as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                states.append(json.loads(line.removeprefix(b"data: "))["status"])
                buyer.clock.now += 1
    assert states == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


async def _burst(buyer: Buyer, count: int) -> list[Answer]:
    calls = [sunra(buyer, "POST", TEXT, PROMPT) for _ in range(count)]
    return list(await asyncio.gather(*calls))


async def test_rate_limit_of_a_second(buyer: Buyer) -> None:
    """Sunra docs, Rate limits: the eleventh submission in a second is a 403."""
    statuses = [answer.status for answer in await _burst(buyer, 11)]
    assert sorted(statuses) == [200] * 10 + [403]
    buyer.clock.now += 1
    assert (await sunra(buyer, "POST", TEXT, PROMPT)).status == 200


async def test_rate_limit_of_a_minute(buyer: Buyer) -> None:
    """Sunra docs, Rate limits: the 101st submission in a minute is a 403."""
    for _ in range(10):
        assert all(answer.status == 200 for answer in await _burst(buyer, 10))
        buyer.clock.now += 1
    (answer,) = await _burst(buyer, 1)
    assert (answer.status, answer.json["error"]["code"]) == (403, "RATE_LIMIT_EXCEEDED")
    buyer.clock.now += 50
    assert (await sunra(buyer, "POST", TEXT, PROMPT)).status == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [("rate_limited", 403), ("upstream_error", 502), ("unavailable", 503), ("slow", 200)],
)
async def test_faults(buyer: Buyer, name: str, status: int) -> None:
    """The general faults strike here too, in Sunra's words."""
    path = f"/v1/ark/assets/list?fault={name}&fault_s=0.01"
    answer = await sunra(buyer, "POST", path)
    assert answer.status == status
    assert ("error" in answer.json) == (status != 200)
    unknown = await sunra(buyer, "POST", "/v1/ark/assets/list?fault=settle_false")
    assert unknown.status == 400
