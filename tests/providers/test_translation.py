"""Videos in the common shape at Sunra and PomexAI: each example of their documents, both ways.

Sources, by file and section: `sunra-ark-assets.txt`, `pomex-real-human-assets.txt` and
`blockrun-virtual-portrait.txt`; "README" is that of the folder with the three.
"""

from dataclasses import replace
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config import Kind
from proxy.core.errors import Refusal
from proxy.core.videos import (
    LISTS,
    PROMPT_CHARS_MAX,
    Reference,
    RefKind,
    VideoProgress,
    VideoRequest,
    finished,
    read_video,
)
from proxy.providers import LORE
from proxy.providers.lore import NativeCall
from proxy.providers.translation import marked, worded
from proxy.sandbox import SandboxOptions, sandbox
from tests.exchange.conftest import until

FACE = "asset://cgt-20260609-abc123"
RACHEL = "asset://asset-20260619150241-b8xd4"
FAST_RELAY = "bytedance/seedance-2.0-fast-relay"
WAVES = "The person in image 1 smiles and waves at the camera. Indoor, natural light."


def translated(kind: Kind, *extra: str, **fields: Any) -> NativeCall | Refusal:
    """What becomes of a body in BlockRun's fields."""
    request = read_video({"prompt": "a wave", **fields})
    assert isinstance(request, VideoRequest), request
    call = LORE[kind].video_call(request, extra)
    assert call is not None
    return call


def call(kind: Kind, *extra: str, **fields: Any) -> NativeCall:
    """The call that becomes of a body that can be expressed."""
    found = translated(kind, *extra, **fields)
    assert isinstance(found, NativeCall), found
    return found


def image(url: str) -> dict[str, Any]:
    """A picture as PomexAI's content holds it."""
    return {"type": "image_url", "image_url": {"url": url}, "role": "reference_image"}


