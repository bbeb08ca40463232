"""What the links in the providers' answers lead to, and when they lead nowhere any more."""

import asyncio
import io
import struct
import wave
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.buyer import VIDEO, Answer, Buyer
from tests.sandbox.keyed import pomex, sunra

HOUR_S = 3600
ASSETS = "/v1/video/assets"
GENERATIONS = "/v1/video/generations"


async def _blockrun_clip(buyer: Buyer) -> dict[str, Any]:
    """Buy a clip; its entry in `data`."""
    asked = await buyer.call("POST", "/v1/videos/generations", VIDEO)
    headers = {"PAYMENT-SIGNATURE": buyer.payment(asked)}
    job = (await buyer.call("POST", "/v1/videos/generations", VIDEO, headers)).json
    buyer.clock.now += 2
    (clip,) = (await buyer.call("GET", job["poll_url"], None, headers)).json["data"]
    found: dict[str, Any] = clip
    return found


async def _pomex_task(buyer: Buyer) -> str:
    """Make a clip; where its task is."""
    content = [{"type": "text", "text": "a wave"}]
    body = {"model": "byteplus/seedance-2.0", "content": content}
    made = (await pomex(buyer, "POST", GENERATIONS, body)).json
    buyer.clock.now += 2
    return f"{GENERATIONS}/{made['id']}"


async def _pomex_link(buyer: Buyer, path: str) -> str:
    """The link that a task or an asset shows."""
    shown = (await pomex(buyer, "GET", path)).json
    return str(shown["content"]["video_url"] if "content" in shown else shown["url"])


async def test_a_signed_link_that_was_tampered_with(buyer: Buyer) -> None:
    """A later end, another name, another link's signature or none of it: 403, each of them."""
    link = await _pomex_link(buyer, await _pomex_task(buyer))
    other = await _pomex_link(buyer, await _pomex_task(buyer))
    bare, _, query = link.partition("?")
    ends = query.split("&")[0].removeprefix("expires=")
    for forged in (
        bare,
        f"{bare}?expires={ends}",
        f"{bare}?expires=&signature=",
        f"{bare}?expires=abc&signature=%ff%00",
        link.replace(f"expires={ends}", f"expires={int(ends) + 1}"),
        link.replace("cgt-", "cgt-x"),
        f"{bare}?{urlsplit(other).query}",
    ):
        assert (await buyer.call("GET", forged)).status == 403, forged
    assert (await buyer.call("GET", link)).status == 200


async def test_pomex_clip_links_end_after_a_day(buyer: Buyer) -> None:
    """PomexAI docs, Poll for the result: valid for 24 hours, and polling lengthens nothing."""
    task = await _pomex_task(buyer)
    link = await _pomex_link(buyer, task)
    buyer.clock.now += 24 * HOUR_S - 1
    assert await _pomex_link(buyer, task) == link
    assert (await buyer.call("GET", link)).status == 200
    buyer.clock.now += 1
    assert (await buyer.call("GET", link)).status == 403
    assert (await buyer.call("GET", await _pomex_link(buyer, task))).status == 403


async def test_pomex_asset_links_end_after_half_a_day(buyer: Buyer) -> None:
    """PomexAI docs, Get an Asset: a link is valid for 12 hours, and asking again gives another."""
    body = {"url": "https://yourcdn.com/portrait.jpg", "asset_type": "Image"}
    path = f"{ASSETS}/{(await pomex(buyer, 'POST', ASSETS, body)).json['id']}"
    link = await _pomex_link(buyer, path)
    buyer.clock.now += 12 * HOUR_S - 1
    assert (await buyer.call("GET", link)).status == 200
    buyer.clock.now += 1
    assert (await buyer.call("GET", link)).status == 403
    (listed,) = (await pomex(buyer, "GET", ASSETS)).json["items"]
    for fresh in (await _pomex_link(buyer, path), listed["url"]):
        assert (await buyer.call("GET", fresh)).status == 200


async def test_blockrun_keeps_its_copy_and_the_maker_does_not(buyer: Buyer) -> None:
    """BlockRun, videos: `source_url` ends, `url` is permanent; both are the same clip."""
    clip = await _blockrun_clip(buyer)
    first, source = [await buyer.call("GET", clip[key]) for key in ("url", "source_url")]
    assert first.body == source.body
    buyer.clock.now += 365 * 24 * HOUR_S
    assert (await buyer.call("GET", clip["source_url"])).status == 403
    assert (await buyer.call("GET", clip["source_url"].partition("?")[0])).status == 403
    assert (await buyer.call("GET", clip["url"])).body == first.body


