"""Precautions beside the caps, through the daemon: payees, prices, the switch, alerts."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy import app
from proxy.clocks import machine_clocks
from proxy.store.people import People
from tests.exchange.conftest import (
    House,
    Open,
    Sell,
    free_port,
    house,
    shop,
    until,
    write_config,
)
from tests.exchange.provider import (
    PAYEE,
    Provider,
    answers,
    challenge,
    receipt,
    response,
    sells,
)

GOODS = response("200 OK", receipt(), body=b"the goods")
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


async def buy(at: House, path: str = "/shop/x", body: bytes = b"{}") -> tuple[int, str | None]:
    """Buy something: the status and our error code."""
    headers = {"Content-Type": "application/json"}
    async with at.client.post(at.url + path, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Farebox-Error")


async def page(at: House, path: str, method: str = "GET") -> Any:
    """One of the daemon's pages."""
    async with at.client.request(method, at.url + path) as answer:
        return await answer.json()


@pytest.mark.parametrize("address", ["any", PAYEE, PAYEE.lower()])
async def test_cap_of_a_payee(open_house: Open, address: str) -> None:
    """What one address gets is limited, whichever provider it is asked by; others are not."""
    async with Provider(sells(GOODS)) as one, Provider(sells(GOODS)) as two:
        pay = {"networks": ["eip155:84532"]}
        parts = shop(one.url)
        parts["providers"]["two"] = {"kind": "http", "base_url": two.url, "pay": pay}
        parts["routes"].append({"path": "/two/*", "provider": "two", "strip_prefix": "/two"})
        payees = [{"address": address, "caps": {"day": "0.02"}}]
        at = await open_house(**parts, payees=payees)
        assert [(await buy(at, path))[0] for path in ("/shop/x", "/two/x")] == [200, 200]
        assert await buy(at) == (429, "cap_day")
        two.script = sells(GOODS, challenge(pay_to=OTHER))
        headers = {"Farebox-Dry-Run": "1"}
        async with at.client.post(f"{at.url}/two/x", headers=headers) as answer:
            assert (await answer.json())["allowed"] is True


async def test_a_payee_that_changes(sell: Sell) -> None:
    """It is refused and waits for a person; the alert says so; accepted, it is paid."""
    at, provider = await sell(sells(GOODS))
    await buy(at)
    provider.script = sells(GOODS, challenge(pay_to=OTHER))
    assert await buy(at) == (403, "payee_not_allowed")
    (alert,) = (await page(at, "/-/status"))["alerts"]
    assert (alert["code"], OTHER.lower() in alert["message"]) == ("payee_waiting", True)
    people(at).accept_payee("shop", "eip155:84532", OTHER)
    assert await buy(at) == (200, None)
    assert (await page(at, "/-/status"))["alerts"] == []


@pytest.mark.parametrize(
    ("path", "body", "is_refused"),
    [
        ("/shop/x", b'{"model": "m", "duration": 5}', True),
        ("/shop/x?a=1", b'{"duration": 5, "prompt": "other", "model": "m"}', True),
        ("/shop/x", b'{"model": "m", "duration": 10}', False),
        ("/shop/x", b'{"model": "n", "duration": 5}', False),
        ("/shop/y", b'{"model": "m", "duration": 5}', False),
    ],
)
async def test_a_price_that_jumps(sell: Sell, path: str, body: bytes, *, is_refused: bool) -> None:
    """Three times the last price of the same thing is refused; another thing has its own price."""
    at, provider = await sell(sells(GOODS), quote_jump="3")
    assert await buy(at, "/shop/x", b'{"model": "m", "duration": 5}') == (200, None)
    provider.script = sells(GOODS, challenge(amount="30000"))
    expected = (403, "quote_jump") if is_refused else (200, None)
    assert await buy(at, path, body) == expected
    people(at).forget_prices("shop")
    assert await buy(at, path, body) == (200, None)


@pytest.mark.parametrize(("paused", "said"), [(True, "the config says so"), ("audit", "audit")])
async def test_paused_by_the_config(sell: Sell, *, paused: bool | str, said: str) -> None:
    """An edit pauses at once; taking it back does not resume, a person does."""
    at, _ = await sell(sells(GOODS))
    await buy(at)
    await at.reconfigure(paused=paused)
    assert await buy(at) == (503, "paused")
    await at.reconfigure(paused=False)
    assert (await page(at, "/-/pause")) == {"paused": True, "pause_reason": said}
    assert people(at).resume()
    assert await buy(at) == (200, None)


