"""PomexAI's Real-Human Asset API, section by section of its documentation."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.buyer import Answer, Buyer
from tests.sandbox.keyed import pomex

SESSIONS = "/v1/video/assets/sessions"
ASSETS = "/v1/video/assets"
GENERATIONS = "/v1/video/generations"
CALLBACK = {"callback_url": "https://yourapp.com/realhuman/callback", "lang": "en"}
PHOTO = {"url": "https://yourcdn.com/portrait.jpg", "asset_type": "Image"}
MODEL = "byteplus/seedance-2.0-fast"


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


async def _person(buyer: Buyer) -> str:
    session = await pomex(buyer, "POST", SESSIONS, CALLBACK)
    redirect = await buyer.call("GET", session.json["h5_link"])
    return parse_qs(urlsplit(redirect.headers["Location"]).query)["group_id"][0]


async def _asset(buyer: Buyer, **fields: Any) -> str:
    answer = await pomex(buyer, "POST", ASSETS, PHOTO | fields)
    assert answer.status == 200, answer
    return str(answer.json["id"])


def _order(text: str, *urls: str) -> dict[str, Any]:
    images = [
        {"type": "image_url", "image_url": {"url": url}, "role": "reference_image"} for url in urls
    ]
    return {"model": MODEL, "content": [{"type": "text", "text": text}, *images]}


@pytest.mark.parametrize(
    "headers",
    [None, {"Authorization": "Bearer sk-other"}, {"Authorization": "Key sk-sandbox"}],
)
async def test_401(buyer: Buyer, headers: dict[str, str] | None) -> None:
    """PomexAI docs, Basics: requests without a valid API key return 401."""
    for path in (SESSIONS, ASSETS, GENERATIONS, "/v1/other"):
        answer = await buyer.call("POST", buyer.town.pomex_url + path, {}, headers)
        assert answer.status == 401
        assert answer.json["error"].keys() == {"message", "type"}
        assert answer.json["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("lang", ["zh", "en", "zh-Hant"])
async def test_create_session(buyer: Buyer, lang: str) -> None:
    """PomexAI docs, Create Verification Session: pending, with a link in the asked language."""
    answer = await pomex(buyer, "POST", SESSIONS, CALLBACK | {"lang": lang})
    link = answer.json["h5_link"]
    assert answer.status == 200
    assert answer.json == {
        "object": "video.asset_session",
        "status": "pending",
        "h5_link": link,
    }
    assert link.endswith(f"lang={lang}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "body must be valid JSON"),
        ({}, "callback_url is required"),
        ({"callback_url": ""}, "callback_url is required"),
        ({"callback_url": "http://a.example"}, "callback_url must be a valid https URL"),
        ({"callback_url": "https://"}, "callback_url must be a valid https URL"),
        ({"callback_url": "https://[bad"}, "callback_url must be a valid https URL"),
        ({"callback_url": "https://a b"}, "callback_url must be a valid https URL"),
        ({"callback_url": 7}, "callback_url must be a valid https URL"),
        (CALLBACK | {"lang": "fr"}, "lang must be zh, en, or zh-Hant"),
    ],
)
async def test_session_400(buyer: Buyer, body: Any, message: str) -> None:
    """PomexAI docs, Common 400 messages: those of a session, word for word."""
    answer = await pomex(buyer, "POST", SESSIONS, body)
    assert (answer.status, answer.json) == (400, _error(message))


@pytest.mark.parametrize(
    ("scan", "code", "kind", "has_group"),
    [
        ("", "10000", "real_time", "yes"),
        ("&scan=failed", "60000", "real_time", "no"),
        ("&scan=pre_record", "10000", "pre_record", "no"),
    ],
)
async def test_callback(buyer: Buyer, scan: str, code: str, kind: str, has_group: str) -> None:
    """PomexAI docs, Verification Callback: a 302 to the callback with the documented query."""
    body = {"callback_url": "https://yourapp.com/cb?state=1"}
    session = await pomex(buyer, "POST", SESSIONS, body)
    answer = await buyer.call("GET", session.json["h5_link"] + scan)
    assert answer.status == 302
    location = urlsplit(answer.headers["Location"])
    query = {key: values[0] for key, values in parse_qs(location.query).items()}
    assert answer.headers["Location"].startswith("https://yourapp.com/cb?state=1&resultCode=")
    assert (query["resultCode"], query["verify_type"]) == (code, kind)
    assert {"algorithmBaseRespCode", "reqMeasureInfoValue"} <= query.keys()
    assert ("group_id" in query) == (has_group == "yes")
    if has_group == "yes":
        assert re.fullmatch(r"group-\d{14}-[0-9a-z]{5}", query["group_id"])
    assert (await buyer.call("GET", session.json["h5_link"])).status == 404


async def test_link_expires(buyer: Buyer) -> None:
    """PomexAI docs, Create Verification Session: the link is valid for 30 minutes."""
    session = await pomex(buyer, "POST", SESSIONS, CALLBACK)
    buyer.clock.now += 1801
    assert (await buyer.call("GET", session.json["h5_link"])).status == 404


async def test_upload_and_get(buyer: Buyer) -> None:
    """PomexAI docs, Upload an Asset and Get an Asset: processing, then active."""
    group = await _person(buyer)
    fields = {"group_id": group, "name": "model-rachel-frontal"}
    uploaded = (await pomex(buyer, "POST", ASSETS, PHOTO | fields)).json
    assert re.fullmatch(r"asset-\d{14}-[0-9a-z]{5}", uploaded["id"])
    assert uploaded == {"id": uploaded["id"], "object": "video.asset", "status": "processing"}
    buyer.clock.now += 1
    asset = (await pomex(buyer, "GET", f"{ASSETS}/{uploaded['id']}")).json
    assert asset == {
        "id": uploaded["id"],
        "object": "video.asset",
        **fields,
        "url": asset["url"],
        "asset_type": "Image",
        "status": "active",
        "created_at": asset["created_at"],
        "updated_at": asset["updated_at"],
    }
    assert asset["url"].startswith(f"{buyer.town.pomex_url}/files/{uploaded['id']}.png?")
    assert asset["created_at"] < asset["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", asset["created_at"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body must be valid JSON"),
        ({}, "url is required"),
        (PHOTO | {"url": "http://a.example/b.jpg"}, "url must be a valid https URL"),
        (PHOTO | {"asset_type": "image"}, "asset_type must be Image, Video, or Audio"),
        (PHOTO | {"group_id": "group-20260101000000-abcde"}, "group id error"),
    ],
)
async def test_upload_400(buyer: Buyer, body: Any, message: str) -> None:
    """PomexAI docs, Upload an Asset: types are case-sensitive, groups are one's own."""
    answer = await pomex(buyer, "POST", ASSETS, body)
    assert (answer.status, answer.json) == (400, _error(message))


