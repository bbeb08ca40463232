"""Jobs whose provider answers nonsense, and whose client loses patience: nothing is paid twice.

What was paid for can be had, whatever comes in between: a page instead of a state, half an answer,
words that nobody can write down, an id that is given out again.
"""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from proxy.core.links import ANSWER_BYTES_MAX
from proxy.core.paths import ENROL, JOBS, VIDEOS
from tests.exchange.conftest import House, Open, house, until, write_config
from tests.exchange.provider import Got, Provider, Script, asks, response
from tests.exchange.test_jobs import (
    CLIP,
    DONE,
    JOB,
    POLL,
    SUBMISSION,
    accepted,
    generates,
    parts,
    submit,
)
from tests.exchange.test_renewals import Seller, outlived, poll

JSON = ("Content-Type", "application/json")
VIDEO = {"model": "byteplus/seedance-2.0", "prompt": "a fare box"}
PRICES = [{"model": "byteplus/*", "usd": "0.40"}]


def said(document: object, status: str = "200 OK", *headers: tuple[str, str]) -> bytes:
    """A JSON answer."""
    return response(status, JSON, *headers, body=json.dumps(document).encode())


TASK = said({"id": "cgt-1", "status": "queued"})
MADE = said(
    {"id": "cgt-1", "status": "succeeded", "content": {"video_url": "https://cdn.example/v.mp4"}}
)


def cut(answer: bytes) -> bytes:
    """An answer that promises more than comes."""
    return answer.replace(b"Content-Length: ", b"Content-Length: 9")


def in_turn(*answers: bytes) -> Script:
    """Answer in turn, the last one for ever; one that is cut off ends its connection."""
    left = list(answers)

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer)
        if b"Content-Length: 9" in answer:
            writer.close()

    return script


def sells(*paid: bytes) -> Script:
    """Ask for a payment, and answer what is paid for in turn."""
    answer = in_turn(*paid)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
        else:
            await answer(got, writer)

    return script


def keyed(url: str, **more: Any) -> dict[str, Any]:
    """A config with PomexAI alone."""
    key = {"bearer": {"file": "provider.key"}}
    return {"providers": {"pomex": {"kind": "pomex", "base_url": url, "auth": key, **more}}}


async def loses_patience(at: House, body: object) -> None:
    """Submit a video, and hang up while the daemon waits for it."""
    patience = aiohttp.ClientTimeout(total=1.2)
    async with aiohttp.ClientSession(timeout=patience) as client:
        with pytest.raises(TimeoutError):
            await client.post(at.url + JOBS, json=body)
    await until(at.connections, lambda number: number == 0)


