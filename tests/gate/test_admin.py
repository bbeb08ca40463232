"""The daemon's own pages, through the door."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping

import httpx
import pytest

from tests.gate.rig import TOKEN, House, opened


async def get(house: House, target: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask for a page as any client would."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, house.url + target, headers=headers)


PAGES: Mapping[str, Mapping[str, object]] = {
    "/healthz": {"status": "ok"},
    "/readyz": {"ready": True},
    "/health": {"status": "ok", "wallet": None},
    "/-/status": {"version": "0", "paused": False},
    "/-/payments": {"payments": []},
    "/-/jobs": {"jobs": []},
    "/-/portraits": {"portraits": []},
    "/-/config": {"providers": {}},
}


@pytest.mark.parametrize("path", PAGES)
async def test_page_is_json(house: House, path: str) -> None:
    """Each page is a JSON document about now, for GET and HEAD, and never goes to a provider."""
    answer = await get(house, path)
    assert (answer.status_code, answer.json()) == (200, PAGES[path])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    headed = await get(house, path, "HEAD")
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-length"] == answer.headers["content-length"]
    assert (await get(house, path, "POST")).status_code == 405
    assert (await get(house, path, "DELETE")).headers["allow"] == "GET, HEAD"
    assert house.served == []


async def test_anybody_may_pull_the_brake(house: House) -> None:
    """POST pauses, with a reason or without; nothing there pays again, and pages cannot do it."""
    assert (await get(house, "/-/pause")).json() == {"paused": False}
    refused = await get(house, "/-/pause", "POST", Origin="https://evil.example")
    assert (refused.status_code, house.admin.paused) == (403, None)
    form = await get(house, "/-/pause", "POST", **{"Sec-Fetch-Site": "same-origin"})
    assert (form.status_code, house.admin.paused) == (403, None)
    assert (await get(house, "/-/pause?why=x", "POST")).status_code == 400
    assert (await get(house, "/-/pause", "POST")).json() == {"paused": True}
    assert house.admin.paused == ""
    await get(house, "/-/pause?reason=too%20much", "POST")
    assert house.admin.paused == "too much"
    for method in ("DELETE", "PUT", "PATCH"):
        answer = await get(house, "/-/pause", method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert "farebox resume" in answer.text
    assert (await get(house, "/-/pause")).json() == {"paused": True}
    assert house.served == []


async def test_unready_is_503(house: House) -> None:
    """What watches the daemon needs no JSON to know that it is not ready."""
    house.admin.ready = False
    answer = await get(house, "/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})


async def test_metrics(house: House) -> None:
    """The metrics come in Prometheus' text format."""
    answer = await get(house, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "farebox_connections 1.0" in answer.text


@pytest.mark.parametrize("path", ["/-", "/-/", "/-/secrets", "/-/status/x", "/-/payments/pay_1"])
async def test_page_that_is_not_there(house: House, path: str) -> None:
    """An unknown page is a 404 of ours and never a call to a provider."""
    answer = await get(house, path)
    assert (answer.status_code, answer.headers["farebox-error"]) == (404, "no_route")
    assert house.served == []


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (50, None, None)),
        ("?limit=1", (1, None, None)),
        ("?limit=1000&before=abc%3D&state=unknown", (1000, "abc=", "unknown")),
    ],
)
async def test_payments_query(
    house: House, query: str, asked: tuple[int, str | None, str | None]
) -> None:
    """The list of payments is asked for in pages and by state."""
    assert (await get(house, f"/-/payments{query}")).status_code == 200
    assert house.admin.asked == [asked]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1_0",
        "limit=",
        "limit=%EF%BC%91",
        "state=paid",
        "state=",
        "before=",
        f"before={'x' * 201}",
        "limt=5",
        "&".join(f"x{n}=" for n in range(200)),
    ],
)
async def test_payments_query_that_makes_no_sense(house: House, query: str) -> None:
    """A query that is not understood is refused with what is, not ignored."""
    answer = await get(house, f"/-/payments?{query}")
    assert (answer.status_code, answer.headers["farebox-error"]) == (400, "bad_request")
    assert house.admin.asked == []


async def test_page_that_fails(house: House) -> None:
    """A fault behind a page is a 500 that the log explains; other pages go on."""
    house.admin.broken = True
    answer = await get(house, "/-/status")
    assert (answer.status_code, answer.headers["farebox-error"]) == (500, "internal_error")
    assert "ledger" not in answer.text
    assert house.log.faults[0]["id"] in answer.text
    assert (await get(house, "/healthz")).status_code == 200


async def test_page_for_people(house: House) -> None:
    """The page at / runs its own script and nothing else, and is framed by nobody."""
    answer = await get(house, "/", **{"Sec-Fetch-Site": "none"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)
    assert "innerHTML" not in answer.text


async def test_pages_want_a_token_where_clients_are_configured() -> None:
    """With clients configured only the health of the daemon is told to strangers."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    async with opened(clients=[{"name": "agent-1", "token_sha256": digest}]) as house:
        for path in (*PAGES, "/", "/metrics", "/v1/x"):
            free = path in ("/healthz", "/readyz", "/health")
            assert (await get(house, path)).status_code == (200 if free else 401), path
            assert (await get(house, path, **{"Farebox-Token": TOKEN})).status_code == 200
        assert (await house.log.line(1))["client"] == "agent-1"
        assert TOKEN not in json.dumps(house.log.lines)
