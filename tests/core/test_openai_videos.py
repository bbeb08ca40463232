"""OpenAI's shape for videos: its fields, and what an answer becomes in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import videos
from proxy.core.errors import Refusal
from proxy.core.openai_answers import clip_link, listed, remembered, video
from proxy.core.openai_requests import (
    FLAGS,
    LIST_DEFAULT,
    WHOLE,
    Asked,
    Call,
    Page,
    form_fields,
    read_call,
    read_create,
    read_page,
    unsupported_upload,
)

URL = "https://example.com/face.jpg"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.text() | st.sampled_from(
    [
        "seconds",
        "size",
        "input_reference",
        "input_reference[image_url]",
        "seed",
        "generate_audio",
        "model",
        "prompt",
        "reference_image_urls[]",
        "status",
        "data",
        "error",
        "id",
        "progress",
        "duration_seconds",
    ]
)


def create(**fields: Any) -> Asked | Refusal:
    """Read a request with a prompt."""
    return read_create({"prompt": "a wave"} | fields)


def refused(found: object) -> tuple[str, str]:
    """The code and the sentence of a refusal."""
    assert isinstance(found, Refusal)
    return found.code, found.message


@given(st.dictionaries(NAMES, JSON))
def test_any_fields(fields: dict[str, Any]) -> None:
    """They are read or refused; what is read can be written, and holds all that is not OpenAI's."""
    found = read_create(fields)
    if isinstance(found, Refusal):
        assert found.code in ("bad_request", "field_not_supported")
        return
    json.dumps(found.fields, sort_keys=True)
    ours = ("seconds", "size", "input_reference")
    kept = {name: value for name, value in fields.items() if name not in ours}
    assert kept.items() <= found.fields.items()


@given(st.lists(st.tuples(NAMES, st.text())))
def test_any_form(pairs: list[tuple[str, str]]) -> None:
    """Every name of it stands in what was read, or all of it is refused."""
    found = form_fields(pairs)
    if isinstance(found, Refusal):
        assert found.code in ("bad_request", "field_not_supported")
        assert found.message.isprintable()
    else:
        assert {name.partition("[")[0] for name, _ in pairs} == set(found)


@given(st.text(), st.dictionaries(NAMES, JSON))
def test_any_answer(job: str, answer: dict[str, Any]) -> None:
    """Whatever a provider says, a video is well formed or there is none."""
    found = video(job, answer)
    clip_link(answer)
    if found is None:
        return
    assert found["status"] in ("queued", "in_progress", "completed", "failed")
    assert 0 <= found["progress"] <= 100
    assert all(isinstance(found.get(name, ""), str) for name in ("model", "seconds", "size"))
    assert ("error" in found) == (found["status"] == "failed")
    assert remembered("", answer) is answer


SIZES = [
    ("720x1280", "720p", "9:16"),
    ("1280x720", "720p", "16:9"),
    ("1024x1792", "1080p", "9:16"),
    ("1792x1024", "1080p", "16:9"),
    ("1920x1080", "1080p", "16:9"),
    ("854x480", "480p", "16:9"),
    ("640x480", "480p", "4:3"),
    ("480x640", "480p", "3:4"),
    ("720x720", "720p", "1:1"),
    ("2560x1080", "1080p", "21:9"),
]


@pytest.mark.parametrize(("size", "resolution", "ratio"), SIZES)
def test_sizes(size: str, resolution: str, ratio: str) -> None:
    """A size is the nearest resolution, by its short side, and the nearest ratio."""
    found = create(size=size)
    assert isinstance(found, Asked)
    assert found.fields == {"prompt": "a wave", "resolution": resolution, "aspect_ratio": ratio}
    assert found.size == size


@pytest.mark.parametrize("size", ["512x512", "3840x2160", "1280x800", "480x1280", "00x00"])
def test_sizes_that_have_no_word(size: str) -> None:
    """A size that nobody makes is refused by its name, and not made into another."""
    code, message = refused(create(size=size))
    assert (code, size in message) == ("field_not_supported", True)


@pytest.mark.parametrize(
    "size",
    ["", "720", "720X1280", "720x", "1e3x720", "\u0667\u0662\u0660x\u0667\u0662\u0660", 720, [1]],
)
def test_sizes_that_are_none(size: object) -> None:
    """What is no size is a bad request, that says how one is written."""
    code, message = refused(create(size=size))
    assert (code, "two to five digits each" in message) == ("bad_request", True)


