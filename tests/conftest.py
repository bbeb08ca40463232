"""What all tests share: the rig of outside judges, and the daemon's own recursion limit."""

import sys
from collections.abc import Iterator

import pytest

from proxy import waiting

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


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask in quick succession where the provider does not say how often."""
    monkeypatch.setattr(waiting, "PACE_S", 0.05)
