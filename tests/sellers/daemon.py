"""The daemon as a user has it: a config file, a key file, a process, and HTTP."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from eth_account.signers.local import LocalAccount

from tests.rig.chain import NETWORK
from tests.rig.process import ROOT, deadline, stop

READY_S: Final = 20.0
POLL_S: Final = 0.02
CAPS: Final = {"per_request": "1.00", "day": "20.00"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client got, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """The daemon's own error code, if the answer carries one."""
        return self.headers.get("Farebox-Error")

    @property
    def payment(self) -> dict[str, str]:
        """The parts of `Farebox-Payment`; empty where nothing was paid."""
        return dict(re.findall(r'(\w+)="([^"]*)"', self.headers.get("Farebox-Payment", "")))


@dataclass
class Daemon:
    """One daemon on one state directory; it may be killed and started again."""

    home: Path
    payer: LocalAccount
    config: Json
    client: aiohttp.ClientSession
    url: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Write the config for a free port, start, and wait until the daemon is ready."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        document = self.config | {"listen": f"127.0.0.1:{port}"}
        path = self.home / "config.yaml"
        path.write_text(json.dumps(document))  # JSON is YAML
        path.chmod(0o600)
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(path)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  # starting takes no time
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self._until_ready(self.process)

    async def stop(self) -> None:
        """Stop it as systemd would; it must leave in peace."""
        if self.process is None:
            return
        process, self.process = self.process, None
        await asyncio.to_thread(stop, process)
        assert process.returncode == 0, self.log.read_text()[-4000:]

    def kill(self) -> None:
        """Kill it without a word, as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Make one request through the daemon and read the whole answer."""
        options.setdefault("allow_redirects", False)
        async with self.client.request(method, self.url + path, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def payments(self) -> list[Json]:
        """List what the daemon's books say."""
        answer = await self.ask("GET", "/-/payments?limit=1000")
        assert answer.status == 200, answer
        payments: list[Json] = answer.json["payments"]
        return payments

    async def nonces(self) -> set[str]:
        """List every nonce that the books know of."""
        return {hold["nonce"] for payment in await self.payments() for hold in _holds(payment)}

    async def in_state(self, state: str, count: int = 1) -> list[Json]:
        """Wait until this many payments are in a state; give them back."""
        for _ in deadline(10):
            found = [payment for payment in await self.payments() if payment["state"] == state]
            if len(found) >= count:
                return found
            await asyncio.sleep(POLL_S)
        raise AssertionError

    @property
    def log(self) -> Path:
        """Where the daemon's output goes."""
        return self.home / "daemon.log"

    async def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until and process.poll() is None:
            try:
                if (await self.ask("GET", "/readyz")).status == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"the daemon is not ready:\n{self.log.read_text()[-4000:]}")


def configuration(
    home: Path, shops: Mapping[str, str], *, caps: Json, provider: Json, more: Json
) -> Json:
    """Write a config in which `/NAME/*` buys from the shop of that name."""
    pay = {"networks": [NETWORK]}
    providers = {
        name: {"kind": "http", "base_url": url, "pay": pay, **provider}
        for name, url in shops.items()
    }
    routes = [
        {
            "path": f"/{name}/*",
            "provider": name,
            "strip_prefix": f"/{name}",
            "pay_methods": ["GET", "POST"],
        }
        for name in shops
    ]
    return {
        "state_dir": str(home / "state"),
        "wallet": {"key": {"file": str(home / "wallet.key")}},
        "caps": CAPS | caps,
        "providers": providers,
        "routes": routes,
        **more,
    }


def write_key(home: Path, payer: LocalAccount) -> None:
    """Put the wallet's key where only its owner reads it."""
    path = home / "wallet.key"
    path.touch(mode=0o600)
    path.write_text("0x" + payer.key.hex() + "\n")


def _holds(payment: Json) -> list[Json]:
    found: list[Json] = payment["authorizations"]
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