async def test_no_key_is_needed_for_a_link(buyer: Buyer) -> None:
    """Players have no key: Sunra's results open without one, and stay."""
    path = "/v1/queue/bytedance/seedance-2.0/text-to-video"
    job = (await sunra(buyer, "POST", path, {"prompt": "a wave"})).json
    buyer.clock.now += 365 * 24 * HOUR_S
    link = (await sunra(buyer, "GET", job["response_url"])).json["video"]["url"]
    assert (await buyer.call("GET", link)).status == 200


async def test_a_clip_is_a_film(buyer: Buyer) -> None:
    """Its boxes fill the body exactly, the header says how long it is, and no two are alike."""
    clips = [await buyer.call("GET", (await _blockrun_clip(buyer))["url"]) for _ in range(2)]
    assert clips[0].body != clips[1].body
    clip = clips[0]
    assert clip.headers["Content-Type"] == "video/mp4"
    assert int(clip.headers["Content-Length"]) == len(clip.body) > 32_000
    boxes = _boxes(clip.body)
    assert list(boxes) == [b"ftyp", b"moov", b"mdat"]
    header = _boxes(boxes[b"moov"])[b"mvhd"]
    scale, duration = struct.unpack(">II", header[12:20])
    assert (len(header), duration / scale) == (100, 5)


def _boxes(data: bytes) -> dict[bytes, bytes]:
    found = {}
    while data:
        (size,) = struct.unpack(">I", data[:4])
        found[data[4:8]], data = data[8:size], data[size:]
    return found


async def test_pictures_and_sounds(buyer: Buyer) -> None:
    """An asset's link leads to something of its own kind."""
    links = {}
    for kind in ("image", "video", "audio"):
        body = {"source_url": "https://example.com/x", "asset_type": kind}
        made = (await sunra(buyer, "POST", "/v1/ark/assets", body)).json["ark_asset_id"]
        buyer.clock.now += 1
        shown = (await sunra(buyer, "GET", f"/v1/ark/assets/{made}")).json
        links[kind] = await buyer.call("GET", shown["ark_url"])
    types = [answer.headers["Content-Type"] for answer in links.values()]
    assert types == ["image/png", "video/mp4", "audio/wav"]
    with wave.open(io.BytesIO(links["audio"].body)) as sound:
        assert sound.getnframes() == sound.getframerate()
    chunks = _chunks(links["image"].body)
    assert [name for name, _ in chunks] == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    assert len(zlib.decompress(dict(chunks)[b"IDAT"])) == 4


def _chunks(picture: bytes) -> list[tuple[bytes, bytes]]:
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    rest, found = picture[8:], []
    while rest:
        size, kind = struct.unpack(">I4s", rest[:8])
        payload, (check,) = rest[8 : 8 + size], struct.unpack(">I", rest[8 + size : 12 + size])
        assert zlib.crc32(kind + payload) == check
        found.append((kind, payload))
        rest = rest[12 + size :]
    return found


RANGES = [
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=10-19", 206, slice(10, 20)),
    ("bytes=32000-", 206, slice(32000, None)),
    ("bytes=-7", 206, slice(-7, None)),
    ("bytes=10-999999", 206, slice(10, None)),
    ("bytes=999999-", 416, None),
    ("bytes=20-10", 200, slice(None)),
    ("bytes=0-1,4-5", 200, slice(None)),
    ("bites=0-1", 200, slice(None)),
]


@pytest.mark.parametrize(("asked", "status", "part"), RANGES)
async def test_ranges(buyer: Buyer, asked: str, status: int, part: slice | None) -> None:
    """One range is served as RFC 9110 says, one that is beyond the end is a 416, others are all."""
    url = f"{buyer.town.blockrun_url.removesuffix('/api')}/files/a.mp4"
    whole = (await buyer.call("GET", url)).body
    answer = await buyer.call("GET", url, None, {"Range": asked})
    assert answer.status == status
    if part is None:
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"
        return
    assert answer.body == whole[part]
    assert answer.headers["Accept-Ranges"] == "bytes"
    first, last, _ = part.indices(len(whole))
    said = f"bytes {first}-{last - 1}/{len(whole)}" if status == 206 else None
    assert answer.headers.get("Content-Range") == said


async def test_pieces_make_the_whole(buyer: Buyer) -> None:
    """Read in pieces at once or in one go, a clip is the same; HEAD tells its length alone."""
    url = (await _blockrun_clip(buyer))["url"]
    whole = await buyer.call("GET", url)
    spans = [(at, at + 4095) for at in range(0, len(whole.body), 4096)]

    async def piece(span: tuple[int, int]) -> Answer:
        return await buyer.call("GET", url, None, {"Range": f"bytes={span[0]}-{span[1]}"})

    pieces = await asyncio.gather(*map(piece, spans))
    assert b"".join(each.body for each in pieces) == whole.body
    head = await buyer.call("HEAD", url)
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(whole.body)))
