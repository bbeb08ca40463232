"""Jobs: one payment from the submission to the clip, whatever the number of polls."""

import asyncio
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy import waiting
from proxy.store import Ledger, LedgerUnavailableError
from tests.exchange.conftest import House, Open, house, write_config
from tests.exchange.provider import Got, Provider, Script, asks, challenge, response

JOB = "azure:vidjob_abc123"
POLL = "/api/v1/videos/generations/azure%3Avidjob_abc123?model=azure%2Fsora-2&duration=8"
SUBMISSION = {"model": "azure/sora-2", "prompt": "a fare box"}


def accepted(poll_url: str = POLL, status: str = "queued") -> bytes:
    """The 202 of a submission or of a poll that is not done."""
    body = {"id": JOB, "object": "video.generation.job", "status": status, "poll_url": poll_url}
    return response(
        "202 Accepted",
        ("Content-Type", "application/json"),
        ("Retry-After", "1"),
        body=json.dumps(body).encode(),
    )


DONE = {
    "id": JOB,
    "status": "completed",
    "data": [{"url": "https://cdn.example/v.mp4"}],
    "payment": {"status": "settled", "tx_hash": "0x" + "cd" * 32},
}
CLIP = response("200 OK", ("Content-Type", "application/json"), body=json.dumps(DONE).encode())
FAILED = response(
    "200 OK",
    ("Content-Type", "application/json"),
    body=json.dumps({"status": "failed", "payment_status": "not_charged"}).encode(),
)


def parts(url: str, **pay: Any) -> dict[str, Any]:
    """A config with BlockRun alone."""
    more = {"networks": ["eip155:84532"], **pay}
    return {"providers": {"blockrun": {"kind": "blockrun", "base_url": f"{url}/api", "pay": more}}}


def generates(*polls: bytes, poll_url: str = POLL) -> Script:
    """A BlockRun that accepts a paid submission and answers paid polls in turn.

    The last one for ever.
    """
    left = list(polls)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
        elif got.line.startswith("POST"):
            writer.write(accepted(poll_url))
        else:
            writer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


async def submit(at: House, prefer: str | None = "respond-async") -> tuple[int, dict[str, Any]]:
    """Submit a video."""
    headers = {} if prefer is None else {"Prefer": prefer}
    async with at.client.post(
        f"{at.url}/v1/videos/generations", json=SUBMISSION, headers=headers
    ) as answer:
        return answer.status, await answer.json()


