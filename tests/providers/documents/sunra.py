"""Sunra: "Seedance 2.0 Face Authentication", and its public pages about the queue."""

from typing import Final

from tests.providers.documents.cases import Case, Step

SECTIONS: Final = (
    "Authentication",
    "Workflow",
    "Create an asset",
    "Get an asset",
    "List assets",
    "Delete an asset",
    "Examples",
    "Using the asset in Seedance 2.0",
)
FACTS: Final = ("Queue", "Rate limits")

ASSETS: Final = "/v1/ark/assets"
ASSET: Final = f"{ASSETS}/cgt-20260609-abc123"
CREATED: Final = """{
  "id": "665f1c...",
  "ark_asset_id": "cgt-20260609-abc123",
  "name": "face.jpg",
  "asset_type": "image",
  "source_url": "https://example.com/face.jpg",
  "status": "processing",
  "created_at": "2026-06-09T15:00:00.000Z"
}"""
ACTIVE: Final = """{
  "id": "665f1c...",
  "ark_asset_id": "cgt-20260609-abc123",
  "name": "face.jpg",
  "asset_type": "image",
  "source_url": "https://example.com/face.jpg",
  "status": "active",
  "ark_url": "https://.../authenticated-asset",
  "created_at": "2026-06-09T15:00:00.000Z"
}"""
LISTED: Final = """{
  "items": [ { "ark_asset_id": "cgt-...", "status": "active", "asset_type": "image" } ],
  "total": 1,
  "page": 1,
  "page_size": 20
}"""
CREATE: Final = '{"source_url":"https://example.com/face.jpg","asset_type":"image"}'
RELAY: Final = "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video"
SLOW_RELAY: Final = "/v1/queue/bytedance/seedance-2.0-relay/reference-to-video"
SUBMIT: Final = """{
    "prompt": "the person in @Image1 is talking to the camera",
    "reference_images": ["asset://<ARK_ASSET_ID>"],
    "resolution": "720p",
    "ratio": "adaptive",
    "duration": 5,
    "generate_audio": true
  }"""

PD: Final = "pd_vXW7VwPN2MbTwT8bzpWrYU5Y"
REQUEST: Final = f"/v1/queue/requests/{PD}"
SUBMITTED: Final = (
    f'{{"request_id": "{PD}", "response_url": "{{origin}}{REQUEST}",'
    f' "status_url": "{{origin}}{REQUEST}/status", "cancel_url": "{{origin}}{REQUEST}/cancel"}}'
)
RESULT: Final = '{"video": {"url": "https://cdn.sunra.example/v.mp4"}}'
UNSAFE: Final = (
    '{"error": {"type": "invalid_request_error", "code": "PREDICTION_FAILED",'
    ' "message": "suppressed", "details": {"code": "unsafe_content", "message": "suppressed"}}}'
)


def _status(status: str, more: str = "") -> str:
    url = f"{{origin}}{REQUEST}"
    return f'{{"status": "{status}", "request_id": "{PD}"{more}, "response_url": "{url}"}}'


def _case(section: str, name: str, *steps: Step) -> Case:
    return Case("sunra", section, name, steps)


def _submits(path: str = RELAY, body: str = SUBMIT) -> Step:
    return Step(f"POST {path}", SUBMITTED, body=body, pay="table", state="settled")


def _asks(status: str, more: str = "") -> Step:
    return Step(f"GET {REQUEST}/status", _status(status, more))


_UNAUTHORIZED: Final = (
    '{"error":{"type":"authentication_error","code":"UNAUTHORIZED","message":"Invalid API key"}}'
)
_LIMITED: Final = (
    '{"error":{"type":"rate_limit_error","code":"RATE_LIMIT_EXCEEDED","message":"Slow down"}}'
)
_FAILED: Final = ', "success": false, "error": {"code": "unsafe_content", "message": "suppressed"}'

