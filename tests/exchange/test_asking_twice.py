"""Asking twice for one thing: what was paid for is not paid for again."""

import asyncio

import pytest

from tests.exchange.conftest import House, Open, Sell, shop, until
from tests.exchange.provider import Got, Provider, Script, asks, receipt, response

GOODS = response("200 OK", receipt(), body=b"the goods")
BREAK = b""


def nonces(provider: Provider) -> list[str]:
    """The nonces of the payments that arrived, in order."""
    return [
        got.payment["payload"]["authorization"]["nonce"] for got in provider.paid if got.payment
    ]


def first(answer: bytes, then: bytes = GOODS) -> Script:
    """Ask for a payment; answer the first one so, or break off, and any later one otherwise."""
    paid = 0

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal paid
        if got.payment is None:
            writer.write(asks())
            return
        paid += 1
        said = answer if paid == 1 else then
        writer.write(said)
        if said == BREAK:
            writer.transport.abort()

    return script


async def ask(
    house: House, body: bytes = b"x", path: str = "/shop/x", max_amount: str | None = None
) -> int:
    """Ask for the same thing; the status."""
    headers = {} if max_amount is None else {"Farebox-Max-Amount": max_amount}
    async with house.client.post(house.url + path, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


OUTCOMES = [
    # what the first payment met, after_refusal, how many nonces two requests show
    (BREAK, "resend", 1),
    (BREAK, "fresh", 1),
    (asks(), "resend", 1),
    (asks(), "fresh", 2),
    (response("500 Oops"), "resend", 1),
    (response("425 Too Early"), "fresh", 2),
    (response("200 OK", body=b"no receipt"), "resend", 2),
    (GOODS, "resend", 2),
]


@pytest.mark.parametrize(("met", "after_refusal", "count"), OUTCOMES)
async def test_an_identical_request(sell: Sell, met: bytes, after_refusal: str, count: int) -> None:
    """An open payment is shown again; a finished one, or a documented refusal, is bought anew."""
    pay = {"networks": ["eip155:84532"], "after_refusal": after_refusal}
    house, provider = await sell(first(met), pay=pay)
    await ask(house)
    assert await ask(house) == 200
    assert len(nonces(provider)) == 2
    assert len(set(nonces(provider))) == count
    payments = await house.payments()
    assert len(payments) == count
    assert payments[0]["state"] == "settled"


@pytest.mark.parametrize(
    ("body", "path"), [(b"y", "/shop/x"), (b"x", "/shop/x?a=1"), (b"x", "/shop/y")]
)
async def test_another_request_is_another_purchase(sell: Sell, body: bytes, path: str) -> None:
    """Body, query and path make it another thing."""
    house, provider = await sell(first(BREAK))
    await ask(house)
    assert await ask(house, body, path) == 200
    assert len(set(nonces(provider))) == 2


async def test_the_calls_own_cap_holds_for_an_open_payment_too(sell: Sell) -> None:
    """A call that may cost less than the open payment does not show it."""
    house, provider = await sell(first(BREAK))
    await ask(house)
    assert await ask(house, max_amount="0.001") == 403
    assert len(nonces(provider)) == 1


async def hang_up(house: House, provider: Provider) -> None:
    """Ask, and leave once the payment is out."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"POST /shop/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
    await provider.until(2)
    writer.transport.abort()
    await until(house.connections, lambda count: count == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_comes_back_gets_what_it_paid_for(sell: Sell, *, stream: bool) -> None:
    """It waits for the same work, once; the next identical request is a purchase of its own."""
    go_on = asyncio.Event()
    goods = GOODS
    if stream:
        framed = b"Transfer-Encoding: chunked\r\n\r\n9\r\nthe goods\r\n0\r\n\r\n"
        goods = GOODS.partition(b"Content-Length")[0] + framed

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
            return
        await go_on.wait()
        writer.write(goods)

    house, provider = await sell(script)
    await hang_up(house, provider)
    again = asyncio.create_task(house.client.post(f"{house.url}/shop/x", data=b"x"))
    go_on.set()
    async with await again as answer:
        assert (answer.status, await answer.read()) == (200, b"the goods")
    assert len(nonces(provider)) == 1
    assert await ask(house) == 200
    assert len(set(nonces(provider))) == 2


async def test_an_answer_that_came_too_late_waits_for_its_client(sell: Sell) -> None:
    """The answer may be there long before the client comes back."""
    go_on = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
            return
        await go_on.wait()
        writer.write(GOODS)

    house, provider = await sell(script)
    await hang_up(house, provider)
    go_on.set()
    await until(house.payments, lambda payments: payments[0]["state"] == "settled")
    assert await ask(house) == 200
    assert len(nonces(provider)) == 1


async def test_work_that_failed_unseen_is_asked_for_again(sell: Sell) -> None:
    """Where the seller broke off after its client had gone, the open payment is shown again."""
    go_on = asyncio.Event()
    broke = False

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal broke
        if got.payment is None:
            writer.write(asks())
        elif not broke:
            await go_on.wait()
            broke = True
            writer.transport.abort()
        else:
            writer.write(GOODS)

    house, provider = await sell(script)
    await hang_up(house, provider)
    go_on.set()
    await until(house.payments, lambda payments: payments[0]["state"] == "unknown")
    assert await ask(house) == 200
    assert len(set(nonces(provider))) == 1
    assert (await house.payments())[0]["state"] == "settled"


async def test_two_at_once_are_two_purchases(sell: Sell) -> None:
    """However alike: nobody can tell a twin from a repeat."""
    both = asyncio.Barrier(2)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            await both.wait()
            writer.write(asks())
        else:
            writer.write(GOODS)

    house, provider = await sell(script)
    assert list(await asyncio.gather(ask(house), ask(house))) == [200, 200]
    assert len(set(nonces(provider))) == 2


async def test_a_free_provider_is_asked_each_time(open_house: Open) -> None:
    """Without a payment nothing is remembered of a request."""
    async with Provider(first(GOODS)) as provider:
        parts = shop(provider.url)
        del parts["providers"]["shop"]["pay"]
        house = await open_house(**parts)
        assert [await ask(house), await ask(house)] == [402, 402]
        assert len(provider.got) == 2


async def test_many_repeats_pair_up_with_many_payments_in_doubt(sell: Sell) -> None:
    """Five requests got no answer, and are repeated at once: each shows a payment of its own."""
    together = asyncio.Barrier(5)

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            writer.write(asks())
            return
        lost = len(provider.paid) <= 5
        await together.wait()
        if lost:
            writer.transport.abort()
        else:
            writer.write(GOODS)

    house, provider = await sell(script)
    assert set(await asyncio.gather(*(ask(house) for _ in range(5)))) == {502}
    assert set(await asyncio.gather(*(ask(house) for _ in range(5)))) == {200}
    assert len(set(nonces(provider))) == 5
    assert sorted(nonces(provider)[:5]) == sorted(nonces(provider)[5:])
    assert {payment["state"] for payment in await house.payments()} == {"settled"}
