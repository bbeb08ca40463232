"""Portraits in one place, over a scripted provider; and, at the end, over the whole daemon.

What the scripted provider answers follows the providers' own documents.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.core.config import Config
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply, Request, get
from proxy.core.videos import segment
from proxy.gate.paths import path_problem
from proxy.media.performing import Performed
from proxy.media.portraits import Portraits
from proxy.media.watching import Pace
from proxy.providers.lore import NativeCall
from proxy.replies import json_reply
from proxy.spool import Spool
from proxy.store import Memory, portraits
from proxy.store.names import usable
from proxy.store.portraits import Portrait
from proxy.visit import Snapshot, Visit
from proxy.waiting import pace_between_s
from proxy.wallet import Wallet
from tests.exchange.conftest import until
from tests.providers.test_native import Town, opened
from tests.store.books import Books
from tests.store.books import opened as opened_books

IMAGE = "https://example.com/character.jpg"
RACHEL = {"name": "rachel", "image_url": IMAGE}
WALLET = Wallet(bytes([1] * 32))
TA = {
    "object": "virtual_portrait",
    "asset_id": "ta_1",
    "group_id": "tg_1",
    "usage": {"compatible_models": ["bytedance/seedance-9"], "how_to_use": "…"},
}
CREATED = {"id": "665f", "ark_asset_id": "cgt-1", "status": "processing"}
ACTIVE = CREATED | {"status": "active", "ark_url": "https://…"}
UPLOADED = {"id": "asset-1", "object": "video.asset", "status": "processing"}

Answer = tuple[int, Mapping[str, Any]] | tuple[int, Mapping[str, Any], Headers] | Refused


@dataclass
class Script:
    """Performs native calls by heart; `calls` is what was asked."""

    answers: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, NativeCall]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, visit: Visit, call: NativeCall) -> Performed:
        """Answer with the next line of the script, once the gate is open."""
        self.calls.append((visit.provider, call))
        await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        status, fields, *headers = answer
        reply = json_reply(status, fields)
        reply.headers = (*reply.headers, *(headers[0] if headers else ()))
        body = json.dumps(fields).encode()
        return Performed(status, reply.headers, fields, body, reply)

    @property
    def asked(self) -> list[tuple[str, str, str]]:
        """Whom, how and where."""
        return [(provider, call.method, call.path) for provider, call in self.calls]


@dataclass
class Desk:
    """The stories under test, with a clock that only waiting moves."""

    books: Books
    folder: Path
    script: Script = field(default_factory=Script)
    waits: list[float] = field(default_factory=list)
    now: float = 1000.0
    wallet: Wallet | None = WALLET

    def __post_init__(self) -> None:
        pace = Pace(self.sleep, even_pace_s, lambda: self.now)
        self.portraits = Portraits(self.books.ledger, self.script, pace)
        self.script.gate.set()

    def visit(
        self,
        method: str,
        path: str,
        body: object = None,
        provider: str = "sunra",
        route: str = "auto",
        **headers: str,
    ) -> Visit:
        """A request that has found its provider."""
        spool = Spool.of(self.folder, b"" if body is None else json.dumps(body).encode())
        named = tuple(
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        )
        request = Request("req", method, path, None, named, spool, "localhost")
        snapshot = Snapshot(config(route), self.wallet, {})
        fields = body if isinstance(body, dict) else {}
        known = snapshot.config.routes[0]
        visit = Visit(request, snapshot, lambda: snapshot, known, provider, spool, fields)
        return replace(visit, sent_sha256=spool.sha256)

    async def enrol(
        self, body: object = None, provider: str = "sunra", **headers: str
    ) -> tuple[int, Any]:
        """Enrol as the exchange does it: to its end, then wait."""
        wanted = RACHEL if body is None else body
        visit = self.visit("POST", "/v1/portrait/enroll", wanted, provider, **headers)
        call = self.portraits.native(visit)
        assert call is not None
        delivered = await self.portraits.enrol(visit, call)
        return read(await self.portraits.follow(visit, delivered.reply))

    async def ask(self, method: str, path: str, **headers: str) -> tuple[int, Any]:
        """Ask for what is there."""
        reply = await self.portraits.serve(self.visit(method, path, **headers))
        assert reply is not None
        return read(reply)

    async def named(self, name: str) -> Portrait | Refusal:
        """Whose a name is for a video."""
        return await self.books.ledger.ask(partial(usable, name=name))

    async def names(self) -> dict[str | None, str]:
        """What the list says: the status of each name."""
        _, listed = await self.ask("GET", "/v1/portrait")
        return {each["name"]: each["status"] for each in listed["portraits"]}

    async def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def even_pace_s(headers: Headers) -> float:
    """The pace without its jitter."""
    return pace_between_s(headers) if get(headers, b"retry-after") else 5.0


def config(route: str = "auto") -> Config:
    """The three providers, and one that only sells."""
    base = "https://provider.example"
    return Config.model_validate(
        {
            "caps": {"per_request": "1.00", "day": "none"},
            "providers": {
                "blockrun": {"kind": "blockrun", "base_url": base, "pay": {}},
                "sunra": {"kind": "sunra", "base_url": base},
                "pomex": {"kind": "pomex", "base_url": base},
                "shop": {"kind": "http", "base_url": base},
            },
            "routes": [{"path": "/v1/*", "provider": route}],
        }
    )


def read(reply: Reply) -> tuple[int, Any]:
    """A reply's status and JSON."""
    assert isinstance(reply.body, bytes)
    return reply.status, json.loads(reply.body)


