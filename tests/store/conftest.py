"""Fixtures of the ledger's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.books import Books, opened


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    """A fresh ledger."""
    async with opened(tmp_path) as books:
        yield books
