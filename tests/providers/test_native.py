"""Native calls: what the providers document arrives as sent and comes back as answered.

The tables follow the providers' own documentation: BlockRun's of virtual portraits, RealFace and
video generation, Sunra's of Ark assets and its queue, PomexAI's Real-Human Asset API.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.sandbox import Sandbox, SandboxOptions, sandbox
from tests.exchange.conftest import SECRET, House, house, until, write_config

IMAGE = "https://example.com/character.jpg"


@dataclass
class Town:
    """A daemon in front of the three providers."""

    house: House
    sandbox: Sandbox

    async def call(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Call through the daemon: the status and the JSON of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("http") else self.house.url + path
        async with self.house.client.request(method, url, json=body, headers=named) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    @property
    def settled(self) -> list[int]:
        """What the sandbox's facilitator took, in the token's smallest unit."""
        return [settlement.amount for settlement in self.sandbox.facilitator.settled]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The daemon on the default routes, with a price table for Sunra."""
    async with opened(tmp_path) as found:
        yield found


@asynccontextmanager
async def opened(folder: Path, job_s: float = 0.2) -> AsyncIterator[Town]:
    """Open the three providers and a daemon in front of them."""
    async with sandbox(SandboxOptions(api_key=SECRET, job_s=job_s, asset_s=0.05)) as site:
        key = {"bearer": {"file": "provider.key"}}
        prices = [
            {
                "model": "bytedance/seedance-2.0-fast-relay*",
                "usd_per_second": "0.20",
                "default_seconds": 5,
            },
            {"model": "bytedance/seedance-2.0/*", "usd": "0.10"},
        ]
        providers = {
            "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
            "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key, "prices": prices},
            "pomex": {
                "kind": "pomex",
                "base_url": site.pomex_url,
                "auth": key,
                "default_video_model": "byteplus/seedance-2.0-fast",
            },
        }
        caps = {"per_request": "2.00", "day": "5.00"}
        async with house(write_config(folder, providers=providers, caps=caps)) as at:
            yield Town(at, site)


async def test_blockrun_portraits(town: Town) -> None:
    """Enrolling is paid and listed; the list is free."""
    status, portrait = await town.call(
        "POST", "/v1/portrait/enroll", {"name": "Spokes", "image_url": IMAGE}
    )
    assert status == 200
    assert portrait["object"] == "virtual_portrait"
    assert portrait["asset_id"].startswith("ta_")
    assert town.settled == [500_000]
    wallet = town.house.daemon.status.health()["wallet"]
    status, listed = await town.call("GET", f"/v1/wallet/{wallet}/portraits")
    assert [each["assetId"] for each in listed["portraits"]] == [portrait["asset_id"]]
    (payment,) = await town.house.payments()
    assert (payment["state"], payment["usd"]) == ("settled", "0.50")
    assert payment["tx"] == portrait["settlement"]["tx_hash"]


BAD_ENROLMENTS = [
    ({"name": "x" * 65, "image_url": IMAGE}, 400),
    ({"image_url": IMAGE}, 400),
    ({"name": "x", "image_url": "ftp://x"}, 400),
    ({"name": "x", "image_url": "https://example.com/nsfw.jpg"}, 502),
]


@pytest.mark.parametrize(("body", "status"), BAD_ENROLMENTS)
async def test_blockrun_enrolments_that_take_no_payment(
    town: Town, body: dict[str, str], status: int
) -> None:
    """The documented errors come through, and the seller takes nothing."""
    assert (await town.call("POST", "/v1/portrait/enroll", body))[0] == status
    assert town.settled == []


async def test_blockrun_realface(town: Town) -> None:
    """Starting and asking are free; enrolling before the person is verified settles nothing."""
    status, begun = await town.call("POST", "/v1/realface/init", {"name": "Rachel"})
    assert (status, begun["status"]) == (200, "pending_validation")
    status, state = await town.call("GET", f"/v1/realface/status?groupId={begun['group_id']}")
    assert (status, state["status"]) == (200, "pending_validation")
    body = {"name": "Rachel", "image_url": IMAGE, "group_id": begun["group_id"]}
    assert (await town.call("POST", "/v1/realface/enroll", body))[0] == 425
    assert town.settled == []