def code_of(problem: pytest.ExceptionInfo[Refused]) -> str:
    """The code that a client would see."""
    return problem.value.refusal.code


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The stories, over an empty book and an empty script."""
    async with opened_books(tmp_path) as books:
        yield Desk(books, tmp_path)


CALLS = [
    ("blockrun", {}, "/v1/portrait/enroll", RACHEL),
    ("blockrun", {"group_id": "tg_1"}, "/v1/realface/enroll", RACHEL | {"group_id": "tg_1"}),
    (
        "sunra",
        {},
        "/v1/ark/assets",
        {"source_url": IMAGE, "name": "rachel", "asset_type": "image"},
    ),
    ("pomex", {}, "/v1/video/assets", {"url": IMAGE, "asset_type": "Image", "name": "rachel"}),
    (
        "pomex",
        {"group_id": "group-1", "model": "byteplus/seedance-2.0"},
        "/v1/video/assets",
        {"url": IMAGE, "asset_type": "Image", "name": "rachel", "group_id": "group-1"},
    ),
]


@pytest.mark.parametrize(("provider", "more", "path", "body"), CALLS)
async def test_native_enrolments(
    desk: Desk, provider: str, more: dict[str, str], path: str, body: dict[str, str]
) -> None:
    """Each provider gets its own call; BlockRun's is the client's own body, untouched."""
    visit = desk.visit("POST", "/v1/portrait/enroll", RACHEL | more, provider)
    call = desk.portraits.native(visit)
    assert call == NativeCall("POST", path, body)
    if provider == "blockrun":
        assert call.body is visit.fields


NO_NAMES = [
    "a\nb",
    "\ud800",
    "\x7f",
    "left\u202eright",
    "a/b",
    "a\\b",
    "100%",
    "who?",
    "#1",
    ".",
    "..",
    ".. ",
    "..;x",
    "sessions",
    "Enroll",
    "callback",
]


@pytest.mark.parametrize("provider", ["sunra", "pomex", "blockrun"])
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"name": "rachel"},
        {"image_url": IMAGE},
        RACHEL | {"name": "x" * 65},
        RACHEL | {"name": " "},
        RACHEL | {"name": 5},
        *[RACHEL | {"name": name} for name in NO_NAMES],
        RACHEL | {"image_url": "ftp://x"},
        RACHEL | {"group_id": 5},
    ],
)
async def test_bodies_that_enrol_nothing(desk: Desk, provider: str, bad: dict[str, Any]) -> None:
    """They are refused; one in BlockRun's own shape is BlockRun's to judge, but for a name.

    What it may take and the book cannot have would be paid for, and be nobody's.
    """
    visit = desk.visit("POST", "/v1/portrait/enroll", bad, provider)
    with pytest.raises(Refused):
        await desk.portraits.enrol(visit, NativeCall("POST", "/"))
    if provider == "blockrun" and bad.get("name") not in NO_NAMES:
        assert desk.portraits.native(visit) is None
        return
    with pytest.raises(Refused) as problem:
        desk.portraits.native(visit)
    assert code_of(problem) == "bad_request"


@pytest.mark.parametrize(
    ("provider", "more", "word"),
    [
        ("sunra", {"group_id": "group-1"}, "group_id"),
        ("sunra", {"zoom": 2}, "zoom"),
        ("pomex", {"session": "ps_1"}, "session"),
        ("blockrun", {"session": "ps_1"}, "session"),
    ],
)
async def test_fields_that_a_provider_has_no_word_for(
    desk: Desk, provider: str, more: dict[str, Any], word: str
) -> None:
    """They are refused by their name, not dropped."""
    visit = desk.visit("POST", "/v1/portrait/enroll", RACHEL | more, provider)
    with pytest.raises(Refused, match=word) as problem:
        desk.portraits.native(visit)
    assert code_of(problem) == "field_not_supported"


async def test_blockrun(desk: Desk) -> None:
    """Its answer goes through as it came, and the portrait is in the book, with its models."""
    desk.script.answers = [(200, TA)]
    assert await desk.enrol(provider="blockrun") == (200, TA)
    _, shown = await desk.ask("GET", "/v1/portrait/Rachel")
    assert shown == {
        "id": "ta_1",
        "provider": "blockrun",
        "name": "rachel",
        "kind": "virtual",
        "group_id": "tg_1",
        "status": "active",
        "image_url": IMAGE,
        "created_at": shown["created_at"],
        "models": ["bytedance/seedance-9"],
    }


async def test_sunra(desk: Desk) -> None:
    """The asset is asked after until it is active; what is said of the payment is said again."""
    paid = ((b"Farebox-Payment", b'id="pay_1"'),)
    desk.script.answers = [(200, CREATED, paid), (200, CREATED), (200, ACTIVE)]
    visit = desk.visit("POST", "/v1/portrait/enroll", RACHEL)
    call = desk.portraits.native(visit)
    assert call is not None
    begun = (await desk.portraits.enrol(visit, call)).reply
    assert (begun.status, read(begun)[1]["status"]) == (202, "processing")
    done = await desk.portraits.follow(visit, begun)
    assert paid[0] in begun.headers
    assert paid[0] in done.headers
    how = 'Pass "portrait": "rachel" on a video request; natively it is cgt-1.'
    models = ["bytedance/seedance-2.0-relay", "bytedance/seedance-2.0-fast-relay"]
    assert read(done) == (
        200,
        {
            "object": "virtual_portrait",
            "asset_id": "cgt-1",
            "name": "rachel",
            "image_url": IMAGE,
            "status": "active",
            "provider": "sunra",
            "usage": {"compatible_models": models, "how_to_use": how},
            "provider_response": ACTIVE,
        },
    )
    assert desk.script.asked[1:] == [("sunra", "GET", "/v1/ark/assets/cgt-1")] * 2
    assert desk.waits == [5.0, 5.0]


async def test_pomex_with_a_verified_person(desk: Desk) -> None:
    """It is a real face in its person's group."""
    desk.script.answers = [(200, UPLOADED), (200, UPLOADED | {"status": "active"})]
    status, told = await desk.enrol(RACHEL | {"group_id": "group-1"}, "pomex")
    assert (status, told["object"], told["group_id"]) == (200, "realface", "group-1")
    _, shown = await desk.ask("GET", "/v1/portrait/asset-1")
    assert (shown["kind"], shown["status"], shown["group_id"]) == ("real", "active", "group-1")