async def test_client_that_loses_patience(open_house: Open) -> None:
    """Its identical request, sent again, is the same job: one payment, and the clip."""
    async with Provider(generates(accepted(status="in_progress"), CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        await loses_patience(at, SUBMISSION)
        assert await submit(at, None) == (200, DONE)
        assert len(await at.payments()) == 1
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1


async def test_client_that_loses_patience_twice(open_house: Open) -> None:
    """And once more: who hangs up again may ask again."""
    async with Provider(generates(accepted(status="in_progress"))) as provider:
        at = await open_house(**parts(provider.url))
        for _ in range(2):
            await loses_patience(at, SUBMISSION)
        assert (await submit(at, "wait=0"))[0] == 202
        assert len(await at.payments()) == 1


async def test_clip_that_somebody_else_saw_meanwhile(open_house: Open) -> None:
    """Who lost patience, and asks again when the end is known, is given it as it is stored."""
    async with Provider(generates(accepted(status="in_progress"), CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        await loses_patience(at, SUBMISSION)
        assert (await poll(at))[0] == 200
        asked = len(provider.got)
        assert await submit(at, None) == (200, DONE)
        assert len(provider.got) == asked


@pytest.mark.usefixtures("quick_polls")
async def test_client_of_a_keyed_provider_that_loses_patience(open_house: Open) -> None:
    """The same where the table prices it: one submission, counted once."""
    async with Provider(in_turn(TASK, said({"id": "cgt-1", "status": "running"}))) as provider:
        at = await open_house(**keyed(provider.url, prices=PRICES))
        await loses_patience(at, VIDEO)
        async with at.client.post(at.url + JOBS, json=VIDEO, headers={"Prefer": "wait=0"}) as got:
            assert (got.status, (await got.json())["id"]) == (202, "cgt-1")
        assert [payment["usd"] for payment in await at.payments()] == ["0.40"]
        assert [got.line.split()[0] for got in provider.got].count("POST") == 1


@pytest.mark.parametrize(
    "page",
    [
        response("200 OK", ("Content-Type", "text/html"), body=b"<p>Be right back</p>"),
        said({"status": "in_progress"}),
        said({"status": "dreaming"}),
        said({}),
        response("503 Service Unavailable", ("Retry-After", "1"), body=b"deploying"),
        said({"error": {"message": "oops"}, "status": "error"}, "500 Internal Server Error"),
    ],
    ids=["page", "running", "unknown word", "nothing", "503", "500"],
)
@pytest.mark.usefixtures("quick_polls")
async def test_what_is_no_end(open_house: Open, page: bytes) -> None:
    """A poll's answer that names no end is none: it is not stored, and the clip comes after it."""
    async with Provider(generates(page, page, CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        assert (await submit(at))[0] == 202
        assert (await poll(at))[1] == page.partition(b"\r\n\r\n")[2]
        async with at.client.get(f"{at.url}/-/jobs") as got:
            (job,) = (await got.json())["jobs"]
        assert "result" not in job
        assert job["state"] != "error"
        async with at.client.get(at.url + f"{JOBS}/{JOB}", headers={"Prefer": "wait=10"}) as got:
            assert await got.json() == DONE
        assert json.loads((await poll(at))[1]) == DONE
        assert len([got for got in provider.got if got.line.startswith("GET")]) == 3


async def test_older_question_that_is_answered_later(open_house: Open) -> None:
    """A poll that was slow does not take back the end that another one saw."""
    go_on, polls = asyncio.Event(), 0

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal polls
        if got.payment is None:
            writer.write(asks())
        elif got.line.startswith("POST"):
            writer.write(accepted())
        elif (polls := polls + 1) == 1:
            await go_on.wait()
            writer.write(accepted(status="in_progress"))
        else:
            writer.write(CLIP)

    async with Provider(script) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        slow = asyncio.create_task(poll(at))
        await provider.until(3)
        assert (await poll(at))[0] == 200
        go_on.set()
        assert (await slow)[0] == 202
        async with at.client.get(f"{at.url}/-/jobs") as got:
            (job,) = (await got.json())["jobs"]
        assert (job["state"], job["result"]) == ("completed", DONE)


@pytest.mark.parametrize(
    "answer",
    [cut(accepted()), said({"status": "queued"}, "202 Accepted"), response("202 Accepted")],
    ids=["half", "no id", "nothing"],
)
async def test_order_of_which_no_job_is_known(open_house: Open, answer: bytes) -> None:
    """It is in doubt, somebody hears of it, and asking again shows the same payment."""
    async with Provider(sells(answer, accepted())) as provider:
        at = await open_house(**parts(provider.url))
        async with at.client.post(
            at.url + JOBS, json=SUBMISSION, headers={"Prefer": "respond-async"}
        ) as got:
            assert got.status in (202, 502)
        (payment,) = await at.payments()
        assert (payment["state"], payment.get("job")) == ("unknown", None)
        async with at.client.get(f"{at.url}/-/status") as got:
            assert "payment_unknown" in str((await got.json())["alerts"])
        assert (await submit(at))[0] == 202
        (payment,) = await at.payments()
        assert payment["job"] == JOB
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
async def test_openai_client_that_repeats_by_itself(open_house: Open) -> None:
    """Three times half an answer to its one order is one payment."""
    async with Provider(sells(cut(accepted()))) as provider:
        at = await open_house(**parts(provider.url))
        async with AsyncOpenAI(base_url=f"{at.url}/v1", api_key="any") as client:
            with pytest.raises(openai.InternalServerError):
                await client.videos.create(model="azure/sora-2", prompt="a fare box")
        assert len(provider.paid) > 1
        assert len(await at.payments()) == 1


async def test_renewal_that_is_refused_while_its_submission_waits(
    open_house: Open, tmp_path: Path
) -> None:
    """The client gets its job's id; who asks for the job is told why it is not paid for."""
    seller = Seller(paid=accepted(status="in_progress"))
    async with Provider(seller.script) as provider:
        caps = {"per_request": "0.10", "day": "0.015"}
        at = await open_house(**parts(provider.url), caps=caps)
        waits = asyncio.create_task(submit(at, "wait=10"))
        await provider.until(3)
        with sqlite3.connect(tmp_path / "state" / "ledger.sqlite3") as db:
            db.execute("UPDATE hold SET valid_before = valid_before - 2000")
        db.close()
        status, answer = await waits
        assert (status, answer["id"]) == (202, JOB)
        assert (await poll(at))[2] == "cap_day"
        assert len(await at.payments()) == 1


async def test_route_that_is_never_paid_for_any_more(tmp_path: Path) -> None:
    """`pay_methods: []` is never, for what was begun before as well."""
    seller = Seller()
    async with Provider(seller.script) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        with sqlite3.connect(tmp_path / "state" / "ledger.sqlite3") as db:
            db.execute("UPDATE hold SET valid_before = valid_before - 100000")
        db.close()
        never = {"path": "/v1/videos/*", "provider": "auto", "pay_methods": []}
        write_config(tmp_path, **parts(provider.url), routes=[never])
        async with house(path) as at:
            assert (await poll(at))[2] == "no_route"
            (payment,) = await at.payments()
            assert len(payment["authorizations"]) == 1


@pytest.mark.parametrize("field", ["id", "poll_url", "model", "status"])
async def test_half_a_character(open_house: Open, field: str) -> None:
    """What JSON can escape and nobody can write down costs nobody the answer that was paid for."""
    document = {"id": JOB, "status": "queued", "poll_url": POLL, "model": "azure/sora-2"}
    document[field] += "\ud83d"
    async with Provider(sells(said(document, "202 Accepted"), CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at)
        assert (status, answer) == (202, document)
        async with at.client.get(f"{at.url}/-/jobs") as got:
            (job,) = (await got.json())["jobs"]
        assert job["id"] == document["id"].replace("\ud83d", "?")


async def test_half_a_character_in_a_clips_answer(open_house: Open) -> None:
    """The pages that tell of jobs go on telling of all of them."""
    answer = DONE | {"note": "\ud83d", "status": "completed"}
    async with Provider(sells(accepted(), said(answer))) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        assert json.loads((await poll(at))[1]) == answer
        async with at.client.get(f"{at.url}/-/jobs") as got:
            (job,) = (await got.json())["jobs"]
        assert job["state"] == "completed"


async def test_wait_of_five_thousand_digits(open_house: Open) -> None:
    """A provider's pace that is no number of seconds is none."""
    patient = said(
        {"id": JOB, "status": "queued", "poll_url": POLL},
        "202 Accepted",
        ("Retry-After", "9" * 5000),
    )
    async with Provider(sells(patient)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at, "wait=1")
        assert (status, answer["id"]) == (202, JOB)


async def test_id_that_is_given_out_twice(open_house: Open) -> None:
    """The second order's clip is the second one's, not what is stored of the first."""
    second = DONE | {"data": [{"url": "https://cdn.example/second.mp4"}]}
    async with Provider(generates(CLIP, said(second))) as provider:
        at = await open_house(**parts(provider.url))
        assert await submit(at, None) == (200, DONE)
        assert (await submit(at))[0] == 202
        assert json.loads((await poll(at))[1]) == second
        assert len(await at.payments()) == 2


async def test_clip_that_is_there_at_once(open_house: Open) -> None:
    """A submission that is answered with the clip is not asked after."""
    async with Provider(sells(said(DONE), response("404 Not Found"))) as provider:
        at = await open_house(**parts(provider.url))
        assert await submit(at, "wait=2") == (200, DONE)
        assert [got.line.split()[0] for got in provider.got] == ["POST", "POST"]


@pytest.mark.usefixtures("quick_polls")
@pytest.mark.parametrize(
    "trouble",
    [
        cut(response("502 Bad Gateway", ("Content-Type", "text/html"), body=b"<p>oops")),
        said({"id": "cgt-1", "status": "dreaming"}),
        said({"id": "cgt-1", "status": "running", "pad": "x" * (2 * ANSWER_BYTES_MAX)}),
    ],
    ids=["half a page", "unknown word", "too long"],
)
async def test_trouble_in_a_translated_poll(open_house: Open, trouble: bytes) -> None:
    """It says nothing of the job: the one who waits gets the clip all the same."""
    async with Provider(in_turn(TASK, trouble, MADE)) as provider:
        at = await open_house(**keyed(provider.url))
        async with at.client.post(at.url + JOBS, json=VIDEO) as got:
            assert (got.status, (await got.json())["status"]) == (200, "completed")


@pytest.mark.parametrize(
    "answer",
    [
        cut(response("200 OK", ("Content-Type", "text/plain"), body=b'{"id":')),
        said({"id": "cgt-1", "status": "queued", "pad": "x" * (2 * ANSWER_BYTES_MAX)}),
    ],
    ids=["half", "too long"],
)
async def test_translated_submission_without_a_whole_answer(
    open_house: Open, answer: bytes
) -> None:
    """It counts, the client is told so, and OpenAI's client does not order once more."""
    async with Provider(in_turn(answer)) as provider:
        at = await open_house(**keyed(provider.url, prices=PRICES))
        async with at.client.post(at.url + VIDEOS, json=VIDEO) as got:
            assert (got.status, got.headers["Farebox-Error"]) == (502, "payment_outcome_unknown")
            assert got.headers["X-Should-Retry"] == "false"
        assert [payment["usd"] for payment in await at.payments()] == ["0.40"]


async def test_words_that_json_does_not_know(open_house: Open) -> None:
    """What a provider writes and no client could read is null in what is told of it."""
    odd = response("200 OK", JSON, body=b'{"id": "cgt-1", "status": "queued", "eta": NaN}')
    async with Provider(in_turn(odd)) as provider:
        at = await open_house(**keyed(provider.url))
        async with at.client.post(
            at.url + JOBS, json=VIDEO, headers={"Prefer": "respond-async"}
        ) as got:
            text = await got.text()
        assert "NaN" not in text
        assert json.loads(text)["provider_response"]["eta"] is None


async def test_paid_portrait_under_a_key_at_a_provider_with_both(open_house: Open) -> None:
    """A provider that has a key and is paid is paid under an Idempotency-Key as well."""
    made = said({"asset_id": "ta_1"})
    async with Provider(sells(made)) as provider:
        config = parts(provider.url)
        config["providers"]["blockrun"]["auth"] = {"bearer": {"file": "provider.key"}}
        at = await open_house(**config)
        body = {"name": "rachel", "image_url": "https://cdn.example/r.jpg", "group_id": "g1"}
        async with at.client.post(
            at.url + ENROL, json=body, headers={"Idempotency-Key": "once"}
        ) as got:
            assert got.status == 200
        (payment,) = await at.payments()
        assert payment["amount"] == "10000"


async def test_outlived_job_and_a_page(tmp_path: Path) -> None:
    """A page after a renewal is no end either: the renewed payment is shown again."""
    page = response("200 OK", ("Content-Type", "text/html"), body=b"<p>Be right back</p>")
    seller = Seller(paid=page)
    async with outlived(tmp_path, seller) as (at, provider):
        assert (await poll(at))[1] == b"<p>Be right back</p>"
        seller.paid = CLIP
        assert json.loads((await poll(at))[1]) == DONE
        shown = {got.header("PAYMENT-SIGNATURE") for got in provider.paid[1:]}
        assert len(shown) == 1
