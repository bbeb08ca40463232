"""What all tests share: the rig of outside judges, and the daemon's own recursion limit."""

import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.rig.fixtures"]

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
