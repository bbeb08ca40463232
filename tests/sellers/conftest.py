"""A daemon of one's own for each test, and what must hold whenever one ends."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.rig.chain import Chain
from tests.rig.fixtures import Seller
from tests.sellers.daemon import Daemon, configuration, write_key

Start = Callable[..., Awaitable[Daemon]]
FUNDS = 10_000_000
"""Ten dollars: what a test's payer owns at first."""


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that opens as many connections as it likes."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as session:
        yield session


@pytest.fixture
async def farebox(
    tmp_path: Path, chain: Chain, client: aiohttp.ClientSession
) -> AsyncIterator[Start]:
    """Start daemons that buy from the named shops, with changes to caps, providers or the rest.

    Each is stopped with SIGTERM at the end, must have exited with 0, and must not have written its
    key into its log.
    """
    started: list[Daemon] = []

    async def start(
        shops: dict[str, str], *, caps: Any = None, provider: Any = None, more: Any = None
    ) -> Daemon:
        home = tmp_path / f"daemon{len(started)}"
        home.mkdir(mode=0o700)
        payer = chain.new_payer(FUNDS)
        write_key(home, payer)
        config = configuration(
            home, shops, caps=caps or {}, provider=provider or {}, more=more or {}
        )
        daemon = Daemon(home, payer, config, client)
        started.append(daemon)
        await daemon.start()
        return daemon

    try:
        yield start
    finally:
        for daemon in started:
            await daemon.stop()
    for daemon in started:
        assert daemon.payer.key.hex() not in daemon.log.read_text()


@pytest.fixture(
    params=[
        "fastapi_seller",
        "v1_seller",
        pytest.param("express_v1_seller", marks=pytest.mark.slow),
        pytest.param("express_v2_seller", marks=pytest.mark.slow),
    ]
)
def shop(request: pytest.FixtureRequest) -> Seller:
    """Give each honest seller in turn."""
    seller: Seller = request.getfixturevalue(request.param)
    return seller
