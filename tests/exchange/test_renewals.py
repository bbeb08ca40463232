"""A job whose authorization has died, at a provider that makes trouble when it is asked anew.

Whatever comes back: one payment, nothing signed beside what may live, and what left counts.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.core.links import ANSWER_BYTES_MAX
from tests.exchange.conftest import House, house, write_config
from tests.exchange.provider import Got, Provider, asks, challenge, response
from tests.exchange.test_jobs import CLIP, DONE, JOB, accepted, parts, submit

PAGE = response("402 Payment Required", ("Content-Type", "text/html"), body=b"<p>Pay us</p>")
CUT = CLIP.replace(b"Content-Length: ", b"Content-Length: 9")
LONG = DONE | {"padding": "x" * ANSWER_BYTES_MAX}


@dataclass
class Seller:
    """A BlockRun whose polls answer as told: without a payment, and with one."""

    unpaid: bytes = asks()
    paid: bytes = CLIP

    async def script(self, got: Got, writer: asyncio.StreamWriter) -> None:
        """Answer a request; an empty answer breaks the connection."""
        if got.line.startswith("POST"):
            writer.write(accepted() if got.payment is not None else asks())
            return
        answer = self.unpaid if got.payment is None else self.paid
        if not answer:
            writer.transport.abort()
        writer.write(answer)
        if answer is CUT:
            writer.close()


@asynccontextmanager
async def outlived(
    folder: Path, seller: Seller, edit: Callable[[dict[str, Any]], object] | None = None
) -> AsyncIterator[tuple[House, Provider]]:
    """A daemon that is started again when its job's authorization is dead; `edit` its config."""
    async with Provider(seller.script) as provider:
        config = parts(provider.url)
        path = write_config(folder, **config)
        async with house(path) as at:
            await submit(at)
        with sqlite3.connect(folder / "state" / "ledger.sqlite3") as db:
            db.execute("UPDATE hold SET valid_before = valid_before - 100000")
        db.close()
        if edit is not None:
            edit(config["providers"]["blockrun"])
            write_config(folder, **config)
        async with house(path) as at:
            yield at, provider


async def poll(at: House) -> tuple[int, bytes, str | None]:
    """Ask after the job once: the status, the body and our error code."""
    async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
        return got.status, await got.read(), got.headers.get("Farebox-Error")


async def authorizations(at: House) -> list[str]:
    """The states of those that the one payment has."""
    (payment,) = await at.payments()
    return [each["state"] for each in payment["authorizations"]]


async def test_a_402_without_a_challenge(tmp_path: Path) -> None:
    """It asks for nothing that could be paid, so it goes through as it came."""
    async with outlived(tmp_path, Seller(unpaid=PAGE)) as (at, _):
        assert await poll(at) == (402, b"<p>Pay us</p>", None)
        assert await authorizations(at) == ["unknown"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (challenge(network="eip155:1"), "network_not_allowed"),
        (challenge(scheme="upto"), "scheme_not_supported"),
        (challenge(amount="10001"), "payee_not_allowed"),
        (challenge(pay_to="0x" + "77" * 20), "payee_not_allowed"),
    ],
)
async def test_other_terms(tmp_path: Path, document: dict[str, Any], code: str) -> None:
    """A job is paid on the terms that it was sold on, or better ones, and on no others."""
    async with outlived(tmp_path, Seller(unpaid=asks(document))) as (at, provider):
        status, _, found = await poll(at)
        assert (status, found) == (403, code)
        assert await authorizations(at) == ["unknown"]
        assert {got.payment for got in provider.got if got.line.startswith("GET")} == {None}


async def test_a_provider_that_is_not_paid_any_more(tmp_path: Path) -> None:
    """Who took `pay` out of the config has its jobs paid no more, and is told so."""
    async with outlived(tmp_path, Seller(), lambda blockrun: blockrun.pop("pay")) as (at, _):
        status, said, code = await poll(at)
        assert (status, code) == (404, "no_route")
        assert "is not paid any more" in json.loads(said)["error"]["message"]
        assert await authorizations(at) == ["unknown"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "/content"])
async def test_who_only_looks(tmp_path: Path, method: str, path: str) -> None:
    """Nothing is signed for who asks for no answer, and the provider is not asked."""
    async with outlived(tmp_path, Seller()) as (at, provider):
        before = len(provider.got)
        url = f"{at.url}/v1/videos/{JOB}{path}"
        async with at.client.request(method, url, allow_redirects=False) as got:
            status = 405 if method == "OPTIONS" else 409 if path else 200
            assert (got.status, await got.read() if method == "HEAD" else b"") == (status, b"")
            assert method == "HEAD" or got.headers["Allow"] == "GET, HEAD"
        assert len(provider.got) == before
        assert await authorizations(at) == ["unknown"]


async def test_a_renewal_that_breaks_counts(tmp_path: Path) -> None:
    """It left, so it may be taken: both count, and the next poll shows the living one again."""
    seller = Seller(paid=b"")
    async with outlived(tmp_path, seller) as (at, provider):
        assert (await poll(at))[2] == "payment_outcome_unknown"
        assert await authorizations(at) == ["unknown", "unknown"]
        seller.paid = CLIP
        assert (await poll(at))[0] == 200
        assert await authorizations(at) == ["unknown", "settled"]
        shown = [got.payment for got in provider.got if got.line.startswith("GET") and got.payment]
        assert len(shown) == 2
        assert shown[0] == shown[1]


async def test_a_clip_that_is_cut_off(tmp_path: Path) -> None:
    """Half of an answer is none: the job is asked for again, with the same authorization."""
    seller = Seller(paid=CUT)
    async with outlived(tmp_path, seller) as (at, _):
        assert (await poll(at))[2] == "payment_outcome_unknown"
        seller.paid = CLIP
        assert (await poll(at))[0] == 200
        assert len(await authorizations(at)) == 2


async def test_an_answer_that_is_too_long_to_read(tmp_path: Path) -> None:
    """It streams through whole; what it says of the money is not known then, and counts."""
    long = response("200 OK", ("Content-Type", "application/json"), body=json.dumps(LONG).encode())
    async with outlived(tmp_path, Seller(paid=long)) as (at, _):
        status, said, _ = await poll(at)
        assert (status, json.loads(said)) == (200, LONG)
        assert (await authorizations(at))[0] == "unknown"


async def test_who_leaves_a_long_answer(tmp_path: Path) -> None:
    """A client that goes in the middle takes nothing with it: the job is there for the next."""
    long = response("200 OK", ("Content-Type", "application/json"), body=json.dumps(LONG).encode())
    async with outlived(tmp_path, Seller(paid=long)) as (at, _):
        async with aiohttp.ClientSession() as other:
            got = await other.get(f"{at.url}/v1/videos/generations/{JOB}")
            await got.content.read(10)
            got.close()
        status, said, _ = await poll(at)
        assert (status, json.loads(said)) == (200, LONG)
