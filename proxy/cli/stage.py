"""The demo's stage: a directory that goes away, the sandbox, the real daemon and a client for it.

The daemon is the one that people run, a process of its own with a config file; only the providers
are in miniature, and the wallet is made for the occasion. Whatever happens, the process and the
directory are gone when the stage is struck.
"""

import asyncio
import json
import os
import re
import secrets
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from proxy.cli.sandbox_config import KEY_VARIABLE, config_for
from proxy.sandbox import Sandbox, SandboxOptions, sandbox
from proxy.wallet import address_of

CAPS: Final = {"per_request": "1.00", "day": "1.20"}
JOB_S: Final = 3.0
START_S: Final = 20.0
STOP_S: Final = 10.0
CALL_S: Final = 30.0
GLANCE_S: Final = 0.1
"""How long between two looks at whether the daemon is ready."""

_OURS: Final = ("FAREBOX_", "LISTEN_", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
"""What in our environment would tell the daemon to be another one."""
_WORD: Final = re.compile(r'([a-z]+)="([^"]*)"')


class DeviationError(Exception):
    """Something was not as the demo tells it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `payment` is `Farebox-Payment`, word by word, where there is one."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: Any

    @property
    def payment(self) -> dict[str, str]:
        """What the daemon says that it paid."""
        return dict(_WORD.findall(self.headers.get("Farebox-Payment", "")))


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that plays: the providers, the daemon's address, the wallet's, a client."""

    town: Sandbox
    base_url: str
    wallet: str
    api_key: str = field(repr=False)
    session: aiohttp.ClientSession

    @property
    def owned(self) -> int:
        """What the wallet had in the beginning, in millionths of a dollar."""
        return self.town.options.balance

    async def call(self, method: str, url: str, body: object = None) -> Answer:
        """Make one real call; nothing but the JSON body and what HTTP needs goes along."""
        try:
            async with self.session.request(method, url, json=body) as response:
                raw = await response.read()
                headers = response.headers.copy()
                return Answer(response.status, response.reason or "", headers, json.loads(raw))
        except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
            raise DeviationError(f"{method} {url}: {problem!r}") from None


@asynccontextmanager
async def stage(log: list[str]) -> AsyncIterator[Stage]:
    """Set everything up, and take it down again. What the daemon wrote ends up in `log`."""
    key, api_key = secrets.token_bytes(32), f"sk-demo-{secrets.token_hex(16)}"
    options = SandboxOptions(job_s=JOB_S, api_key=api_key)
    with TemporaryDirectory(prefix="farebox-demo-") as name:
        directory = Path(name)
        _write(directory / "wallet.key", key.hex())
        async with sandbox(options) as town, aiohttp.ClientSession(timeout=_timeout()) as session:
            base_url = f"http://127.0.0.1:{_free_port()}"
            listen = base_url.removeprefix("http://")
            _write(directory / "config.yaml", config_for(town, CAPS, listen=listen, drain_s=0))
            here = Stage(town, base_url, address_of(key), api_key, session)
            try:
                async with _daemon(directory, api_key) as process:
                    await _ready(here, process)
                    yield here
            finally:
                log.extend(_lines(directory / "daemon.log"))


@asynccontextmanager
async def _daemon(directory: Path, api_key: str) -> AsyncIterator[Process]:
    """Run `farebox serve` on the directory's config."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with (directory / "daemon.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", "serve", "--config", str(directory / "config.yaml"),
            # From here the very package that runs is found again, installed or not.
            cwd=Path(__file__).parents[2],
            env=kept | {KEY_VARIABLE: api_key},
            stdin=DEVNULL, stdout=errors, stderr=STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        await _stop(process)


async def _ready(here: Stage, process: Process) -> None:
    """Wait until the daemon could pay."""
    for _ in range(int(START_S / GLANCE_S)):
        if process.returncode is not None:
            raise DeviationError(f"the daemon ended with exit code {process.returncode}")
        try:
            async with here.session.get(f"{here.base_url}/readyz") as response:
                if response.ok:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(GLANCE_S)
    raise DeviationError(f"the daemon was not ready within {START_S:.0f} s")


async def _stop(process: Process) -> None:
    """Ask our own child to end, then insist."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        raise DeviationError(f"the daemon did not end within {STOP_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=CALL_S)


def _write(path: Path, text: str) -> None:
    """Write a file that nobody else can read, from its first moment on."""
    path.touch(mode=0o600)
    path.write_text(f"{text}\n", encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
