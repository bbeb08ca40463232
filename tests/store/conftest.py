"""Fixtures of the ledger's tests."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.store.books import Books, opened

USUAL_RECURSION_LIMIT = 1000


@pytest.fixture(autouse=True)
def usual_recursion_limit() -> Iterator[None]:
    """Undo what a library of the tests' own does on import: it lifts the limit to 100,000.

    The daemon runs with the usual one, and relies on it against texts that nest abysmally.
    """
    lifted = sys.getrecursionlimit()
    sys.setrecursionlimit(USUAL_RECURSION_LIMIT)
    yield
    sys.setrecursionlimit(lifted)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    """A fresh ledger."""
    async with opened(tmp_path) as books:
        yield books
