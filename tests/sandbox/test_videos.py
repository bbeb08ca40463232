"""BlockRun's asynchronous videos, as its documentation of /v1/videos/generations describes them."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.buyer import VIDEO, Answer, Buyer

SUBMIT = "/v1/videos/generations"
FACE = {"real_face_asset_id": "ta_abcdef1234567890"}

PRICES = [
    ({}, "0.450000"),
    ({"duration_seconds": 8}, "0.720000"),
    ({"duration_seconds": 8, "resolution": "1080p"}, "1.620000"),
    ({"duration_seconds": 8, "resolution": "480p"}, "0.360000"),
    ({"model": "azure/sora-2", "duration_seconds": 8}, "0.800000"),
    ({"model": "xai/grok-imagine-video-1.5", "duration_seconds": 1}, "0.060000"),
    (FACE, "0.450000"),
]

BAD_BODIES = [
    b"[]",
    {"prompt": "no model"},
    {"model": "bytedance/seedance-2.0-fast"},
    VIDEO | {"model": "byteplus/seedance-2.0"},
    VIDEO | {"prompt": ""},
    VIDEO | {"prompt": 5},
    VIDEO | FACE | {"image_url": "https://example.com/a.jpg"},
    VIDEO | {"real_face_asset_id": "asset-1"},
    VIDEO | FACE | {"model": "azure/sora-2"},
    VIDEO | {"image_url": "example.com/a.jpg"},
    VIDEO | {"reference_image_urls": "https://example.com/a.jpg"},
    VIDEO | {"duration_seconds": 0},
    VIDEO | {"duration_seconds": 16},
    VIDEO | {"duration_seconds": "8"},
    VIDEO | {"duration_seconds": True},
    VIDEO | {"resolution": "4k"},
    VIDEO | {"seed": 1.5},
    VIDEO | {"watermark": "yes"},
]


async def _submit(buyer: Buyer, query: str = "", **fields: Any) -> tuple[str, str]:
    """Submit a video; its poll URL and the payment header that bought it."""
    path, body = SUBMIT + query, VIDEO | fields
    header = buyer.payment(await buyer.call("POST", path, body))
    answer = await buyer.call("POST", path, body, {"PAYMENT-SIGNATURE": header})
    assert answer.status == 202
    return str(answer.json["poll_url"]), header


async def _poll(buyer: Buyer, url: str, header: str) -> Answer:
    return await buyer.call("GET", url, None, {"PAYMENT-SIGNATURE": header})


async def test_submit(buyer: Buyer) -> None:
    """BlockRun, videos: the paid POST answers 202; the payment is verified and not settled."""
    answer = await buyer.pay("POST", SUBMIT, VIDEO | {"duration_seconds": 8})
    assert answer.status == 202
    body = answer.json
    assert re.fullmatch(r"token360:vidjob_[0-9a-z]{12}", body["id"])
    assert body == {
        "id": body["id"],
        "object": "video.generation.job",
        "status": "queued",
        "model": "bytedance/seedance-2.0-fast",
        "duration_seconds": 8,
        "price": {"amount": "0.720000", "currency": "USD"},
        "payment_status": "verified",
        "poll_url": body["poll_url"],
    }
    path = f"/api/v1/videos/generations/{body['id'].replace(':', '%3A')}"
    assert body["poll_url"] == f"{path}?model=bytedance%2Fseedance-2.0-fast&duration=8"
    assert "PAYMENT-RESPONSE" not in answer.headers
    assert buyer.spent == 0


@pytest.mark.parametrize(("fields", "price"), PRICES)
async def test_prices(buyer: Buyer, fields: dict[str, Any], price: str) -> None:
    """BlockRun, videos: the price is duration times rate times the resolution's factor."""
    answer = await buyer.call("POST", SUBMIT, VIDEO | fields)
    assert answer.status == 402
    assert answer.json["price"] == {"amount": price, "currency": "USD"}


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_bad_bodies(buyer: Buyer, body: Any) -> None:
    """BlockRun, videos: a body that breaks the documented fields is a 400, and costs nothing."""
    answer = await buyer.call("POST", SUBMIT, body)
    assert answer.status == 400
    assert answer.json["error"] == "Invalid request body"
    assert answer.json["details"]


async def test_poll_to_the_end(buyer: Buyer) -> None:
    """BlockRun, videos: queued, in progress, then completed, and only then the money moves."""
    url, header = await _submit(buyer)
    seen = []
    for _ in range(2):
        answer = await _poll(buyer, url, header)
        assert answer.status == 202
        assert answer.json["payment_status"] == "verified"
        seen.append(answer.json["status"])
        buyer.clock.now += 1
    assert seen == ["queued", "in_progress"]
    assert buyer.spent == 0
    answer = await _poll(buyer, url, header)
    (moved,) = buyer.town.facilitator.settled
    assert answer.status == 200
    (film,) = answer.json["data"]
    assert answer.json == {
        "status": "completed",
        "data": [
            {
                "url": film["url"],
                "source_url": film["source_url"],
                "duration_seconds": 5,
                "request_id": film["request_id"],
                "backed_up": True,
            }
        ],
        "payment": {"status": "settled", "tx_hash": moved.tx, "network": "base"},
    }
    assert answer.settlement["transaction"] == answer.headers["X-Payment-Receipt"] == moved.tx
    assert buyer.spent == 450_000
    clip = await buyer.call("GET", film["url"])
    assert (clip.status, clip.headers["Content-Type"]) == (200, "video/mp4")


