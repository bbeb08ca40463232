"""BlockRun: "Virtual Portrait Enrollment", and its public pages about RealFace and videos."""

from typing import Final

from tests.providers.documents.cases import Case, Step

SECTIONS: Final = (
    "Request",
    "Payment flow (x402)",
    "Response",
    "Via cURL (manual x402 flow)",
    "Via ClawRouter",
    "Using the enrolled portrait",
    "Listing enrolled portraits",
    "Error codes",
)
FACTS: Final = ("Paths", "RealFace", "Videos")

ENROLL: Final = "POST /v1/portrait/enroll"
WALLET: Final = "0xCC8c44AD3dc2A58D841c3EB26131E49b22665EF8"
REQUEST: Final = """{
  "name": "My Spokesperson",
  "image_url": "https://example.com/character.jpg"
}"""
CURL: Final = '{"name":"My Spokesperson","image_url":"https://example.com/character.jpg"}'
RESPONSE: Final = """{
  "object": "virtual_portrait",
  "asset_id": "ta_abcdef1234567890",
  "group_id": "tg_xyz9876543210",
  "name": "My Spokesperson",
  "image_url": "https://example.com/character.jpg",
  "created_at": "2026-05-22T14:32:11.000Z",
  "usage": {
    "compatible_models": ["bytedance/seedance-2.0", "bytedance/seedance-2.0-fast"],
    "how_to_use": "Pass \\"real_face_asset_id\\": \\"ta_abcdef1234567890\\" on a Seedance video \
generation request."
  },
  "price": { "amount": "0.500000", "currency": "USD" },
  "settlement": {
    "success": true,
    "tx_hash": "0x9f3a…",
    "network": "base"
  }
}"""
LISTING: Final = """{
  "wallet": "0xCC8c44AD3dc2A58D841c3EB26131E49b22665EF8",
  "portraits": [
    {
      "assetId": "ta_abcdef1234567890",
      "groupId": "tg_xyz9876543210",
      "name": "My Spokesperson",
      "imageUrl": "https://example.com/character.jpg",
      "createdAt": "2026-05-22T14:32:11.000Z",
      "enrollmentTxHash": "0x9f3a…"
    }
  ],
  "count": 1
}"""
VIDEO: Final = """{
    "model": "bytedance/seedance-2.0-fast",
    "prompt": "the character smiles warmly and waves at the camera",
    "real_face_asset_id": "ta_abcdef1234567890"
  }"""

JOB: Final = "azure:vidjob_abc123"
POLL_URL: Final = "/api/v1/videos/generations/azure%3Avidjob_abc123?model=azure%2Fsora-2&duration=8"
ACCEPTED: Final = (
    '{"id": "azure:vidjob_abc123", "object": "video.generation.job", "status": "queued",'
    ' "model": "bytedance/seedance-2.0-fast", "duration_seconds": 8,'
    ' "price": {"amount": "0.800000", "currency": "USD"}, "payment_status": "verified",'
    f' "poll_url": "{POLL_URL}"}}'
)
COMPLETED: Final = (
    '{"status": "completed", "data": [{"url": "https://blockrun.example/v.mp4",'
    ' "source_url": "https://maker.example/v.mp4?e=1", "duration_seconds": 8,'
    ' "request_id": "vidjob_abc123", "backed_up": true}],'
    ' "payment": {"status": "settled", "tx_hash": "0x5e77", "network": "base"}}'
)
RUNNING: Final = '{"status": "%s", "payment_status": "verified"}'
FAILED: Final = '{"status": "failed", "payment_status": "not_charged", "error": "too dark"}'
NOT_SETTLED: Final = '{"error": "Payment could not be settled", "details": "expired"}'

FACE: Final = (
    '{"name": "Rachel", "image_url": "https://example.com/rachel.jpg", "group_id": "tg_1"}'
)
FACE_ENROLLED: Final = (
    '{"object": "realface", "asset_id": "ta_0123456789abcdef", "group_id": "tg_1",'
    ' "name": "Rachel", "settlement": {"success": true, "tx_hash": "0x5e77", "network": "base"}}'
)
ASYNC: Final = (("Prefer", "respond-async"),)
_SUBMITS: Final = Step(
    "POST /v1/videos/generations", ACCEPTED, "202 Accepted", VIDEO,
    sent=ASYNC, pay="x402", state="sent",
)  # fmt: skip
MONEY_BACK: Final = "unknown"
"""What a seller's word that it took nothing makes of a payment: it counts until it is dead."""


def _error(text: str) -> str:
    return f'{{"error":"{text}"}}'


def _enrols(body: str = REQUEST, call: str = ENROLL) -> Step:
    return Step(call, RESPONSE, body=body, pay="x402", state="settled")


def _case(section: str, name: str, *steps: Step) -> Case:
    return Case("blockrun", section, name, steps)


def _refused(name: str, body: str, error: str = "Invalid request body") -> Case:
    step = Step(ENROLL, _error(error), "400 Bad Request", body)
    return _case("Error codes", name, step)


def _polls(
    answer: str, status: str = "200 OK", state: str = "sent", code: str | None = None
) -> Step:
    return Step(f"GET {POLL_URL}", answer, status, pay="again", state=state, code=code)


