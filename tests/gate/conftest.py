"""Fixtures of the door's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.gate.rig import House, opened


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A door with nothing special about it."""
    async with opened() as house:
        yield house
