"""A real daemon in this process, between a real client and scripted providers."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from proxy.app import Daemon, running
from proxy.configfile import read_config
from proxy.core.clock import Clocks
from tests.exchange.provider import NETWORK, Provider, Script

KEY = "0x" + "11" * 32
T = TypeVar("T")
SECRET = "sk-canary-of-the-provider"


@dataclass
class House:
    """A running daemon with a client of its own."""

    daemon: Daemon
    client: aiohttp.ClientSession
    url: str
    config: Path

    async def payments(self) -> list[dict[str, Any]]:
        """The ledger's payments, newest first."""
        async with self.client.get(f"{self.url}/-/payments") as answer:
            found: list[dict[str, Any]] = (await answer.json())["payments"]
            return found

    async def connections(self) -> int:
        """How many connections other than this client's own are open."""
        async with self.client.get(f"{self.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        (line,) = [line for line in lines if line.startswith("farebox_connections ")]
        return int(float(line.split()[1])) - 1

    async def reconfigure(self, **parts: Any) -> None:
        """Edit the config file, and wait until the daemon serves under it."""
        document = json.loads(self.config.read_text()) | parts
        self.config.write_text(json.dumps(document))
        digest = read_config(self.config).digest
        task = asyncio.create_task(self.daemon.watcher.run())
        self.daemon.watcher.poke()
        while self.daemon.watcher.status.digest != digest:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where the door is."""
        return int(self.url.rsplit(":", 1)[1])


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, **parts: Any) -> Path:
    """Write a config and what it refers to; `parts` replace its top-level keys."""
    key = folder / "wallet.key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(KEY)
        secret = folder / "provider.key"
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
    document = {
        "listen": f"127.0.0.1:{free_port()}",
        "state_dir": str(folder / "state"),
        "wallet": {"key": {"file": str(key)}},
        "caps": {"per_request": "1.00", "day": "5.00"},
        **parts,
    }
    path = folder / "config.json"
    path.write_text(json.dumps({name: part for name, part in document.items() if part is not None}))
    path.chmod(0o600)
    return path


def shop(url: str, **more: Any) -> dict[str, Any]:
    """The parts of a config with one provider that sells under /shop."""
    return {
        "providers": {
            "shop": {"kind": "http", "base_url": url, "pay": {"networks": [NETWORK]}, **more}
        },
        "routes": [{"path": "/shop/*", "provider": "shop", "strip_prefix": "/shop"}],
    }


@asynccontextmanager
async def house(path: Path, clocks: Clocks | None = None) -> AsyncIterator[House]:
    """Run a daemon on a config, by the machine's clocks or by others."""
    url = "http://" + read_config(path).config.listen[0]
    async with (
        running(path, clocks) as daemon,
        aiohttp.ClientSession(auto_decompress=False) as client,
    ):
        yield House(daemon, client, url, path)


async def until(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Ask again and again until the answer is good."""
    async with asyncio.timeout(10):
        while not good(found := await ask()):  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0)
    return found


Open = Callable[..., Awaitable[House]]
Sell = Callable[..., Awaitable[tuple[House, Provider]]]


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[Open]:
    """Open a daemon on config parts; it closes with the test."""
    async with AsyncExitStack() as stack:

        async def opened(**parts: Any) -> House:
            return await stack.enter_async_context(house(write_config(tmp_path, **parts)))

        yield opened


@pytest.fixture
async def sell(open_house: Open) -> AsyncIterator[Sell]:
    """Open a daemon in front of one scripted provider under /shop.

    Keywords go into the provider's config.
    """
    async with AsyncExitStack() as stack:

        async def opened(
            script: Script,
            caps: dict[str, str] | None = None,
            limits: dict[str, int] | None = None,
            idempotency: dict[str, int] | None = None,
            **more: Any,
        ) -> tuple[House, Provider]:
            provider = await stack.enter_async_context(Provider(script))
            parts = shop(provider.url, **more)
            parts |= {} if caps is None else {"caps": caps}
            parts |= {} if limits is None else {"limits": limits}
            parts |= {} if idempotency is None else {"idempotency": idempotency}
            return await open_house(**parts), provider

        yield opened
