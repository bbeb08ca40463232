"""PomexAI: the Real-Human Asset API, version 1, and its public pages about cancelling."""

from typing import Final

from tests.providers.documents.cases import Case, Step

SECTIONS: Final = (
    "Basics",
    "Integration Flow",
    "Create Verification Session",
    "Verification Callback",
    "Upload an Asset",
    "Get an Asset",
    "List Assets",
    "Generate a Video From an Asset",
    "Poll for the result",
    "Status Values",
    "Error Handling",
    "Common 400 messages",
    "End-to-End Quickstart (cURL)",
)
ELSEWHERE: Final = ("Integration Flow", "Verification Callback")
"""What begins with a phone's call to the daemon: `test_documents_common` plays it."""
FACTS: Final = ("Cancel",)

SESSIONS: Final = "/v1/video/assets/sessions"
ASSETS: Final = "/v1/video/assets"
GENERATIONS: Final = "/v1/video/generations"
ASSET: Final = "asset-20260619150241-b8xd4"
GROUP: Final = "group-20260619145855-snq4q"
TASK: Final = "cgt-20260619150458-96ncj"

SESSION: Final = '{"callback_url":"https://yourapp.com/realhuman/callback","lang":"en"}'
SESSION_OPEN: Final = """{
  "object": "video.asset_session",
  "status": "pending",
  "h5_link": "https://kyc.byteintl.com/?...&lang=en"
}"""
REDIRECT: Final = (
    "resultCode=10000&group_id=group-20260619145855-snq4q&verify_type=real_time"
    "&algorithmBaseRespCode=0&reqMeasureInfoValue=1"
)
"""The query of the example redirect."""

UPLOAD: Final = """{
    "url": "https://yourcdn.com/portrait.jpg",
    "asset_type": "Image",
    "group_id": "group-20260619145855-snq4q",
    "name": "model-rachel-frontal"
  }"""
UPLOADED: Final = """{
  "id": "asset-20260619150241-b8xd4",
  "object": "video.asset",
  "status": "processing"
}"""
ACTIVE: Final = """{
  "id": "asset-20260619150241-b8xd4",
  "object": "video.asset",
  "name": "model-rachel-frontal",
  "url": "https://.../portrait.jpg?...",
  "asset_type": "Image",
  "group_id": "group-20260619145855-snq4q",
  "status": "active",
  "created_at": "2026-06-19T07:02:41Z",
  "updated_at": "2026-06-19T07:02:46Z"
}"""
LISTED: Final = """{
  "object": "list",
  "items": [
    {
      "id": "asset-20260619150241-b8xd4",
      "name": "model-rachel-frontal",
      "url": "https://.../portrait.jpg?...",
      "asset_type": "Image",
      "group_id": "group-20260619145855-snq4q",
      "status": "active",
      "created_at": "2026-06-19T07:02:41Z",
      "updated_at": "2026-06-19T07:02:46Z"
    }
  ],
  "total_count": 1,
  "page_number": 1,
  "page_size": 10
}"""
GENERATE: Final = """{
    "model": "byteplus/seedance-2.0-fast",
    "content": [
      {"type": "text", "text": "The person in image 1 smiles and waves at the camera. Indoor, \
natural light, gentle push-in."},
      {"type": "image_url", "image_url": {"url": "asset://asset-20260619150241-b8xd4"}, \
"role": "reference_image"}
    ]
  }"""
QUEUED: Final = """{
  "id": "cgt-20260619150458-96ncj",
  "object": "video.generation.task",
  "model": "byteplus/seedance-2.0-fast",
  "status": "queued"
}"""
SUCCEEDED: Final = """{
  "id": "cgt-20260619150458-96ncj",
  "object": "video.generation.task",
  "status": "succeeded",
  "content": { "video_url": "https://.../output.mp4?..." }
}"""
ENVELOPE: Final = """{ "error": { "message": "callback_url must be a valid https URL", "type": \
"invalid_request_error" } }"""

QUERIES: Final = (
    f"group_id={GROUP}",
    "status=active",
    "status=active,processing,failed",
    "name=rachel",
    "page=2&limit=100",
    "sort_by=create_time",
    "sort_by=update_time",
    "sort_by=group_id",
    "sort_order=asc",
    "sort_order=desc",
    f"group_id={GROUP}&status=active%2Cfailed&name=a%20b&page=1&limit=10&sort_order=desc",
)
BAD_REQUESTS: Final = (
    ("callback_url is required", f"POST {SESSIONS}", "{}"),
    (
        "callback_url must be a valid https URL",
        f"POST {SESSIONS}",
        '{"callback_url":"http://yourapp.com/callback"}',
    ),
    (
        "lang must be zh, en, or zh-Hant",
        f"POST {SESSIONS}",
        SESSION.replace('"en"', '"fr"'),
    ),
    ("group id error", f"POST {ASSETS}", UPLOAD.replace("snq4q", "other")),
    ("status must be active, processing, or failed", f"GET {ASSETS}?status=new", ""),
    ("body must be valid JSON", f"POST {ASSETS}", '{"url": '),
)
ERRORS: Final = (
    ("401 Unauthorized", "authentication_error", "Missing or invalid API key."),
    ("404 Not Found", "not_found_error", "Resource not found."),
    ("502 Bad Gateway", "upstream_error", "Upstream provider failure."),
    (
        "503 Service Unavailable",
        "service_unavailable_error",
        "Service temporarily unavailable; retry.",
    ),
)
"""The types of the 404 and the 503 stand in no document."""


def _case(section: str, name: str, *steps: Step) -> Case:
    return Case("pomex", section, name, steps)


