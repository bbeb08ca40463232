"""Every example of the providers' documents, through the whole daemon, byte for byte.

A scripted provider answers with the documents' own bytes. What arrives there must be what the
document shows, and what the client gets must be what the provider said.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from yarl import URL

from tests.exchange.conftest import SECRET, House, house, write_config
from tests.exchange.provider import Got, Provider, b64, challenge, response
from tests.providers.documents import CASES, FACTS, SECTIONS, Case, Step, covered
from tests.providers.documents.pomex import ELSEWHERE

BASE_USDC: Final = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
ASKED: Final = challenge(
    "500000",
    network="eip155:8453",
    asset=BASE_USDC,
    extra={"name": "USD Coin", "version": "2"},
)
CHALLENGE: Final = response(
    "402 Payment Required",
    ("Content-Type", "application/json"),
    ("X-Payment-Required", b64(ASKED)),
    body=b'{"error":"Payment Required"}',
)
JSON: Final = ("Content-Type", "application/json")
CLIENTS_KEY: Final = "sk-the-clients-own"


def config(folder: Path, urls: dict[str, str]) -> Path:
    """The three providers at these origins, on the default routes."""
    key = {"bearer": {"file": "provider.key"}}
    prices = [
        {"model": "bytedance/seedance-2.0*", "usd_per_second": "0.10", "default_seconds": 5},
    ]
    providers = {
        "blockrun": {"kind": "blockrun", "base_url": f"{urls['blockrun']}/api", "pay": {}},
        "sunra": {"kind": "sunra", "base_url": urls["sunra"], "auth": key, "prices": prices},
        "pomex": {"kind": "pomex", "base_url": urls["pomex"], "auth": key},
    }
    return write_config(folder, providers=providers)


@dataclass
class Stage:
    """A daemon, and one provider behind all three names: it plays one step at a time."""

    house: House
    provider: Provider
    steps: list[Step]

    async def play(self, provider: str, step: Step) -> list[Got]:
        """Make a step's call, judge its answer, and give back what arrived."""
        self.steps[:] = [step]
        before = len(self.provider.got)
        method, path = step.call.split(" ", 1)
        headers = {"Content-Type": "application/json"} if step.body else {}
        headers |= {"Farebox-Max-Amount": "0.90", **dict(step.sent)}
        if provider != "blockrun":
            headers["Authorization"] = f"Bearer {CLIENTS_KEY}"
        url = URL(self.house.url + path, encoded=True)
        async with self.house.client.request(
            method, url, data=step.body.encode() or None, headers=headers
        ) as answer:
            said = await answer.read()
            assert f"{answer.status} {answer.reason}" == step.status
            assert said == self.worded(step, self.house.url)
            for name, value in {JSON[0]: JSON[1], **dict(step.headers)}.items():
                assert answer.headers[name] == value
            assert answer.headers.get("Farebox-Error") == step.code
            told = answer.headers.get("Farebox-Payment", "")
            assert (f'state="{step.state}"' in told) if step.state else not told
        return self.provider.got[before:]

    def worded(self, step: Step, origin: str) -> bytes:
        """A step's answer, its links leading to an origin."""
        return step.answer.replace("{origin}", origin).encode()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A daemon in front of a provider that plays by the table."""
    steps: list[Step] = []

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        (step,) = steps
        if step.pay == "x402" and got.payment is None:
            writer.write(CHALLENGE)
            return
        body = step.answer.replace("{origin}", provider.url).encode()
        named = dict((JSON, *step.headers)).items()
        writer.write(response(step.status, *named, body=body))

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(script))
        names = ("blockrun", "sunra", "pomex")
        path = config(tmp_path, dict.fromkeys(names, provider.url))
        yield Stage(await stack.enter_async_context(house(path)), provider, steps)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_example(stage: Stage, case: Case) -> None:
    """It arrives at the provider as the document shows it, and its answer comes back as it is."""
    payments: set[str] = set()
    for step in case.steps:
        got = await stage.play(case.provider, step)
        assert len(got) == (2 if step.pay == "x402" else 1)
        for each in got:
            _arrived(each, case.provider, step)
        last = got[-1].header("X-PAYMENT")
        assert (last is not None) == (step.pay in ("x402", "again"))
        assert got[-1].header("PAYMENT-SIGNATURE") == last
        if step.pay == "x402":
            assert got[0].header("X-PAYMENT") is got[0].header("PAYMENT-SIGNATURE") is None
            assert last not in payments
            _pays_what_was_asked(got[-1])
        if step.pay == "again":
            assert last in payments
        if last is not None:
            payments.add(last)


def _arrived(got: Got, provider: str, step: Step) -> None:
    """The document's method, path, query and body, the provider's key, and nothing of ours."""
    method, path = step.call.split(" ", 1)
    if provider == "blockrun" and path.startswith("/v1/"):
        path = f"/api{path}"
    assert got.line == f"{method} {path} HTTP/1.1"
    assert got.body == step.body.encode()
    if step.body:
        assert got.header("Content-Type") == "application/json"
    keys = [value for name, value in got.headers if name.lower() == "authorization"]
    assert keys == ([] if provider == "blockrun" else [f"Bearer {SECRET}"])
    assert CLIENTS_KEY.encode() not in got.head
    assert not [name for name, _ in got.headers if name.lower().startswith("farebox")]


def _pays_what_was_asked(got: Got) -> None:
    """The entry of the challenge comes back verbatim, and is what was signed for."""
    payment = got.payment
    assert payment is not None
    (entry,) = ASKED["accepts"]
    assert payment["accepted"] == entry
    said = payment["payload"]["authorization"]
    assert (said["to"], said["value"]) == (entry["payTo"], entry["amount"])


@pytest.mark.parametrize(("provider", "count"), [("blockrun", 8), ("sunra", 8), ("pomex", 13)])
def test_every_section_is_there(provider: str, count: int) -> None:
    """The table has each section that shows an example, and nothing that is in no document."""
    sections = SECTIONS[provider]
    assert len(sections) == len(set(sections)) == count
    elsewhere = ELSEWHERE if provider == "pomex" else ()
    assert covered(provider).keys() == {*sections, *FACTS[provider]} - set(elsewhere)


COUNTS: Final = {"blockrun": 31, "sunra": 21, "pomex": 46}


@pytest.mark.parametrize("provider", COUNTS)
def test_no_example_got_lost(provider: str) -> None:
    """So many examples there are, each under a name of its own."""
    ids = [case.id for case in CASES if case.provider == provider]
    assert len(ids) == len(set(ids)) == COUNTS[provider]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_examples_are_json(case: Case) -> None:
    """Whatever claims to be JSON is: a slip in the table is no finding about the daemon."""
    for step in case.steps:
        texts = [] if "body must be valid JSON" in case.name else [step.body]
        texts += [] if "text/event-stream" in dict(step.headers).values() else [step.answer]
        for text in filter(None, texts):
            json.loads(text)
