"""Requests with an Idempotency-Key: one payment each, whatever happens in between."""

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.store import Ledger, LedgerUnavailableError, schema
from tests.exchange.conftest import House, Sell, free_port, house, until
from tests.exchange.provider import Got, Script, asks, receipt, response
from tests.exchange.test_asking_twice import BREAK, GOODS, first, nonces

KEYED = {"Idempotency-Key": "order-1"}
Said = tuple[int, bytes, str | None]


async def ask(house: House, body: bytes = b"x", key: str = "order-1", path: str = "/x") -> Said:
    """Ask under a key; the status, the body and our error code."""
    headers = {"Idempotency-Key": key}
    async with house.client.post(f"{house.url}/shop{path}", data=body, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers.get("Farebox-Error")


async def test_the_answer_is_given_again(sell: Sell) -> None:
    """The same key and body gets the stored answer, head and all, and nothing is sent."""
    answer = response("201 Made", receipt(), ("X-Thing", "one"), body=b"the goods")
    house, provider = await sell(first(answer))
    seen = []
    for _ in range(3):
        async with house.client.post(f"{house.url}/shop/x", data=b"x", headers=KEYED) as again:
            seen.append((again.status, again.reason, again.headers["X-Thing"], await again.read()))
            replayed = again.headers.get("Farebox-Replayed")
            payment = again.headers["Farebox-Payment"]
    assert set(seen) == {(201, "Made", "one", b"the goods")}
    assert replayed == "1"
    assert 'state="settled"' in payment
    assert len(provider.got) == 2
    assert len(await house.payments()) == 1


@pytest.mark.parametrize(("body", "path"), [(b"y", "/x"), (b"x", "/y"), (b"x", "/x?a=1")])
async def test_another_request_under_the_key(sell: Sell, body: bytes, path: str) -> None:
    """A key names one request: any other is 422, and nothing of it is sent."""
    house, provider = await sell(first(GOODS))
    await ask(house)
    status, _, code = await ask(house, body, path=path)
    assert (status, code) == (422, "idempotency_mismatch")
    assert len(provider.got) == 2


async def test_another_key_is_another_purchase(sell: Sell) -> None:
    """Who names two requests differently means two, however alike they are."""
    house, provider = await sell(first(GOODS))
    assert [(await ask(house, key=key))[0] for key in ("one", "two", "one")] == [200, 200, 200]
    assert len(set(nonces(provider))) == 2


@pytest.mark.parametrize("met", [BREAK, asks(), response("500 Oops"), response("425 Too Early")])
@pytest.mark.parametrize("after_refusal", ["fresh", "resend"])
async def test_open_payment(sell: Sell, met: bytes, after_refusal: str) -> None:
    """While the outcome is unknown the key answers 409 with the payment, and nothing is signed."""
    pay = {"networks": ["eip155:84532"], "after_refusal": after_refusal}
    house, provider = await sell(first(met), pay=pay)
    await ask(house)
    (payment,) = await house.payments()
    status, body, code = await ask(house)
    assert (status, code) == (409, "payment_pending")
    assert payment["id"].encode() in body
    assert len(nonces(provider)) == 1


async def test_two_at_once_under_one_key(sell: Sell) -> None:
    """Twins under a key are one purchase: the second is told so, or gets the first one's answer."""
    both = asyncio.Barrier(2)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            await both.wait()
            writer.write(asks())
        else:
            writer.write(GOODS)

    house, provider = await sell(script)
    said = await asyncio.gather(ask(house), ask(house))
    assert sorted(status for status, _, _ in said) == [200, 409]
    assert len(nonces(provider)) == 1
    assert (await ask(house))[:2] == (200, b"the goods")


async def test_restart(sell: Sell, tmp_path: Path) -> None:
    """The stored answer is there after a restart, and so is a payment that is open."""
    opened, provider = await sell(first(GOODS, then=BREAK))
    await ask(opened)
    await ask(opened, key="lost")
    await opened.daemon.stop()
    async with house(taken_over(opened.config, tmp_path / "again")) as again:
        assert (await ask(again))[:2] == (200, b"the goods")
        assert (await ask(again, key="lost"))[2] == "payment_pending"
    assert len(nonces(provider)) == 2


def taken_over(config: Path, home: Path) -> Path:
    """Give the state, as it is on the disk, to another daemon."""
    document = json.loads(config.read_text())
    shutil.copytree(document["state_dir"], home / "state")
    shutil.copy2(config.with_name("provider.key"), home)
    document |= {"state_dir": str(home / "state"), "listen": f"127.0.0.1:{free_port()}"}
    path = home / config.name
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


async def test_nothing_was_taken(sell: Sell) -> None:
    """A payment that never left frees its key for the next attempt."""
    closing = True

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is not None:
            writer.write(GOODS)
            return
        writer.write(asks())
        if closing:
            await provider.shut()
            writer.close()

    house, provider = await sell(script)
    assert (await ask(house))[2] == "upstream_unreachable"
    assert (await house.payments())[0]["state"] == "void"
    closing = False
    await provider.reopen()
    assert (await ask(house))[:2] == (200, b"the goods")
    assert (await ask(house))[:2] == (200, b"the goods")
    assert len(nonces(provider)) == 1


async def test_too_large_to_keep(sell: Sell) -> None:
    """An answer over the configured size goes through and is not kept: the key says so."""
    big = response("200 OK", receipt(), body=b"z" * 2000)
    house, provider = await sell(first(big), idempotency={"body_bytes_max": 1999})
    assert (await ask(house))[0] == 200
    status, body, code = await ask(house)
    assert (status, code) == (409, "result_not_kept")
    assert (await house.payments())[0]["id"].encode() in body
    assert len(nonces(provider)) == 1


async def test_stream(sell: Sell) -> None:
    """A streamed answer is kept as it passes."""
    framed = b"Transfer-Encoding: chunked\r\n\r\n4\r\nthe \r\n5\r\ngoods\r\n0\r\n\r\n"
    house, provider = await sell(first(GOODS.partition(b"Content-Length")[0] + framed))
    assert (await ask(house))[:2] == (200, b"the goods")
    assert (await ask(house))[:2] == (200, b"the goods")
    assert len(nonces(provider)) == 1


def pausing(go_on: asyncio.Event, rest: bytes = b"goods") -> Script:
    """Answer the payment with half a body, and the rest when told to."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
            return
        length = b"Content-Length: %d\r\n\r\n" % (4 + len(rest))
        writer.write(GOODS.partition(b"Content-Length")[0] + length + b"the ")
        await writer.drain()
        await go_on.wait()
        writer.write(rest)

    return script


async def leave_in_the_middle(house: House, head: bytes = b"") -> None:
    """Read the first half of an answer, and hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    lines = b"POST /shop/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    writer.write(lines + head + b"\r\nx")
    await reader.readuntil(b"the ")
    writer.transport.abort()
    await until(house.connections, lambda count: count == 0)


@pytest.mark.parametrize("key", [None, "order-1"])
@pytest.mark.parametrize("rest", [b"goods", b"z" * 5000])
async def test_client_that_leaves_in_the_middle(sell: Sell, key: str | None, rest: bytes) -> None:
    """The rest is read all the same, however long, and who asks again gets the whole of it."""
    go_on = asyncio.Event()
    house, provider = await sell(pausing(go_on, rest), idempotency={"body_bytes_max": 1000})
    head = b"" if key is None else f"Idempotency-Key: {key}\r\n".encode()
    await leave_in_the_middle(house, head)
    headers = {} if key is None else {"Idempotency-Key": key}
    again = asyncio.create_task(
        house.client.post(f"{house.url}/shop/x", data=b"x", headers=headers)
    )
    go_on.set()
    async with await again as answer:
        assert (answer.status, await answer.read()) == (200, b"the " + rest)
    assert len(nonces(provider)) == 1


async def test_stored_after_its_client_left(sell: Sell) -> None:
    """Under a key, what was left in the middle is stored for good, not for once."""
    go_on = asyncio.Event()
    house, provider = await sell(pausing(go_on))
    await leave_in_the_middle(house, b"Idempotency-Key: order-1\r\n")
    go_on.set()
    for _ in range(3):
        assert (await ask(house))[:2] == (200, b"the goods")
    assert len(nonces(provider)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
async def test_keys_that_make_no_sense(sell: Sell, key: str) -> None:
    """An empty, endless or odd key is refused before anything is paid."""
    house, provider = await sell(first(GOODS))
    assert (await ask(house, key=key))[2] == "bad_request"
    assert provider.paid == []


async def test_free_calls_are_none_of_its_business(sell: Sell) -> None:
    """A key on a call that costs nothing is passed on, and the call is made each time."""
    house, provider = await sell(_free)
    assert [(await ask(house))[0] for _ in range(2)] == [200, 200]
    assert [got.header("Idempotency-Key") for got in provider.got] == ["order-1"] * 2


async def _free(_got: Got, writer: asyncio.StreamWriter) -> None:
    writer.write(response("200 OK", body=b"free"))


async def test_retention(sell: Sell) -> None:
    """A key is forgotten when its time is over and its payment can move no more."""
    house, provider = await sell(first(GOODS), idempotency={"retention_s": 0})
    await ask(house)
    assert (await ask(house))[:2] == (200, b"the goods")
    assert len(nonces(provider)) == 1
    state = Path(house.config.parent / "state")
    with sqlite3.connect(state / schema.FILE_NAME) as db:  # as if the authorization had died
        db.execute("UPDATE hold SET booked = 1")
    db.close()
    assert (await ask(house))[0] == 200
    assert len(set(nonces(provider))) == 2


async def test_ledger_that_breaks_after_paying(sell: Sell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid for is handed over, though it cannot be kept; the log says so."""

    async def full(*_: object) -> None:
        raise LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(Ledger, "keep_answer", full)
    house, _ = await sell(first(GOODS))
    with capture_logs() as lines:
        assert (await ask(house))[:2] == (200, b"the goods")
    errors = [line["event"] for line in lines if line["log_level"] == "error"]
    assert errors == ["answer_not_kept"]
    assert (await ask(house))[2] == "result_not_kept"