async def test_what_is_no_failure(desk: Desk) -> None:
    """Limits, faults and a broken connection are waited out, at the pace that they ask for."""
    slow = ((b"Retry-After", b"9"),)
    desk.script.answers = [
        (200, CREATED),
        (403, {"error": {}}),
        (429, {"error": {}}, slow),
        (502, {"error": {}}),
        (520, {"error": {}}),
        Refused(Refusal("upstream_unreachable", "…")),
        (200, CREATED | {"status": "dreaming"}),
        (200, ACTIVE),
    ]
    assert (await desk.enrol())[1]["status"] == "active"
    assert desk.waits == [5.0, 5.0, 9.0, 5.0, 5.0, 5.0, 5.0]


async def test_refusal_of_our_own_while_waiting(desk: Desk) -> None:
    """It is told, and the portrait stays."""
    desk.script.answers = [(200, CREATED), Refused(Refusal("cap_hour", "…"))]
    with pytest.raises(Refused) as problem:
        await desk.enrol()
    assert code_of(problem) == "cap_hour"
    assert await desk.names() == {"rachel": "processing"}


async def test_asset_that_fails(desk: Desk) -> None:
    """The answer says so in the provider's words; the name is had again by whoever wants it."""
    failed = CREATED | {"status": "failed", "reason": "no face"}
    desk.script.answers = [(200, CREATED), (200, failed)]
    status, told = await desk.enrol()
    assert (status, told["status"], told["provider_response"]) == (200, "failed", failed)
    assert await desk.names() == {"rachel": "failed"}
    named = await desk.named("rachel")
    assert isinstance(named, Refusal)
    assert (named.code, "failed" in named.message) == ("portrait_unknown", True)
    desk.script.answers = [(200, UPLOADED), (200, UPLOADED | {"status": "active"})]
    assert (await desk.enrol(provider="pomex"))[0] == 200
    assert await desk.names() == {"rachel": "active", None: "failed"}


async def test_client_that_does_not_wait(desk: Desk) -> None:
    """It gets the 202 at once, with when to come back; a GET asks once."""
    desk.script.answers = [(200, CREATED), (200, CREATED), (200, ACTIVE)]
    status, told = await desk.enrol(Prefer="respond-async")
    assert (status, told["status"], told["provider_response"]) == (202, "processing", CREATED)
    assert desk.waits == []
    _, shown = await desk.ask("GET", "/v1/portrait/rachel")
    assert (shown["status"], shown["provider_response"]) == ("processing", CREATED)
    assert (await desk.ask("GET", "/v1/portrait/cgt-1"))[1]["status"] == "active"
    assert (await desk.ask("GET", "/v1/portrait/cgt-1"))[1]["status"] == "active"
    assert len(desk.script.calls) == 3