CASES: Final = (
    _case("Request", "the JSON body", _enrols()),
    _case("Payment flow (x402)", "ask, sign, send the same again", _enrols()),
    _case(
        "Payment flow (x402)",
        "a failure takes nothing, and the caller can retry with a fresh signature",
        Step(
            ENROLL, _error("network error"), "502 Bad Gateway", REQUEST,
            pay="x402", state=MONEY_BACK,
        ),
        _enrols(),
    ),
    _case(
        "Payment flow (x402)",
        "a settlement that fails after the upload is the seller's loss",
        Step(
            ENROLL, RESPONSE.replace('"success": true', '"success": false'),
            body=REQUEST, pay="x402", state=MONEY_BACK,
        ),
    ),
    _case("Response", "the enrolled portrait", _enrols()),
    _case("Via cURL (manual x402 flow)", "steps 1 to 3", _enrols(CURL)),
    _case("Via ClawRouter", "the same call, at localhost:8402", _enrols(CURL)),
    _case("Using the enrolled portrait", "a Seedance call with the asset's id", _SUBMITS),
    _case(
        "Listing enrolled portraits",
        "a wallet's portraits, for free",
        Step(f"GET /v1/wallet/{WALLET}/portraits", LISTING),
    ),
    _refused("400: missing name", '{"image_url":"https://example.com/character.jpg"}'),
    _refused("400: invalid image_url", '{"name":"My Spokesperson","image_url":7}'),
    _refused(
        "400: name of 65 characters",
        f'{{"name":"{"x" * 65}","image_url":"https://example.com/character.jpg"}}',
    ),
    _refused(
        "400: URL missing its scheme",
        '{"name":"My Spokesperson","image_url":"example.com/character.jpg"}',
        "image_url must be an http(s) URL",
    ),
    _case("Error codes", "402: sign and retry", _enrols()),
    _case(
        "Error codes",
        "402: the signature did not match",
        Step(
            ENROLL, _error("Payment verification failed"), "402 Payment Required", REQUEST,
            pay="x402", state="unknown", code="payment_rejected",
        ),
    ),
    _case(
        "Error codes",
        "502: no payment taken, and a different image may be tried under the same name",
        Step(
            ENROLL, _error("Token360 rejected the image: content filter"), "502 Bad Gateway",
            REQUEST, pay="x402", state=MONEY_BACK,
        ),
        _enrols(CURL.replace("character.jpg", "another.jpg")),
    ),
    _case(
        "Error codes",
        "429: back off as Retry-After says",
        Step(
            f"GET /v1/wallet/{WALLET}/portraits", _error("Rate limit exceeded"),
            "429 Too Many Requests", headers=(("Retry-After", "1800"),),
        ),
    ),
    _case("Paths", "/api/v1 is /v1", _enrols(call="POST /api/v1/portrait/enroll")),
    _case("Paths", "models, for free", Step("GET /v1/models", '{"object":"list","data":[]}')),
    _case(
        "RealFace",
        "init and status, for free",
        Step(
            "POST /v1/realface/init",
            '{"object": "realface.init", "group_id": "tg_1", "h5_link": "https://h5.example/1",'
            ' "status": "pending_validation", "expires_in_seconds": 120}',
            body='{"name": "Rachel", "groupId": "tg_1"}',
        ),
        Step(
            "GET /v1/realface/status?groupId=tg_1",
            '{"status": "pending_validation", "ready_to_finalize": false}',
        ),
        Step(
            "GET /v1/realface/status?groupId=tg_1",
            '{"status": "active", "ready_to_finalize": true}',
        ),
    ),
    _case(
        "RealFace",
        "enroll, paid",
        Step("POST /v1/realface/enroll", FACE_ENROLLED, body=FACE, pay="x402", state="settled"),
    ),
    *(
        _case(
            "RealFace",
            f"enroll: {status} takes nothing",
            Step(
                "POST /v1/realface/enroll", _error(error), status, FACE,
                pay="x402", state=MONEY_BACK,
            ),
        )
        for status, error in (
            ("425 Too Early", "The person has not completed verification yet"),
            ("422 Unprocessable Entity", "The faces do not match"),
            ("502 Bad Gateway", "Upload failed"),
        )
    ),
    _case(
        "RealFace",
        "a wallet's real faces, for free",
        Step(
            f"GET /v1/wallet/{WALLET}/realfaces",
            f'{{"wallet": "{WALLET}", "realfaces": [], "count": 0}}',
        ),
    ),
    _case(
        "Videos",
        "verified when submitted, settled by the poll that finds it completed",
        _SUBMITS,
        _polls(RUNNING % "queued", "202 Accepted"),
        _polls(RUNNING % "in_progress", "202 Accepted"),
        _polls(COMPLETED, state="settled"),
    ),
    _case("Videos", "failed is not charged", _SUBMITS, _polls(FAILED, state=MONEY_BACK)),
    _case(
        "Videos",
        "504 on a poll means try again",
        _SUBMITS,
        _polls(_error("Gateway timeout"), "504 Gateway Timeout"),
        _polls(COMPLETED, state="settled"),
    ),
    _case(
        "Videos",
        "402 on a completed poll: it could not be settled",
        _SUBMITS,
        _polls(NOT_SETTLED, "402 Payment Required", state="unknown", code="payment_rejected"),
    ),
    _case(
        "Videos",
        "already settled",
        _SUBMITS,
        _polls(COMPLETED.replace('"settled"', '"already_settled"'), state="settled"),
    ),
    _case(
        "Videos",
        "504 on a submission that takes too long: nothing charged",
        Step(
            "POST /v1/videos/generations", _error("Gateway timeout"), "504 Gateway Timeout",
            VIDEO, sent=ASYNC, pay="x402", state=MONEY_BACK,
        ),
    ),
)  # fmt: skip