async def test_blockrun_videos(town: Town) -> None:
    """A clip is paid once, by the poll that finds it finished."""
    body = {"model": "bytedance/seedance-2.0-fast", "prompt": "a wave", "duration_seconds": 5}
    status, job = await town.call("POST", "/v1/videos/generations", body, Prefer="respond-async")
    assert (status, job["status"], town.settled) == (202, "queued", [])
    done = await until(lambda: town.call("GET", job["poll_url"]), lambda got: got[0] != 202)
    assert (done[0], done[1]["status"]) == (200, "completed")
    assert len(town.settled) == 1
    (payment,) = await town.house.payments()
    assert (payment["state"], payment["job"]) == ("settled", job["id"])
    assert len(payment["authorizations"]) == 1
    again = await town.call("GET", f"/v1/videos/generations/{job['id']}")
    assert again == done


async def test_blockrun_aliases_and_free_paths(town: Town) -> None:
    """`/api/v1` is `/v1`, and what is free is free."""
    for path in ("/v1/models", "/api/v1/models", "/v1/balance"):
        assert (await town.call("GET", path))[0] == 200, path
    assert {request.path for request in town.sandbox.requests} == {
        "/api/v1/models",
        "/api/v1/balance",
    }
    assert town.settled == []


async def test_sunra_assets(town: Town) -> None:
    """Create, get, list and delete, with a key that the client never had."""
    status, asset = await town.call(
        "POST", "/v1/ark/assets", {"source_url": IMAGE, "asset_type": "image"}
    )
    assert (status, asset["status"]) == (200, "processing")
    path = f"/v1/ark/assets/{asset['ark_asset_id']}"
    _, active = await until(
        lambda: town.call("GET", path), lambda got: got[1]["status"] != "processing"
    )
    assert active["status"] == "active"
    _, listed = await town.call("POST", "/v1/ark/assets/list", {})
    assert listed["total"] == 1
    assert await town.call("DELETE", path) == (200, {"deleted": True})
    assert all(
        ("Authorization", f"Bearer {SECRET}") in seen.headers for seen in town.sandbox.requests
    )


async def test_sunra_queue(town: Town) -> None:
    """A submission's URLs lead back through the daemon; its price counts though no 402 was sent."""
    _, asset = await town.call("POST", "/v1/ark/assets", {"source_url": IMAGE})
    path = f"/v1/ark/assets/{asset['ark_asset_id']}"
    await until(lambda: town.call("GET", path), lambda got: got[1]["status"] == "active")
    body = {
        "prompt": "@Image1 talks",
        "reference_images": [f"asset://{asset['ark_asset_id']}"],
        "duration": 4,
    }
    model = "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video"
    status, submitted = await town.call("POST", model, body, Authorization="Bearer mine")
    assert status == 200
    assert submitted["status_url"].startswith(f"{town.house.url}/v1/queue/requests/pd_")
    await until(
        lambda: town.call("GET", submitted["status_url"]),
        lambda got: got[1]["status"] == "COMPLETED",
    )
    status, result = await town.call("GET", submitted["response_url"])
    assert (status, "url" in result["video"]) == (200, True)
    (payment,) = await town.house.payments()
    assert (payment["provider"], payment["usd"], payment["state"]) == ("sunra", "0.80", "settled")
    status, refused = await town.call(
        "POST", "/v1/queue/bytedance/other-relay/reference-to-video", body
    )
    assert (status, refused["error"]["code"]) == (403, "price_unknown")


async def test_pomex(town: Town) -> None:
    """Sessions, assets and generations, each as documented."""
    session = {"callback_url": "https://yourapp.com/callback", "lang": "en"}
    status, begun = await town.call("POST", "/v1/video/assets/sessions", session)
    assert (status, begun["object"], begun["status"]) == (200, "video.asset_session", "pending")
    status, asset = await town.call(
        "POST", "/v1/video/assets", {"url": IMAGE, "asset_type": "Image"}
    )
    assert (status, asset["object"], asset["status"]) == (200, "video.asset", "processing")
    path = f"/v1/video/assets/{asset['id']}"
    await until(lambda: town.call("GET", path), lambda got: got[1]["status"] == "active")
    status, listed = await town.call("GET", "/v1/video/assets?status=active&limit=5")
    assert (status, listed["total_count"]) == (200, 1)
    content = [
        {"type": "text", "text": "The person in image 1 waves."},
        {
            "type": "image_url",
            "image_url": {"url": f"asset://{asset['id']}"},
            "role": "reference_image",
        },
    ]
    body = {"model": "byteplus/seedance-2.0-fast", "content": content}
    status, task = await town.call("POST", "/v1/video/generations", body)
    assert (status, task["status"]) == (200, "queued")
    path = f"/v1/video/generations/{task['id']}"
    _, done = await until(
        lambda: town.call("GET", path), lambda got: got[1]["status"] == "succeeded"
    )
    assert "video_url" in done["content"]
    status, error = await town.call("POST", "/v1/video/assets/sessions", {})
    assert (status, error["error"]["message"]) == (400, "callback_url is required")