async def test_client_that_waits_for_a_while(desk: Desk) -> None:
    """When the time is up it gets what is known by then; a GET can wait too."""
    desk.script.answers = [(200, CREATED), (200, CREATED), (200, CREATED | {"name": "x"})]
    status, told = await desk.enrol(Prefer="wait=7")
    assert (status, told["provider_response"]) == (202, CREATED | {"name": "x"})
    assert desk.waits == [5.0, 2.0]
    desk.script.answers = [(502, {}), (200, ACTIVE)]
    _, shown = await desk.ask("GET", "/v1/portrait/rachel", Prefer="wait=7")
    assert shown["status"] == "active"


async def test_wait_without_any_news(desk: Desk) -> None:
    """The first answer is the last."""
    desk.script.answers = [(200, CREATED), (502, {})]
    status, told = await desk.enrol(Prefer="wait=3")
    assert (status, told["provider_response"]) == (202, CREATED)


async def test_provider_that_does_not_know_its_asset(desk: Desk) -> None:
    """That ends the wait with what it said; it is no state of the portrait."""
    desk.script.answers = [(200, CREATED), (404, {"error": "Asset not found"})]
    status, told = await desk.enrol()
    assert (status, told["status"]) == (202, "processing")
    assert told["provider_response"] == {"error": "Asset not found"}


async def test_client_that_hangs_up(desk: Desk) -> None:
    """The asking stops, and the portrait stays in the book for a GET to ask again."""
    desk.script.answers = [(200, CREATED), *[(200, CREATED)] * 1000]
    visit = desk.visit("POST", "/v1/portrait/enroll", RACHEL)
    call = desk.portraits.native(visit)
    assert call is not None
    delivered = await desk.portraits.enrol(visit, call)
    task = asyncio.create_task(desk.portraits.follow(visit, delivered.reply))
    while len(desk.script.calls) < 3:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await desk.names() == {"rachel": "processing"}
    desk.script.answers = [(200, ACTIVE)]
    assert (await desk.ask("GET", "/v1/portrait/rachel"))[1]["status"] == "active"


async def test_name_that_is_taken(desk: Desk) -> None:
    """It is a 409 that says whose it is, in whatever case and at whatever provider; no call."""
    desk.script.answers = [(200, TA)]
    await desk.enrol(provider="blockrun")
    for provider in ("blockrun", "sunra"):
        with pytest.raises(Refused, match="ta_1 at blockrun") as problem:
            await desk.enrol(RACHEL | {"name": "RACHEL"}, provider)
        assert code_of(problem) == "portrait_name_taken"
    assert len(desk.script.calls) == 1


@pytest.mark.parametrize(
    "name", ["Émile", "ra chel", "...", "r.j. 2", "日本", "a;b", "~x@y:z!$&'()*+,=[]"]
)
async def test_names_that_a_path_can_hold(desk: Desk, name: str) -> None:
    """They are names, and found by them."""
    desk.script.answers = [(200, TA)]
    assert await desk.enrol(RACHEL | {"name": name}, "blockrun") == (200, TA)
    path = f"/v1/portrait/{segment(name)}"
    assert path_problem(path) is None
    assert (await desk.ask("GET", path))[1]["name"] == name


async def test_name_that_is_another_portraits_id(desk: Desk) -> None:
    """It is taken: a video that named it would be made with the other's face."""
    desk.script.answers = [(200, UPLOADED)]
    await desk.enrol(provider="pomex", Prefer="respond-async")
    with pytest.raises(Refused, match="it is the id of a portrait at pomex") as problem:
        await desk.enrol(RACHEL | {"name": "asset-1"})
    assert code_of(problem) == "portrait_name_taken"
    assert len(desk.script.calls) == 1


async def test_two_at_once(desk: Desk) -> None:
    """One enrols; the other is refused before its provider hears of it."""
    desk.script.gate.clear()
    desk.script.answers = [(200, TA)]
    tasks = [asyncio.create_task(desk.enrol(provider="blockrun")) for _ in range(2)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    problem = done.pop().exception()
    assert isinstance(problem, Refused)
    assert problem.refusal.code == "portrait_name_taken"
    assert await desk.names() == {"rachel": "enrolling"}
    assert isinstance(await desk.named("rachel"), Refusal)
    assert (await desk.ask("GET", "/v1/portrait/rachel"))[1]["status"] == "enrolling"
    with pytest.raises(Refused, match="no id yet"):
        await desk.ask("DELETE", "/v1/portrait/rachel")
    desk.script.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert (200, TA) in results
    assert len(desk.script.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (400, {"error": {"message": "group id error"}}),
        (402, {"error": "Payment Required"}),
        (200, {"no": "id"}),
    ],
)
async def test_provider_that_says_no(desk: Desk, answer: Answer) -> None:
    """Its answer goes through as it came, and the name is free."""
    desk.script.answers = [answer]
    assert await desk.enrol(provider="pomex") == answer
    assert await desk.names() == {}