@pytest.mark.parametrize(("seconds", "number"), [("8", 8), (8, 8), ("08", 8), (99_999, 99_999)])
def test_seconds(seconds: object, number: int) -> None:
    """A duration is a number, however it is written."""
    found = create(seconds=seconds)
    assert isinstance(found, Asked)
    assert (found.fields["duration_seconds"], found.seconds) == (number, str(number))


@pytest.mark.parametrize("seconds", ["", "0", "-1", "4.0", "4s", "\u0664", True, 4.0, [4], 10**20])
def test_seconds_that_are_none(seconds: object) -> None:
    """What is no whole number of seconds is a bad request."""
    assert refused(create(seconds=seconds))[0] == "bad_request"


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ({"file_id": "file-1"}, "field_not_supported"),
        ({"file_id": "file-1", "image_url": URL}, "field_not_supported"),
        ({"image_url": "data:image/png;base64,AA=="}, "field_not_supported"),
        ({"image_url": 1}, "bad_request"),
        ({}, "bad_request"),
        (URL, "bad_request"),
    ],
)
def test_pictures_that_cannot_be_passed_on(reference: object, code: str) -> None:
    """Only a URL can be; the refusal says so."""
    found, message = refused(create(input_reference=reference))
    assert (found, '{"image_url": "https://…"}' in message) == (code, True)


def test_a_picture() -> None:
    """Its URL is the first frame's; what is null is not given."""
    found = create(input_reference={"image_url": URL, "file_id": None}, seconds=None, size=None)
    assert isinstance(found, Asked)
    assert found.fields == {"prompt": "a wave", "image_url": URL}
    assert (found.prompt, found.seconds, found.size) == ("a wave", None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"seconds": "8", "duration_seconds": 8},
        {"size": "1280x720", "resolution": "720p"},
        {"size": "1280x720", "aspect_ratio": "16:9"},
        {"input_reference": {"image_url": URL}, "image_url": URL},
    ],
)
def test_what_is_said_twice(fields: dict[str, Any]) -> None:
    """One of the two has to go, even where they agree."""
    code, message = refused(create(**fields))
    assert code == "bad_request"
    assert all(name in message for name in fields)


def test_the_fields_that_are_not_text() -> None:
    """A form is read for every field of the common shape that is a number or a flag."""
    kinds = {name: check for name, (check, _) in videos._FIELDS.items()}
    assert {name for name, check in kinds.items() if check is videos._is_whole} == set(WHOLE)
    assert {name for name, check in kinds.items() if check is videos._is_flag} == set(FLAGS)


def test_a_form() -> None:
    """Numbers, flags, lists and the reference come out as what they are; the rest is text."""
    pairs = [
        ("prompt", "a wave"),
        ("seconds", "8"),
        ("seed", "-7"),
        ("generate_audio", "false"),
        ("reference_image_urls[]", URL),
        ("reference_image_urls[]", URL),
        ("input_reference[image_url]", URL),
    ]
    assert form_fields(pairs) == {
        "prompt": "a wave",
        "seconds": "8",
        "seed": -7,
        "generate_audio": False,
        "reference_image_urls": [URL, URL],
        "input_reference": {"image_url": URL},
    }
    as_text = form_fields([("input_reference", json.dumps({"image_url": URL}))])
    assert as_text == {"input_reference": {"image_url": URL}}


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("prompt", "1"), ("prompt", "1")], "bad_request"),
        ([("a[]", "1"), ("a", "1")], "bad_request"),
        ([("a", "1"), ("a[]", "1")], "bad_request"),
        ([("input_reference[x]", "1"), ("input_reference[x]", "1")], "bad_request"),
        ([("input_reference[]", "1"), ("input_reference[x]", "1")], "bad_request"),
        ([("input_reference[x]", "1"), ("input_reference[]", "1")], "bad_request"),
        ([("input_reference", URL)], "bad_request"),
        ([("input_reference", "[]")], "bad_request"),
        ([("seed", "1.0")], "bad_request"),
        ([("seed", "")], "bad_request"),
        ([("generate_audio", "True")], "bad_request"),
        ([("a[b]", "1")], "field_not_supported"),
        ([("a[0][b]", "1")], "field_not_supported"),
        ([("\x00", "1")], "field_not_supported"),
        ([("", "1")], "field_not_supported"),
    ],
)
def test_forms_without_one_meaning(pairs: list[tuple[str, str]], code: str) -> None:
    """A name twice, a value of another type, a name that nobody knows how to read."""
    found, message = refused(form_fields(pairs))
    assert found == code
    assert pairs[-1][0].partition("[")[0].isprintable() or "\\x00" in message


