"""Paying for one thing: what is sent, what is signed, what the client and the ledger are told."""

import asyncio
import gzip
import io
import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from yarl import URL

from tests.exchange.conftest import KEY, Open, Sell, shop, until
from tests.exchange.provider import (
    PAYEE,
    USDC,
    Got,
    Provider,
    answers,
    asks,
    b64,
    challenge,
    receipt,
    response,
    sells,
)

GOODS = response("200 OK", receipt(), ("Content-Type", "text/plain"), body=b"the goods")


def signer(payment: dict[str, Any]) -> str:
    """Recover who signed a payment, with eth-account."""
    message = dict(payment["payload"]["authorization"])
    for name in ("value", "validAfter", "validBefore"):
        message[name] = int(message[name])
    fields = [
        ("from", "address"),
        ("to", "address"),
        ("value", "uint256"),
        ("validAfter", "uint256"),
    ]
    fields += [("validBefore", "uint256"), ("nonce", "bytes32")]
    typed = encode_typed_data(
        {"name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": USDC},
        {"TransferWithAuthorization": [{"name": n, "type": t} for n, t in fields]},
        message,
    )
    address: str = Account.recover_message(typed, signature=payment["payload"]["signature"])
    return address


async def test_a_402_is_paid_once_and_the_goods_come_back(sell: Sell) -> None:
    """Ask, sign, ask again.

    The second request is the first with a payment, and its answer is the client's.
    """
    house, provider = await sell(sells(GOODS))
    async with house.client.post(
        URL(f"{house.url}/shop/x?q=%2F", encoded=True), data=b"body"
    ) as answer:
        assert (answer.status, await answer.read()) == (200, b"the goods")
        told = answer.headers["Farebox-Payment"]
    first, second = provider.got
    assert first.line == second.line == "POST /x?q=%2F HTTP/1.1"
    assert first.body == second.body == b"body"
    assert first.payment is None
    assert second.payment is not None
    assert second.payment["accepted"] == challenge()["accepts"][0]
    assert signer(second.payment) == Account.from_key(KEY).address
    (payment,) = await house.payments()
    assert payment["state"] == "settled"
    assert (payment["amount"], payment["usd"], payment["pay_to"]) == ("10000", "0.01", PAYEE)
    nonce = second.payment["payload"]["authorization"]["nonce"]
    assert [a["nonce"] for a in payment["authorizations"]] == [nonce]
    assert f'id="{payment["id"]}", amount="0.01", asset="USDC"' in told
    assert 'state="settled"' in told


V1 = {
    "x402Version": 1,
    "error": "pay",
    "accepts": [
        {
            "scheme": "exact",
            "network": "base-sepolia",
            "maxAmountRequired": "10000",
            "resource": "http://x",
            "description": "",
            "mimeType": "",
            "payTo": PAYEE,
            "maxTimeoutSeconds": 60,
            "asset": USDC,
            "extra": {"name": "USDC", "version": "2"},
        }
    ],
}


