"""An Idempotency-Key on what costs nothing here: a video or a portrait at a provider with a key."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.conftest import house
from tests.providers.test_native import IMAGE, Town, opened

pytestmark = pytest.mark.usefixtures("quick_polls")
VIDEO = {"model": "byteplus/seedance-2.0", "prompt": "a fare box"}
RACHEL = {"name": "rachel", "image_url": IMAGE}
SUBMISSION = "/v1/video/generations"
UPLOAD = "/v1/video/assets"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The three providers; PomexAI has no prices, so nothing of it counts."""
    async with opened(tmp_path) as found:
        yield found


async def submit(town: Town, key: str = "clip-1", **more: Any) -> tuple[int, Any]:
    """Submit a video under a key, and do not wait."""
    headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
    return await town.call("POST", "/v1/videos/generations", VIDEO | more, **headers)


def sent(town: Town, path: str = SUBMISSION) -> int:
    """How often a call reached its provider."""
    return sum((seen.method, seen.path) == ("POST", path) for seen in town.sandbox.requests)


async def test_a_repeated_submission_is_one_job(town: Town) -> None:
    """The same key gets the same job, and the provider hears of it once."""
    first, again = await submit(town), await submit(town)
    other = await submit(town, "clip-2")

    assert first[0] == again[0] == 202
    assert first[1]["id"] == again[1]["id"] != other[1]["id"]
    assert sent(town) == 2
    assert [payment["usd"] for payment in await town.house.payments()] == ["0.00", "0.00"]


async def test_twins_under_a_key_are_one_job(town: Town) -> None:
    """Of several at once one is made, and the others hear of it."""
    found = await asyncio.gather(*(submit(town) for _ in range(5)))

    assert sent(town) == 1
    assert {status for status, _ in found} <= {202, 409}
    assert (await submit(town))[0] == 202


async def test_another_submission_under_the_key(town: Town) -> None:
    """A key names one request, here too."""
    await submit(town)
    status, said = await submit(town, prompt="another box")

    assert (status, said["error"]["code"]) == (422, "idempotency_mismatch")
    assert sent(town) == 1


async def test_the_usual_model_changes_meanwhile(town: Town) -> None:
    """What the config puts into a video is not the client's: its words are the same request."""
    bare = ("POST", "/v1/videos/generations", {"prompt": "a fare box"})
    keyed = {"Idempotency_Key": "clip-1", "Prefer": "respond-async", "Farebox_Provider": "pomex"}
    first = await town.call(*bare, **keyed)
    providers = json.loads(town.house.config.read_text())["providers"]
    providers["pomex"]["default_video_model"] = "byteplus/seedance-2.0"
    await town.house.reconfigure(providers=providers)
    again = await town.call(*bare, **keyed)

    assert (first[0], again[0]) == (202, 202)
    assert first[1]["id"] == again[1]["id"]
    assert sent(town) == 1


async def test_a_name_is_anothers_meanwhile(town: Town) -> None:
    """A portrait enrolled anew under its name is in the client's own words the same one."""
    enrol = ("POST", "/v1/portrait/enroll", RACHEL)
    enrolled = await town.call(*enrol, Farebox_Provider="sunra")
    video = {"model": "bytedance/seedance-2.0-fast-relay", "prompt": "x", "portrait": "rachel"}
    keyed = {"Idempotency_Key": "clip-1", "Prefer": "respond-async"}
    first = await town.call("POST", "/v1/videos/generations", video, **keyed)
    await town.call("DELETE", "/v1/portrait/rachel")
    anew = await town.call(*enrol, Farebox_Provider="sunra")
    again = await town.call("POST", "/v1/videos/generations", video, **keyed)

    assert enrolled[1]["asset_id"] != anew[1]["asset_id"]
    assert (first[0], again[0]) == (202, 202)
    assert first[1]["id"] == again[1]["id"]


async def test_the_key_lasts_over_a_restart(town: Town) -> None:
    """A daemon that is started again knows the key, and whose job it began."""
    first = await submit(town)
    path = town.house.config
    await town.house.daemon.door.stop(1)
    await town.house.client.close()
    copy = path.with_name("again.json")
    copy.write_text(path.read_text().replace(str(path.parent / "state"), str(path.parent / "two")))
    copy.chmod(0o600)
    await town.house.daemon._ledger.flush()
    _copied(path.parent)
    async with house(copy) as at:
        again = await submit(Town(at, town.sandbox))

    assert first[1]["id"] == again[1]["id"]
    assert sent(town) == 1


def _copied(folder: Path) -> None:
    """The ledger as a kill would leave it."""
    (folder / "two").mkdir(mode=0o700)
    for file in (folder / "state").glob("ledger.sqlite3*"):
        (folder / "two" / file.name).write_bytes(file.read_bytes())


async def test_a_refused_submission_frees_the_key(town: Town) -> None:
    """What the provider declined began nothing: the key may be used again."""
    name = {"portrait": "rachel"}
    await town.call("POST", "/v1/portrait/enroll", RACHEL, Farebox_Provider="pomex")
    declined = await town.call(
        "POST",
        "/v1/videos/generations?fault=rate_limited&fault_times=1",
        VIDEO | name,
        Idempotency_Key="clip-1",
        Prefer="respond-async",
    )
    accepted = await submit(town, **name)

    assert (declined[0], accepted[0]) == (429, 202)


async def test_a_repeated_enrolment_is_one_portrait(town: Town) -> None:
    """The same key gets the same portrait; without one its name is taken."""
    enrol = ("POST", "/v1/portrait/enroll", RACHEL)
    keyed = {"Farebox_Provider": "pomex", "Idempotency_Key": "face-1"}
    first = await town.call(*enrol, **keyed)
    again = await town.call(*enrol, **keyed)
    other = await town.call(*enrol, Farebox_Provider="pomex")

    assert first[0] == again[0] == 200
    assert first[1]["asset_id"] == again[1]["asset_id"]
    assert (other[0], other[1]["error"]["code"]) == (409, "portrait_name_taken")
    assert sent(town, UPLOAD) == 1


async def test_without_a_key_nothing_is_written(town: Town) -> None:
    """Two submissions without a key are two jobs, and no payments."""
    bare = ("POST", "/v1/videos/generations", VIDEO)
    found = [await town.call(*bare, Prefer="respond-async") for _ in range(2)]

    assert found[0][1]["id"] != found[1][1]["id"]
    assert await town.house.payments() == []


async def test_native_calls_keep_their_key(town: Town) -> None:
    """On a native path the key is the provider's to read: the call is made each time."""
    native = {"model": VIDEO["model"], "content": [{"type": "text", "text": "a fare box"}]}
    for _ in range(2):
        status, _ = await town.call("POST", SUBMISSION, native, Idempotency_Key="clip-1")
        assert status == 200
    assert sent(town) == 2