@pytest.mark.parametrize("picture", ["mismatch", "noface", "manyfaces", "nsfw"])
async def test_face_check(buyer: Buyer, picture: str) -> None:
    """PomexAI docs, Upload an Asset: no face, many or another's is rejected: status failed."""
    group = await _person(buyer)
    asset = await _asset(buyer, url=f"https://a.example/{picture}.jpg", group_id=group)
    buyer.clock.now += 1
    assert (await pomex(buyer, "GET", f"{ASSETS}/{asset}")).json["status"] == "failed"


async def _names(buyer: Buyer, query: str) -> list[str]:
    answer = await pomex(buyer, "GET", f"{ASSETS}?{query}")
    assert answer.status == 200, answer
    return [item["name"] for item in answer.json["items"]]


async def test_list(buyer: Buyer) -> None:
    """PomexAI docs, List Assets: the default group, filters, order and pages."""
    group = await _person(buyer)
    await _asset(buyer, name="rachel", group_id=group)
    for name in ("Frontal one", "side two", "frontal three"):
        buyer.clock.now += 1
        await _asset(buyer, name=name)
    assert await _names(buyer, "") == ["frontal three", "side two", "Frontal one"]
    assert await _names(buyer, f"group_id={group}") == ["rachel"]
    assert await _names(buyer, "name=frontal&sort_order=asc") == ["Frontal one", "frontal three"]
    assert await _names(buyer, "status=processing") == ["frontal three"]
    assert len(await _names(buyer, "status=active,processing")) == 3
    assert await _names(buyer, "sort_by=update_time&limit=1&page=2") == ["side two"]
    assert len(await _names(buyer, "sort_by=group_id")) == 3


async def test_list_shape(buyer: Buyer) -> None:
    """PomexAI docs, List Assets: the envelope of a list and the fields of an item."""
    await _asset(buyer)
    answer = (await pomex(buyer, "GET", ASSETS)).json
    (item,) = answer.pop("items")
    assert answer == {"object": "list", "total_count": 1, "page_number": 1, "page_size": 10}
    assert list(item) == [
        "id",
        "name",
        "url",
        "asset_type",
        "group_id",
        "status",
        "created_at",
        "updated_at",
    ]
    wide = (await pomex(buyer, "GET", f"{ASSETS}?limit=1000")).json
    assert wide["page_size"] == 100


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=new", "status must be active, processing, or failed"),
        ("status=active,new", "status must be active, processing, or failed"),
        ("group_id=group-1", "group id error"),
        ("page=0", "page and limit must be positive integers"),
        ("limit=x", "page and limit must be positive integers"),
        ("sort_by=name", "sort_by must be create_time, update_time, or group_id"),
        ("sort_order=up", "sort_order must be asc or desc"),
    ],
)
async def test_list_400(buyer: Buyer, query: str, message: str) -> None:
    """PomexAI docs, Common 400 messages: those of a list."""
    answer = await pomex(buyer, "GET", f"{ASSETS}?{query}")
    assert (answer.status, answer.json) == (400, _error(message))


