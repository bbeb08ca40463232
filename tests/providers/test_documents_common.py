"""The documents' examples in the common shape: what arrives natively is what the documents show.

The client asks as it would ask BlockRun; the provider gets its own document's call and answers with
its own document's bytes; the client gets the common shape, with that answer inside.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from proxy import waiting
from tests.exchange.conftest import SECRET, House, house, write_config
from tests.exchange.provider import Got, Provider, response
from tests.providers.documents import blockrun, pomex, sunra
from tests.providers.test_documents import CHALLENGE

ENROL: Final = "/v1/portrait/enroll"
SESSIONS: Final = "/v1/portrait/sessions"
VIDEOS: Final = "/v1/videos/generations"
PUBLIC: Final = "https://me.example"
JSON: Final = ("Content-Type", "application/json")

CGT: Final = "cgt-20260609-abc123"
RELAY_FAST: Final = "bytedance/seedance-2.0-fast-relay"
BYTEPLUS_FAST: Final = "byteplus/seedance-2.0-fast"
TALKING: Final = "the person in @Image1 is talking to the camera"
WAVING: Final = (
    "The person in image 1 smiles and waves at the camera. Indoor, natural light, gentle push-in."
)
RELAYED: Final = {
    "resolution": "720p",
    "aspect_ratio": "adaptive",
    "duration_seconds": 5,
    "generate_audio": True,
}
FACE: Final = {"name": "face.jpg", "image_url": "https://example.com/face.jpg"}
RACHEL: Final = {
    "name": "model-rachel-frontal",
    "image_url": "https://yourcdn.com/portrait.jpg",
    "group_id": pomex.GROUP,
}
STATUS: Final = f"GET {sunra.REQUEST}/status"
RESULT: Final = f"GET {sunra.REQUEST}"
TASK: Final = f"GET {pomex.GENERATIONS}/{pomex.TASK}"
Text = str | tuple[str, str]


@dataclass
class Stage:
    """A daemon before one provider that answers each call from a list of its own, by heart."""

    house: House
    provider: Provider
    answers: dict[str, list[Text]] = field(default_factory=dict)

    async def ask(
        self, call: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask the daemon; the status and the JSON."""
        method, path = call.split(" ", 1)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.house.client.request(
            method, self.house.url + path, json=body, headers=named
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    @property
    def calls(self) -> list[str]:
        """What arrived at the provider, in order."""
        return [got.line.removesuffix(" HTTP/1.1") for got in self.provider.got]

    def sent(self, call: str) -> dict[str, Any]:
        """The body of the last such call, as JSON; it came with the provider's key alone."""
        wanted = f"{call} HTTP/1.1"
        got = next(each for each in reversed(self.provider.got) if each.line == wanted)
        key = None if "/api/" in call else f"Bearer {SECRET}"
        assert got.header("Authorization") == key
        assert not [name for name, _ in got.headers if name.lower().startswith("farebox")]
        found: dict[str, Any] = json.loads(got.body)
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once: the answers are there."""
    monkeypatch.setattr(waiting, "PACE_S", 0.001)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """The three providers of the config are one, which knows nothing yet."""
    answers: dict[str, list[Text]] = {}

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        left = answers[got.line.removesuffix(" HTTP/1.1")]
        if got.line.startswith("POST /api/") and got.payment is None:
            writer.write(CHALLENGE)
            return
        said = left.pop(0) if len(left) > 1 else left[0]
        text, status = (said, "200 OK") if isinstance(said, str) else said
        body = text.replace("{origin}", provider.url).encode()
        writer.write(response(status, JSON, body=body))

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(script))
        yield Stage(
            await stack.enter_async_context(house(_config(tmp_path, provider.url))),
            provider,
            answers,
        )


def _config(folder: Path, url: str) -> Path:
    key = {"bearer": {"file": "provider.key"}}
    models = {
        "blockrun": "bytedance/seedance-2.0-fast",
        "sunra": RELAY_FAST,
        "pomex": BYTEPLUS_FAST,
    }
    more: dict[str, dict[str, Any]] = {
        "blockrun": {"base_url": f"{url}/api", "pay": {}},
        "sunra": {
            "base_url": url,
            "auth": key,
            "prices": [{"model": "bytedance/*", "usd_per_second": "0.10"}],
        },
        "pomex": {"base_url": url, "auth": key},
    }
    providers = {
        name: {"kind": name, "default_video_model": model, **more[name]}
        for name, model in models.items()
    }
    return write_config(folder, providers=providers, public_url=PUBLIC)


async def _enrolled_at_blockrun(stage: Stage) -> None:
    stage.answers["POST /api/v1/portrait/enroll"] = [blockrun.RESPONSE]
    status, said = await stage.ask(f"POST {ENROL}", json.loads(blockrun.REQUEST))
    assert (status, said) == (200, json.loads(blockrun.RESPONSE))
    assert stage.sent("POST /api/v1/portrait/enroll") == json.loads(blockrun.REQUEST)


async def _enrolled_at_sunra(stage: Stage) -> None:
    stage.answers[f"POST {sunra.ASSETS}"] = [sunra.CREATED]
    stage.answers[f"GET {sunra.ASSET}"] = [
        sunra.ACTIVE.replace("active", "processing"),
        sunra.ACTIVE,
    ]
    status, said = await stage.ask(f"POST {ENROL}", FACE, Farebox_Provider="sunra")
    shown = _portrait(said, "sunra", json.loads(sunra.ACTIVE))
    assert (status, shown) == (
        200,
        {"object": "virtual_portrait", "asset_id": CGT, **FACE, "status": "active"},
    )
    native = json.loads(sunra.CREATE) | {"name": FACE["name"]}
    assert stage.sent(f"POST {sunra.ASSETS}") == native


async def _enrolled_at_pomex(stage: Stage, **instead: str) -> None:
    stage.answers[f"POST {pomex.ASSETS}"] = [pomex.UPLOADED]
    stage.answers[f"GET {pomex.ASSETS}/{pomex.ASSET}"] = [
        pomex.ACTIVE.replace('"active"', '"processing"'),
        pomex.ACTIVE,
    ]
    body = {key: value for key, value in RACHEL.items() if not instead or key != "group_id"}
    status, said = await stage.ask(f"POST {ENROL}", body | instead, Farebox_Provider="pomex")
    shown = _portrait(said, "pomex", json.loads(pomex.ACTIVE))
    assert (status, shown) == (
        200,
        {"object": "realface", "asset_id": pomex.ASSET, **RACHEL, "status": "active"},
    )
    assert stage.sent(f"POST {pomex.ASSETS}") == json.loads(pomex.UPLOAD)


def _portrait(said: dict[str, Any], provider: str, response_: object) -> dict[str, Any]:
    """An enrolment's answer without what is the same for all."""
    said = dict(said)
    assert said.pop("provider") == provider
    assert said.pop("provider_response") == response_
    assert said.pop("usage").keys() == {"compatible_models", "how_to_use"}
    return said


@pytest.mark.parametrize(
    "enrolled", [_enrolled_at_blockrun, _enrolled_at_sunra, _enrolled_at_pomex]
)
async def test_enrolment(stage: Stage, enrolled: Callable[[Stage], Awaitable[None]]) -> None:
    """The document's own call arrives, asked after until it is ready; the book has the portrait."""
    await enrolled(stage)
    _, listed = await stage.ask("GET /v1/portrait")
    (portrait,) = listed["portraits"]
    assert portrait["status"] == "active"


async def test_enrolment_that_nobody_waits_for(stage: Stage) -> None:
    """A 202 in the common shape at once; a GET by name asks natively."""
    stage.answers[f"POST {sunra.ASSETS}"] = [sunra.CREATED]
    stage.answers[f"GET {sunra.ASSET}"] = [sunra.ACTIVE]
    headers = {"Farebox_Provider": "sunra", "Prefer": "respond-async"}
    status, said = await stage.ask(f"POST {ENROL}", FACE, **headers)
    assert (status, said["status"], said["asset_id"]) == (202, "processing", CGT)
    assert stage.calls == [f"POST {sunra.ASSETS}"]
    status, said = await stage.ask("GET /v1/portrait/face.jpg")
    assert (status, said["status"]) == (200, "active")
    assert said["provider_response"] == json.loads(sunra.ACTIVE)


async def test_blockrun_video_by_name(stage: Stage) -> None:
    """The portrait's name becomes the document's request, id, model and all."""
    await _enrolled_at_blockrun(stage)
    stage.answers["POST /api/v1/videos/generations"] = [(blockrun.ACCEPTED, "202 Accepted")]
    document = json.loads(blockrun.VIDEO)
    body = {"prompt": document["prompt"], "portrait": "My Spokesperson"}
    status, said = await stage.ask(f"POST {VIDEOS}", body, Prefer="respond-async")
    assert (status, said) == (202, json.loads(blockrun.ACCEPTED))
    assert stage.sent("POST /api/v1/videos/generations") == document
    stage.answers[f"GET {blockrun.POLL_URL}"] = [blockrun.COMPLETED]
    status, said = await stage.ask(f"GET {VIDEOS}/{blockrun.JOB}")
    assert (status, said) == (200, json.loads(blockrun.COMPLETED))


SUNRA_VIDEOS: Final[list[dict[str, Any]]] = [
    {"model": RELAY_FAST, "prompt": TALKING, "real_face_asset_id": CGT},
    {"model": RELAY_FAST, "prompt": TALKING, "real_face_asset_id": f"asset://{CGT}"},
    {"model": RELAY_FAST, "prompt": TALKING, "reference_image_urls": [f"asset://{CGT}"]},
    {"prompt": TALKING.replace("@Image1", "image 1"), "portrait": "face.jpg"},
]


def _plays_sunra(stage: Stage, *statuses: Text, result: Text = sunra.RESULT) -> None:
    stage.answers[f"POST {sunra.RELAY}"] = [sunra.SUBMITTED]
    stage.answers[STATUS] = list(statuses)
    stage.answers[RESULT] = [result]


def _status(status: str, more: str = "") -> str:
    return f'{{"status": "{status}", "request_id": "{sunra.PD}"{more}}}'


@pytest.mark.parametrize("body", SUNRA_VIDEOS, ids=["asset", "uri", "reference", "name"])
async def test_sunra_video(stage: Stage, body: dict[str, Any]) -> None:
    """The relay request of the document arrives; its queue is asked until the clip is there."""
    await _enrolled_at_sunra(stage)
    done = _status("COMPLETED", ', "success": true')
    _plays_sunra(stage, _status("IN_QUEUE"), _status("IN_PROGRESS"), done)
    status, said = await stage.ask(f"POST {VIDEOS}", body | RELAYED)
    native = sunra.SUBMIT.replace("<ARK_ASSET_ID>", CGT)
    assert stage.sent(f"POST {sunra.RELAY}") == json.loads(native)
    assert stage.calls[-5:] == [f"POST {sunra.RELAY}", STATUS, STATUS, STATUS, RESULT]
    assert (status, said["id"], said["status"], said["provider"]) == (
        200,
        sunra.PD,
        "completed",
        "sunra",
    )
    assert said["data"][0]["url"] == json.loads(sunra.RESULT)["video"]["url"]
    assert said["provider_response"] == json.loads(sunra.RESULT)
    assert await stage.ask(f"GET {VIDEOS}/{sunra.PD}") == (200, said)


async def test_sunra_moderation(stage: Stage) -> None:
    """Completed without success is a failed video that says `unsafe_content`."""
    await _enrolled_at_sunra(stage)
    failed = _status("COMPLETED", ', "success": false')
    _plays_sunra(stage, failed, result=(sunra.UNSAFE, "400 Bad Request"))
    status, said = await stage.ask(f"POST {VIDEOS}", SUNRA_VIDEOS[0] | RELAYED)
    assert (status, said["status"]) == (200, "failed")
    assert "unsafe_content" in said["error"]
    assert said["provider_response"] == json.loads(sunra.UNSAFE)


async def test_sunra_deletion_by_name(stage: Stage) -> None:
    """The document's call, and its answer under one key."""
    await _enrolled_at_sunra(stage)
    stage.answers[f"DELETE {sunra.ASSET}"] = ['{ "deleted": true }']
    status, said = await stage.ask("DELETE /v1/portrait/face.jpg")
    assert (status, said["deleted"], said["provider_response"]) == (200, True, {"deleted": True})
    assert stage.calls[-1] == f"DELETE {sunra.ASSET}"


POMEX_VIDEOS: Final[list[dict[str, Any]]] = [
    {"model": BYTEPLUS_FAST, "prompt": WAVING, "real_face_asset_id": pomex.ASSET},
    {"model": BYTEPLUS_FAST, "prompt": WAVING, "real_face_asset_id": f"asset://{pomex.ASSET}"},
    {
        "model": BYTEPLUS_FAST,
        "prompt": WAVING.replace("image 1", "@Image1"),
        "reference_image_urls": [f"asset://{pomex.ASSET}"],
    },
    {"prompt": WAVING, "portrait": "model-rachel-frontal"},
]


def _plays_pomex(stage: Stage, *statuses: str) -> None:
    stage.answers[f"POST {pomex.GENERATIONS}"] = [pomex.QUEUED]
    stage.answers[TASK] = list(statuses)


@pytest.mark.parametrize("body", POMEX_VIDEOS, ids=["asset", "uri", "reference", "name"])
async def test_pomex_video(stage: Stage, body: dict[str, Any]) -> None:
    """The generation of the document arrives; its task is asked until it has succeeded."""
    await _enrolled_at_pomex(stage)
    running = pomex.SUCCEEDED.replace("succeeded", "running")
    _plays_pomex(stage, pomex.QUEUED, running, pomex.SUCCEEDED)
    status, said = await stage.ask(f"POST {VIDEOS}", body)
    assert stage.sent(f"POST {pomex.GENERATIONS}") == json.loads(pomex.GENERATE)
    assert stage.calls[-4:] == [f"POST {pomex.GENERATIONS}", TASK, TASK, TASK]
    assert (status, said["id"], said["status"]) == (200, pomex.TASK, "completed")
    assert said["data"][0]["url"] == json.loads(pomex.SUCCEEDED)["content"]["video_url"]
    assert said["provider_response"] == json.loads(pomex.SUCCEEDED)


@pytest.mark.parametrize("word", ["failed", "cancelled"])
async def test_pomex_video_without_a_clip(stage: Stage, word: str) -> None:
    """A task that failed or was cancelled is a failed video."""
    await _enrolled_at_pomex(stage)
    _plays_pomex(stage, pomex.QUEUED.replace("queued", word))
    status, said = await stage.ask(f"POST {VIDEOS}", POMEX_VIDEOS[0])
    assert (status, said["status"]) == (200, "failed")


@pytest.mark.parametrize(("status", "kind", "message"), pomex.ERRORS)
@pytest.mark.parametrize("call", [pomex.ASSETS, pomex.GENERATIONS])
async def test_pomex_errors(stage: Stage, call: str, status: str, kind: str, message: str) -> None:
    """What PomexAI refuses comes back as it said it, and no name is taken by it."""
    text = json.dumps({"error": {"message": message, "type": kind}})
    stage.answers[f"POST {call}"] = [(text, status)]
    if call == pomex.ASSETS:
        path, body = ENROL, RACHEL
    else:
        path, body = VIDEOS, POMEX_VIDEOS[0]
    for _ in range(2):
        said = await stage.ask(f"POST {path}", body, Farebox_Provider="pomex")
        assert said == (int(status.split(maxsplit=1)[0]), json.loads(text))
    _, listed = await stage.ask("GET /v1/portrait")
    assert listed["portraits"] == []


async def test_pomex_from_the_session_to_the_clip(stage: Stage) -> None:
    """The integration flow, all six steps: the phone's redirect ends at the daemon's callback."""
    stage.answers[f"POST {pomex.SESSIONS}"] = [pomex.SESSION_OPEN]
    wanted = {"name": RACHEL["name"], "lang": "en"}
    status, session = await stage.ask(f"POST {SESSIONS}", wanted, Farebox_Provider="pomex")
    assert (status, session["object"], session["status"]) == (200, "portrait.session", "pending")
    assert session["h5_link"] == json.loads(pomex.SESSION_OPEN)["h5_link"]
    native = stage.sent(f"POST {pomex.SESSIONS}")
    callback = urlsplit(native.pop("callback_url"))
    assert f"{callback.scheme}://{callback.netloc}" == PUBLIC
    assert native == {"lang": "en"}

    url = f"{stage.house.url}{callback.path}?{pomex.REDIRECT}"
    async with stage.house.client.get(url, headers={"Host": callback.netloc}) as page:
        assert page.status == 200
    _, known = await stage.ask(f"GET {SESSIONS}/{session['id']}")
    assert (known["status"], known["group_id"]) == ("verified", pomex.GROUP)

    await _enrolled_at_pomex(stage, session=session["id"])
    _plays_pomex(stage, pomex.SUCCEEDED)
    status, said = await stage.ask(f"POST {VIDEOS}", POMEX_VIDEOS[3])
    assert stage.sent(f"POST {pomex.GENERATIONS}") == json.loads(pomex.GENERATE)
    assert (status, said["status"]) == (200, "completed")