REQUESTS: list[tuple[str, Kind, dict[str, Any], str, dict[str, Any]]] = [
    (
        "sunra, Using the asset in Seedance 2.0: the curl example",
        "sunra",
        {
            "model": f"{FAST_RELAY}/reference-to-video",
            "prompt": "the person in @Image1 is talking to the camera",
            "real_face_asset_id": FACE,
            "resolution": "720p",
            "aspect_ratio": "adaptive",
            "duration_seconds": 5,
            "generate_audio": True,
        },
        f"/v1/queue/{FAST_RELAY}/reference-to-video",
        {
            "prompt": "the person in @Image1 is talking to the camera",
            "reference_images": [FACE],
            "resolution": "720p",
            "ratio": "adaptive",
            "duration": 5,
            "generate_audio": True,
        },
    ),
    (
        "README, The common shape: a relay model without an endpoint",
        "sunra",
        {
            "model": "bytedance/seedance-2.0-relay",
            "prompt": "image 1 walks like [Video 1] to audio 1",
            "reference_image_urls": [FACE],
            "reference_videos": ["asset://cgt-v"],
            "reference_audios": ["asset://cgt-a"],
            "duration_seconds": -1,
        },
        "/v1/queue/bytedance/seedance-2.0-relay/reference-to-video",
        {
            "prompt": "@Image1 walks like @Video1 to @Audio1",
            "reference_images": [FACE],
            "reference_videos": ["asset://cgt-v"],
            "reference_audios": ["asset://cgt-a"],
            "duration": -1,
        },
    ),
    (
        "README, More facts: a model that names its endpoint",
        "sunra",
        {"model": "bytedance/seedance-2.0/text-to-video", "resolution": "480p"},
        "/v1/queue/bytedance/seedance-2.0/text-to-video",
        {"prompt": "a wave", "resolution": "480p"},
    ),
    (
        "pomex, Generate a Video From an Asset: the request",
        "pomex",
        {"model": "byteplus/seedance-2.0-fast", "prompt": WAVES, "real_face_asset_id": RACHEL},
        "/v1/video/generations",
        {
            "model": "byteplus/seedance-2.0-fast",
            "content": [{"type": "text", "text": WAVES}, image(RACHEL)],
        },
    ),
    (
        "pomex, End-to-End Quickstart, step 6, in Sunra's wording and with a second picture",
        "pomex",
        {
            "model": "byteplus/seedance-2.0-fast",
            "prompt": "The person in @Image1 waves at @image 2.",
            "real_face_asset_id": "asset-xxxx",
            "reference_image_urls": ["https://x/2.png"],
        },
        "/v1/video/generations",
        {
            "model": "byteplus/seedance-2.0-fast",
            "content": [
                {"type": "text", "text": "The person in image 1 waves at image 2."},
                image("asset://asset-xxxx"),
                image("https://x/2.png"),
            ],
        },
    ),
    (
        "blockrun, Using the enrolled portrait, with a portrait of PomexAI's",
        "pomex",
        {
            "model": "byteplus/seedance-2.0",
            "prompt": "the character smiles warmly and waves at the camera",
            "real_face_asset_id": "asset-20260619150241-b8xd4",
        },
        "/v1/video/generations",
        {
            "model": "byteplus/seedance-2.0",
            "content": [
                {"type": "text", "text": "the character smiles warmly and waves at the camera"},
                image(RACHEL),
            ],
        },
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields", "path", "body"), [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS]
)
def test_requests(kind: Kind, fields: dict[str, Any], path: str, body: dict[str, Any]) -> None:
    """A request in BlockRun's fields becomes the call that the provider documents."""
    assert call(kind, **fields) == NativeCall("POST", path, body)


RELAY = {"model": FAST_RELAY, "reference_image_urls": [FACE]}
DIRECT = {"model": "bytedance/seedance-2.0/text-to-video"}
POMEX = {"model": "byteplus/seedance-2.0"}
REFUSED: list[tuple[Kind, dict[str, Any], str, str]] = [
    ("sunra", RELAY | {"seed": 1}, "seed", "document"),
    ("sunra", RELAY | {"watermark": False}, "watermark", "extra_fields"),
    ("sunra", RELAY | {"return_last_frame": False}, "return_last_frame", "document"),
    ("sunra", RELAY | {"input_type": "text"}, "input_type", "document"),
    ("sunra", RELAY | {"image_url": "https://x"}, "image_url", "frames"),
    ("sunra", RELAY | {"last_frame_url": "https://x"}, "last_frame_url", "frames"),
    ("sunra", RELAY | {"resolution": "4k"}, "resolution", "1080p"),
    ("sunra", RELAY | {"duration_seconds": 3}, "duration_seconds", "4 to 15"),
    ("sunra", RELAY | {"duration_seconds": 16}, "duration_seconds", "4 to 15"),
    ("sunra", RELAY | {"reference_image_urls": [FACE] * 10}, "reference_image_urls", "9"),
    ("sunra", {"model": FAST_RELAY}, "model", "endpoint"),
    ("sunra", {"model": "bytedance/seedance-2.0-fast"}, "model", "endpoint"),
    ("sunra", DIRECT | {"reference_videos": ["https://x"]}, "reference_videos", "references"),
    ("sunra", DIRECT | {"real_face_asset_id": FACE}, "real_face_asset_id", "references"),
    (
        "sunra",
        {"model": "bytedance/seedance-2.0/reference-to-video", "reference_image_urls": [FACE]},
        "reference_image_urls",
        "relay",
    ),
    ("sunra", {"model": FAST_RELAY, "real_face_asset_id": "ta_1"}, "real_face_asset_id", "BlockR"),
    ("pomex", POMEX | {"real_face_asset_id": "ta_1"}, "real_face_asset_id", "BlockRun"),
    ("pomex", POMEX | {"duration_seconds": 5}, "duration_seconds", "extra_fields"),
    ("pomex", POMEX | {"resolution": "720p"}, "resolution", "extra_fields"),
    ("pomex", POMEX | {"aspect_ratio": "16:9"}, "aspect_ratio", "add ratio"),
    ("pomex", POMEX | {"generate_audio": False}, "generate_audio", "document"),
    ("pomex", POMEX | {"image_url": RACHEL}, "image_url", "reference_image_urls"),
    ("pomex", POMEX | {"reference_videos": ["https://x"]}, "reference_videos", "images only"),
    ("pomex", POMEX | {"reference_audios": ["https://x"]}, "reference_audios", "images only"),
]


@pytest.mark.parametrize(("kind", "fields", "name", "reason"), REFUSED)
def test_what_cannot_be_expressed(
    kind: Kind, fields: dict[str, Any], name: str, reason: str
) -> None:
    """It is a 400 that says which field and why."""
    refusal = translated(kind, **fields)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("field_not_supported", 400)
    assert f"{name}: " in refusal.message
    assert reason in refusal.message


def test_all_that_cannot_be_expressed() -> None:
    """One refusal names every field, so that one correction is enough."""
    refusal = translated("pomex", **POMEX, seed=1, watermark=True, reference_audios=["a", "b"])
    assert isinstance(refusal, Refusal)
    assert refusal.message.count("reference_audios") == 1
    assert all(f"{name}: " in refusal.message for name in ("seed", "watermark"))


BAD_MODELS = ["", "requests/pd_1", "a//b", "../ark/assets", "a/./b", "/a", "a/"]


@pytest.mark.parametrize("kind", ["sunra", "pomex"])
def test_no_model(kind: Kind) -> None:
    """A request that names none, where the config has no default, is told so."""
    refusal = translated(kind)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message.startswith("model: ")) == ("bad_request", True)


