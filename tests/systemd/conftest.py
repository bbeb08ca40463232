"""A directory for one daemon: its config, its key, its door."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEY = "0x" + "42" * 32
ADDRESS = "0x17c5185167401eD00cF5F5b2fc97D9BBfDb7D025"
OTHER_KEY = "0x" + "43" * 32
OTHER_ADDRESS = "0x5975c152fE58cDcB7E25586A3c9b994A16dbB615"


@dataclass(frozen=True)
class Home:
    """Where one daemon lives. Its door is a unix socket, so no two tests want one port."""

    path: Path
    config_name: str = "config.yaml"

    @property
    def config(self) -> Path:
        """The config file."""
        return self.path / self.config_name

    @property
    def door(self) -> Path:
        """The socket on which it serves."""
        return self.path / "door"

    def secret(self, name: str, text: str) -> Path:
        """Write a file that nobody else may read."""
        file = self.path / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def configure(self, **changes: Any) -> Path:
        """Write a config with some keys changed; None leaves one out."""
        document = {
            "listen": f"unix:{self.door}",
            "state_dir": "state",
            "wallet": {"key": {"file": "wallet.key"}},
            "caps": {"per_request": "1.00", "day": "20.00"},
            "providers": {"shop": {"kind": "http", "base_url": "https://shop.example", "pay": {}}},
            "routes": [{"path": "/*", "provider": "shop"}],
        } | changes
        new = self.path / "config.new"
        new.write_text(
            json.dumps({key: value for key, value in document.items() if value is not None})
        )
        new.replace(self.config)
        return self.config


@pytest.fixture
def home() -> Iterator[Home]:
    """Make a home with a key in it; its path is short, as a unix socket's must be."""
    with tempfile.TemporaryDirectory(prefix="fbx") as directory:
        home = Home(Path(directory))
        home.secret("wallet.key", KEY)
        yield home
