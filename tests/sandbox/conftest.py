"""The three providers on real sockets, with a clock that the tests move."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import pytest
import uvloop

from proxy.sandbox import Sandbox, SandboxOptions
from tests.sandbox.buyer import Buyer, Clock


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on both loops that a user may run on: they end connections differently."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def clock() -> Clock:
    """A clock that starts now and stands still."""
    return Clock(int(time.time()))


@pytest.fixture
async def town(clock: Clock) -> AsyncIterator[Sandbox]:
    """A sandbox with the default options."""
    async with Sandbox(SandboxOptions(), clock) as town:
        yield town


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def buyer(session: aiohttp.ClientSession, town: Sandbox, clock: Clock) -> Buyer:
    """Somebody with 100 imaginary dollars."""
    return Buyer(session, town, clock)