async def test_call_that_is_refused(desk: Desk) -> None:
    """The refusal is told, and the name is free."""
    desk.script.answers = [Refused(Refusal("cap_per_request", "…"))]
    with pytest.raises(Refused) as problem:
        await desk.enrol()
    assert code_of(problem) == "cap_per_request"
    assert await desk.names() == {}


async def test_work_that_is_cancelled(desk: Desk) -> None:
    """The name is free."""
    desk.script.gate.clear()
    task = asyncio.create_task(desk.enrol())
    while not desk.script.calls:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await desk.names() == {}


async def test_same_request_under_its_key(desk: Desk) -> None:
    """It hears of the portrait that it enrolled; another body finds the name taken."""
    desk.script.answers = [(200, CREATED), (200, ACTIVE)]
    first = await desk.enrol(Idempotency_Key="k")
    again = await desk.enrol(Idempotency_Key="k")
    assert first[1].pop("provider_response") == ACTIVE
    assert again == first
    with pytest.raises(Refused) as problem:
        await desk.enrol(RACHEL | {"image_url": IMAGE + "?2"}, Idempotency_Key="k")
    assert code_of(problem) == "portrait_name_taken"
    assert len(desk.script.calls) == 2


async def test_reply_that_is_not_of_this_enrolment(desk: Desk) -> None:
    """A 202 that no portrait in the book belongs to is nothing to wait for."""
    visit = desk.visit("POST", "/v1/portrait/enroll", RACHEL)
    reply = json_reply(202, {})
    assert await desk.portraits.follow(visit, reply) is reply


async def test_list(desk: Desk) -> None:
    """All that is known, those of native calls too; and nobody is asked."""
    await desk.books.ledger.remember([Memory("asset-9", "asset", "pomex")])
    desk.script.answers = [(200, TA)]
    await desk.enrol(provider="blockrun")
    status, listed = await desk.ask("GET", "/v1/portrait")
    assert (status, listed["object"]) == (200, "list")
    found = {each["id"]: (each["provider"], each["status"]) for each in listed["portraits"]}
    assert found == {"ta_1": ("blockrun", "active"), "asset-9": ("pomex", "unknown")}
    assert len(desk.script.calls) == 1


async def test_asset_of_a_native_call(desk: Desk) -> None:
    """Asked for by its id, it becomes known: its provider is asked, whatever the default is."""
    await desk.books.ledger.remember([Memory("asset-9", "asset", "pomex")])
    answer = {"id": "asset-9", "group_id": "group-1", "status": "active"}
    desk.script.answers = [(200, answer)]
    _, shown = await desk.ask("GET", "/v1/portrait/asset-9")
    assert desk.script.asked == [("pomex", "GET", "/v1/video/assets/asset-9")]
    assert (shown["status"], shown["group_id"]) == ("active", "group-1")
    assert shown["models"] == ["byteplus/seedance-2.0", "byteplus/seedance-2.0-fast"]
    assert (await desk.named("asset-9")) != shown
    assert await desk.names() == {None: "active"}


async def test_provider_that_has_no_call_for_one_portrait(desk: Desk) -> None:
    """BlockRun documents none: the book is what there is to say."""
    await desk.books.ledger.remember([Memory("ta_9", "asset", "blockrun")])
    assert (await desk.ask("GET", "/v1/portrait/ta_9"))[1]["status"] == "unknown"
    assert desk.script.calls == []


async def test_provider_that_is_not_configured_any_more(desk: Desk) -> None:
    """Its portraits are shown as they were, and not deleted."""
    await desk.books.ledger.remember([Memory("cgt-9", "asset", "gone")])
    assert (await desk.ask("GET", "/v1/portrait/cgt-9"))[1]["provider"] == "gone"
    with pytest.raises(Refused) as problem:
        await desk.ask("DELETE", "/v1/portrait/cgt-9")
    assert code_of(problem) == "no_route"


