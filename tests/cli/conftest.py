"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.cli.house import House, build


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A config with a wallet, and no ledger yet."""
    return build(tmp_path)