@pytest.mark.parametrize("name", ["input_reference", "video"])
def test_files(name: str) -> None:
    """An uploaded file is refused by its field's name, which says to give a URL."""
    code, message = refused(unsupported_upload(name))
    assert code == "field_not_supported"
    assert message.startswith(f"{name}: ")


CALLS = [
    ("POST", "/v1/videos", Call("create")),
    ("GET", "/v1/videos", Call("list")),
    ("GET", "/v1/videos/azure:vidjob_1", Call("show", "azure:vidjob_1")),
    ("GET", "/v1/videos/azure%3Avidjob_1", Call("show", "azure:vidjob_1")),
    ("GET", "/v1/videos/x/content", Call("content", "x")),
    ("HEAD", "/v1/videos/x/content", Call("content", "x")),
    ("HEAD", "/v1/videos/x", Call("show", "x")),
    ("HEAD", "/v1/videos", Call("list")),
    ("POST", "/v1/videos/generations", None),
    ("GET", "/v1/videos/generations/x", None),
    ("GET", "/v1/videos/generations/content", None),
    ("GET", "/v1/videos/", None),
    ("GET", "/v1/videos/x/y", None),
    ("GET", "/v1/videos/characters/x/y", None),
    ("GET", "/v1/video", None),
    ("GET", "/v1/videosx", None),
    ("POST", "/v1/chat/completions", None),
]


@pytest.mark.parametrize(("method", "path", "call"), CALLS)
def test_calls(method: str, path: str, call: Call | None) -> None:
    """The calls of this shape are known by method and path; any other is somebody else's."""
    assert read_call(method, path) == call


READ = ("GET", "HEAD")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/videos/x", READ),
        ("OPTIONS", "/v1/videos/x", READ),
        ("PUT", "/v1/videos", ("POST", *READ)),
        ("OPTIONS", "/v1/videos/x/content", READ),
        ("POST", "/v1/videos/x/content", READ),
        ("POST", "/v1/videos/x/remix", ()),
        ("POST", "/v1/videos/edits", READ),
        ("POST", "/v1/videos/extensions", READ),
        ("POST", "/v1/videos/characters", READ),
        ("GET", "/v1/videos/characters/x", ()),
    ],
)
def test_calls_that_nobody_serves(method: str, path: str, allow: tuple[str, ...]) -> None:
    """What OpenAI has besides is refused; the refusal says what is served, there and at all."""
    refusal = read_call(method, path)
    code, message = refused(refusal)
    assert (code, "POST and GET /v1/videos" in message) == ("method_not_allowed", True)
    assert isinstance(refusal, Refusal)
    assert refusal.allow == allow


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, Page(LIST_DEFAULT, None, newest_first=True)),
        ({"limit": "1", "order": "asc", "after": "x"}, Page(1, "x", newest_first=False)),
        ({"limit": "100", "order": "desc"}, Page(100)),
    ],
)
def test_pages(query: dict[str, str], page: Page) -> None:
    """Limit, order and the id to go on after."""
    assert read_page(query) == page


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": "\u0661"}, {"order": "up"}],
)
def test_pages_that_are_none(query: dict[str, str]) -> None:
    """A page that cannot be is refused."""
    assert refused(read_page(query))[0] == "bad_request"


def test_a_page() -> None:
    """It names its ends; an empty one has none."""
    assert listed([{"id": "b"}, {"id": "a"}], has_more=True) == {
        "object": "list",
        "data": [{"id": "b"}, {"id": "a"}],
        "first_id": "b",
        "last_id": "a",
        "has_more": True,
    }
    assert listed([], has_more=False)["last_id"] is None