async def test_poll_after_settlement(buyer: Buyer) -> None:
    """BlockRun, videos: a later poll says already_settled, with the spent payment or a new one."""
    url, header = await _submit(buyer)
    buyer.clock.now += 2
    first = await _poll(buyer, url, header)
    buyer.clock.now += 3600
    again = await _poll(buyer, url, header)
    fresh = await buyer.call("GET", url)
    anew = await _poll(buyer, url, buyer.payment(fresh))
    for answer in (again, anew):
        assert answer.status == 200
        assert answer.json["data"] == first.json["data"]
        assert answer.json["payment"]["status"] == "already_settled"
        assert answer.json["payment"]["tx_hash"] == first.json["payment"]["tx_hash"]
    assert fresh.status == 402
    assert buyer.spent == 450_000


async def test_poll_without_payment(buyer: Buyer) -> None:
    """BlockRun, videos: without a payment the poll answers its own 402 at the job's price."""
    url, _header = await _submit(buyer, duration_seconds=4)
    answer = await buyer.call("GET", url)
    assert answer.status == 402
    assert answer.json["price"]["amount"] == "0.360000"
    assert answer.challenge["resource"]["url"].endswith(url)


async def test_poll_with_expired_payment(buyer: Buyer) -> None:
    """BlockRun, videos: a 402 on a completed poll; with a fresh authorization it settles once."""
    url, header = await _submit(buyer)
    buyer.clock.now += 295
    answer = await _poll(buyer, url, header)
    assert answer.status == 402
    reason = "invalid_exact_evm_payload_authorization_valid_before"
    assert answer.json == {"error": "Payment verification failed", "details": reason}
    assert buyer.spent == 0
    answer = await _poll(buyer, url, buyer.payment(answer))
    assert answer.json["payment"]["status"] == "settled"
    assert buyer.spent == 450_000


@pytest.mark.parametrize(
    ("query", "prompt", "error"),
    [
        ("", "a storm [fail]", "Generation failed upstream"),
        ("", "a storm [unsafe]", "The content was rejected by moderation"),
        ("?fault=job_failed", "a storm", "Generation failed upstream"),
        ("?fault=unsafe_content", "a storm", "The content was rejected by moderation"),
    ],
)
async def test_poll_of_a_failed_job(buyer: Buyer, query: str, prompt: str, error: str) -> None:
    """BlockRun, videos: a failed job is a 200 that says not_charged and why."""
    url, header = await _submit(buyer, query, prompt=prompt)
    buyer.clock.now += 2
    for _ in range(2):
        answer = await _poll(buyer, url, header)
        assert (answer.status, answer.json) == (
            200,
            {"status": "failed", "payment_status": "not_charged", "error": error},
        )
    assert buyer.spent == 0


async def test_poll_by_another_wallet(buyer: Buyer) -> None:
    """BlockRun, videos: the payment of a poll comes from the wallet that submitted the job."""
    url, _header = await _submit(buyer)
    buyer.clock.now += 2
    stranger = buyer.another()
    answer = await stranger.pay("GET", url)
    assert answer.status == 402
    assert answer.json["error"] == "Payment verification failed"
    assert stranger.spent == buyer.spent == 0


async def test_poll_keeps_its_query(buyer: Buyer) -> None:
    """BlockRun, videos: the poll URL's query must be kept, and unknown jobs are a 404."""
    url, header = await _submit(buyer)
    parts = urlsplit(url)
    assert dict(parse_qsl(parts.query)) == {"model": VIDEO["model"], "duration": "5"}
    assert (await _poll(buyer, parts.path, header)).status == 400
    assert (await _poll(buyer, url.replace("duration=5", "duration=1"), header)).status == 400
    assert (await _poll(buyer, url.replace("vidjob_", "vidjob_x"), header)).status == 404
    assert (await _poll(buyer, url.replace("%3A", ":"), header)).status == 202


async def test_job_is_claimable_for_48_hours(buyer: Buyer) -> None:
    """BlockRun, videos: a job that nobody polls stays for 48 hours, and then is gone."""
    url, _header = await _submit(buyer)
    buyer.clock.now += 48 * 3600
    assert (await buyer.call("GET", url)).status == 402
    buyer.clock.now += 1
    assert (await buyer.call("GET", url)).status == 404