@pytest.mark.parametrize("model", BAD_MODELS)
def test_model_that_would_leave_the_queue(model: str) -> None:
    """A model is part of Sunra's path, and cannot make another path of it."""
    refusal = LORE["sunra"].video_call(VideoRequest(model, "a wave"), ())
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message.startswith("model: ")) == ("bad_request", True)


def test_model_with_strange_letters() -> None:
    """Whatever a model holds is quoted."""
    assert call("sunra", model="a?b/c d#e").path == "/v1/queue/a%3Fb/c%20d%23e"


def test_undocumented_fields_that_the_config_allows() -> None:
    """They go out under the provider's names, as they were given."""
    extra = ("resolution", "ratio", "duration", "seed")
    options = {"resolution": "720p", "aspect_ratio": "16:9", "duration_seconds": 5, "seed": 7}
    sent = call("pomex", *extra, **POMEX, **options).body
    assert sent is not None
    assert {k: v for k, v in sent.items() if k != "content"} == POMEX | {
        "resolution": "720p",
        "ratio": "16:9",
        "duration": 5,
        "seed": 7,
    }
    framed = call("sunra", "image_url", **DIRECT, image_url="https://x").body
    assert framed == {"prompt": "a wave", "image_url": "https://x"}
    loose = call("sunra", "reference_images", **DIRECT, reference_image_urls=["https://x"]).body
    assert loose == {"prompt": "a wave", "reference_images": ["https://x"]}


@pytest.mark.parametrize("kind", ["blockrun", "http"])
def test_who_speaks_the_common_shape(kind: Kind) -> None:
    """Nothing is translated for them, and their jobs are asked for where they always were."""
    lore = LORE[kind]
    assert lore.video_call(VideoRequest(None, "a wave"), ()) is None
    assert lore.video_poll("azure:1") == NativeCall("GET", "/v1/videos/generations/azure%3A1")
    assert lore.video_result("azure:1") is None


POLLS: list[tuple[Kind, str, str | None]] = [
    ("sunra", "/v1/queue/requests/{}/status", "/v1/queue/requests/{}"),
    ("pomex", "/v1/video/generations/{}", None),
]


@pytest.mark.parametrize(("kind", "status", "result"), POLLS)
@pytest.mark.parametrize(
    ("job", "written"),
    [("pd_1", "pd_1"), ("../x", "..%2Fx"), ("..", "_"), ("a?b#c", "a%3Fb%23c"), ("\ud800", None)],
)
def test_polls(kind: Kind, status: str, result: str | None, job: str, written: str | None) -> None:
    """A job is asked for by its id, which cannot leave its segment."""
    written = written or "%ED%A0%80"
    assert LORE[kind].video_poll(job) == NativeCall("GET", status.format(written))
    further = LORE[kind].video_result(job)
    assert further == (None if result is None else NativeCall("GET", result.format(written)))