@pytest.mark.parametrize(
    "asked",
    [
        response(
            "402 Payment Required",
            ("Content-Type", "application/json"),
            body=json.dumps(V1).encode(),
        ),
        response("402 Payment Required", ("X-Payment-Required", b64(V1)), body=b"{}"),
        response("402 Payment Required", ("PAYMENT-REQUIRED", b64(V1)), body=b"{}"),
    ],
)
async def test_a_version_1_challenge_is_answered_with_x_payment(sell: Sell, asked: bytes) -> None:
    """Version 1 is paid in its own header, wherever its challenge stood."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(GOODS if got.payment else asked)

    house, provider = await sell(script)
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert answer.status == 200
    (paid,) = provider.paid
    assert paid.header("X-PAYMENT") is not None
    assert paid.header("PAYMENT-SIGNATURE") is None
    assert paid.payment is not None
    assert paid.payment["network"] == "base-sepolia"


LYING = [
    (asks(), 402, "payment_rejected", "unknown"),
    (response("500 Oops", body=b"broken"), 500, None, "unknown"),
    (response("200 OK", body=b"no receipt"), 200, None, "unknown"),
    (response("200 OK", receipt(success=False), body=b"x"), 200, None, "unknown"),
    (response("200 OK", receipt(amount="10001"), body=b"x"), 200, None, "unknown"),
    (response("200 OK", receipt(network="eip155:1"), body=b"x"), 200, None, "unknown"),
    (response("200 OK", receipt(payer=PAYEE), body=b"x"), 200, None, "unknown"),
    (
        response("402 Again", receipt(success=False, errorReason="settlement_pending")),
        402,
        "payment_rejected",
        "unknown",
    ),
    (response("402 Again", receipt()), 402, "payment_rejected", "unknown"),
    (response("200 OK", ("PAYMENT-RESPONSE", "!"), body=b"x"), 200, None, "unknown"),
    (response("200 OK", ("X-Payment-Receipt", "0x" + "cd" * 32), body=b"x"), 200, None, "settled"),
    (response("500 Taken", receipt(), body=b"x"), 500, None, "settled"),
]


@pytest.mark.parametrize(("answer", "status", "error", "state"), LYING)
async def test_what_a_seller_answers_after_being_paid(
    sell: Sell, answer: bytes, status: int, error: str | None, state: str
) -> None:
    """Its answer goes through as it came.

    Nothing is signed again, and only a fitting receipt settles.
    """
    house, provider = await sell(sells(answer))
    async with house.client.post(f"{house.url}/shop/x") as got:
        assert got.status == status
        assert got.headers.get("Farebox-Error") == error
        assert f'state="{state}"' in got.headers["Farebox-Payment"]
        assert await got.read() == answer.partition(b"\r\n\r\n")[2]
    assert len(provider.paid) == 1
    (payment,) = await house.payments()
    assert payment["state"] == state


@pytest.mark.parametrize("partial", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_connection_that_breaks_after_paying_leaves_the_outcome_unknown(
    sell: Sell, partial: bytes
) -> None:
    """The client is told which payment is open, and the money counts as taken."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
        else:
            writer.write(partial)
            await writer.drain()
            writer.transport.abort()

    house, provider = await sell(script)
    async with house.client.get(f"{house.url}/shop/x") as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (502, "payment_outcome_unknown")
    (payment,) = await house.payments()
    assert (payment["id"], payment["state"]) == (error["payment"], "unknown")
    assert len(provider.paid) == 1, "a paid GET is not sent again by the HTTP client"


async def test_a_silent_seller_leaves_the_outcome_unknown(sell: Sell) -> None:
    """After the read deadline the client hears of the open payment."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())

    house, _ = await sell(script, read_timeout_s=1)
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (await answer.json())["error"]["code"] == "payment_outcome_unknown"
    assert (await house.payments())[0]["state"] == "unknown"


async def test_a_client_that_hangs_up_after_paying_changes_nothing(sell: Sell) -> None:
    """The paid request is finished and its receipt recorded though nobody waits for the goods."""
    release = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
            return
        await release.wait()
        writer.write(GOODS)

    house, provider = await sell(script)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /shop/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await provider.until(2)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    release.set()
    await until(house.payments, lambda payments: payments[0]["state"] == "settled")
    assert len(provider.paid) == 1


REFUSED = [
    (challenge("1000001"), 403, "cap_per_request"),
    (challenge("1e6"), 502, "challenge_invalid"),
    (challenge(network="eip155:8453"), 403, "network_not_allowed"),
    (challenge(asset=PAYEE), 403, "asset_not_allowed"),
    (challenge(scheme="upto"), 403, "scheme_not_supported"),
    (challenge(extra={"name": "USD Coin", "version": "2"}), 502, "challenge_invalid"),
    (challenge(pay_to="0x" + "0" * 40), 403, "payee_not_allowed"),
    ({"x402Version": 2, "accepts": challenge()["accepts"] * 17}, 502, "challenge_invalid"),
]


@pytest.mark.parametrize(("asked", "status", "code"), REFUSED)
async def test_what_cannot_be_paid_is_refused_before_anything_is_signed(
    sell: Sell, asked: dict[str, Any], status: int, code: str
) -> None:
    """The refusal is the daemon's own, and the ledger stays empty."""
    house, provider = await sell(sells(GOODS, asked))
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (status, code)
        assert (await answer.json())["error"]["code"] == code
    assert len(provider.got) == 1
    assert await house.payments() == []


