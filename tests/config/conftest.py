"""What the tests of the config share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = """\
caps: {per_request: "1.00", day: "2.00"}
providers:
  blockrun: {kind: blockrun, base_url: "https://blockrun.ai/api"}
"""
"""The smallest valid config; whatever a test appends begins on line 4."""

KEY = "0x" + "1f" * 32
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into the test's directory, for its owner alone unless said otherwise."""

    def write_file(text: str, name: str = "config.yaml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write_file


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `farebox` as a process of its own, with a home of its own and no other environment."""

    def run_farebox(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        kept |= {name: value for name, value in os.environ.items() if name.startswith("COV")}
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            env={**kept, "HOME": str(tmp_path / "home"), **environ},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_farebox