UNSAFE = {
    "code": "unsafe_content",
    "message": "The prediction may contain sensitive content.",
    "reason": "moderation_blocked",
}
UNSAFE_TEXT = "unsafe_content: The prediction may contain sensitive content."
MP4 = "https://x/output.mp4?sig=1"
ANSWERS: list[tuple[str, Kind, int, dict[str, Any], VideoProgress | None]] = [
    (
        "pomex, Generate a Video: Response 200",
        "pomex",
        200,
        {"id": "cgt-1", "object": "video.generation.task", "status": "queued"},
        VideoProgress("queued"),
    ),
    ("pomex, Status Values", "pomex", 200, {"status": "running"}, VideoProgress("in_progress")),
    (
        "pomex, Poll for the result",
        "pomex",
        200,
        {"id": "cgt-1", "status": "succeeded", "content": {"video_url": MP4}},
        VideoProgress("completed", MP4),
    ),
    (
        "pomex, Status Values: failed",
        "pomex",
        200,
        {"status": "failed", "error": {"message": "No.", "type": "job_failed"}},
        VideoProgress("failed", error="job_failed: No."),
    ),
    ("pomex, failed in silence", "pomex", 200, {"status": "failed"}, VideoProgress("failed")),
    (
        "README, More facts: PomexAI's cancelled",
        "pomex",
        200,
        {"status": "cancelled"},
        VideoProgress("failed", error="cancelled"),
    ),
    (
        "pomex, Error Handling: 503",
        "pomex",
        503,
        {"error": {"message": "retry", "type": "x"}},
        None,
    ),
    ("pomex, Error Handling: 404", "pomex", 404, {"status": "failed"}, None),
    ("pomex, a state of tomorrow", "pomex", 200, {"status": "resting"}, None),
    ("sunra, README: a submission has no state", "sunra", 200, {"request_id": "pd_1"}, None),
    (
        "README, Answers of Sunra's queue: waiting",
        "sunra",
        200,
        {"status": "IN_QUEUE", "request_id": "pd_1", "queue_position": 3, "response_url": "u"},
        VideoProgress("queued"),
    ),
    ("README, running", "sunra", 200, {"status": "IN_PROGRESS"}, VideoProgress("in_progress")),
    (
        "README, done",
        "sunra",
        200,
        {"status": "COMPLETED", "success": True},
        VideoProgress("completed"),
    ),
    (
        "sunra, Using the asset: success false and unsafe_content",
        "sunra",
        200,
        {"status": "COMPLETED", "success": False, "error": UNSAFE},
        VideoProgress("failed", error=UNSAFE_TEXT),
    ),
    ("README, Sunra's rate limit", "sunra", 403, {"error": {"message": "Rate limit"}}, None),
    (
        "README, BlockRun's poll: running",
        "blockrun",
        202,
        {"status": "queued", "payment_status": "verified"},
        VideoProgress("queued"),
    ),
    (
        "README, BlockRun's poll: completed",
        "blockrun",
        200,
        {"status": "completed", "data": [{"url": MP4, "duration_seconds": 5}]},
        VideoProgress("completed", MP4, duration_s=5),
    ),
    (
        "README, BlockRun's poll: failed",
        "blockrun",
        200,
        {"status": "failed", "payment_status": "not_charged", "error": "Upstream"},
        VideoProgress("failed", error="Upstream"),
    ),
    ("README, BlockRun's poll: 504", "blockrun", 504, {"status": "failed"}, None),
]


