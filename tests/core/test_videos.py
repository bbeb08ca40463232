"""The common shape of videos: what is read, what is refused by name, what is answered."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Refusal
from proxy.core.paths import JOBS
from proxy.core.videos import (
    LISTS,
    PROMPT_CHARS_MAX,
    Reference,
    Status,
    VideoProgress,
    VideoRequest,
    accepted,
    finished,
    read_video,
    segment,
    with_usual_model,
)

FIELDS = (
    "model",
    "prompt",
    "image_url",
    "real_face_asset_id",
    "last_frame_url",
    "reference_image_urls",
    "reference_videos",
    "reference_audios",
    "input_type",
    "duration_seconds",
    "resolution",
    "aspect_ratio",
    "generate_audio",
    "seed",
    "watermark",
    "return_last_frame",
)
"""providers/README.md, "BlockRun: what else its routes do", "Body fields"."""

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
progresses = st.sampled_from(["queued", "in_progress", "completed", "failed"])


def read(**fields: Any) -> VideoRequest:
    """Read a body that must be fine; its prompt is given."""
    request = read_video({"prompt": "a wave", **fields})
    assert isinstance(request, VideoRequest), request
    return request


def test_every_documented_field() -> None:
    """Each of BlockRun's fields is read, into one place."""
    everything = read_video(
        {
            "model": "bytedance/seedance-2.0",
            "prompt": "a wave",
            "image_url": "https://x/first.png",
            "last_frame_url": "https://x/last.png",
            "reference_image_urls": ["https://x/1.png", "asset://cgt-1"],
            "reference_videos": ["https://x/1.mp4"],
            "reference_audios": ["https://x/1.mp3"],
            "input_type": "reference",
            "duration_seconds": 5,
            "resolution": "720p",
            "aspect_ratio": "16:9",
            "generate_audio": False,
            "seed": 0,
            "watermark": False,
            "return_last_frame": True,
        }
    )
    assert everything == VideoRequest(
        model="bytedance/seedance-2.0",
        prompt="a wave",
        references=(
            Reference("image", "https://x/1.png", "reference_image_urls"),
            Reference("image", "asset://cgt-1", "reference_image_urls"),
            Reference("video", "https://x/1.mp4", "reference_videos"),
            Reference("audio", "https://x/1.mp3", "reference_audios"),
        ),
        first_frame="https://x/first.png",
        last_frame="https://x/last.png",
        duration_s=5,
        resolution="720p",
        ratio="16:9",
        audio=False,
        seed=0,
        watermark=False,
        return_last_frame=True,
        input_type="reference",
    )


@pytest.mark.parametrize("asset", ["cgt-20260609-abc123", "asset://cgt-20260609-abc123"])
def test_asset_comes_first(asset: str) -> None:
    """An enrolled face is the first image, however its id is written."""
    request = read(real_face_asset_id=asset, reference_image_urls=["https://x/2.png"])
    assert [each.url for each in request.references] == [
        "asset://cgt-20260609-abc123",
        "https://x/2.png",
    ]
    assert request.references[0].given_as == "real_face_asset_id"
    assert request.model is None


def test_reference_that_nobody_named() -> None:
    """A reference made by hand goes by the usual field of its kind."""
    assert {kind: Reference(kind, "https://x").given_as for kind in LISTS} == LISTS


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "bad_request", "prompt"),
    ({"prompt": ""}, "bad_request", "prompt"),
    ({"prompt": None}, "bad_request", "prompt"),
    ({"prompt": "x" * (PROMPT_CHARS_MAX + 1)}, "bad_request", "prompt"),
    ({"model": 5}, "bad_request", "model"),
    ({"image_url": ["https://x"]}, "bad_request", "image_url"),
    ({"real_face_asset_id": "asset://"}, "bad_request", "real_face_asset_id"),
    ({"real_face_asset_id": 7}, "bad_request", "real_face_asset_id"),
    ({"reference_image_urls": "https://x"}, "bad_request", "reference_image_urls"),
    ({"reference_videos": [{"url": "https://x"}]}, "bad_request", "reference_videos"),
    ({"reference_audios": [""]}, "bad_request", "reference_audios"),
    ({"duration_seconds": "5"}, "bad_request", "duration_seconds"),
    ({"duration_seconds": 5.0}, "bad_request", "duration_seconds"),
    ({"duration_seconds": True}, "bad_request", "duration_seconds"),
    ({"generate_audio": 1}, "bad_request", "generate_audio"),
    ({"watermark": "no"}, "bad_request", "watermark"),
    ({"seed": 1.5}, "bad_request", "seed"),
    ({"image_url": "https://x", "real_face_asset_id": "ta_1"}, "bad_request", "image_url"),
    ({"image_url": "https://x", "real_face_asset_id": "ta_1"}, "bad_request", "real_face_asset_id"),
    ({"ratio": "16:9"}, "field_not_supported", "ratio"),
    ({"Prompt": "x"}, "field_not_supported", "Prompt"),
    ({"x" * 9999: 1}, "field_not_supported", "xxx"),
]


@pytest.mark.parametrize(("fields", "code", "name"), WRONG)
def test_wrong_fields(fields: dict[str, Any], code: str, name: str) -> None:
    """What is wrong is refused by its name, in a message that stays short."""
    refusal = read_video(({"prompt": "a wave"} | fields) if fields else {})
    assert isinstance(refusal, Refusal)
    assert (refusal.code, name in refusal.message) == (code, True)
    assert len(refusal.message) < 500


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), json, max_size=5))
def test_any_json(fields: dict[str, Any]) -> None:
    """Nothing that JSON can hold is more than a refusal, which names a field that is at fault."""
    read = read_video(fields)
    if isinstance(read, Refusal):
        named = (*fields, "prompt")
        assert any(ascii(each)[1:30].rstrip("'\"") in read.message for each in named)
    else:
        assert set(fields) <= set(FIELDS)


