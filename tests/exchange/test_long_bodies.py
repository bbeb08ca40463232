"""Bodies of some MiB, with pictures in them: they are read, priced and written anew as others."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from proxy.core.errors import MESSAGE_CHARS_MAX
from tests.exchange.conftest import House, Open
from tests.exchange.provider import Got, Provider, asks, receipt, response
from tests.exchange.test_jobs import JOB, accepted
from tests.providers.test_native import IMAGE

VIDEOS = "/v1/videos/generations"
ENROL = "/v1/portrait/enroll"
NATIVE = "/v1/video/generations"
FAST = "bytedance/seedance-2.0-fast"
BYTEPLUS = "byteplus/seedance-2.0"
MIB = 1_048_576
JSON = ("Content-Type", "application/json")
ENROLLED = response("200 OK", JSON, receipt(), body=b'{"asset_id": "ta_1"}')
ASSET = response("200 OK", JSON, body=b'{"id": "asset-1", "status": "active"}')
TASK = response("200 OK", JSON, body=b'{"id": "cgt-1", "status": "queued"}')


async def script(got: Got, writer: asyncio.StreamWriter) -> None:
    """BlockRun and PomexAI in one, which look at nothing."""
    if not got.line.startswith("POST /api/"):
        writer.write(ASSET if "/assets" in got.line else TASK)
    elif got.payment is None:
        writer.write(asks())
    else:
        writer.write(ENROLLED if ENROL in got.line else accepted())


class Market:
    """A daemon before a provider that takes whatever comes."""

    def __init__(self, at: House, provider: Provider) -> None:
        self.at, self.provider = at, provider

    async def post(self, path: str, fields: dict[str, Any]) -> tuple[int, Any, bytes]:
        """Post some fields: the status, the answer, and the bytes that were sent."""
        body = json.dumps(fields).encode()
        headers = dict([JSON]) | {"Prefer": "respond-async"}
        url, client = self.at.url + path, self.at.client
        async with client.post(url, data=io.BytesIO(body), headers=headers) as answer:
            return answer.status, await answer.json(), body

    async def usd(self) -> list[str]:
        """What was paid, newest first."""
        return [each["usd"] for each in await self.at.payments()]


@pytest.fixture
async def market(open_house: Open) -> AsyncIterator[Market]:
    """The daemon, its provider, and prices at PomexAI."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(script))
        pay = {"networks": ["eip155:84532"]}
        prices = [{"model": "byteplus/*", "usd": "0.40"}]
        auth = {"bearer": {"file": "provider.key"}}
        pomex = {"kind": "pomex", "base_url": provider.url, "auth": auth, "prices": prices}
        blockrun = {"kind": "blockrun", "base_url": f"{provider.url}/api", "pay": pay}
        blockrun["default_video_model"] = FAST
        at = await open_house(providers={"blockrun": blockrun, "pomex": pomex})
        yield Market(at, provider)


def picture(mib: int) -> str:
    """A picture, as pages and some clients write them."""
    return "data:image/png;base64," + "A" * (mib * MIB)


@pytest.mark.parametrize("mib", [2, 10])
async def test_a_native_body(market: Market, mib: int) -> None:
    """It costs what its model costs, and arrives byte for byte."""
    image = {"type": "image_url", "image_url": {"url": picture(mib)}, "role": "reference_image"}
    status, _, body = await market.post(NATIVE, {"content": [image], "model": BYTEPLUS})

    assert (status, await market.usd()) == (200, ["0.40"])
    assert [got.body for got in market.provider.got] == [body]


@pytest.mark.parametrize("mib", [2, 10])
async def test_a_body_written_anew(market: Market, mib: int) -> None:
    """Its model says that it is PomexAI's, whose own call holds the whole picture."""
    url = picture(mib)
    video = {"reference_image_urls": [url], "prompt": "a box", "model": BYTEPLUS}
    status, said, _ = await market.post(VIDEOS, video)

    assert (status, said["id"], said["provider"]) == (202, "cgt-1", "pomex")
    assert await market.usd() == ["0.40"]
    (got,) = market.provider.got
    assert json.loads(got.body)["content"][1]["image_url"]["url"] == url


@pytest.mark.parametrize("mib", [2, 10])
@pytest.mark.parametrize("model", [{}, {"model": FAST}])
async def test_a_portrait_beside_a_picture(market: Market, model: dict[str, str], mib: int) -> None:
    """Who is called by a name, and the usual model, stand in what is priced and what is paid."""
    await market.post(ENROL, {"name": "rachel", "image_url": IMAGE})
    del market.provider.got[:]
    video = {"last_frame_url": picture(mib), "prompt": "a box", **model}
    status, said, _ = await market.post(VIDEOS, video | {"portrait": "rachel"})

    assert (status, said["id"]) == (202, JOB)
    asked, paid = (json.loads(got.body) for got in market.provider.got)
    assert asked == paid == video | {"real_face_asset_id": "ta_1", "model": FAST}


async def test_a_taken_name_beside_a_picture(market: Market) -> None:
    """A name is looked up in a long body too, before anything is paid."""
    rachel = {"image_url": IMAGE, "x": picture(2), "name": "rachel"}
    assert (await market.post(ENROL, rachel))[0] == 200
    status, said, _ = await market.post(ENROL, rachel)

    assert (status, said["error"]["code"]) == (409, "portrait_name_taken")
    assert len(await market.usd()) == 1


@pytest.mark.parametrize(
    ("field", "code"), [("portrait", "portrait_unknown"), ("model", "route_conflict")]
)
async def test_a_name_of_many_mib(market: Market, field: str, code: str) -> None:
    """What a refusal repeats of a body is short."""
    names = {"portrait": "r" * 4 * MIB, "model": "azure/" + "r" * 4 * MIB}
    other = {} if field == "portrait" else {"real_face_asset_id": "asset-1"}
    await market.post("/v1/video/assets", {"url": IMAGE})
    status, said, _ = await market.post(VIDEOS, {"prompt": "x", field: names[field], **other})

    assert (status, said["error"]["code"]) == (404 if field == "portrait" else 400, code)
    assert len(said["error"]["message"]) <= MESSAGE_CHARS_MAX
    assert await market.usd() == []