async def test_generation(buyer: Buyer) -> None:
    """PomexAI docs, Generate a Video: queued, running, succeeded with a signed link."""
    asset = await _asset(buyer, group_id=await _person(buyer))
    buyer.clock.now += 1
    created = (await pomex(buyer, "POST", GENERATIONS, _order("waves", f"asset://{asset}"))).json
    assert re.fullmatch(r"cgt-\d{14}-[0-9a-z]{5}", created["id"])
    task = {"id": created["id"], "object": "video.generation.task"}
    assert created == task | {"model": MODEL, "status": "queued"}
    path = f"{GENERATIONS}/{created['id']}"
    assert (await pomex(buyer, "GET", path)).json == task | {"status": "queued"}
    buyer.clock.now += 1
    assert (await pomex(buyer, "GET", path)).json == task | {"status": "running"}
    buyer.clock.now += 1
    done = (await pomex(buyer, "GET", path)).json
    film = done["content"]["video_url"]
    assert done == task | {"status": "succeeded", "content": {"video_url": film}}
    assert (await buyer.call("GET", film)).status == 200
    assert (await pomex(buyer, "DELETE", path)).status == 400


@pytest.mark.parametrize(
    ("query", "text", "kind"),
    [
        ("", "a storm [fail]", "job_failed"),
        ("", "a storm [unsafe]", "unsafe_content"),
        ("?fault=unsafe_content", "a storm", "unsafe_content"),
        ("?fault=job_failed", "a storm", "job_failed"),
    ],
)
async def test_failed_generation(buyer: Buyer, query: str, text: str, kind: str) -> None:
    """PomexAI docs, Status Values: a task may end in failed, and says why."""
    created = await pomex(buyer, "POST", GENERATIONS + query, _order(text))
    buyer.clock.now += 2
    answer = (await pomex(buyer, "GET", f"{GENERATIONS}/{created.json['id']}")).json
    assert (answer["status"], answer["error"]["type"]) == ("failed", kind)
    assert "content" not in answer


async def test_cancel(buyer: Buyer) -> None:
    """PomexAI, DELETE of a task: it is cancelled, and stays so."""
    created = await pomex(buyer, "POST", GENERATIONS, _order("waves"))
    path = f"{GENERATIONS}/{created.json['id']}"
    assert (await pomex(buyer, "DELETE", path)).json["status"] == "cancelled"
    buyer.clock.now += 5
    assert (await pomex(buyer, "GET", path)).json["status"] == "cancelled"
    assert (await pomex(buyer, "DELETE", path)).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        {},
        _order("waves") | {"model": "bytedance/seedance-2.0"},
        _order("waves") | {"content": []},
        _order("waves") | {"content": [{"type": "text"}]},
        _order("waves") | {"content": [{"type": "video_url"}]},
        _order("waves", "http://a.example/b.jpg"),
        _order("waves", "asset://asset-20260101000000-abcde"),
    ],
)
async def test_generation_400(buyer: Buyer, body: Any) -> None:
    """PomexAI docs, Generate a Video: model and content are required and checked."""
    answer = await pomex(buyer, "POST", GENERATIONS, body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_generation_from_an_asset_that_is_processing(buyer: Buyer) -> None:
    """PomexAI docs, Get an Asset: it is usable once it is active."""
    asset = await _asset(buyer)
    answer = await pomex(buyer, "POST", GENERATIONS, _order("waves", f"asset://{asset}"))
    assert (answer.status, "processing" in answer.json["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{ASSETS}/asset-1"),
        ("GET", f"{GENERATIONS}/cgt-1"),
        ("DELETE", f"{GENERATIONS}/cgt-1"),
        ("GET", "/v1/other"),
    ],
)
async def test_404(buyer: Buyer, method: str, path: str) -> None:
    """PomexAI docs, Error Handling: 404 in the standard envelope."""
    answer: Answer = await pomex(buyer, method, path)
    assert answer.status == 404
    assert answer.json["error"].keys() == {"message", "type"}


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("upstream_error", 502, "upstream_error"),
        ("unavailable", 503, "service_unavailable_error"),
        ("rate_limited", 429, "rate_limit_error"),
    ],
)
async def test_faults(buyer: Buyer, name: str, status: int, kind: str) -> None:
    """PomexAI docs, Error Handling: 502 and 503 on request, and a 429 with Retry-After."""
    answer = await pomex(buyer, "GET", f"{ASSETS}?fault={name}")
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert ("Retry-After" in answer.headers) == (status == 429)