AUTO = [
    ({"model": "byteplus/seedance-2.0"}, {}, "pomex"),
    ({"model": "bytedance/seedance-2.0-fast-relay", "real_face_asset_id": "cgt-1"}, {}, "sunra"),
    ({"model": "bytedance/seedance-2.0/text-to-video"}, {}, "sunra"),
    ({"model": "bytedance/seedance-2.0"}, {}, "blockrun"),
    ({"real_face_asset_id": "ta_abc"}, {}, "blockrun"),
    ({}, {}, "blockrun"),
    ({"model": "their/own"}, {"Farebox_Provider": "pomex"}, "pomex"),
    ({"model": "byteplus/seedance-2.0"}, {"Farebox_Provider": "blockrun"}, 400),
    ({"model": "byteplus/seedance-2.0", "real_face_asset_id": "ta_abc"}, {}, 400),
    ({}, {"Farebox_Provider": "nobody"}, 400),
]


@pytest.mark.parametrize(("body", "headers", "where"), AUTO)
async def test_auto(
    town: Town, body: dict[str, str], headers: dict[str, str], where: str | int
) -> None:
    """Model, header and asset say where a request belongs; a contradiction reaches nobody."""
    body = body | {"prompt": "a wave"}
    headers = headers | {"Prefer": "respond-async"}
    status, _ = await town.call("POST", "/v1/videos/generations", body, **headers)
    seen = {request.provider for request in town.sandbox.requests}
    assert seen == ({where} if isinstance(where, str) else set())
    if isinstance(where, int):
        assert status == where


async def test_auto_by_remembered_asset(town: Town) -> None:
    """An asset made by a native call sends later requests to its provider, also after a restart."""
    _, asset = await town.call("POST", "/v1/video/assets", {"url": IMAGE, "asset_type": "Image"})
    town.sandbox.requests.clear()
    body = {"prompt": "a wave", "reference_image_urls": [f"asset://{asset['id']}"]}
    await town.call("POST", "/v1/videos/generations", body, Prefer="respond-async")
    assert [request.provider for request in town.sandbox.requests] == ["pomex"]
    conflict = {"model": "bytedance/seedance-2.0"} | body
    status, error = await town.call("POST", "/v1/videos/generations", conflict)
    assert (status, error["error"]["code"]) == (400, "route_conflict")
    assert "pomex" in error["error"]["message"]
    assert "blockrun" in error["error"]["message"]


DRY_RUNS = [
    (
        "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video",
        {"duration": 4},
        ("table", "0.80", True),
    ),
    ("/v1/queue/bytedance/seedance-2.0/text-to-video", {}, ("table", "0.10", True)),
    ("/v1/queue/unknown/model", {}, ("table", None, False)),
    ("/v1/ark/assets", {}, ("table", "0.00", True)),
    ("/v1/video/assets", {}, ("free", "0.00", True)),
    ("/v1/portrait/enroll", {"name": "x", "image_url": IMAGE}, ("quoted", "0.50", True)),
    ("/v1/portrait/enroll", {}, ("free", "0.00", True)),
    ("/v1/portrait/enroll?price=3", {"name": "x", "image_url": IMAGE}, ("quoted", "3.00", False)),
]


@pytest.mark.parametrize(("path", "body", "told"), DRY_RUNS)
async def test_dry_runs(
    town: Town, path: str, body: dict[str, object], told: tuple[str, str | None, bool]
) -> None:
    """The price is a 402's where there is one, else the table's; nothing is paid."""
    status, answer = await town.call("POST", path, body, Farebox_Dry_Run="1")
    assert status == 200
    price = answer["price"]
    assert (price["source"], price.get("usd"), answer["allowed"]) == told
    assert ("code" in answer) is not answer["allowed"]
    assert await town.house.payments() == []
    keyed = [seen for seen in town.sandbox.requests if seen.provider != "blockrun"]
    assert keyed == []