async def test_fifty_at_once_stop_at_the_cap(sell: Sell) -> None:
    """Of fifty simultaneous purchases exactly those are made that the cap has room for."""
    house, provider = await sell(
        sells(GOODS, challenge("100000")), caps={"per_request": "1.00", "day": "1.00"}
    )

    async def buy() -> tuple[int, str | None, str | None]:
        async with house.client.post(f"{house.url}/shop/x") as answer:
            return (
                answer.status,
                answer.headers.get("Farebox-Error"),
                answer.headers.get("Retry-After"),
            )

    answers = await asyncio.gather(*(buy() for _ in range(50)))
    assert sum(status == 200 for status, _, _ in answers) == 10
    refused = [answer for answer in answers if answer[0] != 200]
    assert {answer[:2] for answer in refused} == {(429, "cap_day")}
    assert all(int(after or 0) > 0 for _, _, after in refused)
    nonces = {
        got.payment["payload"]["authorization"]["nonce"] for got in provider.paid if got.payment
    }
    assert len(nonces) == 10


async def test_an_unreachable_seller_gives_the_money_back(sell: Sell) -> None:
    """Where no connection was made nothing left: the payment is void and counts no longer."""
    house, provider = await sell(sells(GOODS))
    stopped = asyncio.Event()

    async def stop_after_asking(got: Got, writer: asyncio.StreamWriter) -> None:
        assert got.payment is None
        assert provider._server is not None
        provider._server.close()
        writer.write(asks().replace(b"Content-Length", b"Connection: close\r\nContent-Length"))
        await writer.drain()
        writer.close()
        stopped.set()

    provider.script = stop_after_asking
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (502, "upstream_unreachable")
    assert stopped.is_set()
    assert (await house.payments())[0]["state"] == "void"
    async with house.client.get(f"{house.url}/-/status") as answer:
        assert (await answer.json())["caps"][1]["free"] == "5.00"


async def test_the_payee_is_pinned_at_first_use(sell: Sell) -> None:
    """A seller that names another payee later is refused."""
    other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    house, provider = await sell(sells(GOODS))
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert answer.status == 200
    provider.script = sells(GOODS, challenge(pay_to=other))
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (403, "payee_not_allowed")
    assert len(provider.paid) == 1


async def test_the_clients_own_cap_and_dry_run(sell: Sell) -> None:
    """`Farebox-Max-Amount` refuses above itself.

    `Farebox-Dry-Run` tells the price and signs nothing.
    """
    house, provider = await sell(sells(GOODS))
    async with house.client.get(
        f"{house.url}/shop/x", headers={"Farebox-Max-Amount": "0.009999"}
    ) as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (403, "cap_call")
    async with house.client.get(
        f"{house.url}/shop/x", headers={"Farebox-Max-Amount": "1e3"}
    ) as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (400, "bad_request")
    async with house.client.get(f"{house.url}/shop/x", headers={"Farebox-Dry-Run": "1"}) as answer:
        told = await answer.json()
    assert told["price"] == {
        "source": "quoted",
        "usd": "0.01",
        "amount": "10000",
        "asset": "USDC",
        "network": "eip155:84532",
    }
    assert (told["dry_run"], told["allowed"], told["provider"]) == (True, True, "shop")
    assert provider.paid == []
    assert await house.payments() == []