def test_accepted() -> None:
    """The 202 of BlockRun, with who serves it and what it said."""
    raw = {"id": "cgt-1", "status": "queued"}
    assert accepted("cgt:1", "byteplus/seedance-2.0", VideoProgress("queued"), "pomex", raw, 5) == {
        "id": "cgt:1",
        "object": "video.generation.job",
        "status": "queued",
        "model": "byteplus/seedance-2.0",
        "duration_seconds": 5,
        "poll_url": "/v1/videos/generations/cgt%3A1",
        "provider": "pomex",
        "provider_response": raw,
    }


@pytest.mark.parametrize("duration_s", [None, -1])
def test_accepted_with_little_known(duration_s: int | None) -> None:
    """A model that nobody knows and a duration left to the model are not told."""
    answer = accepted("pd_1", "", VideoProgress("in_progress"), "sunra", {}, duration_s)
    assert "model" not in answer
    assert "duration_seconds" not in answer
    assert "data" not in finished("pd_1", "m", VideoProgress("failed"), "sunra", {}, duration_s)


def test_completed() -> None:
    """The 200 of BlockRun, with the video; the provider's own duration before the asked one."""
    progress = VideoProgress("completed", "https://x/1.mp4", duration_s=6)
    answer = finished("pd_1", "m", progress, "sunra", {"video": {}}, 5)
    assert answer == {
        "id": "pd_1",
        "object": "video.generation.job",
        "status": "completed",
        "model": "m",
        "data": [{"url": "https://x/1.mp4", "request_id": "pd_1", "duration_seconds": 6}],
        "provider": "sunra",
        "provider_response": {"video": {}},
    }


def test_completed_without_a_video() -> None:
    """A provider that names none is believed: nobody is made to buy a second one."""
    answer = finished("pd_1", "m", VideoProgress("completed"), "sunra", {})
    assert (answer["status"], answer["data"]) == ("completed", [])


def test_failed() -> None:
    """A failure says why."""
    answer = finished("1", "m", VideoProgress("failed", error="unsafe"), "pomex", {})
    assert (answer["status"], answer["error"]) == ("failed", "unsafe")
    silent = finished("1", "m", VideoProgress("failed"), "pomex", {})
    assert silent["error"] == "the provider gives no reason"


@pytest.mark.parametrize("write", [accepted, finished])
@given(job=st.text(), status=progresses, url=st.none() | st.text(), raw=json)
def test_any_answer(
    write: Callable[..., dict[str, Any]], job: str, status: Status, url: str | None, raw: Any
) -> None:
    """Every answer has the provider's id, its state, its name and its own words."""
    answer = write(job, "m", VideoProgress(status, url), "p", raw)
    assert answer["provider_response"] is raw
    assert (answer["id"], answer["status"], answer["provider"]) == (job, status, "p")


@given(st.text(st.characters(), max_size=20) | st.sampled_from([".", "..", "", "a/../b", "%2e"]))
def test_segments(id_: str) -> None:
    """An id stays in its segment, and only ids that nobody gives out become another."""
    written = segment(id_)
    assert written not in ("", ".", "..")
    assert not set(written) & set("/?#\\ %") - {"%"}
    assert written.isascii()
    assert id_ in ("", ".", "..") or unquote(written, errors="surrogatepass") == id_


def test_final_states() -> None:
    """Completed and failed are the end."""
    final = [s for s in ("queued", "in_progress", "completed", "failed") if _is_final(s)]
    assert final == ["completed", "failed"]


CONCLUDED = [
    (VideoProgress("failed", error="a"), VideoProgress("completed", "https://x"), ("failed", "a")),
    (VideoProgress("failed", error="a"), VideoProgress("failed", error="b"), ("failed", "b")),
    (VideoProgress("failed", error="a"), VideoProgress("in_progress"), ("failed", "a")),
    (VideoProgress("completed"), VideoProgress("failed", error="b"), ("failed", "b")),
    (VideoProgress("completed"), VideoProgress("in_progress"), ("in_progress", None)),
]


@pytest.mark.parametrize(("status", "outcome", "told"), CONCLUDED)
def test_state_and_result(
    status: VideoProgress, outcome: VideoProgress, told: tuple[str, str | None]
) -> None:
    """A result tells more of a failure, and undoes none; else it has the last word."""
    together = status.concluded(outcome)
    assert (together.status, together.error) == told


def _is_final(status: Any) -> bool:
    return VideoProgress(status).is_final


@pytest.mark.parametrize(
    ("method", "path", "fields", "model", "expected"),
    [
        ("POST", JOBS, {"prompt": "x"}, "a/b", {"prompt": "x", "model": "a/b"}),
        ("POST", JOBS, {"prompt": "x"}, None, {"prompt": "x"}),
        ("POST", JOBS, {"model": "c/d"}, "a/b", {"model": "c/d"}),
        ("POST", JOBS, {"model": None}, "a/b", {"model": None}),
        ("POST", JOBS, {}, "a/b", {}),
        ("GET", JOBS, {"prompt": "x"}, "a/b", {"prompt": "x"}),
        ("POST", "/v1/chat/completions", {"prompt": "x"}, "a/b", {"prompt": "x"}),
    ],
)
def test_usual_models(
    method: str, path: str, fields: dict[str, Any], model: str | None, expected: dict[str, Any]
) -> None:
    """Only a submission that says nothing of a model gets one; any other is the very same."""
    found = with_usual_model(method, path, fields, model)
    assert found == expected
    assert (found is fields) == (expected == fields)