async def test_paused_from_the_start(tmp_path: Path) -> None:
    """A config that says paused is obeyed before the first request."""
    async with Provider(sells(GOODS)) as provider:
        path = write_config(tmp_path, **shop(provider.url), paused=True)
        async with house(path) as at:
            assert await buy(at) == (503, "paused")
            (alert,) = (await page(at, "/-/status"))["alerts"]
            assert alert["code"] == "paused"


async def test_paused_by_the_page(sell: Sell) -> None:
    """POST pauses, free calls go on, and it is told everywhere."""
    at, provider = await sell(sells(GOODS))
    assert (await page(at, "/-/pause?reason=too%20much", "POST"))["paused"] is True
    assert await buy(at) == (503, "paused")
    provider.script = answers(response("200 OK"))
    assert await buy(at) == (200, None)
    assert 'farebox_alerts{code="paused"} 1.0' in await metrics(at)
    assert people(at).resume()
    assert "farebox_alerts{" not in await metrics(at)


async def test_unknown_outcomes_are_told(sell: Sell) -> None:
    """A payment of which nobody knows is an alert and a number."""
    at, _ = await sell(sells(response("500 Oops")))
    await buy(at)
    await until(at.payments, lambda found: found[0]["state"] == "unknown")
    (alert,) = (await page(at, "/-/status"))["alerts"]
    (payment,) = await at.payments()
    assert (alert["code"], payment["id"] in alert["message"]) == ("payment_unknown", True)
    assert "farebox_unknown_payments 1.0" in await metrics(at)
    assert 'farebox_alerts{code="payment_unknown"} 1.0' in await metrics(at)


async def metrics(at: House) -> str:
    """The metrics page."""
    async with at.client.get(f"{at.url}/metrics") as answer:
        return await answer.text()


def people(at: House) -> People:
    """A person at the daemon's ledger."""
    return People(at.config.parent / "state", machine_clocks())


async def test_pages_of_a_ledger_that_is_broken(sell: Sell) -> None:
    """They say 503 and why, and are well again when the file is."""
    at, _ = await sell(sells(GOODS))
    await buy(at)
    ledger = at.config.parent / "state" / "ledger.sqlite3"
    aside = ledger.rename(ledger.with_name("aside"))
    for path in ("/-/payments", "/-/status", "/metrics", "/-/pause"):
        async with at.client.get(at.url + path) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (503, "ledger_unavailable")
    aside.rename(ledger)
    assert len(await at.payments()) == 1


async def test_alarms_are_told_once(sell: Sell) -> None:
    """What is the matter is one loud line in the log, and one quiet line when it is over."""
    at, _ = await sell(sells(GOODS))
    people(at).pause("tea")
    with capture_logs() as lines:
        watching = asyncio.create_task(at.daemon.alarms.run())
        await until(partial(_count, lines), lambda count: count == 1)
        await at.daemon.alarms.look()
        people(at).resume()
        await at.daemon.alarms.tell()
        await at.daemon.alarms.tell()
        watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    told = [(line["event"], line["log_level"], line["code"]) for line in lines]
    assert told == [("alert", "error", "paused"), ("alert_over", "info", "paused")]


async def _count(lines: list[Any]) -> int:
    await asyncio.sleep(0)
    return len(lines)


@pytest.mark.parametrize(("patience_s", "codes"), [(-1, ["chain_unavailable"]), (3600, [])])
async def test_node_that_is_in_trouble_for_long(
    open_house: Open, monkeypatch: pytest.MonkeyPatch, patience_s: int, codes: list[str]
) -> None:
    """A node that fails now and then is no alarm; one that goes on is, and its URL is not told."""
    monkeypatch.setattr(app, "CHAIN_PATIENCE_S", patience_s)
    url = f"http://127.0.0.1:{free_port()}/secret-of-the-node"
    async with Provider(sells(GOODS)) as provider:
        at = await open_house(**shop(provider.url), networks={"eip155:84532": {"rpc_url": url}})
        await at.daemon.reconciler.look("eip155:84532")
        status = await page(at, "/-/status")
        assert [alert["code"] for alert in status["alerts"]] == codes
        assert status["chain"]["eip155:84532"]["trouble"] == "unreachable"
        assert "secret" not in json.dumps([status, await page(at, "/-/config")])
