"""Bodies that the daemon cannot read: what they cost, and whom they name."""

import gzip
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.core.bodies import READ_BYTES_MAX
from proxy.sandbox import Sandbox, SandboxOptions
from tests.exchange.conftest import SECRET, Open, house, write_config
from tests.exchange.provider import NETWORK, Got, Provider, receipt, response, sells
from tests.providers.test_native import IMAGE, Town

VIDEOS = "/v1/videos/generations"
ENROL = "/v1/portrait/enroll"
SESSIONS = "/v1/portrait/sessions"
NATIVE = "/v1/video/generations"
RELAY = "/v1/queue/bytedance/seedance-2.0-fast-relay/reference-to-video"
FAST = "bytedance/seedance-2.0-fast"
TYPE = {"Content-Type": "application/json"}
CLIP = {"model": "byteplus/seedance-2.0", "content": [{"type": "text", "text": "a fare box"}]}
RACHEL = {"name": "rachel", "image_url": IMAGE}

Fields = dict[str, Any]
Body = tuple[bytes, dict[str, str]]


def _with(more: bytes) -> Callable[[Fields], Body]:
    """The fields, and something more at the end of the object."""
    return lambda fields: (json.dumps(fields).encode()[:-1] + b", " + more + b"}", {})


def _gzip(fields: Fields) -> Body:
    return gzip.compress(json.dumps(fields).encode()), {"Content-Encoding": "gzip"}


def _said_to_be_gzip(fields: Fields) -> Body:
    return json.dumps(fields).encode(), {"Content-Encoding": "identity, x-gzip"}


def _latin1(fields: Fields) -> Body:
    return json.dumps(fields | {"x": "\xe9"}, ensure_ascii=False).encode("latin-1"), {}


def _utf16(fields: Fields) -> Body:
    return json.dumps(fields).encode("utf-16-le"), {}


def _followed(fields: Fields) -> Body:
    return json.dumps(fields).encode() + b" {}", {}


LONG = _with(b'"x": "%s"' % (b"x" * READ_BYTES_MAX))
HIDDEN = {
    "gzip": _gzip,
    "said to be gzip": _said_to_be_gzip,
    "deep": _with(b'"x": ' + b"[" * 3000 + b"]" * 3000),
    "latin-1": _latin1,
    "utf-16": _utf16,
    "a number of 5000 digits": _with(b'"seed": ' + b"1" * 5000),
    "NaN": _with(b'"seed": NaN'),
    "followed by another": _followed,
    "two models": _with(b'"model": null, "model": ""'),
    "two lengths": _with(b'"duration": 4, "duration": 4'),
    "many values": _with(b'"x": [' + b"0," * 700_000 + b"0]"),
}


def _form(fields: Fields) -> Body:
    """JSON that is a form too, with fields of its own."""
    said = f'{{"x": "&model={fields.get("model")}&duration=15&"}}'
    return said.encode(), {"Content-Type": "application/x-www-form-urlencoded"}


def _shouted(fields: Fields) -> Body:
    """Names as some readers take them: in any case."""
    return json.dumps({name.upper(): value for name, value in fields.items()}).encode(), {}


UNPRICED = HIDDEN | {
    "too long": LONG,
    "a form": _form,
    "in capitals": _shouted,
    "no object": lambda fields: (json.dumps([fields]).encode(), {}),
    "no string": lambda fields: (json.dumps(fields | {"model": [fields]}).encode(), {}),
}


@dataclass
class Said:
    """An answer: its status, our code, its JSON."""

    status: int
    code: str | None
    fields: Any


async def post(town: Town, path: str, body: bytes, **headers: str) -> Said:
    """Post bytes as they are."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url, client = town.house.url + path, town.house.client
    named = TYPE | {"Prefer": "respond-async"} | named
    async with client.post(url, data=io.BytesIO(body), headers=named) as answer:
        text = await answer.read()
        code = answer.headers.get("Farebox-Error")
        return Said(answer.status, code, json.loads(text) if text else None)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The three providers; at those with keys a clip of 15 seconds is above the cap."""
    async with Sandbox(SandboxOptions(api_key=SECRET, job_s=0.2, asset_s=0.05)) as site:
        key = {"bearer": {"file": "provider.key"}}
        by_second = {"usd_per_second": "0.20", "default_seconds": 5}
        sunra = [{"model": "bytedance/*", **by_second}]
        pomex = [{"model": "byteplus/*", "usd": "3.00"}]
        providers = {
            "blockrun": {"kind": "blockrun", "base_url": site.blockrun_url, "pay": {}},
            "sunra": {"kind": "sunra", "base_url": site.sunra_url, "auth": key, "prices": sunra},
            "pomex": {"kind": "pomex", "base_url": site.pomex_url, "auth": key, "prices": pomex},
        }
        caps = {"per_request": "2.00", "day": "9.00"}
        async with house(write_config(tmp_path, providers=providers, caps=caps)) as at:
            yield Town(at, site)


def calls(town: Town) -> list[str]:
    """What was asked of the providers to be done."""
    return [seen.path for seen in town.sandbox.requests if seen.method == "POST"]