async def test_header_and_portrait_that_disagree(desk: Desk) -> None:
    """A known portrait goes nowhere else; of one id at two providers the header chooses."""
    await desk.books.ledger.remember([Memory("ta_9", "asset", "blockrun")])
    with pytest.raises(Refused, match="blockrun's") as problem:
        await desk.ask("GET", "/v1/portrait/ta_9", Farebox_Provider="sunra")
    assert code_of(problem) == "route_conflict"
    await desk.books.ledger.remember([Memory("ta_9", "asset", "sunra")])
    desk.script.answers = [(404, {})]
    _, shown = await desk.ask("GET", "/v1/portrait/ta_9", Farebox_Provider="sunra")
    assert shown["provider"] == "sunra"


@pytest.mark.parametrize("word", ["nobody", "%00", "%ED%A0%80", "a%2Fb"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_portrait_that_nobody_knows(desk: Desk, method: str, word: str) -> None:
    """It is a 404 of ours; no provider is asked around."""
    with pytest.raises(Refused) as problem:
        await desk.ask(method, f"/v1/portrait/{word}")
    assert code_of(problem) == "portrait_unknown"
    assert desk.script.calls == []


async def test_delete(desk: Desk) -> None:
    """Sunra deletes; then the name is free and the portrait is not known any more."""
    desk.script.answers = [(200, CREATED), (200, ACTIVE), (200, {"deleted": True})]
    await desk.enrol()
    status, told = await desk.ask("DELETE", "/v1/portrait/rachel")
    assert desk.script.asked[-1] == ("sunra", "DELETE", "/v1/ark/assets/cgt-1")
    assert (status, told) == (
        200,
        {
            "object": "portrait",
            "id": "cgt-1",
            "provider": "sunra",
            "name": "rachel",
            "deleted": True,
            "provider_response": {"deleted": True},
        },
    )
    assert await desk.names() == {}
    named = await desk.named("rachel")
    assert isinstance(named, Refusal)
    assert named.code == "portrait_unknown"


async def test_delete_of_what_the_provider_has_lost(desk: Desk) -> None:
    """It is gone from the book too; any other no goes through, and the portrait stays."""
    desk.script.answers = [(200, CREATED), (200, ACTIVE), (503, {"error": {}}), (404, {})]
    await desk.enrol()
    assert (await desk.ask("DELETE", "/v1/portrait/rachel"))[0] == 503
    assert await desk.names() == {"rachel": "active"}
    assert (await desk.ask("DELETE", "/v1/portrait/rachel"))[0] == 200
    assert await desk.names() == {}


@pytest.mark.parametrize("provider", ["blockrun", "pomex"])
async def test_delete_where_the_provider_cannot(desk: Desk, provider: str) -> None:
    """It is a 405 that says why, and the portrait stays."""
    answer = TA if provider == "blockrun" else UPLOADED | {"status": "active"}
    desk.script.answers = [(200, answer)]
    await desk.enrol(provider=provider)
    with pytest.raises(Refused, match=f"{provider} documents no call") as problem:
        await desk.ask("DELETE", "/v1/portrait/rachel")
    assert code_of(problem) == "method_not_allowed"
    assert await desk.names() == {"rachel": "active"}


NOT_OURS = [
    ("GET", "/v1/portrait/sessions"),
    ("GET", "/v1/portrait/sessions/ps_1"),
    ("GET", "/v1/portrait/callback/abc"),
    ("GET", "/v1/portrait/enroll"),
    ("POST", "/v1/portrait/enroll"),
    ("POST", "/v1/portrait"),
    ("PATCH", "/v1/portrait/rachel"),
    ("GET", "/v1/portrait/"),
    ("GET", "/v1/portraits"),
    ("GET", "/v1/wallet/0xabc/portraits"),
    ("POST", "/v1/wallet/me/portraits"),
]


@pytest.mark.parametrize(("method", "path"), NOT_OURS)
async def test_other_requests(desk: Desk, method: str, path: str) -> None:
    """They are left to whoever serves them."""
    assert await desk.portraits.serve(desk.visit(method, path, provider="blockrun")) is None


async def test_provider_of_the_same_paths(desk: Desk) -> None:
    """A route to a provider that has no portraits is that provider's, whatever its paths say."""
    for method, path in (("GET", "/v1/portrait"), ("GET", "/v1/portrait/x")):
        visit = desk.visit(method, path, provider="shop", route="shop")
        assert await desk.portraits.serve(visit) is None
    visit = desk.visit("POST", "/v1/portrait/enroll", {"session": 1}, "shop")
    assert desk.portraits.native(visit) is None


async def test_list_of_the_own_wallet(desk: Desk) -> None:
    """`me` is its address; the answer serves for a while, and an enrolment makes it old."""
    mine: dict[str, list[int]] = {"portraits": []}
    desk.script.answers = [(200, mine), (200, {"portraits": [1]}), (200, {"portraits": [2]})]
    path = "/v1/wallet/me/portraits"
    assert await desk.ask("GET", path, provider="blockrun") == (200, mine)
    assert desk.script.asked == [("blockrun", "GET", f"/v1/wallet/{WALLET.address}/portraits")]
    desk.now += 359
    again = await desk.portraits.serve(desk.visit("GET", path, provider="blockrun"))
    assert again is not None
    assert read(again) == (200, mine)
    assert (b"Age", b"359") in again.headers
    desk.now += 1
    assert (await desk.ask("GET", path, provider="blockrun"))[1] == {"portraits": [1]}
    await desk.books.ledger.remember([Memory("ta_1", "asset", "blockrun")])
    assert (await desk.ask("GET", path, provider="blockrun"))[1] == {"portraits": [2]}


async def test_lists_of_the_own_wallet_at_once(desk: Desk) -> None:
    """Many who ask at once cost one look; the two lists are kept apart."""
    desk.script.answers = [(200, {"portraits": []}), (200, {"realfaces": []})]
    path = "/v1/wallet/me/portraits"
    asked = [desk.ask("GET", path, provider="blockrun") for _ in range(9)]
    assert await asyncio.gather(*asked) == [(200, {"portraits": []})] * 9
    faces = await desk.ask("GET", "/v1/wallet/me/realfaces", provider="blockrun")
    assert faces == (200, {"realfaces": []})


async def test_list_of_the_own_wallet_that_is_limited(desk: Desk) -> None:
    """What is no list is not kept."""
    desk.script.answers = [(429, {"error": "Rate limit exceeded"}), (200, {"portraits": []})]
    statuses = [
        (await desk.ask("GET", "/v1/wallet/me/portraits", provider="blockrun"))[0] for _ in "ab"
    ]
    assert statuses == [429, 200]


async def test_own_wallet_where_there_is_none(desk: Desk) -> None:
    """Without a wallet `me` is nobody, and a provider without such lists is asked as it is."""
    path = "/v1/wallet/me/portraits"
    assert await desk.portraits.serve(desk.visit("GET", path, provider="pomex")) is None
    desk.wallet = None
    with pytest.raises(Refused) as problem:
        await desk.ask("GET", path, provider="blockrun")
    assert code_of(problem) == "no_route"


async def test_named(desk: Desk) -> None:
    """A name, in any case, or an id gives the portrait with its provider."""
    desk.script.answers = [(200, TA)]
    await desk.enrol(provider="blockrun")
    found = await desk.named("Rachel")
    assert isinstance(found, Portrait)
    assert (found.provider, found.id, found.kind) == ("blockrun", "ta_1", "virtual")
    assert await desk.named("ta_1") == found
    for word in ("tom", "\ud800", ""):
        unknown = await desk.named(word)
        assert isinstance(unknown, Refusal)
        assert unknown.code == "portrait_unknown"


async def test_pace() -> None:
    """What a provider says, from a second up; else five with some jitter."""
    assert pace_between_s(((b"Retry-After", b"0"),)) == 1
    assert pace_between_s(((b"Retry-After", b"7"),)) == 7
    assert 4 <= pace_between_s(((b"Retry-After", b"soon"),)) <= 6


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """The daemon in front of the three providers."""
    async with opened(tmp_path) as found:
        yield found


KINDS = [("blockrun", "ta_"), ("sunra", "cgt-"), ("pomex", "asset-")]


@pytest.mark.parametrize(("provider", "prefix"), KINDS)
async def test_enrolment_everywhere(town: Town, provider: str, prefix: str) -> None:
    """One request enrols at any provider, and is ready when it is answered; the page lists it."""
    headers = {"Farebox_Provider": provider, "Prefer": "wait=1"}
    status, told = await town.call("POST", "/v1/portrait/enroll", RACHEL, **headers)
    assert status == 200
    assert told["asset_id"].startswith(prefix)
    for path in ("/-/portraits", "/v1/portrait"):
        _, listed = await town.call("GET", path)
        (row,) = listed["portraits"]
        assert (row["id"], row["provider"]) == (told["asset_id"], provider)
        assert (row["name"], row["status"]) == ("rachel", "active")
    status, error = await town.call("POST", "/v1/portrait/enroll", RACHEL)
    assert (status, error["error"]["code"]) == (409, "portrait_name_taken")
    assert len(await town.house.payments()) == (1 if provider == "blockrun" else 0)


@pytest.mark.usefixtures("quick_polls")
async def test_life_of_a_portrait(town: Town) -> None:
    """Enrolled without waiting, asked for by its name, deleted; then its name is free."""
    sunra = {"Farebox_Provider": "sunra", "Prefer": "respond-async"}
    status, told = await town.call("POST", "/v1/portrait/enroll", RACHEL, **sunra)
    assert (status, told["status"]) == (202, "processing")
    status, shown = await town.call("GET", "/v1/portrait/rachel", Prefer="wait=9")
    assert (status, shown["id"]) == (200, told["asset_id"])
    assert shown["status"] in ("processing", "active")
    status, gone = await town.call("DELETE", "/v1/portrait/rachel")
    assert (status, gone["deleted"]) == (200, True)
    status, error = await town.call("GET", "/v1/portrait/rachel")
    assert (status, error["error"]["code"]) == (404, "portrait_unknown")
    assert (await town.call("POST", "/v1/portrait/enroll", RACHEL))[0] == 200
    assert (await town.call("DELETE", "/v1/portrait/rachel"))[0] == 405


@pytest.mark.usefixtures("quick_polls")
@pytest.mark.parametrize(("provider", "_"), KINDS)
async def test_dry_run_of_a_taken_name(town: Town, provider: str, _: str) -> None:
    """It says what the call itself would hear; the same request under its key would be answered."""
    sunra = {"Farebox_Provider": "sunra", "Idempotency_Key": "k"}
    assert (await town.call("POST", "/v1/portrait/enroll", RACHEL, **sunra))[0] == 200
    dry = {"Farebox_Dry_Run": "1", "Farebox_Provider": provider}
    status, taken = await town.call("POST", "/v1/portrait/enroll", RACHEL, **dry)
    again = (await town.call("POST", "/v1/portrait/enroll", RACHEL, **(dry | sunra)))[1]
    free = RACHEL | {"name": "tom"}
    other = (await town.call("POST", "/v1/portrait/enroll", free, **dry))[1]

    assert (status, taken["allowed"], taken["code"]) == (200, False, "portrait_name_taken")
    assert ("price" in taken, taken["provider"]) == (True, provider)
    assert (again["allowed"], other["allowed"]) == (True, True)


async def test_own_wallet(town: Town) -> None:
    """`me` is the daemon's address, and an enrolment shows at once though answers are kept."""
    for count in range(3):
        for _ in range(9):
            status, listed = await town.call("GET", "/v1/wallet/me/portraits")
            assert (status, listed["count"]) == (200, count)
        body = RACHEL | {"name": f"rachel {count}"}
        assert (await town.call("POST", "/v1/portrait/enroll", body))[0] == 200
    assert (await town.call("GET", "/v1/wallet/me/realfaces"))[0] == 200


async def test_paid_enrolment_under_a_key(town: Town) -> None:
    """Asked again it is answered again, and paid once."""
    key = {"Idempotency_Key": "one", "Farebox_Provider": "blockrun"}
    first = await town.call("POST", "/v1/portrait/enroll", RACHEL, **key)
    assert await town.call("POST", "/v1/portrait/enroll", RACHEL, **key) == first
    assert town.settled == [500_000]


async def test_enrolment_that_fails_after_it_was_begun(town: Town) -> None:
    """BlockRun takes no money for a picture that it rejects, and the name is free."""
    bad = RACHEL | {"image_url": "https://example.com/nsfw.jpg"}
    assert (await town.call("POST", "/v1/portrait/enroll", bad))[0] == 502
    assert (await town.call("POST", "/v1/portrait/enroll", RACHEL))[0] == 200
    assert town.settled == [500_000]


async def test_dry_run_of_an_enrolment(town: Town) -> None:
    """It names the price, and takes no name."""
    for provider, source in (("blockrun", "quoted"), ("sunra", "table"), ("pomex", "free")):
        headers = {"Farebox_Provider": provider, "Farebox_Dry_Run": "1"}
        status, told = await town.call("POST", "/v1/portrait/enroll", RACHEL, **headers)
        assert (status, told["price"]["source"]) == (200, source)
    assert (await town.call("GET", "/v1/portrait"))[1]["portraits"] == []


async def test_client_that_hangs_up_after_paying(town: Town) -> None:
    """The enrolment comes to its end; the same request gets its answer, and it is paid once."""
    path = "/v1/portrait/enroll?fault=stall&fault_s=1&fault_times=1"
    first = asyncio.create_task(town.call("POST", path, RACHEL))
    while len(town.sandbox.requests) < 2:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until(town.house.connections, lambda count: count == 0)
    status, told = await town.call("POST", path, RACHEL)
    assert (status, town.settled) == (200, [500_000])
    _, shown = await town.call("GET", "/v1/portrait/rachel")
    assert (shown["id"], shown["status"]) == (told["asset_id"], "active")


async def test_ledger_that_breaks_after_an_enrolment_was_paid(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's answer is handed over, for nobody else has the id that was paid for."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(portraits, "enter", full)
    body = {"name": "Rachel", "image_url": "https://example.com/a.png"}
    status, said = await town.call("POST", "/v1/portrait/enroll", body)
    assert (status, said["asset_id"][:3]) == (200, "ta_")
    monkeypatch.undo()
    status, again = await town.call("POST", "/v1/portrait/enroll", body)
    assert (status, again["error"]["code"]) == (409, "portrait_name_taken")