async def test_the_daemon_waits_for_the_clip_with_one_authorization(open_house: Open) -> None:
    """By default the submission's answer is the clip.

    Every poll carried the submission's own payment.
    """
    busy = response("504 Gateway Timeout", ("Retry-After", "1"))
    async with Provider(generates(busy, CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at, None)
        assert (status, answer) == (200, DONE)
        polls = [got for got in provider.got if got.line.startswith("GET")]
        assert [got.line for got in polls] == [f"GET {POLL} HTTP/1.1"] * 2
        assert {got.header("PAYMENT-SIGNATURE") for got in provider.paid} == {
            polls[0].header("X-PAYMENT")
        }
        assert polls[0].header("Content-Type") is None
        (payment,) = await at.payments()
        assert (payment["state"], payment["job"], payment["tx"]) == (
            "settled",
            JOB,
            "0x" + "cd" * 32,
        )


async def test_respond_async_gives_the_202_and_the_job_stays_claimable(open_house: Open) -> None:
    """The poll URL, the bare id and the alias path all lead to one poll.

    The stored answer needs none.
    """
    async with Provider(generates(accepted(status="in_progress"), CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at)
        assert (status, answer["poll_url"]) == (202, POLL)
        assert (await at.payments())[0]["state"] == "sent"
        async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
            assert got.status == 202
        for path in (
            answer["poll_url"],
            f"/v1/videos/generations/{JOB}",
            f"/api/v1/videos/generations/{JOB}?x=y",
        ):
            async with at.client.get(at.url + path) as got:
                assert (got.status, await got.json()) == (200, DONE)
        assert len([got for got in provider.got if got.line.startswith("GET")]) == 2
        async with at.client.get(f"{at.url}/-/jobs") as got:
            (job,) = (await got.json())["jobs"]
        assert (job["id"], job["state"], job["result"]) == (JOB, "completed", DONE)


async def test_a_job_is_claimed_after_a_restart_with_the_same_payment(tmp_path: Path) -> None:
    """The header is built again from its row, byte for byte."""
    async with Provider(generates(CLIP)) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        async with house(path) as at:
            assert (await at.payments())[0]["state"] == "unknown"
            async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                assert (got.status, await got.json()) == (200, DONE)
            assert (await at.payments())[0]["state"] == "settled"
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1


async def test_wait_runs_out_with_the_last_202(open_house: Open) -> None:
    """`Prefer: wait=N` bounds the waiting; slowness is no error."""
    async with Provider(generates(accepted(status="in_progress"))) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at, "wait=1")
        assert (status, answer["status"]) == (202, "in_progress")


async def test_who_stops_waiting_still_learns_the_id(open_house: Open) -> None:
    """A poll says neither id nor poll URL: when N runs out, the submission's own words do."""
    running = {"status": "in_progress", "payment_status": "verified"}
    poll = response(
        "202 Accepted",
        ("Content-Type", "application/json"),
        ("Retry-After", "1"),
        body=json.dumps(running).encode(),
    )
    async with Provider(generates(poll)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at, "wait=2")
        assert status == 202
        assert (answer["id"], answer["status"]) == (JOB, "in_progress")
        async with at.client.get(at.url + answer["poll_url"]) as got:
            assert (got.status, await got.json()) == (202, running)


async def test_a_video_without_a_model_gets_the_usual_one(open_house: Open) -> None:
    """`default_video_model` is written where a submission names no model, and only there."""
    async with Provider(generates(CLIP)) as provider:
        config = parts(provider.url)
        config["providers"]["blockrun"]["default_video_model"] = "azure/sora-2"
        at = await open_house(**config)
        url = f"{at.url}/v1/videos/generations"
        for fields in ({"prompt": "x"}, {"prompt": "x", "model": "xai/grok-imagine-video"}):
            async with at.client.post(url, json=fields, headers={"Prefer": "wait=0"}) as got:
                assert got.status == 202
    bodies = [json.loads(got.body) for got in provider.got if got.line.startswith("POST")]
    assert [body["model"] for body in bodies[::2]] == ["azure/sora-2", "xai/grok-imagine-video"]
    assert bodies[0] == bodies[1]


async def test_a_failed_job_is_its_own_answer_and_frees_nothing(open_house: Open) -> None:
    """`not_charged` is the seller's word: the authorization lives, and so it counts."""
    async with Provider(generates(FAILED)) as provider:
        at = await open_house(**parts(provider.url))
        status, answer = await submit(at, None)
        assert (status, answer["status"]) == (200, "failed")
        assert (await at.payments())[0]["state"] == "unknown"


@pytest.mark.parametrize("poll_url", ["http://127.0.0.1:9/steal", "//127.0.0.1:9/steal"])
async def test_a_poll_url_of_another_origin_is_refused(open_house: Open, poll_url: str) -> None:
    """The payment is shown to its provider's own origin and to nobody else."""
    async with Provider(generates(CLIP, poll_url=poll_url)) as provider:
        at = await open_house(**parts(provider.url))
        status, _ = await submit(at, None)
        assert status == 202
        async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
            assert (got.status, got.headers["Farebox-Error"]) == (502, "poll_url_refused")


async def test_a_refused_poll_is_not_paid_anew_while_its_payment_lives(open_house: Open) -> None:
    """A 402 to a poll that carried a living payment goes to the client, and nothing is signed."""
    async with Provider(generates(asks())) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
            assert (got.status, got.headers["Farebox-Error"]) == (402, "payment_rejected")
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1
        (payment,) = await at.payments()
        assert len(payment["authorizations"]) == 1


async def test_what_stands_below_a_job(open_house: Open) -> None:
    """It is the provider's own affair: asked as it was written, and without the job's payment."""
    async with Provider(generates(CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        assert (await submit(at, None))[0] == 200
        for below in ("content", "anything/at/all"):
            path = f"/v1/videos/generations/{JOB}/{below}"
            async with at.client.get(at.url + path) as got:
                assert got.status == 402
            assert provider.got[-1].line == f"GET /api{path} HTTP/1.1"
            assert provider.got[-1].payment is None
        asked = len(provider.got)
        async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}/") as got:
            assert (got.status, await got.json()) == (200, DONE)
        assert len(provider.got) == asked


async def test_an_unknown_job_is_not_asked_around_for(open_house: Open) -> None:
    """An id of a form that says nothing is a 404 of ours, and no provider hears of it."""
    async with Provider(generates(CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        async with at.client.get(f"{at.url}/v1/videos/generations/mystery") as got:
            assert (got.status, got.headers["Farebox-Error"]) == (404, "job_unknown")
        assert provider.got == []


async def test_a_dead_authorization_is_followed_by_one_on_no_worse_terms(tmp_path: Path) -> None:
    """After death a poll's own 402 is paid within the same payment, and a dearer one is refused."""
    price = "10000"

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks(challenge(price)))
        else:
            writer.write(accepted() if got.line.startswith("POST") else CLIP)

    async with Provider(script) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        _age(tmp_path / "state" / "ledger.sqlite3", 100_000)
        async with house(path) as at:
            price = "10001"
            async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                assert (got.status, got.headers["Farebox-Error"]) == (403, "payee_not_allowed")
            price = "9000"
            async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                assert (got.status, await got.json()) == (200, DONE)
            (payment,) = await at.payments()
            assert payment["state"] == "settled"
            assert [each["state"] for each in payment["authorizations"]] == ["unknown", "settled"]


def _age(ledger: Path, seconds: int) -> None:
    """Put everything in a ledger into the past."""
    with sqlite3.connect(ledger) as db:
        db.execute("UPDATE hold SET valid_before = valid_before - ?", (seconds,))
        db.execute("UPDATE payment SET created_at = created_at - ?", (seconds,))
    db.close()


async def test_a_poll_that_breaks_is_no_failure_while_somebody_waits(open_house: Open) -> None:
    """The daemon asks again until the time is up; the clip comes with the same payment."""
    polls = 0

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal polls
        if got.payment is None:
            writer.write(asks())
        elif got.line.startswith("POST"):
            writer.write(accepted())
        else:
            polls += 1
            if polls == 1:
                writer.transport.abort()
            else:
                writer.write(CLIP)

    async with Provider(script) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        url = f"{at.url}/v1/videos/generations/{JOB}"
        async with at.client.get(url, headers={"Prefer": "wait=30"}) as got:
            assert (got.status, await got.json()) == (200, DONE)
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1


async def test_a_get_may_wait_for_the_clip(open_house: Open) -> None:
    """`Prefer: wait=N` on a GET polls until the job is done."""
    async with Provider(generates(accepted(), accepted(), CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        url = f"{at.url}/v1/videos/generations/{JOB}"
        async with at.client.get(url, headers={"Prefer": "wait=30"}) as got:
            assert (got.status, await got.json()) == (200, DONE)


async def test_between_too_late_and_dead_nothing_is_signed(tmp_path: Path) -> None:
    """An authorization that no facilitator would settle any more is neither shown nor replaced."""
    async with Provider(generates(CLIP)) as provider:
        path = write_config(tmp_path, **parts(provider.url, job_authorization_s=300))
        async with house(path) as at:
            await submit(at)
        _age(tmp_path / "state" / "ledger.sqlite3", 295)
        async with house(path) as at:
            seen = len(provider.got)
            async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                assert (got.status, int(got.headers["Retry-After"]) > 0) == (202, True)
            assert len(provider.got) == seen
            assert len((await at.payments())[0]["authorizations"]) == 1


async def test_another_wallet_does_not_pay_for_the_job_beside_the_first(tmp_path: Path) -> None:
    """While the first wallet's authorization lives, a new wallet signs nothing for its job."""
    async with Provider(generates(CLIP)) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        (tmp_path / "wallet.key").write_text("0x" + "22" * 32)
        async with house(path) as at:
            async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                assert got.status == 202
            assert len((await at.payments())[0]["authorizations"]) == 1


async def test_renewal_that_never_left_is_given_back(tmp_path: Path) -> None:
    """Where the provider is gone by the time of the new authorization, the next poll renews."""
    gone = False

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("POST"):
            writer.write(accepted() if got.payment is not None else asks())
        elif got.payment is not None:
            writer.write(CLIP)
        else:
            writer.write(asks())
            if gone:
                await provider.shut()
                writer.close()

    async with Provider(script) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        _age(tmp_path / "state" / "ledger.sqlite3", 100_000)
        async with house(path) as at:
            url = f"{at.url}/v1/videos/generations/{JOB}"
            gone = True
            async with at.client.get(url) as got:
                assert got.headers["Farebox-Error"] == "upstream_unreachable"
            (payment,) = await at.payments()
            assert [each["state"] for each in payment["authorizations"]] == ["unknown", "void"]
            gone = False
            await provider.reopen()
            async with at.client.get(url) as got:
                assert (got.status, await got.json()) == (200, DONE)


async def test_two_polls_after_death_sign_once(tmp_path: Path) -> None:
    """Of two clients who ask at once, one renews the payment and the other is told to come back."""
    both = asyncio.Barrier(2)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is not None:
            writer.write(accepted())
        else:
            if got.line.startswith("GET"):
                await both.wait()
            writer.write(asks())

    async with Provider(script) as provider:
        path = write_config(tmp_path, **parts(provider.url))
        async with house(path) as at:
            await submit(at)
        _age(tmp_path / "state" / "ledger.sqlite3", 100_000)
        async with house(path) as at:

            async def poll() -> int:
                async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
                    return got.status

            assert list(await asyncio.gather(poll(), poll())) == [202, 202]
            assert len((await at.payments())[0]["authorizations"]) == 2


def zipped(answer: bytes) -> bytes:
    """The same response, its body in gzip."""
    head, _, body = answer.partition(b"\r\n\r\n")
    body = gzip.compress(body)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines += [b"Content-Encoding: gzip", b"Content-Length: %d" % len(body)]
    return b"\r\n".join((*lines, b"", b"")) + body


async def test_a_compressed_submission_is_remembered(open_house: Open) -> None:
    """A provider that compresses its 202 for a client that said so loses nobody's job."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
        else:
            writer.write(zipped(accepted()) if got.line.startswith("POST") else zipped(CLIP))

    async with Provider(script) as provider:
        at = await open_house(**parts(provider.url))
        headers = {"Accept-Encoding": "gzip", "Prefer": "respond-async"}
        url = f"{at.url}/v1/videos/generations"
        async with at.client.post(url, json=SUBMISSION, headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Encoding"]) == (202, "gzip")
            assert json.loads(gzip.decompress(await answer.read()))["id"] == JOB
        for _ in range(2):
            async with at.client.get(f"{url}/{JOB}", headers=headers) as got:
                body = await got.read()
                if got.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert (got.status, json.loads(body)) == (200, DONE)
        polls = [got for got in provider.got if got.line.startswith("GET")]
        assert [poll.header("Accept-Encoding") for poll in polls] == [None]
        assert (await at.payments())[0]["state"] == "settled"


async def test_a_hundred_polls_are_one_payment(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of an hour of polling, in quick motion: limits, faults and breaks among the 202s.

    One authorization all the time, and at every poll the exposure is one price.
    """
    monkeypatch.setattr(waiting, "PACE_S", 0.005)
    polls = 0
    exposures: set[float] = set()
    running = response("202 Accepted", ("Content-Type", "application/json"), body=b"{}")
    odd = {7: response("429 Wait"), 30: response("504 Slow"), 60: b""}

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal polls
        if got.payment is None:
            writer.write(asks())
            return
        if got.line.startswith("POST"):
            writer.write(accepted().replace(b"Retry-After: 1\r\n", b""))
            return
        polls += 1
        exposures.add(await _exposure(at))
        said = CLIP if polls > 100 else odd.get(polls, running)
        writer.write(said)
        if not said:
            writer.transport.abort()

    async with Provider(script) as provider:
        at = await open_house(**parts(provider.url), caps={"per_request": "1", "day": "0.01"})
        assert await submit(at, prefer=None) == (200, DONE)
        assert len({got.header("PAYMENT-SIGNATURE") for got in provider.paid}) == 1
        assert len(provider.paid) > 100
        (payment,) = await at.payments()
        assert (payment["state"], len(payment["authorizations"])) == ("settled", 1)
    assert exposures == {0.01}


async def _exposure(at: House) -> float:
    async with at.client.get(f"{at.url}/metrics") as answer:
        text = await answer.text()
    (line,) = [line for line in text.splitlines() if line.startswith("farebox_exposure_usd ")]
    return float(line.split()[1])


async def test_job_that_cannot_be_remembered(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that breaks after paying costs nobody the job: its 202 is handed over at once."""

    async def full(*_: object) -> None:
        raise LedgerUnavailableError("the disk is full")

    async with Provider(generates(CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        monkeypatch.setattr(Ledger, "remember", full)
        with capture_logs() as lines:
            status, job = await submit(at, prefer=None)
        assert (status, job["id"]) == (202, JOB)
        (error,) = [line for line in lines if line["log_level"] == "error"]
        assert (error["event"], error["ids"]) == ("ids_not_remembered", [JOB])


async def test_clip_that_cannot_be_noted(open_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the last poll is handed over, whatever can be written about it."""

    async def full(*_: object) -> None:
        raise LedgerUnavailableError("the disk is full")

    async with Provider(generates(CLIP)) as provider:
        at = await open_house(**parts(provider.url))
        await submit(at)
        monkeypatch.setattr(Ledger, "remember", full)
        async with at.client.get(f"{at.url}/v1/videos/generations/{JOB}") as got:
            assert (got.status, await got.json()) == (200, DONE)