@pytest.mark.parametrize("how", UNPRICED)
async def test_a_model_that_cannot_be_read(town: Town, how: str) -> None:
    """A clip is not free because nobody here can read which model is to make it."""
    plain = await post(town, NATIVE, json.dumps(CLIP).encode())
    assert (plain.status, plain.code) == (403, "cap_per_request")
    body, headers = UNPRICED[how](CLIP)
    said = await post(town, NATIVE, body, **headers)
    assert (said.status, said.code) == (403, "price_unknown")
    assert calls(town) == []
    assert await town.house.payments() == []


@pytest.mark.parametrize("how", UNPRICED)
async def test_a_length_that_cannot_be_read(town: Town, how: str) -> None:
    """Fifteen seconds are not counted as the usual five because they cannot be read."""
    clip = {"prompt": "x", "duration": 15}
    plain = await post(town, RELAY, json.dumps(clip).encode())
    assert (plain.status, plain.code) == (403, "cap_per_request")
    body, headers = UNPRICED[how](clip)
    said = await post(town, RELAY, body, **headers)
    assert (said.status, said.code) == (403, "price_unknown")
    assert calls(town) == []


async def test_what_says_nothing(town: Town) -> None:
    """A body without a byte, and an object without a field, ask for nothing that has a price."""
    for body in (b"", b"{}", b"\xef\xbb\xbf {}"):
        said = await post(town, "/v1/ark/assets/list", body)
        assert (said.status, said.code) == (200, None)
    assert await town.house.payments() == []


async def test_a_dry_run_of_what_cannot_be_read(town: Town) -> None:
    """It says no as the call would, and why."""
    body, headers = _gzip(CLIP)
    said = await post(town, NATIVE, body, Farebox_Dry_Run="1", **headers)
    assert (said.status, said.fields["allowed"], said.fields["code"]) == (
        200,
        False,
        "price_unknown",
    )
    assert "compressed" in said.fields["message"]


TASK = response("200 OK", ("Content-Type", "application/json"), body=b'{"id": "cgt-1"}')


async def takes_it(_got: Got, writer: Any) -> None:
    """Accept whatever comes."""
    writer.write(TASK)


def keyed(kind: str, url: str, prices: Any, **more: Any) -> dict[str, Any]:
    """The parts of a config with one provider that has a key and prices."""
    auth = {"bearer": {"file": "provider.key"}}
    part = {"kind": kind, "base_url": url, "auth": auth, "prices": prices} | more
    return {"providers": {kind: {name: each for name, each in part.items() if each is not None}}}


FLAT = [
    ("pomex", NATIVE, [{"path": NATIVE, "usd": "0.40"}, {"model": "*", "usd": "0.10"}], "0.40"),
    ("pomex", NATIVE, [{"model": "*", "usd": "0.10"}, {"path": NATIVE, "usd": "0.40"}], None),
    ("pomex", NATIVE, [{"path": "/v1/other", "usd": "0.40"}], None),
    ("pomex", NATIVE, [], None),
    ("sunra", RELAY, [{"model": "bytedance/*", "usd": "0.30"}], "0.30"),
    ("sunra", RELAY, [{"model": "other/*", "usd": "0.10"}], None),
    ("sunra", RELAY, [{"path": "/v1/queue/*", "usd_per_second": "0.1"}], None),
]


@pytest.mark.parametrize("how", ["gzip", "too long", "latin-1"])
@pytest.mark.parametrize(("kind", "path", "prices", "usd"), FLAT)
async def test_a_price_that_needs_no_reading(
    open_house: Open, kind: str, path: str, prices: Any, usd: str | None, how: str
) -> None:
    """What costs the same whatever the body says is counted, and sent on as it came."""
    async with Provider(takes_it) as provider:
        at = await open_house(**keyed(kind, provider.url, prices))
        body, headers = UNPRICED[how](CLIP)
        async with at.client.post(
            at.url + path, data=io.BytesIO(body), headers=TYPE | headers
        ) as answer:
            code = answer.headers.get("Farebox-Error")
        assert code == (None if usd else "price_unknown")
        assert [each["usd"] for each in await at.payments()] == ([usd] if usd else [])
        assert [got.body for got in provider.got] == ([body] if usd else [])


@pytest.mark.parametrize("kind", ["sunra", "pomex", "http"])
async def test_prices_without_a_key(open_house: Open, kind: str) -> None:
    """A price is counted at a provider that wants no key too, and a cap holds there."""
    async with Provider(takes_it) as provider:
        parts = keyed(kind, provider.url, [{"model": "byteplus/*", "usd": "0.40"}], auth=None)
        routes = [{"path": "/v1/*", "provider": kind}]
        at = await open_house(**parts, routes=routes, caps={"per_request": "1.00", "day": "0.60"})
        codes = []
        for _ in range(2):
            async with at.client.post(at.url + NATIVE, json=CLIP) as answer:
                codes.append(answer.headers.get("Farebox-Error"))
        assert codes == [None, "cap_day"]
        assert [each["usd"] for each in await at.payments()] == ["0.40"]
        assert len(provider.got) == 1


