"""A config, a wallet, a ledger and a way to call `farebox` on them as a person would."""

import asyncio
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner

from proxy.app import running
from proxy.cli import main
from proxy.core.ledger import Evidence
from proxy.core.money import Usd
from proxy.sandbox import SandboxOptions, sandbox
from proxy.store import Hold, Intent, Ledger, Reserved
from proxy.store.schema import FILE_NAME, connect, migrate
from tests.rig.process import ROOT
from tests.store.books import Clock

KEY = "c0ffee" + "5a" * 29
"""A canary: it must not turn up in anything that a command prints."""
ADDRESS = "0xBe951C77b339FBD41f750EC3d72b2c05bFAcbd38"
API_KEY = "sk-canary-4f1d2c"
DAY_S = 86_400
PORTRAIT = {"name": "Rachel", "image_url": "https://example.com/rachel.png"}


@dataclass(frozen=True)
class House:
    """A directory with a config file, in which commands are run."""

    directory: Path
    port: int

    @property
    def config(self) -> Path:
        """The config file."""
        return self.directory / "config.yaml"

    @property
    def state_dir(self) -> Path:
        """Where the ledger is."""
        return self.directory / "state"

    def run(self, *words: str, **environment: str) -> "Said":
        """Run `farebox` with some words, on this config; no secret may come out."""
        said = farebox(*words, config=self.config, home=self.directory, **environment)
        assert KEY not in said.out + said.err
        assert API_KEY not in said.out + said.err
        return said

    def call(self, *words: str) -> "Said":
        """The same in this process, which is quicker: with no terminal, and the same secrets."""
        environment = clean_environment(self.directory)
        gone = dict.fromkeys(os.environ.keys() - environment.keys())
        runner = CliRunner(env=gone | environment)
        done = runner.invoke(main, ["--config", str(self.config), *words], catch_exceptions=False)
        assert KEY not in done.output
        assert API_KEY not in done.output
        return Said(done.exit_code, done.stdout, done.stderr)

    def enter(self, *entries: "Entry") -> None:
        """Write payments into the ledger, as a daemon would have."""
        self.state_dir.mkdir(exist_ok=True)
        asyncio.run(_enter(self.state_dir, entries))

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.state_dir / FILE_NAME

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The ledger's file in our own hands, made if need be."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        with closing(connect(self.ledger)) as db:
            migrate(db)
            yield db

    def edit(self, old: str, new: str) -> None:
        """Change the config."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    @asynccontextmanager
    async def daemon(self, options: SandboxOptions | None = None) -> AsyncIterator["Daemon"]:
        """The daemon on this config, with the sandbox's BlockRun as its provider."""
        async with sandbox(options) as town, aiohttp.ClientSession() as client:
            self.edit("http://127.0.0.1:9/api", town.blockrun_url)
            self.edit("{env: CANARY}", "{file: wallet.key}")
            async with running(self.config):
                yield Daemon(client, f"http://127.0.0.1:{self.port}/v1/portrait/enroll")


@dataclass(frozen=True)
class Daemon:
    """A daemon that runs, as its clients see it."""

    client: aiohttp.ClientSession
    url: str

    async def buy(self) -> tuple[int, str]:
        """Buy something for some cents: the status, and the code of a refusal."""
        fresh = PORTRAIT | {"name": secrets.token_hex(8)}
        async with self.client.post(self.url, json=fresh) as answer:
            said = await answer.json()
            return answer.status, said["error"]["code"] if "error" in said else ""


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its output, which must be one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Entry:
    """One payment for the ledger; `evidence` is what became of it, `age_s` how old it is."""

    id: str
    usd: str
    evidence: Evidence | None
    age_s: int = 0
    tx: str = ""
    note: str = ""
    path: str = "/v1/portrait/enroll"


def farebox(*words: str, config: Path | None = None, home: Path, **environment: str) -> Said:
    """Run `farebox` to its end, with more in its environment than is usual."""
    done = subprocess.run(
        command(*words, config=config),
        cwd=ROOT,
        env=clean_environment(home) | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def command(*words: str, config: Path | None = None) -> Sequence[str]:
    """The command line of a call, the config before the command."""
    named = () if config is None else ("--config", str(config))
    return (sys.executable, "-m", "proxy", *named, *words)


def clean_environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the developer's own is found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FAREBOX_", "XDG_"))}
    return kept | {"HOME": str(home), "TMPDIR": str(home), "CANARY": API_KEY}


def build(directory: Path, caps: str = 'per_request: "1.00", day: "5.00"') -> House:
    """Make a config with its wallet in a directory."""
    key = directory / "wallet.key"
    key.touch(mode=0o600)
    key.write_text(f"0x{KEY}\n")
    house = House(directory, free_port())
    house.config.write_text(
        f'listen: "127.0.0.1:{house.port}"\n'
        "state_dir: state\n"
        "wallet: {key: {file: wallet.key}}\n"
        f"caps: {{{caps}}}\n"
        "providers:\n"
        "  blockrun: {kind: blockrun, base_url: 'http://127.0.0.1:9/api', pay: {}}\n"
        "  pomex: {kind: pomex, base_url: 'http://127.0.0.1:9',"
        " auth: {bearer: {env: CANARY}}}\n"
        "limits: {drain_s: 1}\n"
    )
    os.chmod(house.config, 0o600)  # noqa: PTH101 - the umask may let a group write
    return house


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _enter(state_dir: Path, entries: Sequence[Entry]) -> None:
    now = time.time()
    for entry in sorted(entries, key=lambda entry: -entry.age_s):
        at = now - entry.age_s
        ledger = await Ledger.open(state_dir, Clock(at).clocks)
        reserved = await ledger.reserve(*_of(entry, int(at)), ())
        assert isinstance(reserved, Reserved), reserved
        if entry.evidence is not None:
            if entry.evidence is not Evidence.NEVER_SENT:
                await ledger.resolve(reserved, Evidence.SENT)
            await ledger.resolve(
                reserved, entry.evidence, tx=entry.tx, note=entry.note, http_status=200
            )
        await ledger.close()


def _of(entry: Entry, at: int) -> tuple[Intent, Hold]:
    amount = round(float(entry.usd) * 10**6)
    intent = Intent(
        entry.id, None, "blockrun", "/v1/portrait/*", "POST", entry.path, bytes(32)
    )  # fmt: skip
    hold = Hold(
        amount=amount,
        usd=Usd(amount),
        decimals=6,
        network="eip155:8453",
        asset="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        pay_to="0xe9030014F5DAe217d0A152f02A043567b16c1aBf",
        wallet=ADDRESS,
        nonce=entry.id.encode().ljust(32, b"\0"),
        valid_after=at - 60,
        valid_before=at + 300,
        scopes=("all", "provider:blockrun"),
        terms="{}",
    )
    return intent, hold
