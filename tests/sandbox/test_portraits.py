"""BlockRun's Virtual Portrait and RealFace, section by section of its documentation."""

import re
from typing import Any

import pytest

from tests.sandbox.buyer import PORTRAIT, Buyer

ENROLL = "/v1/portrait/enroll"

FORMS = {
    "asset_id": r"ta_[0-9a-f]{16}",
    "group_id": r"tg_[0-9]{13}",
    "created_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}

ERRORS = [
    ("a missing name", {"image_url": "https://x.example/y.png"}, "Invalid request body"),
    ("a missing image_url", {"name": "A"}, "Invalid request body"),
    ("an image_url that is none", {**PORTRAIT, "image_url": 7}, "Invalid request body"),
    ("an image_url without a host", {**PORTRAIT, "image_url": "https://"}, "Invalid request body"),
    ("an empty name", {**PORTRAIT, "name": ""}, "Invalid request body"),
    ("a name of 65 characters", {**PORTRAIT, "name": "x" * 65}, "Invalid request body"),
    ("no JSON", b"{", "Invalid request body"),
    (
        "no scheme",
        {**PORTRAIT, "image_url": "example.com/a.jpg"},
        "image_url must be an http(s) URL",
    ),
    (
        "another scheme",
        {**PORTRAIT, "image_url": "ftp://example.com/a.jpg"},
        "image_url must be an http(s) URL",
    ),
]


async def test_first_request_without_payment(buyer: Buyer) -> None:
    """BlockRun docs, Payment flow: the first request is a 402 with challenge headers."""
    asked = await buyer.call("POST", ENROLL, PORTRAIT)
    assert asked.status == 402
    assert asked.json == {
        "error": "Payment Required",
        "price": {"amount": "0.500000", "currency": "USD"},
    }
    assert "PAYMENT-REQUIRED" not in asked.headers
    assert asked.headers["Cache-Control"] == "no-store"
    assert asked.challenge["x402Version"] == 2
    assert asked.challenge["resource"]["url"] == f"{buyer.town.blockrun_url}{ENROLL}"
    assert asked.challenge["accepts"] == [
        {
            "scheme": "exact",
            "network": "eip155:8453",
            "amount": "500000",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "payTo": "0xe9030014F5DAe217d0A152f02A043567b16c1aBf",
            "maxTimeoutSeconds": 300,
            "extra": {"name": "USD Coin", "version": "2"},
        }
    ]


@pytest.mark.parametrize("header", ["PAYMENT-SIGNATURE", "X-Payment", "x-payment"])
async def test_retry_with_payment(buyer: Buyer, header: str) -> None:
    """BlockRun docs, Response: a paid enrolment answers with the asset and the settlement."""
    answer = await buyer.pay("POST", ENROLL, PORTRAIT, header)
    assert answer.status == 200
    body = answer.json
    assert all(re.fullmatch(form, body[key]) for key, form in FORMS.items())
    (moved,) = buyer.town.facilitator.settled
    assert body == {
        "object": "virtual_portrait",
        "asset_id": body["asset_id"],
        "group_id": body["group_id"],
        **PORTRAIT,
        "created_at": body["created_at"],
        "usage": {
            "compatible_models": ["bytedance/seedance-2.0", "bytedance/seedance-2.0-fast"],
            "how_to_use": f'Pass "real_face_asset_id": "{body["asset_id"]}"'
            " on a Seedance video generation request.",
        },
        "price": {"amount": "0.500000", "currency": "USD"},
        "settlement": {"success": True, "tx_hash": moved.tx, "network": "base"},
    }
    assert buyer.spent == 500_000
    assert buyer.town.facilitator.balance_of(moved.pay_to) == 500_000


async def test_receipt_headers(buyer: Buyer) -> None:
    """BlockRun's variants: a settlement shows in PAYMENT-RESPONSE and as a bare hash."""
    answer = await buyer.pay("POST", ENROLL, PORTRAIT)
    (moved,) = buyer.town.facilitator.settled
    assert answer.headers["X-Payment-Receipt"] == moved.tx
    assert answer.settlement == {
        "success": True,
        "transaction": moved.tx,
        "network": "eip155:8453",
        "payer": buyer.address,
        "amount": "500000",
    }
    assert answer.headers["Cache-Control"] == "private"


@pytest.mark.parametrize(("body", "error"), [row[1:] for row in ERRORS], ids=[r[0] for r in ERRORS])
async def test_error_400(buyer: Buyer, body: Any, error: str) -> None:
    """BlockRun docs, Error codes: a bad body is refused before any price is named."""
    answer = await buyer.call("POST", ENROLL, body)
    assert (answer.status, answer.json) == (400, {"error": error})


async def test_error_402_verification(buyer: Buyer) -> None:
    """BlockRun docs, Error codes: a signature that does not match what was quoted."""
    asked = await buyer.call("POST", ENROLL, PORTRAIT)
    headers = {"X-Payment": buyer.payment(asked, value=499_999)}
    answer = await buyer.call("POST", ENROLL, PORTRAIT, headers)
    assert answer.status == 402
    assert answer.json == {
        "error": "Payment verification failed",
        "details": "invalid_exact_evm_payload_authorization_value_mismatch",
    }
    assert buyer.spent == 0


async def test_error_502_upload(buyer: Buyer) -> None:
    """BlockRun docs, Error codes: a rejected upload takes no payment."""
    body = PORTRAIT | {"image_url": "https://example.com/nsfw.jpg"}
    answer = await buyer.pay("POST", ENROLL, body)
    assert answer.status == 502
    assert answer.json["error"]
    assert "PAYMENT-RESPONSE" not in answer.headers
    assert buyer.spent == 0


async def test_authorization_survives_a_502(buyer: Buyer) -> None:
    """BlockRun docs, Payment flow: after a failed upload the caller can retry, and pays once."""
    asked = await buyer.call("POST", ENROLL, PORTRAIT)
    headers = {"X-Payment": buyer.payment(asked)}
    bad = PORTRAIT | {"image_url": "https://example.com/nsfw.jpg"}
    assert (await buyer.call("POST", ENROLL, bad, headers)).status == 502
    assert (await buyer.call("POST", ENROLL, PORTRAIT, headers)).status == 200
    replay = await buyer.call("POST", ENROLL, PORTRAIT, headers)
    assert replay.json["details"] == "invalid_exact_evm_nonce_already_used"
    assert buyer.spent == 500_000


async def test_listing(buyer: Buyer) -> None:
    """BlockRun docs, Listing enrolled portraits: what a wallet has enrolled, in any case of it."""
    enrolled = (await buyer.pay("POST", ENROLL, PORTRAIT)).json
    wallet = buyer.address.lower()
    answer = await buyer.call("GET", f"/v1/wallet/{wallet}/portraits")
    assert answer.status == 200
    assert answer.json == {
        "wallet": wallet,
        "portraits": [
            {
                "assetId": enrolled["asset_id"],
                "groupId": enrolled["group_id"],
                "name": PORTRAIT["name"],
                "imageUrl": PORTRAIT["image_url"],
                "createdAt": enrolled["created_at"],
                "enrollmentTxHash": enrolled["settlement"]["tx_hash"],
            }
        ],
        "count": 1,
    }


async def test_listing_addresses(buyer: Buyer) -> None:
    """BlockRun docs, Listing enrolled portraits: Solana's addresses work, nonsense does not."""
    solana = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    answer = await buyer.call("GET", f"/v1/wallet/{solana}/portraits")
    assert answer.json == {"wallet": solana, "portraits": [], "count": 0}
    assert (await buyer.call("GET", "/v1/wallet/me/portraits")).status == 400


async def test_listing_rate_limit(buyer: Buyer) -> None:
    """BlockRun docs, Error codes: 20 listings an hour, both kinds together, then Retry-After."""
    for index in range(20):
        kind = "realfaces" if index % 2 else "portraits"
        assert (await buyer.call("GET", f"/v1/wallet/{buyer.address}/{kind}")).status == 200
    buyer.clock.now += 600
    answer = await buyer.call("GET", f"/v1/wallet/{buyer.address}/portraits")
    assert (answer.status, answer.json) == (429, {"error": "Rate limit exceeded"})
    assert answer.headers["Retry-After"] == "3000"
    buyer.clock.now += 3000
    assert (await buyer.call("GET", f"/v1/wallet/{buyer.address}/portraits")).status == 200


@pytest.mark.parametrize("path", [ENROLL, f"/api{ENROLL}"])
async def test_both_prefixes(buyer: Buyer, path: str) -> None:
    """BlockRun, routes: /v1 and /api/v1 are the same upstream path."""
    origin = buyer.town.blockrun_url.removesuffix("/api")
    answer = await buyer.call("POST", origin + path, PORTRAIT)
    assert answer.status == 402


async def _verified(buyer: Buyer) -> str:
    started = await buyer.call("POST", "/v1/realface/init", {"name": "Rachel"})
    await buyer.call("GET", started.json["h5_link"])
    return str(started.json["group_id"])


async def test_realface_flow(buyer: Buyer) -> None:
    """BlockRun, RealFace: init and status are free, the link is the scan, enroll is paid."""
    started = await buyer.call("POST", "/v1/realface/init", {"name": "Rachel"})
    assert started.status == 200
    group, link = started.json["group_id"], started.json["h5_link"]
    assert re.fullmatch(r"tg_[0-9]{13}", group)
    assert started.json == {
        "object": "realface.init",
        "group_id": group,
        "h5_link": link,
        "status": "pending_validation",
        "expires_in_seconds": 120,
    }
    status = f"/v1/realface/status?groupId={group}"
    pending = {"status": "pending_validation", "ready_to_finalize": False}
    assert (await buyer.call("GET", status)).json == pending
    await buyer.call("GET", f"{link}?scan=failed")
    assert (await buyer.call("GET", status)).json == pending
    await buyer.call("GET", link)
    assert (await buyer.call("GET", status)).json == {"status": "active", "ready_to_finalize": True}
    answer = await buyer.pay("POST", "/v1/realface/enroll", {**PORTRAIT, "group_id": group})
    assert answer.json["object"] == "realface"
    assert answer.json["group_id"] == group
    assert answer.json["settlement"]["success"] is True
    listed = (await buyer.call("GET", f"/v1/wallet/{buyer.address}/realfaces")).json
    assert [item["assetId"] for item in listed["realfaces"]] == [answer.json["asset_id"]]
    assert listed["count"] == 1


@pytest.mark.parametrize(
    ("person", "image", "status"),
    [
        ("a stranger", "a.jpg", 425),
        ("verified", "mismatch.jpg", 422),
        ("verified", "nsfw.jpg", 502),
    ],
    ids=["not yet verified", "another face", "upload failed"],
)
async def test_realface_refusals(buyer: Buyer, person: str, image: str, status: int) -> None:
    """BlockRun, RealFace: none of 425, 422 and 502 settles."""
    group = await _verified(buyer) if person == "verified" else "tg_0000000000000"
    body = {"name": "Rachel", "image_url": f"https://x.example/{image}", "group_id": group}
    answer = await buyer.pay("POST", "/v1/realface/enroll", body)
    assert answer.status == status
    assert answer.json["error"]
    assert buyer.spent == 0


async def test_realface_link_expires(buyer: Buyer) -> None:
    """BlockRun, RealFace: the link lives for 120 seconds."""
    started = await buyer.call("POST", "/v1/realface/init", {"name": "Rachel"})
    buyer.clock.now += 121
    assert (await buyer.call("GET", started.json["h5_link"])).status == 410
    again = {"name": "Rachel", "groupId": started.json["group_id"]}
    renewed = await buyer.call("POST", "/v1/realface/init", again)
    assert renewed.json["group_id"] == started.json["group_id"]
    assert (await buyer.call("GET", renewed.json["h5_link"])).status == 200
    assert (await buyer.call("GET", started.json["h5_link"])).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/realface/init", {}, 400),
        ("POST", "/v1/realface/init", {"name": "A", "groupId": "tg_1"}, 404),
        ("GET", "/v1/realface/status", None, 404),
        ("POST", "/v1/realface/enroll", PORTRAIT, 400),
        ("POST", "/v1/realface/enroll", {}, 400),
        ("GET", "/v1/realface/status?groupId=tg_1", None, 404),
    ],
)
async def test_realface_bad_requests(
    buyer: Buyer, method: str, path: str, body: Any, status: int
) -> None:
    """BlockRun, RealFace: what is incomplete or unknown is refused for nothing."""
    assert (await buyer.call(method, path, body)).status == status