@pytest.mark.parametrize(("method", "usd"), [("POST", "0.01"), ("PUT", "0.20")])
async def test_prices_beside_a_402(open_house: Open, method: str, usd: str) -> None:
    """What a 402 prices costs what it says; the table prices the calls that are not paid so."""
    goods = response("200 OK", ("Content-Type", "application/json"), receipt(), body=b"{}")
    async with Provider(sells(goods)) as provider:
        prices = [{"path": "/v1/*", "usd": "0.20"}]
        pay = {"networks": [NETWORK]}
        parts = keyed("http", provider.url, prices, auth=None, pay=pay)
        at = await open_house(**parts, routes=[{"path": "/v1/*", "provider": "http"}])
        async with at.client.request(method, at.url + "/v1/x", json={}) as answer:
            assert answer.status == (200 if method == "POST" else 402)
        assert [each["usd"] for each in await at.payments()] == [usd]


COMMON: dict[str, tuple[str, Fields]] = {
    "a portrait": (VIDEOS, {"model": FAST, "prompt": "x", "portrait": "rachel"}),
    "a model": (VIDEOS, {"model": "byteplus/seedance-2.0", "prompt": "x"}),
    "a taken name": (ENROL, RACHEL),
    "a person": (ENROL, RACHEL | {"session": "ps_1"}),
    "a session": (SESSIONS, {"name": "rachel"}),
}


@pytest.mark.parametrize("provider", [None, "blockrun", "pomex"])
@pytest.mark.parametrize("how", [*HIDDEN, "too long"])
@pytest.mark.parametrize("what", COMMON)
async def test_a_name_that_cannot_be_read(
    town: Town, what: str, how: str, provider: str | None
) -> None:
    """What may name somebody goes to nobody, and is not paid for, as if it named no one."""
    path, fields = COMMON[what]
    body, headers = UNPRICED[how](fields)
    named = {} if provider is None else {"Farebox_Provider": provider}
    said = await post(town, path, body, **headers, **named)
    wanted = (413, "body_too_large") if how == "too long" else (400, "bad_request")
    assert (said.status, said.code) == wanted
    assert "URL" in said.fields["error"]["message"] or how != "too long"
    assert "compressed" in said.fields["error"]["message"] or "gzip" not in how
    assert calls(town) == []
    assert await town.house.payments() == []


@pytest.mark.parametrize("field", ["model", "portrait", "real_face_asset_id", "session", "name"])
async def test_a_name_that_stands_twice(town: Town, field: str) -> None:
    """Of two values of a field nobody knows which one counts."""
    body = b'{"prompt": "x", "%s": "a", "%s": "b"}' % (field.encode(), field.encode())
    for path in (VIDEOS, ENROL, SESSIONS):
        said = await post(town, path, body)
        assert (said.status, said.code) == (400, "bad_request")
        assert "twice" in said.fields["error"]["message"]
    assert calls(town) == []


NOTHING = [b'{"url": ', b"[1, 2]", b'"text"', b"name=rachel", b" "]


@pytest.mark.parametrize("path", [VIDEOS, ENROL])
@pytest.mark.parametrize("body", NOTHING)
async def test_no_json_at_all(town: Town, path: str, body: bytes) -> None:
    """It names nobody to any reader: BlockRun itself says what is wrong, and takes nothing."""
    said = await post(town, path, body)
    assert (said.status, said.code) == (400, None)
    assert [seen.body for seen in town.sandbox.requests] == [body]
    assert await town.house.payments() == []


@pytest.mark.parametrize("path", [VIDEOS, ENROL, SESSIONS])
@pytest.mark.parametrize("provider", ["sunra", "pomex"])
async def test_no_json_to_write_anew(town: Town, path: str, provider: str) -> None:
    """Where the provider's own call is made from it, the daemon says what is wrong."""
    said = await post(town, path, b'{"url": ', Farebox_Provider=provider)
    assert (said.status, said.code) == (400, "bad_request")
    assert "no JSON object" in said.fields["error"]["message"]
    assert calls(town) == []


async def test_a_common_video_on_a_route_of_its_own(open_house: Open) -> None:
    """A provider without a key that needs the common shape written anew is read as any other."""
    async with Provider(takes_it) as provider:
        parts = {"providers": {"pomex": {"kind": "pomex", "base_url": provider.url}}}
        at = await open_house(**parts, routes=[{"path": "/v1/*", "provider": "pomex"}])
        video = {"model": "byteplus/seedance-2.0", "prompt": "x"}
        headers = {"Prefer": "respond-async"}
        async with at.client.post(at.url + VIDEOS, json=video, headers=headers) as answer:
            assert answer.status == 202
        assert json.loads(provider.got[0].body)["model"] == video["model"]


async def test_a_half_character(town: Town) -> None:
    """A text cut in the middle of a character is the provider's to judge: it hides nothing."""
    video = {"model": FAST, "prompt": "a box \ud83d"}
    said = await post(town, VIDEOS, json.dumps(video).encode())
    assert said.status == 202
    assert json.loads(town.sandbox.requests[-1].body) == video