async def test_head_and_options_never_pay(sell: Sell) -> None:
    """A 402 to a method that is not paid for goes through as it came."""
    house, provider = await sell(sells(GOODS))
    for method in ("HEAD", "OPTIONS", "DELETE"):
        async with house.client.request(method, f"{house.url}/shop/x") as answer:
            assert answer.status == 402
            assert "PAYMENT-REQUIRED" in answer.headers
            assert "Farebox-Error" not in answer.headers
    assert provider.paid == []


async def test_a_402_without_a_challenge_goes_through(sell: Sell) -> None:
    """A page for people that happens to be a 402 is none of our business."""
    page = response(
        "402 Payment Required", ("Content-Type", "text/html"), body=b"<p>pay at the desk</p>"
    )
    house, _ = await sell(answers(page))
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (answer.status, await answer.read()) == (402, b"<p>pay at the desk</p>")


async def test_an_endless_402_body_is_not_read_to_its_end(sell: Sell) -> None:
    """A body past its limit where the body is the challenge is no challenge."""

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 402 Pay\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    house, _ = await sell(script)
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (502, "challenge_invalid")


async def test_a_body_past_the_limit_is_refused_before_anything_is_sent(sell: Sell) -> None:
    """What may have to be sent twice has a limit; above it nothing is paid."""
    house, provider = await sell(sells(GOODS), limits={"body_bytes_max": 2048})
    async with house.client.post(f"{house.url}/shop/x", data=b"x" * 2049) as answer:
        assert (answer.status, answer.headers["Farebox-Error"]) == (413, "body_too_large")
    assert provider.got == []
    async with house.client.post(f"{house.url}/shop/x", data=b"x" * 2048) as answer:
        assert answer.status == 200


async def test_three_mebibytes_are_sent_twice_alike(sell: Sell) -> None:
    """A body beyond memory comes from the disk, byte for byte, both times."""
    house, provider = await sell(sells(GOODS))
    body = bytes(range(256)) * 12_288
    async with house.client.post(f"{house.url}/shop/x", data=io.BytesIO(body)) as answer:
        assert answer.status == 200
    assert [got.body == body for got in provider.got] == [True, True]


async def test_a_client_that_hangs_up_does_not_cut_the_paid_body_short(sell: Sell) -> None:
    """The spooled body outlives its client: what is paid for is asked for in full."""
    body = bytes(range(256)) * 65_536
    paying, gone, arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not arrived.is_set():
            head = await reader.readuntil(b"\r\n\r\n")
            if b"PAYMENT-SIGNATURE" in head:
                paying.set()
                await gone.wait()
            received.append(await reader.readexactly(len(body)))
            writer.write(GOODS if paying.is_set() else asks())
            await writer.drain()
            if paying.is_set():
                arrived.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        house, _ = await sell(answers(b""))
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await house.reconfigure(**shop(url))
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        head = f"POST /shop/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await paying.wait()
        writer.transport.abort()
        await until(house.connections, lambda count: count == 0)
        gone.set()
        async with asyncio.timeout(10):
            await arrived.wait()
        await until(house.payments, lambda payments: payments[0]["state"] == "settled")
    assert received == [body, body]


async def test_a_compressed_answers_own_receipt_is_read(open_house: Open) -> None:
    """A receipt in a JSON body counts, compressed or not; the client gets it as it came."""
    body = gzip.compress(b'{"asset_id": "ta_1", "settlement": {"success": true}}')
    headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    async with Provider(sells(response("200 OK", *headers, body=body))) as provider:
        pay = {"networks": ["eip155:84532"]}
        config = {"kind": "blockrun", "base_url": provider.url, "pay": pay}
        house = await open_house(providers={"blockrun": config})
        async with house.client.post(f"{house.url}/v1/portrait/enroll", json={}) as answer:
            assert await answer.read() == body
            assert 'state="settled"' in answer.headers["Farebox-Payment"]