def _error(message: str, kind: str) -> str:
    return f'{{"error":{{"message":"{message}","type":"{kind}"}}}}'


def _task(status: str, more: str = "") -> Step:
    shown = f'{{"id": "{TASK}", "object": "video.generation.task", "status": "{status}"{more}}}'
    return Step(f"GET {GENERATIONS}/{TASK}", shown)


def _asset(status: str) -> Step:
    return Step(f"GET {ASSETS}/{ASSET}", ACTIVE.replace('"active"', f'"{status}"'))


_SESSION: Final = Step(f"POST {SESSIONS}", SESSION_OPEN, body=SESSION)
_UPLOAD: Final = Step(f"POST {ASSETS}", UPLOADED, body=UPLOAD)
_GENERATE: Final = Step(f"POST {GENERATIONS}", QUEUED, body=GENERATE)
_POLL: Final = Step(f"GET {GENERATIONS}/{TASK}", SUCCEEDED)
_REJECTED: Final = ', "error": {"message": "rejected", "type": "unsafe_content"}'

CASES: Final = (
    _case(
        "Basics",
        "no valid API key",
        Step(
            f"GET {ASSETS}",
            _error("Missing or invalid API key.", "authentication_error"),
            "401 Unauthorized",
        ),
    ),
    _case("Create Verification Session", "the h5_link", _SESSION),
    *(
        _case(
            "Create Verification Session",
            f"in {lang}",
            Step(
                f"POST {SESSIONS}",
                SESSION_OPEN.replace("lang=en", f"lang={lang}"),
                body=SESSION.replace('"en"', f'"{lang}"'),
            ),
        )
        for lang in ("zh", "zh-Hant")
    ),
    _case("Upload an Asset", "a portrait of a verified person", _UPLOAD),
    *(
        _case(
            "Upload an Asset",
            f"{kind}, to the default Virtual group",
            Step(
                f"POST {ASSETS}",
                UPLOADED,
                body=f'{{"url": "https://yourcdn.com/x", "asset_type": "{kind}"}}',
            ),
        )
        for kind in ("Image", "Video", "Audio")
    ),
    _case("Get an Asset", "active", Step(f"GET {ASSETS}/{ASSET}", ACTIVE)),
    _case("List Assets", "no query", Step(f"GET {ASSETS}", LISTED)),
    *(
        _case("List Assets", query, Step(f"GET {ASSETS}?{query}", LISTED))
        for query in QUERIES
    ),
    _case("Generate a Video From an Asset", "the person in image 1", _GENERATE),
    _case(
        "Generate a Video From an Asset",
        "the other model",
        Step(
            f"POST {GENERATIONS}",
            QUEUED.replace("2.0-fast", "2.0"),
            body=GENERATE.replace("2.0-fast", "2.0"),
        ),
    ),
    _case("Poll for the result", "succeeded", _GENERATE, _POLL),
    _case("Status Values", "a session is pending", _SESSION),
    _case(
        "Status Values",
        "an asset becomes active",
        _UPLOAD, _asset("processing"), _asset("active"),
    ),
    _case("Status Values", "an asset fails", _UPLOAD, _asset("processing"), _asset("failed")),
    _case(
        "Status Values",
        "a task succeeds",
        _GENERATE, _task("queued"), _task("running"), _POLL,
    ),
    _case(
        "Status Values",
        "a task fails",
        _GENERATE, _task("queued"), _task("running"), _task("failed", _REJECTED),
    ),
    _case(
        "Error Handling",
        "the standard envelope",
        Step(
            f"POST {SESSIONS}", ENVELOPE, "400 Bad Request",
            '{"callback_url":"http://yourapp.com/callback"}',
        ),
    ),
    *(
        _case(
            "Error Handling",
            f"{status}, {what}",
            Step(call, _error(message, kind), status, body),
        )
        for status, kind, message in ERRORS
        for what, call, body in (
            ("of a generation", f"POST {GENERATIONS}", GENERATE),
            ("of a task", f"GET {GENERATIONS}/{TASK}", ""),
        )
    ),
    *(
        _case(
            "Common 400 messages",
            message,
            Step(call, _error(message, "invalid_request_error"), "400 Bad Request", body),
        )
        for message, call, body in BAD_REQUESTS
    ),
    _case(
        "End-to-End Quickstart (cURL)",
        "session, portrait, active, video, clip",
        Step(
            f"POST {SESSIONS}", SESSION_OPEN,
            body='{"callback_url":"https://yourapp.com/callback","lang":"en"}',
        ),
        Step(
            f"POST {ASSETS}", UPLOADED.replace(ASSET, "asset-xxxx"),
            body='{"url":"https://yourcdn.com/portrait.jpg","asset_type":"Image",'
            '"group_id":"group-xxxx"}',
        ),
        Step(f"GET {ASSETS}/asset-xxxx", ACTIVE.replace(ASSET, "asset-xxxx")),
        Step(
            f"POST {GENERATIONS}", QUEUED,
            body="""{"model":"byteplus/seedance-2.0-fast","content":[
        {"type":"text","text":"The person in image 1 waves and smiles."},
        {"type":"image_url","image_url":{"url":"asset://asset-xxxx"},"role":"reference_image"}]}""",
        ),
        _POLL,
    ),
    _case(
        "Cancel",
        "a task that runs",
        _GENERATE,
        Step(
            f"DELETE {GENERATIONS}/{TASK}",
            f'{{"id": "{TASK}", "object": "video.generation.task", "status": "cancelled"}}',
        ),
        _task("cancelled"),
    ),
)  # fmt: skip