def test_a_new_video() -> None:
    """It repeats what was asked for; what nobody said is left out."""
    asked = create(model="m", seconds="8", size="1280x720")
    assert isinstance(asked, Asked)
    answer = {"id": "x", "status": "queued", "duration_seconds": 9}
    assert video("x", answer, created_at=5, asked=asked) == {
        "id": "x",
        "object": "video",
        "model": "m",
        "status": "queued",
        "progress": 0,
        "created_at": 5,
        "seconds": "8",
        "size": "1280x720",
        "prompt": "a wave",
    }
    assert set(video("x", answer | {"duration_seconds": True}) or {}) == {
        "id",
        "object",
        "status",
        "progress",
    }


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"duration_seconds": 8}, "8"),
        ({"data": [{"duration_seconds": 8.5}]}, "8.5"),
        ({"data": [{"duration_seconds": 8.0}]}, "8"),
        ({"data": [{"duration_seconds": -1}]}, None),
        ({"data": [None]}, None),
        ({"data": {}, "duration_seconds": "8"}, None),
    ],
)
def test_how_long_a_clip_is(answer: dict[str, Any], seconds: str | None) -> None:
    """By what the answer says; by nothing else."""
    found = video("x", {"status": "completed"} | answer)
    assert found is not None
    assert found.get("seconds") == seconds


@pytest.mark.parametrize(
    ("answer", "percent"),
    [
        ({"status": "queued", "progress": 40}, 0),
        ({"status": "in_progress"}, 50),
        ({"status": "in_progress", "progress": 40}, 40),
        ({"status": "in_progress", "progress": 40.9}, 40),
        ({"status": "in_progress", "progress": 101}, 50),
        ({"status": "in_progress", "progress": float("nan")}, 50),
        ({"status": "in_progress", "progress": True}, 50),
        ({"status": "in_progress", "provider_response": {"progress": 7}}, 7),
        ({"status": "in_progress", "provider_response": "x"}, 50),
        ({"status": "completed", "progress": 40}, 100),
        ({"status": "failed"}, 100),
    ],
)
def test_progress(answer: dict[str, Any], percent: int) -> None:
    """The provider's number while it works; else what the state is worth."""
    found = video("x", answer)
    assert found is not None
    assert found["progress"] == percent


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("it broke", "generation_failed", "it broke"),
        ({"code": "unsafe", "message": "no"}, "unsafe", "no"),
        ({"type": "unsafe", "message": 1}, "unsafe", "the provider gives no reason"),
        (None, "generation_failed", "the provider gives no reason"),
        ("x" * 2000, "generation_failed", "x" * 1000),
    ],
)
def test_failures(error: object, code: str, message: str) -> None:
    """A code and a sentence, of the provider's where it has them."""
    found = video("x", {"status": "failed", "error": error})
    assert found is not None
    assert found["error"] == {"code": code, "message": message}


@pytest.mark.parametrize(
    ("state", "answer", "status"),
    [
        ("", {}, "queued"),
        ("queued", {}, "queued"),
        ("failed", {}, "failed"),
        ("RUNNING", {}, "in_progress"),
        ("in_progress", {"status": "completed"}, "completed"),
        ("completed", {"status": []}, "completed"),
    ],
)
def test_what_the_ledger_remembers(state: str, answer: dict[str, Any], status: str) -> None:
    """The answer that was kept says how far a job is; without one, its last state does."""
    assert remembered(state, answer)["status"] == status


@pytest.mark.parametrize(
    ("answer", "link"),
    [
        ({"status": "completed", "data": [{"url": URL}]}, URL),
        ({"status": "completed", "data": [{"url": "file:///etc/passwd"}]}, None),
        ({"status": "completed", "data": [{"url": f"{URL}?{'x' * 9000}"}]}, None),
        ({"status": "completed", "data": []}, None),
        ({"status": "in_progress", "data": [{"url": URL}]}, None),
    ],
)
def test_links(answer: dict[str, Any], link: str | None) -> None:
    """Only a finished video has a clip, and only a web link of a sane length leads there."""
    assert clip_link(answer) == link


def test_refusals_in_the_clients_own_words() -> None:
    """A field of the common shape is traced to the field it was written from; others stay."""
    asked = create(size="1280x720")
    assert isinstance(asked, Asked)
    said = asked.explained(Refusal("field_not_supported", "resolution: not at all"))
    assert said.message == "resolution: not at all (resolution is written from size)"
    for same in (Refusal("field_not_supported", "seed: no"), Refusal("cap_day", "resolution")):
        assert asked.explained(same) == same
