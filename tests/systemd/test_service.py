"""The daemon does what its units rely on: it tells, it inherits, it stops in good order."""

import asyncio
import signal
import socket

import aiohttp
import pytest

from tests.systemd.conftest import ADDRESS, KEY, OTHER_ADDRESS, OTHER_KEY, Home
from tests.systemd.manager import PATIENCE_S, get, started
from tests.systemd.seller import TX, selling


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
async def test_ready(home: Home, abstract: bool) -> None:  # noqa: FBT001 - a parameter
    """READY=1 comes when the door is open and the ledger writable, and says where."""
    async with started(home.configure(), abstract=abstract) as service:
        notice = await service.told("READY")
        assert notice == {"READY": "1", "STATUS": f"serving on unix:{home.door}"}
        assert (await get(home.door, "/readyz"))["status"] == "ready"


async def test_stopping(home: Home) -> None:
    """SIGTERM is answered with STOPPING=1 and an orderly end, and the socket's file is gone."""
    async with started(home.configure()) as service:
        await service.told("READY")
        service.signal(signal.SIGTERM)
        assert await service.told("STOPPING") == {"STOPPING": "1"}
        code, errors = await service.ended()
        assert code == 0, errors
        assert not home.door.exists()


async def test_reload_of_an_edited_config(home: Home) -> None:
    """SIGHUP after an edit: RELOADING=1 with its time, READY=1, and then the edit is in force."""
    async with started(home.configure()) as service:
        await service.told("READY")
        home.configure(caps={"per_request": "1.00", "day": "3.00"})
        service.signal(signal.SIGHUP)
        notice = await service.told("RELOADING")
        assert notice["RELOADING"] == "1"
        assert notice["MONOTONIC_USEC"].isdigit()
        await service.told("READY")
        caps = (await get(home.door, "/-/status"))["caps"]
        assert [cap["limit"] for cap in caps if cap["window"] == "day"] == ["3.00"]


async def test_reload_of_a_replaced_key(home: Home) -> None:
    """SIGHUP opens the key again though the config is the same."""
    async with started(home.configure()) as service:
        await service.told("READY")
        assert (await get(home.door, "/health"))["wallet"] == ADDRESS
        home.secret("wallet.key", OTHER_KEY)
        service.signal(signal.SIGHUP)
        await service.told("RELOADING")
        await service.told("READY")
        assert (await get(home.door, "/health"))["wallet"] == OTHER_ADDRESS


async def test_reload_that_needs_a_restart(home: Home) -> None:
    """An edit of `listen` is not taken, and the daemon is READY=1 on what it had."""
    async with started(home.configure()) as service:
        await service.told("READY")
        home.configure(listen=f"unix:{home.path}/elsewhere", caps={"per_request": "9", "day": "9"})
        service.signal(signal.SIGHUP)
        await service.told("RELOADING")
        await service.told("READY")
        async with asyncio.timeout(PATIENCE_S):
            status = await get(home.door, "/-/status")
            while status["config"]["ok"]:  # the word to systemd goes out a moment before
                status = await get(home.door, "/-/status")
        assert "listen: takes effect at a restart" in status["config"]["error"]
        assert {cap["limit"] for cap in status["caps"]} == {"1.00", "20.00"}


async def test_reload_and_stop_at_once(home: Home) -> None:
    """A stop that meets a reload is not lost: the daemon sees both signals and ends."""
    async with started(home.configure()) as service:
        await service.told("READY")
        for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            service.signal(number)
        assert (await service.ended())[0] == 0


async def test_signs_of_life(home: Home) -> None:
    """With WATCHDOG_USEC the daemon says again and again that it is alive."""
    async with started(home.configure(), WATCHDOG_USEC="300000") as service:
        await service.told("READY")
        for _ in range(3):
            assert await service.told("WATCHDOG") == {"WATCHDOG": "1"}


async def test_watchdog_of_another_process(home: Home) -> None:
    """WATCHDOG_USEC that was meant for another process is left alone."""
    async with started(home.configure(), WATCHDOG_USEC="1000", WATCHDOG_PID="1") as service:
        await service.told("READY")
        await get(home.door, "/readyz")
        service.signal(signal.SIGTERM)
        await service.ended()
        assert service.untold() == ["STOPPING=1"]


