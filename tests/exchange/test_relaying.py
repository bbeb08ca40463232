"""Relaying: what crosses does so to the byte, what must not cross does not, and nothing is held."""

import asyncio
import json

import pytest

from tests.exchange.conftest import SECRET, Open, Sell, shop
from tests.exchange.provider import Got, Provider, answers, receipt, response, sells


def ask(*headers: bytes, line: bytes = b"GET /shop/x HTTP/1.1", body: bytes = b"") -> bytes:
    """A request for the shop, on a connection that ends with it."""
    lines = (line, b"Host: localhost", *headers, b"Connection: close", b"", body)
    return b"\r\n".join(lines)


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes, and read until the daemon closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_an_answer_crosses_to_the_byte(sell: Sell) -> None:
    """Status.

    Reason, header order, case, repeats and bytes above 127 come as the provider sent them.
    """
    head = (
        b"HTTP/1.1 207 Odd But Fine\r\nx-ODD: caf\xe9 \xff\r\nX-Twice: 1\r\nx-twice: 2\r\n"
        b'Content-Encoding: gzip\r\nETag: W/"a"\r\nContent-Length: 5\r\n'
    )
    house, provider = await sell(answers(head + b"\r\n\x1f\x8bxyz"))
    request = (
        b"PUT /shop/a%20b/%C3%A9?x=%2F&&y HTTP/1.1\r\nHost: LocalHost\r\nX-Mine: \xc3\xa9\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert await raw(house.port, request) == head + b"Connection: close\r\n\r\n\x1f\x8bxyz"
    (got,) = provider.got
    assert got.line == "PUT /a%20b/%C3%A9?x=%2F&&y HTTP/1.1"
    assert got.head.split(b"\r\n")[1:] == [
        b"Host: " + provider.url.removeprefix("http://").encode(),
        b"X-Mine: \xc3\xa9",
        b"Content-Length: 0",
    ]


async def test_header_bytes_that_are_not_utf8_do_not_cost_a_paid_answer(sell: Sell) -> None:
    """A Latin-1 header goes up as UTF-8 and the payment is made.

    The answer's own come back as they are.
    """
    goods = response("200 OK", receipt(), body=b"ok").replace(
        b"\r\n\r\n", b"\r\nX-City: Z\xfcrich\r\n\r\n"
    )
    house, provider = await sell(sells(goods))
    answer = await raw(
        house.port,
        ask(b"X-City: Z\xfcrich"),
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-City: Z\xfcrich\r\n" in answer
    assert b"X-City: Z\xc3\xbcrich" in provider.paid[0].head


async def test_what_must_not_cross_up(sell: Sell) -> None:
    """Hop-by-hop headers.

    Payments and tokens of the client, cookies and our own headers stay here.
    """
    house, provider = await sell(answers(response("200 OK")))
    lines = (
        b"Connection: X-Hop",
        b"X-Hop: 1",
        b"TE: trailers",
        b"Proxy-Authorization: Basic eA==",
        b"Forwarded: for=x",
        b"PAYMENT-SIGNATURE: eA==",
        b"X-PAYMENT: eA==",
        b"X-Payment-Foo: 1",
        b"Farebox-Max-Amount: 1",
        b"Cookie: a=b",
        b"Authorization: Bearer own-key",
        b"Keep-Alive: 5",
        b"Prefer: wait=3",
        b"Idempotency-Key: k",
    )
    await raw(house.port, ask(*lines))
    (got,) = provider.got
    assert [name for name, _ in got.headers] == [
        "Host",
        "Authorization",
        "Prefer",
        "Idempotency-Key",
    ]
    assert got.header("Authorization") == "Bearer own-key"


async def test_what_must_not_cross_down(sell: Sell) -> None:
    """Cookies and headers that pretend to be ours do not reach the client.

    Unless cookies are let through.
    """
    answer = response(
        "200 OK",
        ("Set-Cookie", "a=b"),
        ("Farebox-Payment", "forged"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
    )
    house, _ = await sell(answers(answer))
    got = await raw(house.port, ask())
    assert got == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_cookies_cross_where_the_config_lets_them(sell: Sell) -> None:
    """`cookies: true` lets them through in both directions."""
    house, provider = await sell(answers(response("200 OK", ("Set-Cookie", "a=b"))), cookies=True)
    got = await raw(
        house.port,
        ask(b"Cookie: c=d"),
    )
    assert b"Set-Cookie: a=b" in got
    assert provider.got[0].header("Cookie") == "c=d"


async def test_a_provider_with_a_key_gets_ours_and_never_the_clients(open_house: Open) -> None:
    """The client's Authorization is replaced, however hard `Connection` tries to take ours off."""
    async with Provider(answers(response("200 OK"))) as provider:
        parts = shop(provider.url, auth={"bearer": {"file": "provider.key"}})
        del parts["providers"]["shop"]["pay"]
        house = await open_house(**parts)
        await raw(
            house.port,
            ask(b"Authorization: Bearer mine", b"Connection: authorization"),
        )
        assert [
            value for name, value in provider.got[0].headers if name.lower() == "authorization"
        ] == [f"Bearer {SECRET}"]


LINKS = [
    ({"poll_url": "{url}/jobs/1?a=%2F"}, {"poll_url": "http://localhost/shop/jobs/1?a=%2F"}),
    (
        {"status_url": "/jobs/1", "n": {"poll_url": "/jobs/1"}},
        {"status_url": "/shop/jobs/1", "n": {"poll_url": "/jobs/1"}},
    ),
    ({"cancel_url": "{url}.evil/x"}, {"cancel_url": "{url}.evil/x"}),
    (
        {"response_url": "https://elsewhere.example/x"},
        {"response_url": "https://elsewhere.example/x"},
    ),
    ({"response_url": "//elsewhere.example/x"}, {"response_url": "//elsewhere.example/x"}),
    ({"url": "{url}/x"}, {"url": "{url}/x"}),
]


@pytest.mark.parametrize(("said", "heard"), LINKS)
async def test_links_of_the_providers_origin_lead_back(
    sell: Sell, said: dict[str, object], heard: dict[str, object]
) -> None:
    """The four top-level fields are turned to the daemon with the stripped prefix put back.

    Nothing else is.
    """
    house, provider = await sell(answers(b""))
    body = json.dumps(said, indent=3).replace("{url}", provider.url)
    provider.script = answers(
        response("200 OK", ("Content-Type", "application/json"), body=body.encode())
    )
    got = await raw(house.port, ask())
    assert got.partition(b"\r\n\r\n")[2].decode() == json.dumps(heard, indent=3).replace(
        "{url}", provider.url
    )


async def test_a_redirect_goes_to_the_client(sell: Sell) -> None:
    """A redirect is never followed.

    One to the provider's own origin leads back through the daemon.
    """
    house, provider = await sell(answers(b""))
    for target, heard in (
        (f"{provider.url}/y", "http://localhost/shop/y"),
        ("http://127.0.0.1:9/z", "http://127.0.0.1:9/z"),
    ):
        provider.script = answers(response("307 Moved", ("Location", target)))
        got = await raw(
            house.port,
            ask(b"Content-Length: 1", line=b"POST /shop/x HTTP/1.1", body=b"x"),
        )
        assert f"Location: {heard}\r\n".encode() in got
    assert len(provider.got) == 2


async def test_events_pass_one_by_one(sell: Sell) -> None:
    """An event reaches the client while the provider still holds the next one back.

    After a payment too.
    """
    go_on = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.payment is None:
            await sells(b"")(got, writer)
            return
        name, value = receipt()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{name}: {value}\r\n"
        writer.write(
            head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + b"9\r\ndata: 1\n\n\r\n"
        )
        await writer.drain()
        await go_on.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    house, _ = await sell(script)
    async with house.client.get(f"{house.url}/shop/x") as answer:
        assert await answer.content.readany() == b"data: 1\n\n"
        go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"


async def test_an_upload_that_costs_nothing_is_not_held(open_house: Open) -> None:
    """The provider reads the first piece of a body while the client holds the next one back."""
    first = asyncio.Event()

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(response("200 OK", body=got.body))

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b"one\r\n") == b"3\r\none\r\n"
        first.set()
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(response("200 OK"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, Provider(script) as provider:
        parts = shop(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        del parts["providers"]["shop"]["pay"]
        house = await open_house(**parts)
        assert provider.got == []

        async def body() -> object:
            yield b"one"
            await first.wait()
            yield b"two"

        async with house.client.post(f"{house.url}/shop/x", data=body()) as answer:
            assert answer.status == 200


async def test_a_body_that_breaks_in_the_middle_is_not_taken_for_whole(sell: Sell) -> None:
    """Where the provider's body stops short, so does the client's."""

    async def script(_got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await writer.drain()
        writer.transport.abort()

    house, _ = await sell(script)
    got = await raw(house.port, ask())
    assert got.endswith(b"4\r\nhalf\r\n")


async def test_the_secrets_are_in_no_answer(sell: Sell) -> None:
    """Neither the wallet's key nor the provider's stands on any of the daemon's pages."""
    house, _ = await sell(answers(response("200 OK")), auth={"bearer": {"file": "provider.key"}})
    for page in (
        "/",
        "/healthz",
        "/readyz",
        "/health",
        "/metrics",
        "/-/status",
        "/-/payments",
        "/-/config",
        "/-/jobs",
    ):
        async with house.client.get(house.url + page) as answer:
            text = await answer.text()
            assert answer.status == 200, page
            assert "11" * 20 not in text
            assert SECRET not in text


@pytest.mark.parametrize("query", [b"a=\xc3\xa9", b"a=\xe9"])
async def test_bytes_above_127_in_a_query_do_not_break_paying(sell: Sell, query: bytes) -> None:
    """A careless client's unescaped query is either refused as such or paid for, never a fault."""
    goods = response("200 OK", receipt(), body=b"ok")
    house, provider = await sell(sells(goods))
    got = await raw(house.port, ask(line=b"GET /shop/x?" + query + b" HTTP/1.1"))
    status = int(got.split()[1])
    assert status in (200, 400)
    assert len(provider.paid) == (status == 200)
