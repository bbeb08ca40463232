"""Fixtures of the tests of power loss and failing disks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.power import layer
from tests.power.losses import Shop
from tests.store.test_machine import SHELF


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer, compiled."""
    return layer.built(tmp_path_factory.mktemp("layer"))


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A directory in which hundreds of ledgers are made, and syncing costs nothing."""
    with tempfile.TemporaryDirectory(prefix="power-", dir=SHELF) as place:
        yield Path(place)


@pytest.fixture
def shop(library: Path, shelf: Path) -> Shop:
    """A place to buy at, over the layer."""
    return Shop(library, shelf)