async def test_socket_activation(home: Home) -> None:
    """The socket that systemd opened is served instead of the config's: who came early too."""
    config = home.configure(listen="unix:/nowhere/at/all")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port)
        async with started(config, listening=listening) as service:
            notice = await service.told("READY")
            assert notice["STATUS"] == f"serving on 127.0.0.1:{port}"
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_key_from_a_credential(home: Home) -> None:
    """`{credential: NAME}` is the file of that name in $CREDENTIALS_DIRECTORY."""
    home.secret("wallet.key", "no key at all")
    home.secret("loaded", KEY + "\n")
    config = home.configure(wallet={"key": {"credential": "loaded"}})
    async with started(config, CREDENTIALS_DIRECTORY=str(home.path)) as service:
        await service.told("READY")
        assert (await get(home.door, "/health"))["wallet"] == ADDRESS


async def test_no_credentials(home: Home) -> None:
    """A credential without systemd is a bad config: exit code 2, and a word that says so."""
    async with started(home.configure(wallet={"key": {"credential": "loaded"}})) as service:
        code, errors = await service.ended()
        assert code == 2
        assert "CREDENTIALS_DIRECTORY" in errors


@pytest.mark.parametrize("state_dir", [None, "own"], ids=["left out", "said"])
async def test_state_directory(home: Home, state_dir: str | None) -> None:
    """The ledger is in $STATE_DIRECTORY, unless the config says where."""
    given = home.path / "given"
    config = home.configure(state_dir=state_dir)
    async with started(config, STATE_DIRECTORY=str(given)) as service:
        await service.told("READY")
    assert (given / "ledger.sqlite3").exists() is (state_dir is None)
    assert (home.path / "own" / "ledger.sqlite3").exists() is (state_dir is not None)


async def test_stop_in_the_middle_of_a_paid_request(home: Home) -> None:
    """What was paid for is delivered, and only then the daemon ends, with code 0."""
    async with (
        selling() as seller,
        started(home.configure(providers={"shop": seller.provider()})) as service,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(home.door))) as client,
    ):
        await service.told("READY")
        asking = asyncio.create_task(client.get("http://localhost/goods"))
        await seller.paid.wait()
        service.signal(signal.SIGTERM)
        await service.told("STOPPING")
        assert not asking.done()
        seller.may_answer.set()
        async with await asking as answer:
            assert (answer.status, await answer.text()) == (200, "goods")
            assert f'state="settled", tx="{TX}"' in answer.headers["Farebox-Payment"]
        assert (await service.ended())[0] == 0


async def test_client_that_left_before_the_stop(home: Home) -> None:
    """A payment whose client hung up is finished too, and stands settled at the next start."""
    async with selling() as seller:
        config = home.configure(providers={"shop": seller.provider()})
        async with started(config) as service:
            await service.told("READY")
            connector = aiohttp.UnixConnector(str(home.door))
            async with aiohttp.ClientSession(connector=connector) as client:
                asking = asyncio.create_task(client.get("http://localhost/goods"))
                await seller.paid.wait()
                asking.cancel()
                await asyncio.wait([asking])
            service.signal(signal.SIGTERM)
            await service.told("STOPPING")
            seller.may_answer.set()
            assert (await service.ended())[0] == 0
    async with started(config) as service:
        await service.told("READY")
        (payment,) = (await get(home.door, "/-/payments"))["payments"]
        assert (payment["state"], payment["tx"]) == ("settled", TX)


async def test_second_daemon(home: Home) -> None:
    """A second daemon on one state directory exits with 1 and names the first, which serves on."""
    async with started(home.configure()) as first:
        await first.told("READY")
        neighbour = Home(home.path, "second.yaml")
        async with started(neighbour.configure(listen=f"unix:{home.path}/other")) as second:
            code, errors = await second.ended()
            assert code == 1
            assert f"process {first.pid}" in errors
            assert second.untold() == []
        assert (await get(home.door, "/readyz"))["status"] == "ready"