@pytest.mark.parametrize(
    ("kind", "status", "answer", "progress"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
def test_answers(
    kind: Kind, status: int, answer: dict[str, Any], progress: VideoProgress | None
) -> None:
    """A provider's states are BlockRun's; what is no state says nothing about the video."""
    assert LORE[kind].video_progress(status, answer) == progress


FAILED = {"error": {"type": "x", "code": "PREDICTION_FAILED", "message": "m", "details": UNSAFE}}
OUTCOMES: list[tuple[str, int, dict[str, Any], VideoProgress]] = [
    ("a video", 200, {"video": {"url": MP4}}, VideoProgress("completed", MP4)),
    ("another shape", 200, {"output": MP4}, VideoProgress("completed")),
    ("no link", 200, {"video": {"url": "javascript:x"}}, VideoProgress("completed")),
    ("a failure", 400, FAILED, VideoProgress("failed", error=UNSAFE_TEXT)),
    (
        "details in a word",
        400,
        {"error": {"code": "PREDICTION_FAILED", "details": "unsafe_content"}},
        VideoProgress("failed", error="unsafe_content: PREDICTION_FAILED"),
    ),
    (
        "details that say nothing",
        400,
        {"error": {"code": "PREDICTION_FAILED", "message": "m", "details": {"n": 1}}},
        VideoProgress("failed", error="PREDICTION_FAILED: m"),
    ),
    ("no success", 200, {"success": False}, VideoProgress("failed")),
    (
        "too early",
        400,
        {"error": {"code": "PREDICTION_NOT_COMPLETED"}},
        VideoProgress("in_progress"),
    ),
    ("a rate limit", 403, {"error": {"message": "Rate limit"}}, VideoProgress("in_progress")),
    ("trouble", 502, {}, VideoProgress("in_progress")),
]


@pytest.mark.parametrize(
    ("status", "answer", "progress"), [o[1:] for o in OUTCOMES], ids=[o[0] for o in OUTCOMES]
)
def test_outcomes(status: int, answer: dict[str, Any], progress: VideoProgress) -> None:
    """Sunra's result is the video or why there is none; trouble on the way is neither."""
    assert LORE["sunra"].video_outcome(status, answer) == progress


def test_outcomes_of_the_others() -> None:
    """Where no result is asked for, its answer would be read as a status."""
    assert LORE["blockrun"].video_outcome(200, {"status": "failed"}).status == "failed"
    assert LORE["pomex"].video_outcome(500, {}) == VideoProgress("in_progress")


MEMBERS = (
    "status success error video content data url video_url code message details type "
    "duration_seconds"
)
names = st.sampled_from(MEMBERS.split())
texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
states = st.sampled_from(["COMPLETED", "IN_QUEUE", "succeeded", "failed", "completed", "queued"])


@given(
    kind=st.sampled_from(["sunra", "pomex", "blockrun"]),
    http_status=st.sampled_from([200, 202, 400, 403, 500]),
    answer=st.dictionaries(names, values, max_size=5),
    state=st.none() | states,
)
def test_hostile_answers(
    kind: Kind, http_status: int, answer: dict[str, Any], state: str | None
) -> None:
    """Nothing that a provider answers is a fault here, and a link is always one."""
    if state is not None:
        answer["status"] = state
    lore = LORE[kind]
    for each in (
        lore.video_progress(http_status, answer),
        lore.video_outcome(http_status, answer),
    ):
        if each is not None:
            assert each.url is None or each.url.startswith("http")
            assert each.error is None or 0 < len(each.error) <= 1000
            finished("1", "m", each, kind, answer)


def test_reason_without_end() -> None:
    """A failure's words are repeated up to a length."""
    for error in ("x" * 9999, {"message": "x" * 9999}, {"details": "x" * 9999}):
        progress = LORE["pomex"].video_progress(200, {"status": "failed", "error": error})
        assert progress is not None
        assert progress.error is not None
        assert len(progress.error) == 1000


GIVEN = {
    "image_url": st.sampled_from(["https://x/first"]),
    "real_face_asset_id": st.sampled_from(["asset-1", "asset://cgt-1", "ta_1"]),
    "last_frame_url": st.sampled_from(["https://x/last"]),
    "reference_image_urls": st.lists(
        st.sampled_from(["https://x/i", FACE]), min_size=1, max_size=11
    ),
    "reference_videos": st.lists(st.sampled_from(["https://x/v"]), min_size=1, max_size=2),
    "reference_audios": st.lists(st.sampled_from(["https://x/a"]), min_size=1, max_size=2),
    "input_type": st.sampled_from(["text"]),
    "duration_seconds": st.integers(-2, 20),
    "resolution": st.sampled_from(["480p", "720p", "4k"]),
    "aspect_ratio": st.sampled_from(["16:9"]),
    "generate_audio": st.booleans(),
    "seed": st.integers(100, 200),
    "watermark": st.booleans(),
    "return_last_frame": st.booleans(),
}
NATIVE = {
    "duration_seconds": "duration",
    "aspect_ratio": "ratio",
    "reference_image_urls": "reference_images",
}
MODELS = [
    FAST_RELAY,
    f"{FAST_RELAY}/reference-to-video",
    "bytedance/seedance-2.0/text-to-video",
    "byteplus/seedance-2.0",
]


@given(
    kind=st.sampled_from(["sunra", "pomex"]),
    fields=st.fixed_dictionaries({"model": st.sampled_from(MODELS)}, optional=GIVEN),
    extra=st.sets(st.sampled_from([NATIVE.get(name, name) for name in GIVEN])),
)
def test_nothing_is_dropped(kind: Kind, fields: dict[str, Any], extra: set[str]) -> None:
    """Every given field is in the native call, or is refused by its name."""
    request = read_video({"prompt": "a wave", **fields})
    if isinstance(request, Refusal):
        assert {"image_url", "real_face_asset_id"} <= fields.keys()
        return
    call = LORE[kind].video_call(request, extra)
    if isinstance(call, Refusal):
        assert any(f"{name}: " in call.message for name in fields)
        return
    assert call is not None
    assert call.body is not None
    assert call.body.get("model") == fields["model"] or fields["model"] in call.path
    sent = [*_leaves(call.body)]
    for name, value in fields.items():
        if name == "real_face_asset_id":
            assert f"asset://{value.removeprefix('asset://')}" in sent
        elif name in LISTS.values():
            assert all(sent.count(url) >= value.count(url) for url in value)
        elif name != "model":
            assert call.body[NATIVE.get(name, name)] == value


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in _leaves(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in _leaves(child)]
    return [value]


def pictured(**counts: int) -> VideoRequest:
    """A request with so many references of each kind."""
    references = [
        Reference(cast("RefKind", kind), "https://x")
        for kind, n in counts.items()
        for _ in range(n)
    ]
    return VideoRequest("m", "p", tuple(references))


WORDINGS = [
    ("the person in image 1 waves", "the person in @Image1 waves", None),
    ("Image 1 waves at [image 2].", "@Image1 waves at @Image2.", None),
    ("[Image 1]waves", "@Image1 waves", None),
    ("[image 1]image 2", "@Image1 @Image2", None),
    ("@[image 1]'s face", "@Image1's face", None),
    ("@image1, @IMAGE 2", "@Image1, @Image2", "image 1, image 2"),
    ("in @Image1's house", "in @Image1's house", "in image 1's house"),
    ("图@Image1中", "图@Image1中", "图 image 1中"),
    ("a@Image1", "a@Image1", "a image 1"),
    ("图中image 1和image 2", "图中@Image1和@Image2", None),
    ("@Video1 and [audio 1]", "@Video1 and @Audio1", None),
    ("image 3, @Image3, image 0", "image 3, @Image3, image 0", None),
    ("image 1.5x, image 1:1, image 1%", "image 1.5x, image 1:1, image 1%", None),
    ("imagery 1, images 1, image 12", "imagery 1, images 1, image 12", None),
    ("me@Image1st and pre-image 1", "me@Image1st and pre-image 1", None),
]


@pytest.mark.parametrize(("prompt", "at_sunra", "at_pomex"), WORDINGS)
def test_wordings(prompt: str, at_sunra: str, at_pomex: str | None) -> None:
    """A pointer at a reference there is becomes the provider's own; other text is let alone."""
    assert marked(prompt, pictured(image=2, video=1, audio=1)) == at_sunra
    assert worded(prompt, pictured(image=2)) == (prompt if at_pomex is None else at_pomex)


PIECES = "image |Image|video |1|2|[|]|@| |-|.|5|x|图|\n|[image 1]|image 2|@Image1|@image 2"
pieces = st.sampled_from(PIECES.split("|"))


@given(st.lists(pieces | st.text(max_size=2), max_size=12).map("".join))
def test_any_prompt(prompt: str) -> None:
    """Wording twice is wording once, and without references there is nothing to word."""
    request = pictured(image=2, video=1)
    for wording in (marked, worded):
        once = wording(prompt, request)
        assert wording(once, request) == once
        assert wording(prompt, pictured()) == prompt


@pytest.mark.parametrize("piece", ["@", "@image", "@[", "image "])
def test_prompt_that_never_points(piece: str) -> None:
    """Marks without end, of which none is one, are read through once."""
    prompt = piece * (PROMPT_CHARS_MAX // len(piece))
    request = replace(pictured(image=1), prompt=prompt)
    assert marked(prompt, request) == worded(prompt, request) == prompt


@given(st.text(st.characters(exclude_characters="0123456789"), max_size=40))
def test_prompt_without_numbers(prompt: str) -> None:
    """What points at nothing stays as it is."""
    assert marked(prompt, pictured(image=2)) == prompt == worded(prompt, pictured(image=2))


async def ask(http: aiohttp.ClientSession, base: str, native: NativeCall) -> tuple[int, Any]:
    """Call a provider in miniature."""
    async with http.request(native.method, base + native.path, json=native.body) as answer:
        return answer.status, await answer.json()


UPLOADS: dict[Kind, tuple[NativeCall, str]] = {
    "sunra": (
        NativeCall("POST", "/v1/ark/assets", {"source_url": "https://x/face.jpg"}),
        FAST_RELAY,
    ),
    "pomex": (
        NativeCall("POST", "/v1/video/assets", {"url": "https://x/f.jpg", "asset_type": "Image"}),
        "byteplus/seedance-2.0",
    ),
}


@pytest.mark.parametrize("kind", ["sunra", "pomex"])
@pytest.mark.parametrize(
    ("prompt", "end"), [("image 1 waves", "completed"), ("image 1 [unsafe]", "failed")]
)
async def test_sandbox_understands(kind: Kind, prompt: str, end: str) -> None:
    """What is translated is taken by the provider in miniature, and its end is read."""
    lore, (upload, model) = LORE[kind], UPLOADS[kind]
    async with (
        sandbox(SandboxOptions(api_key="k", job_s=0.05, asset_s=0)) as site,
        aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as http,
    ):
        base = site.sunra_url if kind == "sunra" else site.pomex_url
        _, uploaded = await ask(http, base, upload)
        asset = uploaded.get("ark_asset_id", uploaded["id"])
        native = call(kind, model=model, prompt=prompt, real_face_asset_id=asset)
        status, submitted = await ask(http, base, native)
        assert status == 200, submitted
        (job,) = lore.given_out(native.method, native.path, native.body or {}, submitted)
        told = await until(
            lambda: ask(http, base, lore.video_poll(job.id)),
            lambda got: (progress := lore.video_progress(*got)) is not None and progress.is_final,
        )
        progress, further = lore.video_progress(*told), lore.video_result(job.id)
        if further is not None:
            progress = lore.video_outcome(*await ask(http, base, further))
    assert progress is not None
    assert (progress.status, progress.url is not None) == (end, end == "completed")
    assert (progress.error or "unsafe_content").startswith("unsafe_content")


def test_default_model() -> None:
    """A request that names no model is made whole by whoever knows the config."""
    request = read_video({"prompt": "a wave", "real_face_asset_id": "cgt-1"})
    assert isinstance(request, VideoRequest)
    native = LORE["sunra"].video_call(replace(request, model=FAST_RELAY), ())
    assert isinstance(native, NativeCall)
    assert native.path.endswith("-fast-relay/reference-to-video")