CASES: Final = (
    _case(
        "Authentication",
        "a key that Sunra does not know",
        Step(f"GET {ASSET}", _UNAUTHORIZED, "401 Unauthorized"),
    ),
    _case(
        "Workflow",
        "create, poll until active, use",
        Step(f"POST {ASSETS}", CREATED, body=CREATE),
        Step(f"GET {ASSET}", ACTIVE.replace("active", "processing")),
        Step(f"GET {ASSET}", ACTIVE),
        _submits(body=SUBMIT.replace("<ARK_ASSET_ID>", "cgt-20260609-abc123")),
    ),
    _case(
        "Workflow",
        "a registration that failed",
        Step(f"GET {ASSET}", ACTIVE.replace("active", "failed")),
    ),
    _case("Create an asset", "the created asset", Step(f"POST {ASSETS}", CREATED, body=CREATE)),
    _case(
        "Create an asset",
        "every field",
        Step(
            f"POST {ASSETS}",
            CREATED,
            body='{"source_url":"https://example.com/face.jpg","name":"face.jpg",'
            '"asset_type":"image"}',
        ),
    ),
    _case("Get an asset", "active, with its ark_url", Step(f"GET {ASSET}", ACTIVE)),
    _case(
        "List assets",
        "a filter and a page",
        Step(
            f"POST {ASSETS}/list",
            LISTED,
            body='{"status": "active", "page": 1, "page_size": 20}',
        ),
    ),
    _case("List assets", "the defaults", Step(f"POST {ASSETS}/list", LISTED, body="{}")),
    _case("List assets", "no body at all", Step(f"POST {ASSETS}/list", LISTED)),
    _case("Delete an asset", "deleted", Step(f"DELETE {ASSET}", '{ "deleted": true }')),
    _case(
        "Examples",
        "create, then poll until active",
        Step(f"POST {ASSETS}", CREATED, body=CREATE),
        Step(f"GET {ASSET}", ACTIVE),
    ),
    _case("Using the asset in Seedance 2.0", "the fast relay model", _submits()),
    _case("Using the asset in Seedance 2.0", "without the -fast suffix", _submits(SLOW_RELAY)),
    _case(
        "Using the asset in Seedance 2.0",
        "moderation: completed with success false and unsafe_content",
        _submits(),
        _asks("COMPLETED", _FAILED),
        Step(f"GET {REQUEST}", UNSAFE, "400 Bad Request"),
    ),
    _case(
        "Using the asset in Seedance 2.0",
        "a model that goes straight to Volcengine rejects the asset",
        Step(
            "POST /v1/queue/bytedance/seedance-2.0-fast/reference-to-video",
            '{"error":{"type":"invalid_request_error","code":"InvalidParameter",'
            '"message":"not a valid URL"}}',
            "400 Bad Request",
            SUBMIT,
            pay="table",
            state="void",
        ),
    ),
    _case(
        "Queue",
        "in queue, in progress, completed, fetched",
        _submits(),
        _asks("IN_QUEUE", ', "queue_position": 2'),
        _asks("IN_PROGRESS"),
        _asks("COMPLETED", ', "success": true'),
        Step(f"GET {REQUEST}", RESULT),
    ),
    _case(
        "Queue",
        "cancelled",
        _submits(),
        Step(f"PUT {REQUEST}/cancel", '{"success": true}'),
    ),
    _case(
        "Queue",
        "a webhook in the query",
        _submits(f"{RELAY}?webhook=https%3A%2F%2Fa.example%2Fhook"),
    ),
    _case(
        "Queue",
        "the status as a stream of events",
        Step(
            f"GET {REQUEST}/status/stream",
            'data: {"status": "COMPLETED", "success": true}\n\n',
            headers=(("Content-Type", "text/event-stream"),),
        ),
    ),
    _case(
        "Rate limits",
        "403 for a submission, and nothing counts",
        Step(f"POST {RELAY}", _LIMITED, "403 Forbidden", SUBMIT, pay="table", state="void"),
    ),
    _case(
        "Rate limits",
        "403 for a status",
        _submits(),
        Step(f"GET {REQUEST}/status", _LIMITED, "403 Forbidden"),
    ),
)
